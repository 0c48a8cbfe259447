"""Many synthetic humans at once, each acting in one environment of a batch."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from gym_grasp.demos.operators import OPERATORS
from gym_grasp.demos.operators.human import History, Human, Script, Snapshot
from gym_grasp.envs.vector import GraspVectorEnv


def load_script(task: str) -> Callable[[Human], Script]:
    """Return the script that performs a task.

    Raises:
        UsageError: no synthetic operator knows the task.
    """
    return OPERATORS.load(task)


class SyntheticOperator:
    """One human per environment; speaks in wrist poses and finger flexions.

    An operator's random numbers come from its episode's seed, so that a recording repeats.

    Args:
        env: the environments, just reset.
        skill: of all of them, from 0, novices, to 1, experts; None: each has its own.

    Raises:
        UsageError: no operator knows the task, or the skill is out of range.
    """

    def __init__(self, env: GraspVectorEnv, skill: float | None = None) -> None:
        self.env = env
        self.history = History(env.controller.period)
        self._look()
        script = load_script(env.task_name)
        self.humans = [
            Human(env.task, index, self.history, np.random.default_rng(int(seed) % 2**64), skill)
            for index, seed in enumerate(env.episode_seed.cpu())
        ]
        self._scripts: list[Script | None] = [script(human) for human in self.humans]
        self._sent = [(one.position, one.quaternion, one.fingers) for one in self.humans]
        self._over = np.zeros(env.num_envs, dtype=bool)

    def act(self) -> tuple[Tensor, dict[str, np.ndarray]]:
        """Advance every human by one control step.

        Returns:
            The actions, shape (N, A), and what the humans' trackers sent: `wrist_position`
            (N, 3) in m, `wrist_quaternion` (N, 4), `finger_flexion` (N, 5), float32.
        """
        self._look()
        for index in np.flatnonzero(~self._over):
            script = self._scripts[index]
            if script is not None and next(script, StopIteration) is StopIteration:
                self._scripts[index] = None  # it holds its hand where it is
            self._sent[index] = self.humans[index].sent()
        sent = zip(*self._sent, strict=True)
        position, quaternion, fingers = (np.asarray(rows, dtype=np.float32) for rows in sent)
        device = self.env.device
        actions = self.env.controller.retarget(
            *(torch.from_numpy(rows).to(device) for rows in (position, quaternion, fingers))
        )
        return actions, {
            "wrist_position": position,
            "wrist_quaternion": quaternion,
            "finger_flexion": fingers,
        }

    @property
    def done(self) -> np.ndarray:
        """Whose script has ended: they hold still. Shape (N,), bool."""
        return np.array([script is None for script in self._scripts])

    def rest(self, mask: Tensor) -> None:
        """End the scripts of the environments in `mask` (N,), whose episodes are over."""
        self._over |= mask.cpu().numpy()
        for index in np.flatnonzero(self._over):
            self._scripts[index] = None

    def _look(self) -> None:
        physics = self.env.physics
        fields = ("site_xpos", "xpos", "xquat", "qpos")
        # a copy: the tensors are live
        self.history.push(Snapshot(*(np.array(physics.bind(field).cpu()) for field in fields)))

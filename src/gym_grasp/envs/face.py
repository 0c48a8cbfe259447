"""What Gymnasium asks of every environment, whatever it does: metadata, spec, copies, rendering."""

from typing import Any, NoReturn

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from gym_grasp.errors import UsageError, reason

NOT_DRAWN = (
    "a batch of tensors draws nothing; `envs.render.Camera` draws one of its simulations, and a "
    "batch of arrays draws all: make_vec(…, backend='numpy', render_mode='rgb_array')."
)
"""What to do instead."""
MADE = {"num_envs", "device", "env_spec", "robot", "task_name", "reward_kind", "features"}
MADE |= {"control_rate", "max_episode_steps", "observation_size", "observation_units"}
MADE |= {"action_size", "privileged_size"}
"""Attributes of a batch that nothing would come of setting, or something else than is recorded."""


class Uncopied:
    """Refuses to be copied or pickled, in words: the simulations are not in Python's memory."""

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise UsageError(
            f"A {type(self).__name__} cannot be copied or pickled. Make another from its env_spec, "
            "which can, and give it this one's state: other.set_state(env.get_state())."
        )


class VectorFace(Uncopied, gymnasium.vector.VectorEnv):
    """The face of a batch of tensors, which draws nothing."""

    metadata: dict[str, Any] = {  # noqa: RUF012 (Gymnasium's interface)
        "render_modes": [],
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }
    autoreset_mode = AutoresetMode.SAME_STEP
    """As TorchRL looks for it."""
    max_episode_steps: int
    autoreset: bool
    control_rate: float
    _spec: EnvSpec | None = None

    def __setattr__(self, name: str, value: Any) -> None:
        """Raise `UsageError` where an attribute would be changed that says how this was made."""
        if name in MADE and name in self.__dict__:
            raise UsageError(
                f"{name} is set to {reason(repr(value))}, but says how the environment was made. "
                "Make another one, with other arguments."
            )
        super().__setattr__(name, value)

    @property
    def spec(self) -> EnvSpec | None:  # type: ignore[override]
        """Gymnasium's, where it was made there; its limit is the one in force."""
        return self._spec

    @spec.setter
    def spec(self, spec: EnvSpec | None) -> None:
        if spec is not None:
            spec.max_episode_steps = self.max_episode_steps
        self._spec = spec

    def _show(self, observation_size: int, action_size: int) -> None:
        """Say in Gymnasium's words what is observed, done, and when episodes begin."""
        self.single_observation_space = Box(-np.inf, np.inf, (observation_size,), np.float32)
        self.single_action_space = Box(-1.0, 1.0, (action_size,), np.float32)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self.metadata = {**self.metadata, "render_fps": round(self.control_rate)}
        if not self.autoreset:
            self.metadata["autoreset_mode"] = self.autoreset_mode = AutoresetMode.DISABLED

    def render(self) -> NoReturn:
        """Raise `UsageError`; see `NOT_DRAWN`."""
        raise UsageError(f"render() was called, but {NOT_DRAWN}")

"""`lerobot-eval` on a batch: all environments are stepped at once, and nothing is filmed.

    python -m gym_grasp.integrations.lerobot.batch --env.type=gym_grasp --env.task=open-drawer ...

takes what `lerobot-eval` takes. `make_env` is what LeRobot calls in an `env.py`.
"""

from types import SimpleNamespace
from typing import Any

import numpy as np
from gymnasium.spaces import Dict
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from torch import Tensor

from gym_grasp.demos.export.columns import columns
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import UsageError
from gym_grasp.integrations.lerobot import GymGraspEnv, named_parts, named_spaces


class BatchEnv(VectorEnv):
    """A `GraspVectorEnv` as LeRobot's rollouts see a `SyncVectorEnv` of `GraspEnv`.

    Args:
        config: which environment; what is about pictures has to be left out.
        num_envs: how many.

    Raises:
        UsageError: something about pictures is set.
    """

    def __init__(self, config: GymGraspEnv, num_envs: int) -> None:
        for name in ("pixels", "camera", "width", "height"):
            if getattr(config, name) != getattr(GymGraspEnv, name):
                raise UsageError(
                    f"env.{name} is {getattr(config, name)!r}, but a batch draws no pictures; "
                    "leave it out, or use lerobot-eval itself."
                )
        self.env = GraspVectorEnv(
            str(config.task), num_envs, max_episode_steps=config.episode_length
        )
        self._columns = columns(self.env.packer)
        self.metadata = {
            "render_fps": config.fps,
            "render_modes": [],
            "autoreset_mode": AutoresetMode.SAME_STEP,
        }
        self.num_envs = num_envs
        self.single_observation_space = Dict(named_spaces(self._columns))
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.single_action_space = self.env.single_action_space
        self.action_space = batch_space(self.single_action_space, num_envs)
        row = SimpleNamespace(
            task=self.env.task_name,
            task_description=self.env.task.summary,
            _max_episode_steps=self.env.max_episode_steps,
        )
        self.envs = (row,) * num_envs
        """What LeRobot asks single environments for."""

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Return an attribute of every environment."""
        return tuple(getattr(row, name) for row in self.envs)

    def reset(
        self, *, seed: Any = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Begin new episodes; a list holds the seed of each."""
        observation, _ = self.env.reset(seed=seed, options=options)
        return self._named(observation), {"is_success": np.zeros(self.num_envs, dtype=bool)}

    def step(self, actions: np.ndarray) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Apply one action in every environment, shape (N, A)."""
        observation, reward, terminated, truncated, told = self.env.step(actions)
        success, done = told["success"].numpy(), (terminated | truncated).numpy()
        info: dict[str, Any] = {"is_success": success & ~done, "_is_success": ~done}
        if done.any():
            info["final_obs"] = self._named(told["final_obs"])
            info["final_info"] = {"is_success": success & done, "_is_success": done}
            info["_final_obs"] = info["_final_info"] = done
        outcome = reward.numpy(), terminated.numpy(), truncated.numpy()
        return (self._named(observation), *outcome, info)

    def close(self, **kwargs: Any) -> None:
        """Free the engine."""
        self.env.close()

    def _named(self, observation: Tensor) -> dict[str, np.ndarray]:
        return named_parts(observation.numpy(), self._columns)


def make_env(
    n_envs: int = 1, use_async_envs: bool = False, cfg: GymGraspEnv | None = None
) -> dict[str, dict[int, BatchEnv]]:
    """Make what LeRobot expects of an `env.py`: the batch by the name of a suite and a number.

    Raises:
        UsageError: processes are asked for.
    """
    if use_async_envs:
        raise UsageError("use_async_envs is set, but a batch is one process; leave it out.")
    config = GymGraspEnv() if cfg is None else cfg
    return {config.type: {0: BatchEnv(config, n_envs)}}


def main() -> None:
    """Run `lerobot-eval` with this batch in place of its list of environments."""
    from lerobot.scripts import lerobot_eval

    lerobot_eval.make_env = lambda cfg, n_envs=1, use_async_envs=False, **hub: make_env(
        n_envs, use_async_envs, cfg
    )
    lerobot_eval.main()


if __name__ == "__main__":
    main()

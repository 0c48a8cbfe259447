"""One environment with NumPy observations, as `gymnasium.make` gives it."""

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
import torch

from gym_grasp.envs.checks import checked_device
from gym_grasp.envs.render import Camera
from gym_grasp.envs.spec import EnvSpec
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import UsageError, unknown


class GraspEnv(gymnasium.Env):
    """The one-environment face of `GraspVectorEnv`, on the CPU, without autoreset.

    Args:
        task: an `EnvSpec`, the same as its `to_dict` gives it, or the name of a task.
        render_mode: `rgb_array` or None.
        **kwargs: as `GraspVectorEnv` takes them.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 30}  # noqa: RUF012

    def __init__(
        self,
        task: str | EnvSpec | Mapping[str, Any],
        render_mode: str | None = None,
        **kwargs: Any,
    ) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise unknown("render_mode", render_mode, self.metadata["render_modes"])
        for name in ("num_envs", "autoreset", "num_threads"):
            if name in kwargs:
                raise UsageError(f"{name} is given, but this is one environment; leave it out.")
        if checked_device(kwargs.get("device", "cpu")).type != "cpu":
            raise UsageError("One environment runs on the CPU; a batch, GraspVectorEnv, on a GPU.")
        self._env = GraspVectorEnv(task, 1, autoreset=False, num_threads=1, **kwargs)
        self._camera: Camera | None = None
        self.render_mode = render_mode
        self.metadata = {**self.metadata, "render_fps": self._env.metadata["render_fps"]}
        self.observation_space = self._env.single_observation_space
        self.action_space = self._env.single_action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode; the same seed begins the same one. Observation: shape (O,)."""
        super().reset(seed=seed)
        if seed is None and not self._env.seeded:
            seed = int(self.np_random.integers(2**31))
        observation, _ = self._env.reset(seed=seed, options=options)
        return observation[0].numpy(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Apply one action, shape (A,); info holds `success`, `diverged` and `progress`."""
        batch = torch.as_tensor(action, dtype=torch.float32)[None]
        _, reward, terminated, truncated, info = self._env.step(batch)
        return (
            info["final_obs"][0].numpy(),
            float(reward[0]),
            bool(terminated[0]),
            bool(truncated[0]),
            {
                "success": bool(info["success"][0]),
                "diverged": bool(info["diverged"][0]),
                "progress": float(info["progress"][0]),
            },
        )

    def render(self) -> np.ndarray | None:  # type: ignore[override]
        """Draw the scene as it is. Shape (480, 640, 3), uint8; None without a render mode."""
        if self.render_mode is None:
            return None
        if self._camera is None:
            self._camera = Camera(self._env)
        return self._camera.frame()

    def close(self) -> None:
        """Free engine and renderer."""
        if self._camera is not None:
            self._camera.close()
            self._camera = None
        self._env.close()

"""The environment as Stable-Baselines3's algorithms take it (`pip install gym-grasp[sb3]`)."""

import time
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch

from gym_grasp.envs.render import Camera
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import DependencyError, UsageError
from gym_grasp.integrations.checks import require_autoreset

try:
    from stable_baselines3.common.vec_env import VecEnv
except ImportError as error:
    raise DependencyError(
        f"The adapter needs Stable-Baselines3, and '{error.name}' is not installed; "
        "pip install 'gym-grasp[sb3]'."
    ) from error


class SB3VecEnv(VecEnv):
    """A `GraspVectorEnv` with autoreset behind Stable-Baselines3's interface.

    `info` of an ended episode holds `terminal_observation`, `TimeLimit.truncated`, `is_success`
    and `episode` with `r`, `l` and `t`, as `Monitor` would give them; others are empty.

    Args:
        env: the environments.

    Raises:
        UsageError: they have no autoreset.
    """

    def __init__(self, env: GraspVectorEnv) -> None:
        require_autoreset(env)
        self.env = env
        self.render_mode: str | None = "rgb_array"
        self._camera: Camera | None = None
        self._begun = np.zeros(env.num_envs)
        self._actions = np.zeros((env.num_envs, env.action_size), np.float32)
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)
        self.metadata = {**env.metadata, "render_modes": ["rgb_array"]}

    def reset(self) -> np.ndarray:
        """Begin new episodes: after `seed(s)` that of s + i in environment i. Shape (N, O)."""
        seeds = None if self._seeds[0] is None else self._seeds
        observation, info = self.env.reset(seed=seeds, options=self._options[0] or None)
        self.reset_infos = [dict(info) for _ in range(self.num_envs)]
        self._reset_seeds()
        self._reset_options()
        self._begun[:] = time.perf_counter()
        return observation.cpu().numpy()

    def step_async(self, actions: np.ndarray) -> None:
        """Keep actions (N, A) for `step_wait`."""
        self._actions = actions

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Return observations (N, O), rewards and ends (N,), and what is said of each end."""
        actions = torch.as_tensor(self._actions, device=self.env.device)
        observation, reward, terminated, truncated, info = self.env.step(actions)
        done = (terminated | truncated).cpu().numpy()
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        if done.any():
            told = {name: value.cpu().numpy() for name, value in info.items()}
            cut, now = truncated.cpu().numpy(), time.perf_counter()
            for index in done.nonzero()[0]:
                infos[index] = {
                    "terminal_observation": told["final_obs"][index],
                    "TimeLimit.truncated": bool(cut[index]),
                    "is_success": bool(told["success"][index]),
                    "episode": {
                        "r": float(told["episode_return"][index]),
                        "l": int(told["episode_length"][index]),
                        "t": now - self._begun[index],
                    },
                }
            self._begun[done] = now
        return observation.cpu().numpy(), reward.cpu().numpy(), done, infos

    def close(self) -> None:
        """Free engine and renderer."""
        if self._camera is not None:
            self._camera.close()
            self._camera = None
        self.env.close()

    def get_images(self) -> Sequence[np.ndarray | None]:
        """Draw every environment, each (480, 640, 3), uint8."""
        if self._camera is None:
            self._camera = Camera(self.env)
        return [self._camera.frame(index) for index in range(self.num_envs)]

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Return an attribute of the batch, once for each environment asked for."""
        own = self if attr_name == "render_mode" else self.env
        return [getattr(own, attr_name) for _ in self._chosen(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Set an attribute of the whole batch; raises `UsageError` for a part of it."""
        if len(list(self._chosen(indices))) != self.num_envs:
            raise UsageError(f"'{attr_name}' belongs to the whole batch; leave indices out.")
        setattr(self.env, attr_name, value)

    def env_method(
        self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any
    ) -> list[Any]:
        """Call a method of the whole batch once; raises `UsageError` for a part of it."""
        if len(list(self._chosen(indices))) != self.num_envs:
            raise UsageError(f"'{method_name}' acts on the whole batch; leave indices out.")
        return [getattr(self.env, method_name)(*args, **kwargs)] * self.num_envs

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:
        """Return whether each environment is wrapped: none is, but each is monitored."""
        monitored = wrapper_class.__name__ == "Monitor"  # so that evaluation does not warn
        return [monitored for _ in self._chosen(indices)]

    def _chosen(self, indices: Any) -> Iterable[int]:
        return self._get_indices(indices)

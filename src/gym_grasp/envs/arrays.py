"""The batch with NumPy arrays, as Gymnasium's own vector environments and wrappers have it."""

from typing import Any, Literal

import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorWrapper
from torch import Tensor

from gym_grasp.envs.face import Uncopied
from gym_grasp.envs.render import Camera
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import UsageError, unknown

BACKENDS = ("torch", "numpy")


def make_vector(
    *args: Any, backend: Literal["torch", "numpy"] = "torch", **kwargs: Any
) -> "GraspVectorEnv | ArrayVectorEnv":
    """Make what `gymnasium.make_vec` returns.

    Args:
        *args: as `GraspVectorEnv` takes them.
        backend: `torch`, a `GraspVectorEnv`; or `numpy`, an `ArrayVectorEnv`.
        **kwargs: as the one or the other takes them.
    """
    if backend not in BACKENDS:
        raise unknown("backend", backend, BACKENDS)
    kind = GraspVectorEnv if backend == "torch" else ArrayVectorEnv
    return kind(*args, **kwargs)


class ArrayVectorEnv(Uncopied, VectorWrapper):
    """A `GraspVectorEnv`, its `unwrapped`, with arrays in and out, for Gymnasium's wrappers.

    Args:
        *args: as `GraspVectorEnv` takes them.
        autoreset_mode: Gymnasium's. NEXT_STEP, its default, which some wrappers insist on: the step
            after one that ended an episode ignores the action there, begins the next episode and
            returns reward 0. Or SAME_STEP, or DISABLED.
        render_mode: `rgb_array` or None.
        **kwargs: as `GraspVectorEnv` takes them.
    """

    def __init__(
        self,
        *args: Any,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
        **kwargs: Any,
    ) -> None:
        if render_mode not in (None, "rgb_array"):
            raise unknown("render_mode", render_mode, ["rgb_array"])
        if "autoreset" in kwargs:
            raise UsageError("autoreset is given; a batch of arrays takes autoreset_mode.")
        try:
            self.autoreset_mode = AutoresetMode(autoreset_mode)
        except ValueError:
            raise unknown(
                "autoreset_mode", autoreset_mode, [mode.value for mode in AutoresetMode]
            ) from None
        same_step = self.autoreset_mode is AutoresetMode.SAME_STEP
        self.env: GraspVectorEnv
        super().__init__(GraspVectorEnv(*args, **{**kwargs, "autoreset": same_step}))
        self.metadata = {
            **self.env.metadata,
            "render_modes": ["rgb_array"],
            "autoreset_mode": self.autoreset_mode,
        }
        self._render_mode = render_mode
        self._camera: Camera | None = None
        self._ended = torch.zeros(self.num_envs, dtype=torch.bool, device=self.env.device)

    @property
    def render_mode(self) -> str | None:
        """`rgb_array` or None."""
        return self._render_mode

    def reset(
        self, *, seed: Any = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin new episodes, see `GraspVectorEnv.reset`. Observation: shape (N, O)."""
        observation, info = self.env.reset(seed=seed, options=options)
        mask = (options or {}).get("reset_mask")
        self._ended &= False if mask is None else ~torch.as_tensor(mask, device=self.env.device)
        return _array(observation), info

    def step(
        self, actions: Any
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Apply one action in every environment, shape (N, A); see `GraspVectorEnv.step`.

        Statistics of whole episodes, `info["episode"]`, are for Gymnasium's
        `RecordEpisodeStatistics` to give; it refuses environments that have given them.
        """
        observation, reward, terminated, truncated, info = self.env.step(actions)
        again = self._ended
        if self.autoreset_mode is AutoresetMode.NEXT_STEP:
            if again.any():
                observation, _ = self.env.reset(options={"reset_mask": again})
                reward = torch.where(again, 0.0, reward)
                terminated, truncated = terminated & ~again, truncated & ~again
                info = {k: _blank(v, again) for k, v in info.items()}
            self._ended = terminated | truncated
        told = {k: _array(v) for k, v in info.items()}
        if self.autoreset_mode is not AutoresetMode.SAME_STEP:
            del told["final_obs"], told["_final_obs"]  # the observation is the last one
        elif told["_final_obs"].any():
            rows = np.empty(self.num_envs, dtype=object)  # as Gymnasium has them
            for index in told["_final_obs"].nonzero()[0]:
                rows[index] = told["final_obs"][index]
            told["final_obs"] = rows
        else:
            del told["final_obs"], told["_final_obs"]
        outcome = map(_array, (observation, reward, terminated, truncated))
        return (*outcome, told)  # type: ignore[return-value]

    def render(self) -> tuple[np.ndarray, ...] | None:
        """Draw every scene as it is, each (480, 640, 3), uint8; None without a render mode."""
        if self.render_mode is None:
            return None
        if self._camera is None:
            self._camera = Camera(self.env)
        return tuple(self._camera.frame(index) for index in range(self.num_envs))

    def close(self, **kwargs: Any) -> None:
        """Free engine and renderer."""
        if self._camera is not None:
            self._camera.close()
            self._camera = None
        self.env.close(**kwargs)


def _array(values: Tensor) -> np.ndarray:
    return values.cpu().numpy()


def _blank(values: Tensor, where: Tensor) -> Tensor:
    """Return values with 0 or False in some rows: of a step that was none."""
    return torch.where(where.view(-1, *[1] * (values.dim() - 1)), torch.zeros_like(values), values)

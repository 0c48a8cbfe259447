"""One environment with NumPy observations, as `gymnasium.make` gives it."""

from collections.abc import Mapping
from typing import Any

import gymnasium
import mujoco
import numpy as np
from gymnasium.envs.registration import EnvSpec as GymnasiumSpec
from torch import Tensor

from gym_grasp.envs.checks import checked_device, checked_seed
from gym_grasp.envs.face import Uncopied
from gym_grasp.envs.render import Camera
from gym_grasp.envs.spec import EnvSpec
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import UsageError, unknown

TOLD = ("success", "diverged", "at_limit", "progress", "dense_reward")
"""What `info` holds of a step."""


class GraspEnv(Uncopied, gymnasium.Env):
    """The one-environment face of `GraspVectorEnv`, on the CPU, without autoreset.

    Made by `gymnasium.make`, its time limit is Gymnasium's: `max_episode_steps` of the call, or as
    many steps as the task is registered with. Made here, it is that of its spec.

    Args:
        task: an `EnvSpec`, the same as its `to_dict` gives it, or the name of a task.
        render_mode: `rgb_array` or None.
        **kwargs: as `GraspVectorEnv` takes them, but for `num_envs`, `autoreset` and `num_threads`;
            `device` is the CPU.

    Raises:
        UsageError: something does not exist, is out of range, or is for batches only.
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
        self.vector = GraspVectorEnv(task, 1, autoreset=False, num_threads=1, **kwargs)
        """The batch of one behind it: physics, task, controller, features."""
        self.env_spec = self.vector.env_spec
        """What this environment is."""
        self._camera: Camera | None = None
        self._spec: GymnasiumSpec | None = None
        self._is_limited = True
        self.render_mode = render_mode
        self.metadata = {**self.metadata, "render_fps": self.vector.metadata["render_fps"]}
        self.observation_space = self.vector.single_observation_space
        self.action_space = self.vector.single_action_space

    @property
    def spec(self) -> GymnasiumSpec | None:  # type: ignore[override]
        """Gymnasium's, where it was made there."""
        return self._spec

    @spec.setter
    def spec(self, spec: GymnasiumSpec | None) -> None:
        self._spec = spec
        registered = spec and gymnasium.registry.get(spec.id)
        self._is_limited = not (registered and registered.max_episode_steps)

    @property
    def model(self) -> mujoco.MjModel:
        """A copy of the model as it is in this episode."""
        return self.vector.physics.model_of(0)

    @property
    def data(self) -> mujoco.MjData:
        """A copy of the present state, with all that MuJoCo derives from it, e.g. contacts."""
        model, physics = self.model, self.vector.physics
        data = mujoco.MjData(model)
        state = physics.get_state()[0].double().numpy()
        mujoco.mj_setState(model, data, state, mujoco.mjtState.mjSTATE_INTEGRATION)
        mujoco.mj_forward(model, data)
        return data

    @property
    def episode_seed(self) -> int:
        """Seed of the present episode: `reset(seed=…)` begins it anew."""
        return int(self.vector.episode_seed[0])

    def get_state(self) -> dict[str, Tensor]:
        """Return a copy of all that the next steps depend on, each (1, …)."""
        return self.vector.get_state()

    def set_state(self, state: dict[str, Tensor]) -> None:
        """Restore what `get_state` of an equal environment returned, bit by bit."""
        self.vector.set_state(state)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode; the same seed begins the same one. Observation: shape (O,).

        The seed is that of the episode, as `episode_seed` and files of demonstrations say it: the
        same as `reset(seed=[seed])` of a batch of one; info holds it as `episode_seed`.
        """
        given = None if seed is None else checked_seed(seed)
        super().reset(seed=given)
        if given is None and not self.vector.seeded:
            given = int(self.np_random.integers(2**31))
        observation, _ = self.vector.reset(seed=[given], options=options)
        return observation[0].numpy(), {"episode_seed": self.episode_seed}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Apply one action, shape (A,), in [−1, 1], and return what Gymnasium's `step` does.

        The observation has shape (O,); info holds `success`, `diverged`, `at_limit`, `progress` and
        `dense_reward`, as `GraspVectorEnv.step` describes them.

        Raises:
            UsageError: the action is no A numbers, holds NaN, or comes before the first reset.
        """
        batch = action[None] if isinstance(action, (np.ndarray, Tensor)) else [action]
        _, reward, terminated, truncated, info = self.vector.step(batch)
        told = {name: info[name][0].item() for name in TOLD}
        return (
            info["final_obs"][0].numpy(),
            float(reward[0]),
            bool(terminated[0]),
            bool(truncated[0]) if self._is_limited else told["diverged"],
            told,
        )

    def render(self) -> np.ndarray | None:  # type: ignore[override]
        """Draw the scene as it is. Shape (480, 640, 3), uint8; None without a render mode."""
        if self.render_mode is None:
            return None
        if self._camera is None:
            self._camera = Camera(self.vector)
        return self._camera.frame()

    def close(self) -> None:
        """Free engine and renderer."""
        if self._camera is not None:
            self._camera.close()
            self._camera = None
        self.vector.close()

"""The environment as skrl's trainers take it (`pip install gym-grasp[skrl]`)."""

from typing import Any

import gymnasium
from torch import Tensor

from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import DependencyError
from gym_grasp.integrations.checks import require_autoreset
from gym_grasp.integrations.outcomes import Outcomes

try:
    from skrl.envs.wrappers.torch import Wrapper
except ImportError as error:
    raise DependencyError(
        f"The adapter needs skrl, and '{error.name}' is not installed; "
        "pip install 'gym-grasp[skrl]'."
    ) from error


class SkrlEnv(Wrapper):
    """A `GraspVectorEnv` with autoreset behind skrl's interface; tensors stay on their device.

    `info["episode"]["success"]` is the share of environments whose last episode succeeded, which
    skrl's trainers write into their logs.

    Args:
        env: the environments.
        seed: of their episodes.

    Raises:
        UsageError: they have no autoreset.
    """

    def __init__(self, env: GraspVectorEnv, seed: int = 0) -> None:
        require_autoreset(env)
        super().__init__(env)
        self._outcomes = Outcomes(env.num_envs, env.device)
        env.reset(seed=seed)

    @property
    def observation_space(self) -> gymnasium.Space[Any]:
        """That of one environment."""
        return self._env.single_observation_space

    @property
    def action_space(self) -> gymnasium.Space[Any]:
        """That of one environment."""
        return self._env.single_action_space

    def reset(self) -> tuple[Tensor, dict[str, Any]]:
        """Return the present observation, (N, O): environments reset themselves."""
        return self._env.observation(), {}

    def step(self, actions: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, dict[str, Any]]:
        """Act; return observations (N, O), rewards and both kinds of ends (N, 1), and info."""
        observation, reward, terminated, truncated, info = self._env.step(actions)
        success = self._outcomes.update(terminated | truncated, info["success"])
        rows = (value[:, None] for value in (reward, terminated, truncated))
        return (observation, *rows, {**info, "episode": {"success": success}})  # type: ignore[return-value]

    def state(self) -> Tensor | None:
        """Return None: critics see what policies see."""
        return None

    def render(self, *_: Any, **__: Any) -> None:
        """Draw nothing; see `envs.render.Camera`."""

    def close(self) -> None:
        """Free the engine."""
        self._env.close()

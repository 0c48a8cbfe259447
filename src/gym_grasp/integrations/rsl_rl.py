"""The environment as rsl_rl's runners take it (`pip install gym-grasp[rsl-rl]`)."""

from typing import Any

from torch import Tensor

from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import DependencyError
from gym_grasp.integrations.checks import require_autoreset
from gym_grasp.integrations.outcomes import Outcomes

try:
    from rsl_rl.env import VecEnv
    from tensordict import TensorDict
except ImportError as error:
    raise DependencyError(
        f"The adapter needs rsl_rl, and '{error.name}' is not installed; "
        "pip install 'gym-grasp[rsl-rl]'."
    ) from error

OBSERVATION = "policy"
"""The one group of observations, for actor and critic."""


class RslRlEnv(VecEnv):
    """A `GraspVectorEnv` with autoreset behind rsl_rl's interface; it is reset here.

    Args:
        env: the environments.
        seed: of their episodes.

    Raises:
        UsageError: they have no autoreset.
    """

    def __init__(self, env: GraspVectorEnv, seed: int = 0) -> None:
        require_autoreset(env)
        self.env = env
        self.num_envs = env.num_envs
        self.num_actions = env.action_size
        self.max_episode_length = env.max_episode_steps
        self.device = env.device
        self.cfg: dict[str, Any] = {"task": env.task_name, "reward": env.reward_kind}
        self._outcomes = Outcomes(env.num_envs, env.device)
        env.reset(seed=seed)

    @property
    def episode_length_buf(self) -> Tensor:  # type: ignore[override]
        """Steps of each present episode; rsl_rl writes random ones to stagger them. Shape (N,)."""
        return self.env.elapsed

    @episode_length_buf.setter
    def episode_length_buf(self, value: Tensor) -> None:
        self.env.elapsed.copy_(value)

    def get_observations(self) -> TensorDict:
        """Return the present observations under `OBSERVATION`."""
        return self._grouped(self.env.observation())

    def step(self, actions: Tensor) -> tuple[TensorDict, Tensor, Tensor, dict[str, Any]]:
        """Act; actions beyond [−1, 1] are clipped. Time-outs are told apart in the extras.

        The log gets `success`: the share of environments whose last episode succeeded.
        """
        observation, reward, terminated, truncated, info = self.env.step(actions)
        done = terminated | truncated
        log = {"success": self._outcomes.update(done, info["success"])}
        return self._grouped(observation), reward, done, {"time_outs": truncated, "log": log}

    def _grouped(self, observation: Tensor) -> TensorDict:
        return TensorDict({OBSERVATION: observation}, batch_size=[self.num_envs])

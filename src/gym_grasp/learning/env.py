"""What the learner knows of an environment."""

from typing import Any, Protocol

import torch
from torch import Tensor

from gym_grasp.errors import UsageError


class Environment(Protocol):
    """A batch of N environments with O observed values and A actions, on one device.

    Environments that end restart in the same step (SAME_STEP): where `terminated | truncated`,
    the returned observation already is the next episode's first one, and `info["final_obs"]`
    (N, O) holds the last one of the episode that ended (elsewhere, the observation itself).
    Further info, valid where an episode ended: "success", "diverged" (a simulation that broke cut
    it off; elsewhere False), both (N,) bool; "episode_return" (N,) and "episode_length" (N,) int64.
    Whatever else begins with "reward/" is a term of the reward in this step, (N,), to be logged.
    """

    @property
    def num_envs(self) -> int:
        """N."""
        ...

    @property
    def device(self) -> torch.device:
        """Where observations, rewards and actions live."""
        ...

    @property
    def description(self) -> dict[str, Any]:
        """All that a policy belongs to, in plain values for JSON.

        `spec` says how the environment behaves, `observations` names the O observed values in
        their order, `actions` the A actions, and `scene` is a digest of what is simulated.
        """
        ...

    @property
    def observation_size(self) -> int:
        """O, the size of the observations that the policy reads."""
        ...

    @property
    def observation_units(self) -> tuple[str, ...]:
        """Unit of each observed value: "m", "rad", "1" for none, or others."""
        ...

    @property
    def action_size(self) -> int:
        """A."""
        ...

    @property
    def max_episode_steps(self) -> int:
        """Steps after which an episode is truncated."""
        ...

    @property
    def task_name(self) -> str:
        """Name of the task, such as "open-drawer"."""
        ...

    @property
    def reward_kind(self) -> str:
        """ "sparse" (0 on success, −1 otherwise) or "dense"."""
        ...

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Tensor, dict[str, Any]]:
        """Start all episodes and return their observations (N, O).

        With the option "stagger" a random part of each time limit is already over.
        """
        ...

    def step(self, action: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, dict[str, Any]]:
        """Apply actions (N, A) in [−1, 1]; return obs, reward, terminated, truncated, info."""
        ...

    def get_state(self) -> dict[str, Tensor]:
        """Return everything that continuing bit for bit needs."""
        ...

    def set_state(self, state: dict[str, Tensor]) -> None:
        """Continue from what `get_state` returned."""
        ...

    def close(self) -> None:
        """Release the simulations."""
        ...


class PrivilegedEnvironment(Environment, Protocol):
    """One that knows more than policies observe, which a critic may see while it trains them.

    Its `step` says in `info["final_privileged"]` (N, P) what `privileged` was before any restart.
    """

    @property
    def privileged_size(self) -> int:
        """P; 0 where it was not made for it."""
        ...

    def privileged(self) -> Tensor:
        """Return what a critic may see, now. Shape (N, P)."""
        ...


def privileged_size(env: Environment) -> int:
    """Return P of an environment; raises `UsageError` where it says nothing to a critic alone."""
    size = int(getattr(env, "privileged_size", 0))
    if not size:
        raise UsageError(
            "privileged_critic is set, and the environment was made without what a critic may see; "
            "make it with privileged=True."
        )
    return size


def compile_steps(env: Environment) -> None:
    """Let an environment make its steps faster, where it has a way to: its method `compile`."""
    compile_env = getattr(env, "compile", None)
    if compile_env is not None:
        compile_env()

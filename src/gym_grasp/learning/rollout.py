"""Rollouts: stepping the environments into preallocated buffers, and advantage estimates."""

from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor

from gym_grasp.learning.env import Environment, PrivilegedEnvironment
from gym_grasp.learning.networks import ActorCritic

VALUE_CHUNK = 65_536
"""Most observations in one pass of the critic, which bounds its memory."""

STATISTICS = ("episodes", "successes", "return_sum", "length_sum", "diverged")
REWARD_TERM = "reward/"
"""How the names of terms of the reward begin, in info and in metrics."""


@dataclass(frozen=True)
class Rollout:
    """T steps of N environments; time is the first axis."""

    observations: Tensor
    """Shape (T, N, O)."""
    final_observations: Tensor
    """What each step led to, before any restart. Shape (T, N, O)."""
    actions: Tensor
    """As drawn, unclipped. Shape (T, N, A)."""
    means: Tensor
    """Shape (T, N, A)."""
    rewards: Tensor
    """Shape (T, N)."""
    terminated: Tensor
    """Shape (T, N), bool."""
    truncated: Tensor
    """Shape (T, N), bool."""
    privileged: Tensor
    """What the critic saw beside the observations. Shape (T, N, P)."""
    final_privileged: Tensor
    """The same before any restart. Shape (T, N, P)."""
    last_privileged: Tensor
    """The same beside what the rollout ends with. Shape (N, P)."""
    statistics: Tensor
    """Sums over the episodes that ended, named by STATISTICS. Shape (5,)."""
    reward_terms: dict[str, Tensor] = field(default_factory=dict)
    """Mean of each term of the reward over all steps, where the environment tells any."""

    @classmethod
    def allocate(cls, env: Environment, horizon: int, privileged_size: int = 0) -> "Rollout":
        """Return empty buffers that fit an environment, and what a critic sees beside."""
        shape, device = (horizon, env.num_envs), env.device
        observations, actions = (*shape, env.observation_size), (*shape, env.action_size)
        return cls(
            observations=torch.zeros(observations, device=device),
            final_observations=torch.zeros(observations, device=device),
            actions=torch.zeros(actions, device=device),
            means=torch.zeros(actions, device=device),
            rewards=torch.zeros(shape, device=device),
            terminated=torch.zeros(shape, dtype=torch.bool, device=device),
            truncated=torch.zeros(shape, dtype=torch.bool, device=device),
            privileged=torch.zeros((*shape, privileged_size), device=device),
            final_privileged=torch.zeros((*shape, privileged_size), device=device),
            last_privileged=torch.zeros((env.num_envs, privileged_size), device=device),
            statistics=torch.zeros(len(STATISTICS), device=device),
        )


@torch.no_grad()
def collect(
    env: Environment,
    model: ActorCritic,
    observation: Tensor,
    rollout: Rollout,
    generator: torch.Generator,
) -> Tensor:
    """Fill a rollout from `observation` (N, O) on; return the observation it ends with.

    Nothing here waits for the device.
    """
    std = model.log_std.exp()
    rollout.statistics.zero_()
    rollout.reward_terms.clear()
    terms = rollout.reward_terms
    privileged = rollout.privileged.shape[-1] > 0
    for t in range(len(rollout.rewards)):
        mean = model.policy.mean(observation)
        noise = torch.randn(mean.shape, generator=generator, device=mean.device)
        action = mean + std * noise
        if privileged:
            rollout.privileged[t] = cast(PrivilegedEnvironment, env).privileged()
        rollout.observations[t] = observation
        rollout.means[t] = mean
        rollout.actions[t] = action
        observation, reward, terminated, truncated, info = env.step(action.clamp(-1.0, 1.0))
        rollout.final_observations[t] = info["final_obs"]
        if privileged:
            rollout.final_privileged[t] = info["final_privileged"]
        rollout.rewards[t] = reward
        rollout.terminated[t] = terminated
        rollout.truncated[t] = truncated
        done = terminated | truncated
        rollout.statistics.add_(
            torch.stack(
                (
                    done.sum(),
                    (info["success"] & done).sum(),
                    torch.where(done, info["episode_return"], 0).sum(),
                    torch.where(done, info["episode_length"], 0).sum(),
                    info["diverged"].sum(),
                )
            )
        )
        for name in (one for one in info if one.startswith(REWARD_TERM)):
            mean_term = info[name].mean() / len(rollout.rewards)
            terms[name] = terms[name] + mean_term if name in terms else mean_term
    if privileged:
        rollout.last_privileged.copy_(cast(PrivilegedEnvironment, env).privileged())
    return observation


@torch.no_grad()
def values_of(model: ActorCritic, observations: Tensor, privileged: Tensor) -> Tensor:
    """Return the critic's normalised output, in bounded chunks. Shape (...).

    Args:
        model: Networks that made the rollout.
        observations: Shape (..., O).
        privileged: What the critic sees beside them. Shape (..., P).
    """
    chunks = (whole.flatten(0, -2).split(VALUE_CHUNK) for whole in (observations, privileged))
    values = torch.cat([model.normalized_value(*pair) for pair in zip(*chunks, strict=True)])
    return values.reshape(observations.shape[:-1])


@torch.no_grad()
def next_values(model: ActorCritic, rollout: Rollout, values: Tensor, last: Tensor) -> Tensor:
    """Return the value of what each step led to, in units of the return. Shape (T, N).

    0 after a termination; the value of the *final* observation after a time-out (and after a
    diverged simulation, which is cut off too); elsewhere the value of the next step.

    Args:
        model: Networks that made the rollout.
        rollout: The rollout.
        values: Values of its observations, in units of the return. Shape (T, N).
        last: Observation that the rollout ends with. Shape (N, O).
    """
    last_values = model.denormalize_value(values_of(model, last, rollout.last_privileged))
    following = torch.cat((values[1:], last_values[None]))
    cut = (rollout.truncated & ~rollout.terminated).nonzero(as_tuple=True)
    if len(cut[0]):
        final = values_of(model, rollout.final_observations[cut], rollout.final_privileged[cut])
        following[cut] = model.denormalize_value(final)
    return following.masked_fill(rollout.terminated, 0.0)


def advantages(
    rewards: Tensor,
    values: Tensor,
    next_values: Tensor,
    done: Tensor,
    discount: float,
    gae_lambda: float,
) -> Tensor:
    """Return generalised advantage estimates (Schulman et al. 2016). All shapes (T, N).

    Args:
        rewards: Reward of each step.
        values: Value of the observation it began with.
        next_values: Value of what it led to: see the function of this name.
        done: Whether an episode ended with it, in whichever way.
        discount: γ.
        gae_lambda: λ.
    """
    deltas = rewards + discount * next_values - values
    decay = discount * gae_lambda * (~done).float()
    result = torch.empty_like(deltas)
    running = torch.zeros_like(deltas[0])
    for t in reversed(range(len(deltas))):
        running = deltas[t] + decay[t] * running
        result[t] = running
    return result

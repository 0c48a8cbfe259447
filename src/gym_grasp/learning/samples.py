"""A rollout as training samples: advantages, value targets, and minibatches in random order."""

from collections.abc import Iterator
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from gym_grasp.learning import distributed, loss
from gym_grasp.learning.config import TrainConfig
from gym_grasp.learning.networks import ActorCritic
from gym_grasp.learning.rollout import Rollout, advantages, next_values, values_of


@dataclass(frozen=True)
class Samples:
    """What PPO's terms read of B steps; the network is the one that acted."""

    features: Tensor
    """Normalised observations. Shape (B, O)."""
    privileged: Tensor
    """Normalised, what the critic sees beside them. Shape (B, P)."""
    action: Tensor
    """As drawn, unclipped. Shape (B, A)."""
    old_mean: Tensor
    """Shape (B, A)."""
    old_log_prob: Tensor
    """Shape (B,)."""
    old_value: Tensor
    """The critic's own output, in normalised units. Shape (B,)."""
    target: Tensor
    """Return in normalised units, of the normaliser that has seen it. Shape (B,)."""
    advantage: Tensor
    """Mean 0 and variance 1 over the whole rollout, of all processes. Shape (B,)."""

    def __iter__(self) -> Iterator[Tensor]:
        """Return the tensors, in the order of the fields."""
        return (getattr(self, field.name) for field in fields(self))

    def seen_by_critic(self, rows: Tensor) -> Tensor:
        """Return what the critic reads of some samples (b,). Shape (b, O + P)."""
        features = self.features[rows]
        if not self.privileged.shape[-1]:
            return features
        return torch.cat((features, self.privileged[rows]), dim=-1)

    def clone(self) -> "Samples":
        """Return the same samples in memory of their own."""
        return Samples(*(values.clone() for values in self))

    def copy_(self, other: "Samples") -> None:
        """Become equal to others of the same sizes, in place."""
        for own, value in zip(self, other, strict=True):
            own.copy_(value)


@torch.no_grad()
def make_samples(
    rollout: Rollout, model: ActorCritic, last: Tensor, config: TrainConfig
) -> tuple[Samples, Tensor]:
    """Make training samples of a rollout, and feed its returns to the normaliser of values.

    Args:
        rollout: T steps of N environments; B = T·N.
        model: Networks that made the rollout.
        last: Observation that the rollout ends with. Shape (N, O).
        config: Holds discount and λ.

    Returns:
        The samples, some of which share the rollout's memory, and the explained variance of the
        critic's values, a scalar.
    """
    old_values = values_of(model, rollout.observations, rollout.privileged)
    values = model.denormalize_value(old_values)
    following = next_values(model, rollout, values, last)
    done = rollout.terminated | rollout.truncated
    advantage = advantages(
        rollout.rewards, values, following, done, config.discount, config.gae_lambda
    )
    returns = advantage + values
    model.value_normalizer.merge(*distributed.moments(returns[..., None]))
    mean, var, _ = distributed.moments(advantage[..., None])
    samples = Samples(
        # The normaliser stands still during an update, so every pass reads the same features.
        features=model.policy.features(rollout.observations),
        privileged=model.privileged_features(rollout.privileged),
        action=rollout.actions,
        old_mean=rollout.means,
        old_log_prob=loss.log_prob(rollout.actions, rollout.means, model.log_std),
        old_value=old_values,
        target=model.value_normalizer.normalize(returns),
        advantage=(advantage - mean) / (var.sqrt() + 1e-8),
    )
    explained = 1 - advantage.var() / (returns.var() + 1e-8)
    return Samples(*(values.flatten(0, 1) for values in samples)), explained


class Minibatches:
    """Cuts B samples into minibatches of one size, in another random order for each pass.

    The few samples that fill no minibatch are left out of the pass.

    Attributes:
        count: Minibatches of a pass.
        rows: Samples of the chosen minibatch, always the same tensor. Shape (B ÷ count,), int64.
    """

    def __init__(self, samples: int, count: int, generator: torch.Generator) -> None:
        self.count = count
        self._samples = samples
        self._generator = generator
        self.rows = torch.zeros(samples // count, dtype=torch.int64, device=generator.device)

    def shuffle(self) -> None:
        """Begin a pass."""
        self._order = torch.randperm(
            self._samples, generator=self._generator, device=self._generator.device
        )

    def choose(self, index: int) -> None:
        """Put the samples of a minibatch, counted from 0, into `rows`."""
        start = index * len(self.rows)
        self.rows.copy_(self._order[start : start + len(self.rows)])

"""Networks: policy, critic and the running statistics that scale what goes in and comes out."""

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

OBSERVATION_LIMIT = 10.0
"""Normalised observations are clipped here, in standard deviations."""


FLOORS = {"m": 0.005, "rad": 0.035, "1": 0.035}
"""Least deviation by which observations are divided, by unit: 5 mm and 2°, what a tracker or an
encoder of a worn joint may be off by. What stood still in all demonstrations would else be divided
by the little that it trembled, and an error of 1° on it would outweigh all that was learned. Nearly
all values without a unit are entries of rotation matrices, which 2° move by 0.035."""
LEAST_FLOOR = 10**-2.5
"""The same for values of other units."""


class RunningNormalizer(nn.Module):
    """Mean and variance of everything seen so far, merged batch by batch (Chan et al. 1979).

    Args:
        size: number of values.
        floor: added in quadrature to each value's deviation. Shape (size,).
    """

    mean: Tensor
    var: Tensor
    count: Tensor
    floor: Tensor

    def __init__(self, size: int, floor: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("floor", torch.full((size,), LEAST_FLOOR) if floor is None else floor)
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("var", torch.ones(size))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def update(self, batch: Tensor) -> None:
        """Take in a batch (..., size)."""
        batch = batch.reshape(-1, batch.shape[-1])
        var, mean = torch.var_mean(batch, dim=0, correction=0)
        self.merge(mean, var, len(batch))

    @torch.no_grad()
    def merge(self, mean: Tensor, var: Tensor, count: int) -> None:
        """Take in the moments of `count` further samples."""
        share = count / (self.count + count)
        delta = mean - self.mean
        self.var.copy_(torch.lerp(self.var, var, share) + delta**2 * share * (1 - share))
        self.mean.add_(delta * share)
        self.count.add_(count)

    def normalize(self, x: Tensor) -> Tensor:
        """Return `x` in standard deviations from the mean."""
        return (x - self.mean) * torch.rsqrt(self.var + self.floor**2)

    def denormalize(self, x: Tensor) -> Tensor:
        """Undo `normalize`."""
        return x * torch.sqrt(self.var + self.floor**2) + self.mean


def deviation_floor(units: Sequence[str]) -> Tensor:
    """Return each value's floor by its unit. Shape (O,)."""
    return torch.tensor([FLOORS.get(unit, LEAST_FLOOR) for unit in units])


class Policy(nn.Module):
    """Observation (N, O) in, action (N, A) out: the mean of the actor, clipped to [−1, 1]."""

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        hidden_sizes: tuple[int, ...],
        floor: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.observation_size = observation_size
        self.action_size = action_size
        self.hidden_sizes = hidden_sizes
        self.normalizer = RunningNormalizer(observation_size, floor)
        self.actor = mlp(observation_size, hidden_sizes, action_size, output_gain=0.01)

    def features(self, observation: Tensor) -> Tensor:
        """Return normalised observations, which the critic reads too."""
        limit = OBSERVATION_LIMIT
        return self.normalizer.normalize(observation).clamp(-limit, limit)

    def mean(self, observation: Tensor) -> Tensor:
        """Return the action mean, unclipped."""
        return self.actor(self.features(observation))

    @torch.no_grad()
    def forward(self, observation: Tensor) -> Tensor:
        """Return the deterministic action."""
        return self.mean(observation).clamp(-1.0, 1.0)


class ActorCritic(nn.Module):
    """The policy, its exploration noise, and a critic that shares nothing but the normaliser.

    Actor and critic are MLPs of the same size. A shared trunk would halve the update's cost, but
    then DAPG's cloning gradient, fifty times PPO's at first, would shape the critic's features.
    The standard deviation does not depend on the state. The critic speaks in normalised values:
    sparse returns reach −100 and lower, where a clip of 0.2 would hold it fast.
    """

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        hidden_sizes: tuple[int, ...],
        initial_std: float,
        floor: Tensor | None = None,
        privileged_size: int = 0,
    ) -> None:
        super().__init__()
        self.policy = Policy(observation_size, action_size, hidden_sizes, floor)
        self.log_std = nn.Parameter(torch.full((action_size,), math.log(initial_std)))
        self.critic = mlp(observation_size + privileged_size, hidden_sizes, 1, output_gain=1.0)
        self.value_normalizer = RunningNormalizer(1)
        if privileged_size:
            self.privileged_normalizer = RunningNormalizer(privileged_size)

    def privileged_features(self, privileged: Tensor) -> Tensor:
        """Return normalised what the critic sees beside the policy's features. (…, P)."""
        if not privileged.shape[-1]:
            return privileged
        limit = OBSERVATION_LIMIT
        return self.privileged_normalizer.normalize(privileged).clamp(-limit, limit)

    def normalized_value(self, observation: Tensor, privileged: Tensor) -> Tensor:
        """Return the critic's own output (N,), for observations (N, O) and what it sees beside
        them (N, P)."""
        seen = self.policy.features(observation)
        if privileged.shape[-1]:
            seen = torch.cat((seen, self.privileged_features(privileged)), dim=-1)
        return self.critic(seen).squeeze(-1)

    def denormalize_value(self, value: Tensor) -> Tensor:
        """Return normalised values in units of the return."""
        return self.value_normalizer.denormalize(value)


def mlp(size: int, hidden_sizes: tuple[int, ...], outputs: int, output_gain: float) -> nn.Module:
    """Return an MLP with ELU between its layers, orthogonal weights and zero biases."""
    sizes = (size, *hidden_sizes, outputs)
    linears = [nn.Linear(a, b) for a, b in itertools.pairwise(sizes)]
    for linear in linears:
        nn.init.orthogonal_(linear.weight, output_gain if linear is linears[-1] else math.sqrt(2))
        nn.init.zeros_(linear.bias)
    layers: list[nn.Module] = []
    for linear in linears:
        layers += [linear, nn.ELU(inplace=True)]
    return nn.Sequential(*layers[:-1])

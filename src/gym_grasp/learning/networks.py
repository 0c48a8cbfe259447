"""Networks: policy, critic and the running statistics that scale what goes in and comes out."""

import itertools
import math

import torch
from torch import Tensor, nn

OBSERVATION_LIMIT = 10.0
"""Normalised observations are clipped here, in standard deviations."""


class RunningNormalizer(nn.Module):
    """Mean and variance of everything seen so far, merged batch by batch (Chan et al. 1979)."""

    mean: Tensor
    var: Tensor
    count: Tensor

    def __init__(self, size: int, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.epsilon = epsilon
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
        return (x - self.mean) * torch.rsqrt(self.var + self.epsilon)

    def denormalize(self, x: Tensor) -> Tensor:
        """Undo `normalize`."""
        return x * torch.sqrt(self.var + self.epsilon) + self.mean


class Policy(nn.Module):
    """Observation (N, O) in, action (N, A) out: the mean of the actor, clipped to [−1, 1]."""

    def __init__(
        self, observation_size: int, action_size: int, hidden_sizes: tuple[int, ...]
    ) -> None:
        super().__init__()
        self.observation_size = observation_size
        self.action_size = action_size
        self.hidden_sizes = hidden_sizes
        self.normalizer = RunningNormalizer(observation_size)
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
    sparse returns reach −100, where a clip of 0.2 would hold it fast.
    """

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        hidden_sizes: tuple[int, ...],
        initial_std: float,
    ) -> None:
        super().__init__()
        self.policy = Policy(observation_size, action_size, hidden_sizes)
        self.log_std = nn.Parameter(torch.full((action_size,), math.log(initial_std)))
        self.critic = mlp(observation_size, hidden_sizes, 1, output_gain=1.0)
        self.value_normalizer = RunningNormalizer(1)

    def normalized_value(self, observation: Tensor) -> Tensor:
        """Return the critic's own output (N,), for observations (N, O)."""
        return self.critic(self.policy.features(observation)).squeeze(-1)

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

"""The one loss: PPO's terms and the cloning term, as pure functions of tensors."""

import math

import torch
from torch import Tensor

HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)


def log_prob(action: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    """Return the log-density (N,) of actions (N, A) under a diagonal Gaussian."""
    deviation = (action - mean) * torch.exp(-log_std)
    return (-0.5 * deviation**2 - log_std - HALF_LOG_TWO_PI).sum(-1)


def gaussian_kl(old_mean: Tensor, old_log_std: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    """Return KL(old ‖ new) of diagonal Gaussians with means (N, A), averaged over the batch."""
    variance = torch.exp(2 * log_std)
    spread = torch.exp(2 * old_log_std) + (old_mean - mean) ** 2
    return (log_std - old_log_std + spread / (2 * variance) - 0.5).sum(-1).mean()


def surrogate_loss(
    log_prob: Tensor, old_log_prob: Tensor, advantage: Tensor, clip_range: float
) -> tuple[Tensor, Tensor]:
    """Return PPO's clipped surrogate (to be minimised) and the share of ratios out of range.

    Log-densities and advantages have shape (N,); both results are scalars.
    """
    ratio = torch.exp(log_prob - old_log_prob)
    clipped = ratio.clamp(1 - clip_range, 1 + clip_range)
    loss = -torch.minimum(ratio * advantage, clipped * advantage).mean()
    return loss, ((ratio - 1).abs() > clip_range).float().mean().detach()


def value_loss(value: Tensor, old_value: Tensor, target: Tensor, clip_range: float) -> Tensor:
    """Return the mean clipped squared error of values (N,), all in normalised units.

    `old_value` is the network's own output at the time of the rollout, so a change of the
    normaliser in between does not count as a change of the network.
    """
    clipped = old_value + (value - old_value).clamp(-clip_range, clip_range)
    return torch.maximum((value - target) ** 2, (clipped - target) ** 2).mean()


def bounds_loss(mean: Tensor, limit: float) -> Tensor:
    """Return the squared excess of |mean| (N, A) over a limit, summed over A, averaged over N."""
    return ((mean.abs() - limit).clamp(min=0) ** 2).sum(-1).mean()


def cloning_loss(mean: Tensor, action: Tensor) -> Tensor:
    """Return the squared error of the action mean, averaged over N and A.

    The standard deviation is PPO's own.
    """
    return ((mean - action) ** 2).mean()


def adapt_learning_rate(
    learning_rate: Tensor, kl: Tensor, threshold: float, low: float, high: float
) -> Tensor:
    """Return the learning rate that the KL rule asks for, without leaving the device."""
    factor = torch.where(kl > 2 * threshold, 1 / 1.5, torch.where(kl < 0.5 * threshold, 1.5, 1.0))
    return (learning_rate * factor).clamp(low, high)

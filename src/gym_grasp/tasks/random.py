"""Random numbers that depend on an episode's seed alone.

A counter-based generator: the same seed gives the same numbers on every device, for any number
of environments and in any order of resets, so that one 64-bit seed reproduces a start state.
"""

import math

import torch
from torch import Tensor

# Increment and multipliers of SplitMix64 (Steele, Lea & Flood, OOPSLA 2014), as signed 64-bit.
_GAMMA = 0x9E3779B97F4A7C15 - 2**64
_MIX_1 = 0xBF58476D1CE4E5B9 - 2**64
_MIX_2 = 0x94D049BB133111EB - 2**64


def _shift_right(x: Tensor, bits: int) -> Tensor:
    """Logical right shift of int64; torch's own keeps the sign."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _mix(x: Tensor) -> Tensor:
    x = (x ^ _shift_right(x, 30)) * _MIX_1
    x = (x ^ _shift_right(x, 27)) * _MIX_2
    return x ^ _shift_right(x, 31)


def episode_seeds(base_seed: int | Tensor, env_index: Tensor, episode: Tensor) -> Tensor:
    """Return the seed of each environment's given episode, from 0 to 2⁶³−1. Shape (N,), int64.

    Args:
        base_seed: the seed of the run.
        env_index: which environment, int64. Shape (N,).
        episode: how many episodes it has begun before, int64. Shape (N,).
    """
    stream = _mix(env_index * _GAMMA + _GAMMA + base_seed)
    return _shift_right(_mix(stream + (episode + 1) * _GAMMA), 1)


def uniform(seeds: Tensor, low: Tensor, high: Tensor, stream: int = 0) -> Tensor:
    """Draw uniformly between `low` and `high`. Shape (N, D), float32.

    Args:
        seeds: one seed an episode, int64. Shape (N,).
        low: smallest values. Shape (D,).
        high: largest values. Shape (D,).
        stream: which independent sequence of the episode.
    """
    count = torch.arange(1, low.shape[0] + 1, device=seeds.device)
    bits = _mix(seeds[:, None] + (count + stream * 1_000_003) * _GAMMA)
    unit = _shift_right(bits, 40).to(torch.float32) * 2**-24
    return low + (high - low) * unit


def normal(seeds: Tensor, steps: Tensor, size: int) -> Tensor:
    """Draw from the standard normal distribution, anew in every step. Shape (N, size), float32.

    Args:
        seeds: one seed an episode, int64. Shape (N,).
        steps: steps of each episode so far, int64. Shape (N,).
        size: number of values.
    """
    keys = _mix(_mix(seeds ^ _MIX_1) + (steps + 1) * _GAMMA)
    zero = torch.zeros(2 * size, device=seeds.device)
    first, second = uniform(keys, zero, zero + 1.0).chunk(2, dim=-1)
    # Box & Muller, 1958
    return torch.sqrt(-2.0 * torch.log(1.0 - first)) * torch.cos(2.0 * math.pi * second)

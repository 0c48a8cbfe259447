"""Noise on what is observed: a normal error on every value, by its unit."""

from collections.abc import Sequence
from math import inf
from typing import Any

from gym_grasp.errors import UsageError

Noise = tuple[float, float]
"""Standard deviations of lengths, in m, and of angles, in rad. Values without a unit count as
angles: nearly all are entries of rotation matrices, which a small turn moves by as much. Values of
other units get none."""
NO_NOISE: Noise = (0.0, 0.0)


def checked_noise(name: str, noise: Any) -> Noise:
    """Return a noise as two floats; raises `UsageError` unless it is two numbers from 0 on."""
    try:
        length, angle = (float(value) for value in noise)
        good = 0.0 <= length < inf and 0.0 <= angle < inf
    except (TypeError, ValueError):
        good = False
    if not good:
        raise UsageError(
            f"{name} is {noise!r}; expected two standard deviations from 0 on, in m and in rad, "
            "such as (0.002, 0.0175)."
        )
    return length, angle


def deviations(noise: Noise, units: Sequence[str]) -> list[float]:
    """Return the standard deviation of each value's noise, by its unit."""
    length, angle = noise
    by_unit = {"m": length, "rad": angle, "1": angle}
    return [by_unit.get(unit, 0.0) for unit in units]

"""What may differ from the model: drawn for each episode, or for all of them alike.

Ranges train a policy that does not lean on one world; a range of one value asks how it fares in
another. Whatever acts knows nothing of it: the controller keeps the model's own numbers.
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from gym_grasp.errors import UsageError, unknown
from gym_grasp.noise import NO_NOISE, Noise, checked_noise

Range = tuple[float, float]
"""Least and most; drawn uniformly in between."""
Cone = Literal["task", "pyramidal", "elliptic"]
FACTORS: Final = ("mass", "friction", "gains")
FINEST: Final = 16
"""Most physics steps in place of one."""


def _checked_range(name: str, value: Any, least: float) -> Range:
    try:
        low, high = (float(end) for end in value)
        good = least <= low <= high < math.inf and not isinstance(value, str)
    except (TypeError, ValueError):
        good = False
    if not good:
        raise UsageError(
            f"perturbation.{name} is {value!r}; expected two numbers, least and most, from "
            f"{least:g} on."
        )
    return low, high


@dataclass(frozen=True)
class Perturbation:
    """By how much a world differs from the model; as it stands, not at all."""

    mass: Range = (1.0, 1.0)
    """Factor of masses and inertias of everything that moves beside the robot, one an episode."""
    friction: Range = (1.0, 1.0)
    """Factor of the friction of everything that touches, one an episode."""
    gains: Range = (1.0, 1.0)
    """Factor of stiffness and damping of a servo of arm or hand, another for each."""
    latency: Range = (0.0, 0.0)
    """By how much commands come late, in s, rounded to physics steps; at most a control step."""
    observation_noise: Noise = NO_NOISE
    """Of what the policy observes, anew in each step: standard deviations of lengths in m and of
    angles in rad, such as 0.002 0.0175."""
    finer: int = 1
    """Physics steps in place of each one: 2 for 180 Hz where a task has 90."""
    cone: Cone = "task"
    """Friction cone of all contacts: pyramidal, elliptic, or the task's own."""

    def __post_init__(self) -> None:
        """Raise `UsageError` for the first value out of range."""
        for name in FACTORS:
            object.__setattr__(self, name, _checked_range(name, getattr(self, name), 1e-3))
        object.__setattr__(self, "latency", _checked_range("latency", self.latency, 0.0))
        noise = checked_noise("observation_noise", self.observation_noise)
        object.__setattr__(self, "observation_noise", noise)
        whole = isinstance(self.finer, int) and not isinstance(self.finer, bool)
        if not whole or not 1 <= self.finer <= FINEST:
            raise UsageError(
                f"perturbation.finer is {self.finer!r}; it must be a whole number in [1, {FINEST}]."
            )
        if self.cone not in get_args(Cone):
            raise unknown("friction cone", self.cone, get_args(Cone))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; `from_dict` takes them back."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in vars(self).items()}

    @classmethod
    def from_dict(cls, value: Any) -> "Perturbation":
        """Return what `to_dict` described; raises `UsageError` where it is something else."""
        if not isinstance(value, Mapping):
            raise UsageError(f"A perturbation is {value!r}; expected names with values.")
        known = {one.name for one in dataclasses.fields(cls)}
        for name in value:
            if name not in known:
                raise unknown("perturbation", name, known)
        return cls(**value)


NONE: Final = Perturbation()
"""The model as it is."""
ROBUST: Final = Perturbation(
    mass=(0.5, 2.2),
    friction=(0.45, 1.5),
    gains=(0.8, 1.2),
    latency=(0.0, 0.034),
    observation_noise=(0.005, 0.0524),
)
"""What `gym-grasp train --robust` trains in."""

"""How a hand takes hold of things: data that a hand brings, and operators' scripts ask for."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np


@dataclass(frozen=True, eq=False)
class Grasp:
    """How a hand holds a thing."""

    place: np.ndarray
    """Where the thing lies in the hand, palm frame, in m. Shape (3,)."""
    ready: np.ndarray
    """Flexions of the hand that comes for it, as in `robots.base.HUMAN_FLEXIONS`. Shape (5,)."""
    grip: np.ndarray
    """Flexions that hold it: the fingertips hardly sink in. Shape (5,)."""
    pitch: float = 0.0
    """How far the fingers of the level hand point down, in rad."""
    roll: float = 0.0
    """How far it is turned on its edge, thumb up, in rad."""
    above: float = 0.07
    """How much higher the hand is before it comes down over a bar, in m."""


Grasps = Mapping[str, Mapping[str, Grasp]]
"""For a kind of thing the strategies, each with its grasp.

Kinds: `object`, a box of some 5 cm on the table, taken from above; `round`, what rolls; `rod`, what
rolls about its length; `bar`, of a drawer, and `lever`, of a door, that lie across; `cup`, upright,
taken from its right side with the hand on its edge, the place that of the cup's bottom; `cube`, of
6 cm, taken lightly from above and set down on another.
"""

_OVER: Final = Grasp(
    np.array([-0.015, 0.046, 0.139]),
    np.array([1.0, 0.22, 0.0, 0.0, 0.0]),
    np.array([1.0, 0.45, 0.5, 0.5, 0.5]),
    pitch=0.38,
)
_BENT = np.array([1.0, 0.1, 0.35, 0.35, 0.35])
"""Fingers bent to reach over the bar without touching what it sticks out of."""
_BARS = {
    "grip": (_BENT, np.array([1.0, 0.6, 0.9, 0.9, 0.9])),
    "hook": (np.array([0.35, 0.0, 0.35, 0.35, 0.35]), np.array([0.35, 0.0, 0.9, 0.9, 0.9])),
    "two fingers": (_BENT, np.array([0.8, 0.5, 0.95, 0.95, 0.35])),
}


def across(
    place: np.ndarray, bars: Mapping[str, tuple[np.ndarray, np.ndarray]], above: float = 0.07
) -> dict[str, Grasp]:
    """Return the grasps of a bar that lies at one place in the hand, by flexions."""
    return {name: Grasp(place, *flexions, above=above) for name, flexions in bars.items()}


GRASPS: Final[Grasps] = {
    "object": {
        "all fingers": _OVER,
        "fingers down": replace(_OVER, pitch=0.70),
        "from the side": replace(_OVER, roll=0.22),
        "two fingers": Grasp(
            np.array([-0.031, 0.052, 0.142]),
            np.array([1.0, 0.1, 0.0, 0.0, 0.0]),
            np.array([1.0, 0.45, 0.55, 0.55, 0.1]),
            pitch=0.45,
        ),
    },
    "round": {"all fingers": _OVER},
    "rod": {"all fingers": replace(_OVER, grip=np.array([1.0, 0.8, 0.85, 0.85, 0.85]))},
    "bar": across(np.array([-0.006, 0.037, 0.153]), _BARS),
    "lever": across(np.array([-0.031, 0.039, 0.151]), _BARS),
    # Thumb against index and middle finger, which lie at its height: the cup stays upright.
    "cup": {
        "thumb above": Grasp(
            np.array([0.045, 0.064, 0.168]),
            np.array([1.0, 0.06, 0.12, 0.12, 0.12]),
            np.array([1.0, 0.6, 0.8, 0.8, 0.28]),
        )
    },
    # Between thumb and index and middle finger; a firm grip twists it, and with more pitch the
    # fingers jam on the table.
    "cube": {
        "lightly": Grasp(
            np.array([-0.034, 0.074, 0.149]),
            np.array([1.0, 0.0, 0.15, 0.15, 0.15]),
            np.array([1.0, 0.44, 0.4, 0.4, 0.4]),
            pitch=0.3,
        )
    },
}
"""The SIH's, a hand of a person's size, and those of a hand that brings none."""

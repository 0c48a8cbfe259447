"""Ways of taking hold of a bar that lies across: a drawer's handle or a lever."""

from dataclasses import dataclass

import numpy as np

from gym_grasp.demos.operators.human import Human


@dataclass(frozen=True)
class Way:
    """How the hand comes to a bar and what it does there."""

    approach: np.ndarray
    """Where the hand is before it reaches the bar, from there, in m. Shape (3,)."""
    ready: np.ndarray
    """Flexions with which it comes, as in `HUMAN_FLEXIONS`. Shape (5,)."""
    grip: np.ndarray
    """Flexions with which it holds."""


BACK = np.array([-0.02, 0.0, 0.065])
"""How the hand withdraws from the bar, in m."""
RELAXED = np.array([0.65, 0.1, 0.2, 0.2, 0.2])
"""Flexions on the way there; the thumb lies half beside the palm."""
BENT = np.array([1.0, 0.1, 0.35, 0.35, 0.35])
"""Fingers bent to reach over the bar without touching what it sticks out of."""
ASIDE = np.array([0.35, 0.0, 0.35, 0.35, 0.35])
"""The same with the thumb beside the palm."""
STRAIGHT = np.array([1.0, 0.0, 0.2, 0.2, 0.2])

WAYS = {
    "grip from above": Way(
        np.array([-0.035, 0.0, 0.07]), BENT, np.array([1.0, 0.6, 0.9, 0.9, 0.9])
    ),
    "hook from above": Way(
        np.array([-0.035, 0.0, 0.07]), ASIDE, np.array([0.35, 0.0, 0.9, 0.9, 0.9])
    ),
    "grip from the front": Way(
        np.array([-0.10, 0.0, 0.012]), STRAIGHT, np.array([1.0, 0.6, 0.9, 0.9, 0.9])
    ),
}
"""Strategies: what holds the bar, and where the hand comes from."""


def facing(human: Human, furniture: str) -> float:
    """Angle, in rad, by which a piece of furniture looks turned about the vertical."""
    _, (w, _, _, z) = human.see_body(furniture)
    return float(2 * np.arctan2(z, w))


def about_z(vector: np.ndarray, angle: float) -> np.ndarray:
    """Turn a vector by `angle` rad about the world's z axis. Shape (3,)."""
    cosine, sine = np.cos(angle), np.sin(angle)
    x, y, z = vector
    return np.array([cosine * x - sine * y, sine * x + cosine * y, z])

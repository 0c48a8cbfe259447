"""Coming to a bar that lies across, a drawer's handle or a lever, and leaving it."""

import numpy as np

from gym_grasp.demos.operators.human import Human

SHORT = -0.035
"""How far before the bar the hand is before it is lowered over it, in m."""
BACK = np.array([-0.02, 0.0, 0.065])
"""How the hand withdraws from the bar, in m."""
RELAXED = np.array([0.65, 0.1, 0.2, 0.2, 0.2])
"""Flexions on the way there; the thumb lies half beside the palm."""


def facing(human: Human, furniture: str) -> float:
    """Angle, in rad, by which a piece of furniture looks turned about the vertical."""
    _, (w, _, _, z) = human.see_body(furniture)
    return float(2 * np.arctan2(z, w))


def about_z(vector: np.ndarray, angle: float) -> np.ndarray:
    """Turn a vector by `angle` rad about the world's z axis. Shape (3,)."""
    cosine, sine = np.cos(angle), np.sin(angle)
    x, y, z = vector
    return np.array([cosine * x - sine * y, sine * x + cosine * y, z])

"""Coming to a bar that lies across, a drawer's handle or a lever, and leaving it."""

import numpy as np

from gym_grasp.demos.operators.human import Human, Script
from gym_grasp.robots.grasps import Grasp

SHORT = -0.035
"""How far before the bar the hand is before it is lowered over it, in m."""
BACK = np.array([-0.02, 0.0, 0.065])
"""How the hand withdraws from the bar, in m."""
RELAXED = np.array([0.65, 0.1, 0.2, 0.2, 0.2])
"""Flexions on the way there; the thumb lies half beside the palm."""


def take_hold(human: Human, way: Grasp, grasp: np.ndarray, wrist: np.ndarray, yaw: float) -> Script:
    """Come before the bar, lower the hand over it, and close it.

    Args:
        human: who does it.
        way: how the hand holds the bar.
        grasp: where the wrist is to be then, world, in m. Shape (3,).
        wrist: how it is to be turned. Shape (4,).
        yaw: by which the bar is turned about the vertical, in rad.
    """
    human.care = 0.1
    arc = human.rng.uniform(0.0, 0.05)
    before = human.aim(grasp + about_z(np.array([SHORT, 0.0, way.above]), yaw))
    yield from human.move(before, wrist, RELAXED, arc=arc, through=0.85)
    human.care = 0.4
    yield from human.move(human.aim(grasp), wrist, way.ready, pace=0.5, through=0.95)
    yield from human.move(fingers=way.grip)


def facing(human: Human, furniture: str) -> float:
    """Angle, in rad, by which a piece of furniture looks turned about the vertical."""
    _, (w, _, _, z) = human.see_body(furniture)
    return float(2 * np.arctan2(z, w))


def about_z(vector: np.ndarray, angle: float) -> np.ndarray:
    """Turn a vector by `angle` rad about the world's z axis. Shape (3,)."""
    cosine, sine = np.cos(angle), np.sin(angle)
    x, y, z = vector
    return np.array([cosine * x - sine * y, sine * x + cosine * y, z])

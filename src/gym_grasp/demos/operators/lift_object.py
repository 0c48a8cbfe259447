"""How a hand picks the object up: over it, thumb opposed, fingers closing around it, up."""

import mujoco
import numpy as np

from gym_grasp.demos.operators.human import FLAT, Human, Script, tilt
from gym_grasp.math.rotations import np_rotate

BOX, ROD = mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_CAPSULE


RELAXED = np.array([0.6, 0.15, 0.2, 0.2, 0.2])
"""Flexions on the way there; the thumb lies half beside the palm."""
MOST_TURN = 0.7
"""How far the hand turns to lie across a rod at most, in rad."""
ABOVE = np.array([0.0, 0.0, 0.1])
"""Where the hand is before it is lowered, from there, in m."""
LIFT = 0.28
"""How far the hand means to rise, in m."""
DROPPED = (0.06, 0.12)
"""Heights, in m, between which a hand that lifts carelessly lets go."""


def script(human: Human) -> Script:
    """Reach over the object, lower, close, lift; see whether it follows, and try again if not."""
    rng = human.rng
    geoms = solid_geoms(human.model)
    shapes = human.model.geom_type[geoms]
    rods, rolls = geoms[shapes == ROD], (shapes != BOX).any()
    way = human.choose_grasp("rod" if len(rods) else "round" if rolls else "object")
    mistake = human.err("closes too high", *([] if rolls else ["lets go"]))
    for attempt in range(4):
        wrong = mistake if attempt == 0 else ""
        thing, orientation = human.see_body("object")
        # the forearm points at what is reached for, half of the way
        yaw = 0.5 * np.arctan2(thing[1], thing[0]) + rng.uniform(-0.06, 0.06)
        if len(rods):
            along = np_rotate(human.model.geom_quat[rods[0]], np.array([0.0, 0.0, 1.0]))
            yaw += across(np_rotate(orientation, along), yaw)
        wrist = tilt(FLAT, (1, 0, 0), way.roll)
        wrist = tilt(wrist, (0, 1, 0), way.pitch + rng.uniform(-0.05, 0.05))
        wrist = tilt(wrist, (0, 0, 1), yaw)
        grasp = thing - np_rotate(wrist, way.place)
        if wrong == "closes too high":
            grasp += [rng.uniform(-0.03, 0.0), 0.0, rng.uniform(0.055, 0.07)]
        human.care = 0.0
        arc = rng.uniform(0.0, 0.03)
        yield from human.move(human.aim(grasp + ABOVE), wrist, RELAXED, arc=arc, through=0.85)
        human.care = 0.3
        yield from human.move(human.aim(grasp), wrist, way.ready, pace=0.6, through=0.85)
        yield from human.move(fingers=way.grip, pace=1.5 if rolls else 0.8)
        top = rng.uniform(*DROPPED) if wrong == "lets go" else LIFT

        def stop(start: float = human.position[2], low: float = thing[2], top: float = top) -> bool:
            risen = human.see_wrist()[0][2] - start
            return risen > top or (risen > 0.06 and human.see_body("object")[0][2] < low + 0.02)

        human.care = 0.6
        yield from human.move(human.position + [0.0, 0.0, LIFT], pace=0.8, until=stop)
        if human.see_body("object")[0][2] > thing[2] + 0.15:
            return
        human.mistakes += 1
        yield from human.move(fingers=way.ready)


def across(axis: np.ndarray, yaw: float) -> float:
    """Return how far a hand of that yaw turns, in rad, for its fingers to cross a lying rod."""
    x, y, z = axis
    missing = (np.arctan2(y, x) - yaw) % np.pi - np.pi / 2
    return float(np.clip(missing, -MOST_TURN, MOST_TURN)) * (abs(z) < 0.7)


def solid_geoms(model: mujoco.MjModel) -> np.ndarray:
    """Return the object's solid geoms. Shape (G,)."""
    geoms = np.flatnonzero(model.geom_bodyid == model.body("object").id)
    return geoms[model.geom_contype[geoms] != 0]

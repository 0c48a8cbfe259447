"""How a hand picks the object up: from above, thumb opposed, fingers closing around it."""

import mujoco
import numpy as np

from gym_grasp.demos.operators.human import FLAT, Human, Script, tilt
from gym_grasp.math.rotations import np_rotate

READY = np.array([1.0, 0.22, 0.0, 0.0, 0.0])
"""Hand wide open."""
RELAXED = np.array([0.0, 0.0, 0.2, 0.2, 0.2])
"""How much further the fingers are flexed at most while reaching; the object still fits."""
GRIP = np.array([1.0, 0.45, 0.5, 0.5, 0.5])
"""Closed lightly around a box or a ball: the fingertips hardly sink in."""
ROD_GRIP = np.array([1.0, 0.8, 0.85, 0.85, 0.85])
"""Closed further around a rod, which turns out of a light grip."""
IN_HAND = np.array([-0.015, 0.046, 0.139])
"""Where the object lies in the hand, palm frame, in m."""
PITCH = 0.38
"""How far the fingers point down, in rad."""
ABOVE = np.array([0.0, 0.0, 0.1])
"""Where the hand is before it is lowered, from there, in m."""
LIFT = np.array([0.0, 0.0, 0.28])
"""How far the hand means to rise, in m."""
MISTAKE = 0.12
"""Share of the attempts in which the hand closes too high."""


def script(human: Human) -> Script:
    """Reach over the object, lower, close, lift; see whether it follows, and try again if not."""
    rng = human.rng
    high = rng.random() < MISTAKE
    ready = READY + rng.random() * RELAXED
    grip = ROD_GRIP if is_rod(human.model) else GRIP
    for attempt in range(4):
        thing, _ = human.see_body("object")
        # the forearm points at what is reached for, half of the way
        yaw = 0.5 * np.arctan2(thing[1], thing[0]) + rng.uniform(-0.06, 0.06)
        wrist = tilt(FLAT, (0, 1, 0), PITCH + rng.uniform(-0.05, 0.05))
        wrist = tilt(wrist, (0, 0, 1), yaw)
        grasp = thing - np_rotate(wrist, IN_HAND)
        if high and attempt == 0:
            grasp += [rng.uniform(-0.03, 0.0), 0.0, rng.uniform(0.055, 0.07)]
        human.care = 0.0
        arc = rng.uniform(0.0, 0.03)
        yield from human.move(human.aim(grasp + ABOVE), wrist, ready, arc=arc, through=0.8)
        human.care = 0.3
        yield from human.move(human.aim(grasp), wrist, ready, pace=0.7, through=0.8)
        yield from human.move(fingers=grip, pace=0.5)

        def left_behind(start: float = human.position[2], lying: float = thing[2]) -> bool:
            follows = human.see_body("object")[0][2] > lying + 0.02
            return human.see_wrist()[0][2] > start + 0.06 and not follows

        human.care = 0.6
        yield from human.move(human.position + LIFT, pace=0.5, until=left_behind)
        if human.see_body("object")[0][2] > thing[2] + 0.15:
            return
        human.mistakes += 1
        yield from human.move(fingers=ready)


def is_rod(model: mujoco.MjModel) -> bool:
    """Whether a capsule is among the solid geoms of the object."""
    geoms = np.flatnonzero(model.geom_bodyid == model.body("object").id)
    solid = geoms[model.geom_contype[geoms] != 0]
    return bool((model.geom_type[solid] == mujoco.mjtGeom.mjGEOM_CAPSULE).any())

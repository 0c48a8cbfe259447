"""How a hand opens the drawer: hook the fingers over the bar from above, and pull."""

import numpy as np

from gym_grasp.demos.operators.human import FLAT, OPEN_HAND, Human, Script, tilt
from gym_grasp.demos.operators.open_door import about_z, facing
from gym_grasp.math.rotations import np_rotate

HOOK = np.array([1.0, 0.1, 0.35, 0.35, 0.35])
"""Fingers bent to reach over the bar without touching the drawer's front."""
GRIP = np.array([1.0, 0.6, 0.9, 0.9, 0.9])
IN_HAND = np.array([-0.006, 0.037, 0.153])
"""Where the bar lies in the hand that is hooked over it, palm frame, in m."""
CLEARANCE = np.array([-0.035, 0.0, 0.07])
"""Where the approach ends before the hand is lowered, from there, in m."""
PULL = 0.28
"""How far the hand means to pull, in m."""
MISTAKE = 0.08
"""Share of the attempts in which the hand is lowered too early."""


def script(human: Human) -> Script:
    """Reach, lower, close, pull; look whether the drawer follows, and try again where not."""
    rng = human.rng
    short = rng.random() < MISTAKE
    for attempt in range(4):
        aside = [0.0, rng.uniform(-0.012, 0.012), 0.0]
        yaw = facing(human, "cabinet")
        offset = aside - np_rotate(FLAT, IN_HAND)
        if short and attempt == 0:
            offset = offset + [rng.uniform(-0.09, -0.07), 0.0, rng.uniform(-0.01, 0.01)]
        grasp = human.see_site("handle") + about_z(offset, yaw)
        clear = about_z(CLEARANCE, yaw)
        wrist = tilt(FLAT, (0, 0, 1), yaw + rng.uniform(-0.1, 0.1))
        human.care = 0.0
        arc = rng.uniform(0.0, 0.05)
        yield from human.move(human.aim(grasp + clear), wrist, HOOK, arc=arc, through=0.8)
        human.care = 0.4
        yield from human.move(human.aim(grasp), wrist, HOOK, pace=0.6, through=0.9)
        yield from human.move(fingers=GRIP)
        before = human.see_joint("drawer")

        start, pull = human.position.copy(), about_z(np.array([-PULL, 0.0, 0.0]), yaw)

        def slipped(start: np.ndarray = start, before: float = before) -> bool:
            pulled = float(np.linalg.norm(human.position - start))
            return pulled > 0.07 and human.see_joint("drawer") - before < 0.01

        human.care = 0.2
        yield from human.move(human.position + pull, pace=0.8, until=slipped)
        if human.see_joint("drawer") > 0.19:
            return
        human.mistakes += 1
        yield from human.move(
            human.position + about_z(np.array([-0.02, 0.0, 0.06]), yaw), fingers=OPEN_HAND
        )

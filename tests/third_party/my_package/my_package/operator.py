"""How a hand lifts the peg and sets it down."""

import numpy as np

from gym_grasp.demos.operators.human import FLAT, Human, Script, tilt
from gym_grasp.math.rotations import np_rotate

READY = np.array([1.0, 0.22, 0.0, 0.0, 0.0])
"""Hand wide open: flexions in the order of `gym_grasp.robots.base.HUMAN_FLEXIONS`."""
GRIP = np.array([1.0, 0.45, 0.5, 0.5, 0.5])
IN_HAND = np.array([-0.015, 0.046, 0.139])
"""Where the peg is in the hand, palm frame, in m."""
ABOVE = np.array([0.0, 0.0, 0.1])
"""Where the hand is before it is lowered, from there, in m."""
HIGHER = 0.05
"""How much higher than asked for the hand means to lift, in m."""


def script(human: Human) -> Script:
    """Reach over the peg, lower, close, lift and set down; try again where it stayed behind."""
    height = human.task.options.clearance + HIGHER
    for _ in range(4):
        peg, _ = human.see_body("peg")
        wrist = tilt(tilt(FLAT, (0, 1, 0), 0.38), (0, 0, 1), 0.5 * np.arctan2(peg[1], peg[0]))
        grasp = peg - np_rotate(wrist, IN_HAND)
        yield from human.move(human.aim(grasp + ABOVE), wrist, READY, through=0.8)
        yield from human.move(human.aim(grasp), pace=0.7, through=0.8)
        yield from human.move(fingers=GRIP, pace=0.5)
        human.care = 0.6
        yield from human.move(human.position + [0.0, 0.0, height], pace=0.5)
        if human.see_body("peg")[0][2] > peg[2] + 0.02:
            yield from human.move(human.position - [0.0, 0.0, height + 0.01], pace=0.5)
        else:
            human.mistakes += 1
        yield from human.move(fingers=READY)

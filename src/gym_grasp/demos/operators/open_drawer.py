"""How a hand opens the drawer: come to the bar, close the fingers behind it, and pull."""

import numpy as np

from gym_grasp.demos.operators.bar import RELAXED, WAYS
from gym_grasp.demos.operators.human import FLAT, OPEN_HAND, Human, Script, tilt
from gym_grasp.math.rotations import np_rotate

IN_HAND = np.array([-0.006, 0.037, 0.153])
"""Where the bar lies in the hand that holds it, palm frame, in m."""
PULL = 0.27
"""To which opening the hand means to pull, in m."""
OPENED = 0.19
"""Opening, in m, at which an operator takes the drawer for open."""
RELEASED = (0.03, 0.12)
"""Openings, in m, between which a hand that pulls carelessly slips off the bar."""


def script(human: Human) -> Script:
    """Reach, close, pull; look whether the drawer follows, and try again where not."""
    rng = human.rng
    way = WAYS[human.choose(*WAYS)]
    mistake = human.err("closes too early", "slips off")
    for attempt in range(4):
        wrong = mistake if attempt == 0 else ""
        aside = [0.0, rng.uniform(-0.012, 0.012), 0.0]
        grasp = human.see_site("handle") - np_rotate(FLAT, IN_HAND) + aside
        if wrong == "closes too early":
            grasp = grasp + [rng.uniform(-0.09, -0.07), 0.0, rng.uniform(-0.01, 0.01)]
        wrist = tilt(FLAT, (0, 0, 1), rng.uniform(-0.1, 0.1))
        human.care = 0.1
        arc = rng.uniform(0.0, 0.05)
        before = human.aim(grasp + way.approach)
        yield from human.move(before, wrist, RELAXED, arc=arc, through=0.85)
        human.care = 0.5
        yield from human.move(human.aim(grasp), wrist, way.ready, pace=0.5, through=0.95)
        yield from human.move(fingers=way.grip)
        start, opening = human.position[0], human.see_joint("drawer")
        off = rng.uniform(*RELEASED) if wrong == "slips off" else PULL

        def stop(start: float = start, opening: float = opening, off: float = off) -> bool:
            seen = human.see_joint("drawer")
            return seen > off or (start - human.position[0] > 0.07 and seen - opening < 0.01)

        human.care = 0.3
        yield from human.move(human.position - [PULL - opening, 0, 0], pace=0.8, until=stop)
        if human.see_joint("drawer") > OPENED:
            return
        human.mistakes += 1
        yield from human.move(human.position + [-0.02, 0.0, 0.06], fingers=OPEN_HAND)

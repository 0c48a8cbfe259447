"""How a hand opens the drawer: come to the bar, close the fingers behind it, and pull."""

import numpy as np

from gym_grasp.demos.operators.bar import BACK, about_z, facing, take_hold
from gym_grasp.demos.operators.human import FLAT, OPEN_HAND, Human, Script, tilt
from gym_grasp.math.rotations import np_rotate

PULL = 0.27
"""To which opening the hand means to pull, in m."""
OPENED = 0.19
"""Opening, in m, at which an operator takes the drawer for open."""
RELEASED = (0.03, 0.12)
"""Openings, in m, between which a hand that pulls carelessly slips off the bar."""


def script(human: Human) -> Script:
    """Reach, close, pull; look whether the drawer follows, and try again where not."""
    rng = human.rng
    way = human.choose_grasp("bar")
    mistake = human.err("closes too early", "slips off")
    for attempt in range(4):
        wrong = mistake if attempt == 0 else ""
        yaw = facing(human, "cabinet")
        offset = -np_rotate(FLAT, way.place) + [0.0, rng.uniform(-0.012, 0.012), 0.0]
        if wrong == "closes too early":
            offset = offset + [rng.uniform(-0.09, -0.07), 0.0, rng.uniform(-0.01, 0.01)]
        grasp = human.see_site("handle") + about_z(offset, yaw)
        wrist = tilt(FLAT, (0, 0, 1), yaw + rng.uniform(-0.1, 0.1))
        yield from take_hold(human, way, grasp, wrist, yaw)
        opening = human.see_joint("drawer")
        off = rng.uniform(*RELEASED) if wrong == "slips off" else PULL
        pull = about_z(np.array([opening - PULL, 0.0, 0.0]), yaw)

        def stop(
            start: np.ndarray = human.position, opening: float = opening, off: float = off
        ) -> bool:
            seen = human.see_joint("drawer")
            pulled = float(np.linalg.norm(human.position - start))
            return seen > off or (pulled > 0.07 and seen - opening < 0.01)

        human.care = 0.3
        yield from human.move(human.position + pull, pace=0.8, until=stop)
        yield from human.watch("drawer", min(off, OPENED))
        if human.see_joint("drawer") > OPENED:
            return
        human.mistakes += 1
        back = about_z(BACK, yaw)
        yield from human.move(human.position + back, fingers=OPEN_HAND, pace=0.8)

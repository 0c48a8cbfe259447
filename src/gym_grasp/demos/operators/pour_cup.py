"""How a hand pours: grasp the cup from its right side, carry it to the bowl, turn the hand over."""

import mujoco
import numpy as np

from gym_grasp.demos.operators.human import FLAT, OPEN_HAND, Human, Script, tilt

ON_EDGE = tilt(FLAT, (1.0, 0.0, 0.0), np.pi / 2)
"""Wrist orientation of the grasp: palm to the left, thumb above, fingers along x."""
GRIP = np.array([1.0, 0.5, 0.7, 0.7, 0.28])
"""Thumb against index and middle finger, which lie at its height: the cup stays upright."""
FROM_CUP = np.array([-0.149, -0.054, 0.048])
"""Wrist from the cup's bottom while grasping it, world, in m."""
BESIDE = np.array([0.0, -0.09, 0.0])
"""Where the approach ends before the hand moves in, from there, in m."""
ABOVE = np.array([0.0, 0.0, 0.08])
"""How much higher the approach comes, in m."""
MOUTH = np.array([0.0, 0.0, 0.115])
"""Middle of the cup's mouth, in its own frame, in m."""
POUR_FROM = np.array([0.0, -0.035, 0.155])
"""Where the mouth is held while pouring, from the bowl's bottom, world, in m."""
POUR = ((0.7, 0.8), (1.4, 0.6), (1.9, 0.5), (2.1, 0.5), (2.2, 0.5), (2.2, 0.5))
"""Tilts of the cup towards the bowl in rad, one after the other, and the pace of each."""
MOST_TILT = 2.9
"""How far the hand turns over at most, in rad."""
MISTAKE = 0.10
"""Share of the attempts in which the hand closes before it has reached the cup."""


def script(human: Human) -> Script:
    """Reach, close, lift; look whether the cup follows, try again where not; carry and pour."""
    rng = human.rng
    short = rng.random() < MISTAKE
    ready = OPEN_HAND + [0.0, *rng.uniform(0.0, 0.08, 1), *[rng.uniform(0.0, 0.08)] * 3]
    for attempt in range(4):
        cup, _ = human.see_body("cup")
        cup[2] = 0.0  # where it stands, even if it is seen falling
        grasp = cup + FROM_CUP + [rng.uniform(-0.004, 0.004), 0.0, rng.uniform(-0.004, 0.006)]
        if short and attempt == 0:
            grasp = grasp + [0.0, rng.uniform(-0.085, -0.070), 0.0]
        hand = tilt(ON_EDGE, (0, 0, 1), rng.uniform(-0.06, 0.06))
        hand = tilt(hand, (1, 0, 0), rng.uniform(-0.05, 0.05))
        beside = cup + FROM_CUP + BESIDE + [0.0, rng.uniform(-0.02, 0.01), 0.0]
        human.care = 0.2
        if attempt == 0:
            yield from human.move(human.aim(beside + ABOVE), hand, ready, through=0.75)
        yield from human.move(human.aim(beside), hand, ready, through=0.8)
        human.care = 0.85
        yield from human.move(human.aim(grasp), hand, ready, pace=0.8, through=0.9)
        yield from human.move(grasp, hand, GRIP)
        yield from human.move(human.position + [0.0, 0.0, rng.uniform(0.10, 0.13)])
        if human.see_body("cup")[0][2] > 0.04:
            yield from _pour(human)
        if human.see_body("cup")[0][2] > 0.04:
            return
        human.mistakes += 1
        yield from human.move(human.position + [0.0, -0.03, 0.0], ON_EDGE, OPEN_HAND)


def _pour(human: Human) -> Script:
    """Turn the cup over the bowl about its own mouth, further and further."""
    rng = human.rng
    mouth = (
        human.see_body("bowl")[0] + POUR_FROM + [*rng.normal(0.0, 0.006, 2), rng.uniform(0, 0.02)]
    )
    lag = 0.0  # how much less the cup is tilted than the hand
    for angle, pace in POUR:
        turn = min(angle + lag, MOST_TILT)
        hand = tilt(ON_EDGE, (1, 0, 0), -turn)
        target = mouth - _rotation(hand) @ _mouth_in_hand(human)
        yield from human.move(target, hand, pace=pace, through=0.75)
        axis = _rotation(human.see_body("cup")[1])[:, 2]
        lag = max(0.0, turn - np.arctan2(axis[1], axis[2]))
    yield from human.wait(1.0)


def _mouth_in_hand(human: Human) -> np.ndarray:
    """Where the cup's mouth is in the wrist's frame, as seen, in m. Shape (3,)."""
    cup, turn = human.see_body("cup")
    mouth = cup + _rotation(turn) @ MOUTH
    return _rotation(human.see_body("palm")[1]).T @ (mouth - human.see_site("wrist"))


def _rotation(quaternion: np.ndarray) -> np.ndarray:
    """Rotation matrix of a unit quaternion. Shape (3, 3)."""
    matrix = np.zeros(9)
    mujoco.mju_quat2Mat(matrix, quaternion)
    return matrix.reshape(3, 3)

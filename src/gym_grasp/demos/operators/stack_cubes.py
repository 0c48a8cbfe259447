"""How a hand stacks the cubes: a light grip on each, turned level over the tower, set down.

There are no stages: how the hand moves, turns and closes follows from where it sees itself and the
cubes and from how far its fingers are bent, so that a policy without memory can do the same.
"""

import numpy as np

from gym_grasp.demos.operators.human import (
    FLAT,
    INERTIA,
    Human,
    Script,
    between,
    limit,
    tilt,
)
from gym_grasp.math.rotations import np_matrix, np_rotate

TOWER = (("blue_cube", "green_cube"), ("red_cube", "blue_cube"))
"""Which cube comes on which, in this order: the palm and the little finger, which stick out to the
right of what is grasped, would knock over a tower beside the blue cube."""
EDGE = np.array([0.0, 0.0, 0.06])
STANDS = (0.020, 0.006)
"""Horizontal and vertical distance from its place at which a cube is let go, in m."""
LOOSE = 0.007
"""How much farther from there it may be once it is out of the hand, in m."""

READY = np.array([1.0, 0.0, 0.15, 0.15, 0.15])
"""Hand wider than a cube."""
GRIP = np.array([1.0, 0.44, 0.4, 0.4, 0.4])
"""Closed lightly: a firm grip twists the cube."""
CLOSED = (0.36 / 1.45, 0.50 / 1.45)
"""Drives of the middle finger at which the hand counts as open and as closed."""
IN_HAND = np.array([-0.034, 0.074, 0.149])
"""Where the cube lies in the hand, palm frame, in m: between thumb and index and middle finger."""
WITHIN = (0.008, 0.022)
"""Distances from there, in m, between which it is in the open hand and is not."""
SLACK = 0.025
"""How much farther from there it may be in the closed hand, in m."""
PITCH = 0.3
"""How far the fingers point down, in rad; more of it, and they jam on the table."""

CRUISE = 0.33
"""Height of the wrist on its way to a cube, in m."""
HIGH = (0.26, 0.30)
"""Heights of the wrist between which it begins to move sideways and to turn, in m."""
NEAR = (0.015, 0.06)
"""Horizontal distances from the grasp between which the hand is lowered, in m."""
AWAY = 0.44
"""Height to which the wrist withdraws from the tower, in m."""
HOVER = 0.05
"""Height over its place at which a cube is carried there, in m."""
OVER = (0.006, 0.03)
"""Horizontal distances from its place between which it is lowered, in m."""
PRESS = 0.008
"""How far below its place it is led, for it to be set down for sure, in m."""
LIFTED = (0.01, 0.03)
"""How far below its way a carried cube is moved sideways freely, and not at all, in m."""
OFF_TABLE = (0.04, 0.06)
"""Heights of a cube between which it begins to be turned, in m."""

GAIN = 3.5
"""Speed per distance, in 1/s."""
EASE = 9.0
"""Speed of the fingers per flexion that they lack, in 1/s."""
TURN = 1.2
"""Largest speed of turning, in rad/s."""
LEAD = 0.03
"""How far the intended hand may be ahead of the hand, per axis, in m."""
CARE = 0.3
"""Low on purpose: from the deviations that come of it, policies learn to find back."""


def script(human: Human) -> Script:
    """Take the next cube to its place until all stand; then withdraw."""
    rng, traits, period = human.rng, human.traits, human.history.period
    miss = rng.normal(0.0, traits.precision, 3)
    down = tilt(FLAT, (0, 1, 0), PITCH + rng.uniform(-0.03, 0.03))
    velocity, spin, holding = np.zeros(3), np.zeros(3), ""
    human.care = CARE
    while True:
        wrist = human.feel_wrist()
        closed = between(human.see_drive("middle"), *CLOSED)
        cube, below = next((pair for pair in TOWER if not stands(human, *pair, closed)), ("", ""))
        held, around = 0.0, np.zeros(3)
        if cube:
            held = in_hand(human, cube, closed)
            way, turn = reach(human, cube, miss, down)
            carried, levelled = carry(human, cube, below)
            way = (1 - held) * (1 - closed) * way + held * closed * carried
            turn = (1 - held) * (1 - closed) * turn + held * closed * levelled
            around = held * np.cross(spin, human.see_wrist()[0] - human.see_body(cube)[0])
        elif wrist[2] < AWAY:
            way, turn = np.array([0.0, 0.0, 1.0 - closed]), np.zeros(3)
        else:
            return
        velocity += (limit(GAIN * way, traits.speed) - velocity) * period / INERTIA
        spin += (limit(GAIN * turn, TURN) - spin) * period / INERTIA
        ahead = human.position + (velocity + around) * period - wrist
        human.position = wrist + np.clip(ahead, -LEAD, LEAD)
        human.quaternion = tilt(human.quaternion, (spin[0], spin[1], spin[2]), period)
        bend, most = READY + held * (GRIP - READY) - human.fingers, 1 / traits.grip_time
        human.fingers = human.fingers + np.clip(EASE * bend, -most, most) * period
        human.mistakes += holding == cube != "" and held == 0.0
        holding = cube if held * closed == 1.0 else holding if held > 0.0 else ""
        yield from human.wait(0.0)


def reach(
    human: Human, cube: str, miss: np.ndarray, down: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Way (3,) in m and turn (3,) in rad to the grasp of a cube: up, sideways, down on it."""
    place, orientation = human.see_body(cube)
    goal = tilt(down, (0, 0, 1), yaw_of(orientation))
    wrist = human.feel_wrist()
    way = place + miss - np_rotate(goal, IN_HAND) - wrist
    far = between(float(np.hypot(*way[:2])), *NEAR)
    free = max(1 - far, between(wrist[2], *HIGH))
    way[:2] *= free
    way[2] += far * (CRUISE - wrist[2] - way[2])
    _, hand = human.see_wrist()
    # axis times the angle's sine
    turn = np.cross(np_matrix(hand), np_matrix(goal), axis=0).sum(1) / 2
    return way, free * turn


def carry(human: Human, cube: str, below: str) -> tuple[np.ndarray, np.ndarray]:
    """Way (3,) in m and turn (3,) in rad of a cube in the hand: up, over its place, down on it."""
    place, orientation = human.see_body(cube)
    # since it was seen, it has moved with the hand
    way = missing(human, cube, below) - (human.feel_wrist() - human.see_wrist()[0])
    far = between(float(np.hypot(*way[:2])), *OVER)
    way[2] += far * HOVER - (1 - far) * PRESS
    way[:2] *= 1 - between(way[2], *LIFTED)
    axes = np_matrix(orientation)
    upright = np.abs(axes[2]).argmax()
    up = axes[:, upright] * np.sign(axes[2, upright])
    return way, between(place[2], *OFF_TABLE) * np.cross(up, [0.0, 0.0, 1.0])


def missing(human: Human, cube: str, below: str) -> np.ndarray:
    """Way of a cube to its place on another, as seen, in m. Shape (3,)."""
    return human.see_body(below)[0] + EDGE - human.see_body(cube)[0]


def stands(human: Human, cube: str, below: str, closed: float) -> bool:
    """Whether a cube is seen to lie on another."""
    way = missing(human, cube, below)
    loose = LOOSE * (1 - closed * in_hand(human, cube, closed))
    return bool(np.hypot(*way[:2]) < STANDS[0] + loose and abs(way[2]) < STANDS[1] + loose)


def in_hand(human: Human, cube: str, closed: float) -> float:
    """Whether a cube is seen between thumb and fingers, from 0 to 1."""
    wrist, hand = human.see_wrist()
    offset = np_matrix(hand).T @ (human.see_body(cube)[0] - wrist) - IN_HAND
    return 1 - between(float(np.linalg.norm(offset)) - SLACK * closed, *WITHIN)


def yaw_of(quaternion: np.ndarray) -> float:
    """Yaw of a cube's sides, in rad within ±π/4: a quarter turn changes nothing."""
    axes = np_matrix(quaternion)
    x, y, _ = axes[:, np.abs(axes[2]).argmin()]
    return float((np.arctan2(y, x) + np.pi / 4) % (np.pi / 2) - np.pi / 4)

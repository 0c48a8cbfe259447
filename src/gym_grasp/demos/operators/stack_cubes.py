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

TOWERS = {
    "on the red cube": (("green_cube", "red_cube"), ("blue_cube", "green_cube")),
    "on the green cube": (("blue_cube", "green_cube"), ("red_cube", "blue_cube")),
    "on the blue cube": (("green_cube", "blue_cube"), ("red_cube", "green_cube")),
}
"""Strategies: which cube comes on which, in this order. The palm and the little finger, which stick
out to the right of what is grasped, would knock over a tower beside the last cube."""
EDGE = np.array([0.0, 0.0, 0.06])
STANDS = (0.020, 0.006)
"""Horizontal and vertical distance from its place at which a cube is let go, in m."""
LOOSE = 0.007
"""How much farther from there it may be once it is out of the hand, in m."""

RELAXED = np.array([0.65, 0.0, 0.15, 0.15, 0.15])
"""Flexions on the way to a cube; the thumb lies half beside the palm."""
CLOSED = (0.39, 0.78)
"""Shares of the middle finger's way to the grip at which the hand counts as open and as closed."""
WITHIN = (0.008, 0.022)
"""Distances from its place in the open hand, in m, between which a cube is in it and is not."""
SLACK = 0.025
"""How much farther from there it may be in the closed hand, in m."""

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

GAIN = 1.6
"""Speed per distance, in 1/s."""
EASE = 5.0
"""Speed of the fingers per flexion that they lack, in 1/s."""
TURN = 0.8
"""Largest speed of turning, in rad/s."""
PACE = 0.5
"""Speed in relation to a reach's: cubes fall over."""
LEAD = 0.03
"""How far the intended hand may be ahead of the hand, per axis, in m."""
CARE = 0.6
"""Not higher: from the deviations that come of it, policies learn to find back."""
BESIDE = np.array([0.03, 0.03, 0.045])
"""Where a careless hand reaches first, from the grasp, in m; left or right of it."""
PAST = np.array([0.0, 0.06, 0.0])
"""Where it carries the cube first, from its place, in m; left or right of it."""
SEEN = 0.02
"""How near it comes to there before it sees that, in m."""


def script(human: Human) -> Script:
    """Take the next cube to its place until all stand; then withdraw."""
    rng, traits, period = human.rng, human.traits, human.history.period
    grasp = human.grasp("cube")
    low, high = (human.drive_at("middle", flexion) for flexion in (grasp.ready, grasp.grip))
    bounds = [low + share * (high - low) for share in CLOSED]
    tower = TOWERS[choose(human)]
    mistake = human.err("reaches beside", "lets go again", "carries too far")
    doubtful, doubt = tower[rng.integers(2)][0], False
    side = np.array([1.0, rng.choice([-1.0, 1.0]), 1.0])
    miss = rng.normal(0.0, traits.precision, 3)
    down = tilt(FLAT, (0, 1, 0), grasp.pitch + rng.uniform(-0.03, 0.03))
    velocity, spin, holding = np.zeros(3), np.zeros(3), ""
    human.care = CARE
    while True:
        wrist, haste = human.feel_wrist(), human.haste()
        closed = between(human.see_drive("middle"), *bounds)
        cube, below = next((pair for pair in tower if not stands(human, *pair, closed)), ("", ""))
        held, near, around = 0.0, 0.0, np.zeros(3)
        if cube:
            held = in_hand(human, cube, closed)
            wrong = mistake if cube == doubtful else ""
            beside = BESIDE * side if wrong == "reaches beside" else np.zeros(3)
            way, turn, near = reach(human, cube, miss + beside, down)
            past = PAST * side if wrong == "carries too far" else np.zeros(3)
            carried, levelled = carry(human, cube, below, past)
            doubt = doubt or (wrong == "lets go again" and held * closed == 1.0)
            if (
                (beside.any() and np.linalg.norm(way) < SEEN)
                or (past.any() and held == 1.0 and np.hypot(*carried[:2]) < SEEN)
                or (doubt and closed == 0.0)
            ):
                mistake, doubt = "", False
                human.mistakes += 1
            way = (1 - held) * (1 - closed) * way + held * closed * (not doubt) * carried
            turn = (1 - held) * (1 - closed) * turn + held * closed * levelled
            around = held * np.cross(spin, human.see_wrist()[0] - human.see_body(cube)[0])
        elif wrist[2] < AWAY:
            way, turn = np.array([0.0, 0.0, 1.0 - closed]), np.zeros(3)
        else:
            return
        most = haste * PACE * traits.speed
        velocity += (limit(GAIN * way, most) - velocity) * period / INERTIA
        spin += (limit(GAIN * turn, haste * TURN) - spin) * period / INERTIA
        ahead = human.position + (velocity + around) * period - wrist
        human.position = wrist + np.clip(ahead, -LEAD, LEAD)
        human.quaternion = tilt(human.quaternion, (spin[0], spin[1], spin[2]), period)
        grip, fastest = held * (not doubt), 1 / traits.grip_time
        ready = RELAXED + max(near, closed) * (grasp.ready - RELAXED)
        bend = ready + grip * (grasp.grip - ready) - human.fingers
        human.fingers = human.fingers + np.clip(EASE * bend, -fastest, fastest) * period
        human.mistakes += holding == cube != "" and held == 0.0
        holding = cube if held * closed == 1.0 else holding if held > 0.0 else ""
        yield from human.wait(0.0)


def choose(human: Human) -> str:
    """Choose the tower on the cube that lies farthest away."""
    farthest = max((pair[0][1] for pair in TOWERS.values()), key=lambda c: human.see_body(c)[0][0])
    human.strategy = next(name for name, pairs in TOWERS.items() if pairs[0][1] == farthest)
    return human.strategy


def reach(
    human: Human, cube: str, miss: np.ndarray, down: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """Way (3,) in m and turn (3,) in rad to the grasp of a cube: up, sideways, down on it.

    And whether the hand is over it, from 0 to 1.
    """
    place, orientation = human.see_body(cube)
    goal = tilt(down, (0, 0, 1), yaw_of(orientation))
    wrist = human.feel_wrist()
    way = place + miss - np_rotate(goal, human.grasp("cube").place) - wrist
    far = between(float(np.hypot(*way[:2])), *NEAR)
    free = max(1 - far, between(wrist[2], *HIGH))
    way[:2] *= free
    way[2] += far * (CRUISE - wrist[2] - way[2])
    _, hand = human.see_wrist()
    # axis times the angle's sine
    turn = np.cross(np_matrix(hand), np_matrix(goal), axis=0).sum(1) / 2
    return way, free * turn, 1 - far


def carry(human: Human, cube: str, below: str, past: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Way (3,) in m and turn (3,) in rad of a cube in the hand: up, over its place, down on it.

    `past` (3,) is how far from its place it is taken, in m.
    """
    place, orientation = human.see_body(cube)
    # since it was seen, it has moved with the hand
    way = missing(human, cube, below) + past - (human.feel_wrist() - human.see_wrist()[0])
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
    place = human.grasp("cube").place
    offset = np_matrix(hand).T @ (human.see_body(cube)[0] - wrist) - place
    return 1 - between(float(np.linalg.norm(offset)) - SLACK * closed, *WITHIN)


def yaw_of(quaternion: np.ndarray) -> float:
    """Yaw of a cube's sides, in rad within ±π/4: a quarter turn changes nothing."""
    axes = np_matrix(quaternion)
    x, y, _ = axes[:, np.abs(axes[2]).argmin()]
    return float((np.arctan2(y, x) + np.pi / 4) % (np.pi / 2) - np.pi / 4)

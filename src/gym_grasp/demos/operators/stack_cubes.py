"""How a hand stacks the cubes: a light grip on each, turned level over the tower, set down."""

from itertools import permutations

import numpy as np

from gym_grasp.demos.operators.human import FLAT, Human, Script, rotate, tilt

READY = np.array([1.0, 0.17, 0.28, 0.28, 0.28])
"""Hand a little wider than a cube."""
GRIP = np.array([1.0, 0.5, 0.5, 0.5, 0.5])
"""Closed lightly: a firm grip twists the cube."""
IN_HAND = np.array([-0.034, 0.05, 0.155])
"""Where the cube lies in the hand, palm frame, in m: between thumb and index and middle finger."""
PITCH = 0.68
"""How far the fingers point down, in rad."""
ABOVE = np.array([0.0, 0.0, 0.09])
"""Where the hand is before it is lowered, and after it has let go, from there, in m."""
EDGE = np.array([0.0, 0.0, 0.06])
HOVER = np.array([0.0, 0.0, 0.04])
"""Where the carried cube is before it is set down, from there, in m."""
SET_DOWN = np.array([0.0, 0.0, 0.002])
"""Height at which it is let go, in m."""
CLOSE_ENOUGH = 0.01
"""Horizontal error with which a cube is set down, in m."""
MISTAKE = 0.06
"""Share of the grasps in which the hand closes too high."""
CUBES = ("green_cube", "red_cube", "blue_cube")
"""The first is the lowest, unless others already stand on one another."""
MOVED = 0.02
"""Way, in m, by which the tower must have moved for the hand to put its cube back."""


def script(human: Human) -> Script:
    """Put the nearer cube on the green one and the other on top; mend what falls."""
    for _ in range(8):
        pair = next((p for p in permutations(CUBES, 2) if stands(human, *p)), None)
        if pair is None:
            below, *others = CUBES
            cube = min(
                others, key=lambda other: float(np.linalg.norm(missing(human, other, below)))
            )
        else:
            below, cube = pair[0], next(other for other in CUBES if other not in pair)
            if stands(human, cube, below):
                yield from human.move(human.position + ABOVE)
                return
        yield from stack(human, cube, below)
        yield from human.wait(human.traits.reaction)


def missing(human: Human, cube: str, below: str) -> np.ndarray:
    """Way of a cube to its place on another, as seen, in m. Shape (3,)."""
    return human.see_body(below)[0] + EDGE - human.see_body(cube)[0]


def stands(human: Human, cube: str, below: str) -> bool:
    """Whether a cube is seen to lie on another."""
    offset = missing(human, cube, below)
    return bool(np.linalg.norm(offset[:2]) < 0.026 and abs(offset[2]) < 0.01)


def stack(human: Human, cube: str, below: str) -> Script:
    """Take a cube and put it on another; give up where it is lost on the way."""
    rng = human.rng
    place, orientation = human.see_body(cube)
    before, _ = human.see_body(below)
    wrist = tilt(FLAT, (0, 1, 0), PITCH + rng.uniform(-0.04, 0.04))
    wrist = tilt(wrist, (0, 0, 1), yaw_of(orientation))
    grasp = place - rotate(wrist, IN_HAND)
    if rng.random() < MISTAKE:
        grasp += [0.0, 0.0, rng.uniform(0.05, 0.06)]
    human.care = 0.3
    yield from human.move(human.aim(grasp + ABOVE), wrist, READY, arc=0.02, through=0.85)
    human.care = 0.7
    yield from human.move(human.aim(grasp), wrist, READY, pace=0.6)
    yield from human.move(fingers=GRIP)
    yield from human.move(human.position + EDGE + ABOVE, pace=0.8)
    yield from human.wait(human.traits.reaction)
    height = human.see_body(cube)[0][2] - place[2]
    if height < 0.05:
        human.mistakes += 1
        yield from human.move(fingers=READY)
        return
    if np.linalg.norm(human.see_body(below)[0] - before) > MOVED:
        human.mistakes += 1
        yield from human.move(human.position - EDGE - ABOVE, pace=0.8)
        yield from human.move(fingers=READY)
        yield from human.move(human.position + EDGE + ABOVE)
        return

    human.care = 0.9
    yield from bring(human, cube, below)
    for _ in range(2):
        if np.linalg.norm(missing(human, cube, below)[:2]) < CLOSE_ENOUGH:
            break
        shift = missing(human, cube, below) + HOVER
        yield from human.move(human.position + shift, pace=0.6)
        yield from human.wait(human.traits.reaction)
    shift = missing(human, cube, below) + SET_DOWN
    yield from human.move(human.position + shift, pace=0.5)
    yield from human.move(fingers=READY, pace=0.7)
    yield from human.move(human.position + ABOVE, pace=0.6)
    yield from human.wait(human.traits.reaction)
    if not stands(human, cube, below):
        human.mistakes += 1


def bring(human: Human, cube: str, below: str) -> Script:
    """Carry the cube over another and turn it level and like that one."""
    place, orientation = human.see_body(cube)
    base, turned = human.see_body(below)
    axes = matrix(orientation)
    upright = np.abs(axes[2]).argmax()
    x, y, _ = axes[:, upright] * np.sign(axes[2, upright])
    sine = max(1e-9, float(np.hypot(x, y)))
    wrist = tilt(human.quaternion, (y / sine, -x / sine, 0.0), float(np.arcsin(min(1.0, sine))))
    wrist = tilt(wrist, (0, 0, 1), quarter(yaw_of(turned) - yaw_of(orientation)))
    # the cube turns about the wrist with the hand
    hand = human.see_site("wrist")
    lever = rotate(inverse(human.quaternion), place - hand)
    shift = base + EDGE + HOVER - rotate(wrist, lever) - hand
    yield from human.move(human.position + shift, wrist)
    yield from human.wait(human.traits.reaction)


def matrix(quaternion: np.ndarray) -> np.ndarray:
    """Rotation matrix. Shape (3, 3)."""
    return np.stack([rotate(quaternion, axis) for axis in np.eye(3)], axis=1)


def inverse(quaternion: np.ndarray) -> np.ndarray:
    """The opposite rotation. Shape (4,)."""
    return quaternion * [1.0, -1.0, -1.0, -1.0]


def yaw_of(quaternion: np.ndarray) -> float:
    """Yaw of a cube's sides, in rad within ±π/4: a quarter turn changes nothing."""
    axes = matrix(quaternion)
    level = axes[:, np.abs(axes[2]).argmin()]
    return quarter(float(np.arctan2(level[1], level[0])))


def quarter(angle: float) -> float:
    """Bring an angle in rad to ±π/4 by quarter turns."""
    return float((angle + np.pi / 4) % (np.pi / 2) - np.pi / 4)

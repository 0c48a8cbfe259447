"""The 25 joints of a right hand, modelled: no recording of a person is among the tests' files."""

import numpy as np

BONES = (
    (0.045, 0.026, 0.022),
    (0.050, 0.030, 0.023),
    (0.046, 0.028, 0.023),
    (0.036, 0.020, 0.021),
)
"""Phalanges of index to little finger, in m."""
KNUCKLES = ((-0.028, 0, 0.092), (-0.006, 0, 0.095), (0.014, 0, 0.09), (0.033, 0, 0.08))

OPEN = (0.0, 0.0, 0.0, 0.0, 0.0)
FIST = (0.9, 0.8, 1.0, 1.0, 1.0)
HOLD = (1.0, 0.4, 0.55, 0.55, 0.55)
POINT = (0.9, 0.8, 0.0, 1.0, 1.0)
PINCHES = {
    "index": (1.12, 0.15, 0.54, 0.2, 0.2),
    "middle": (1.42, 0.01, 0.2, 0.59, 0.2),
    "ring": (1.63, 0.0, 0.2, 0.2, 0.57),
}
"""Found by minimising the gap between thumb and fingertip: 1, 1 and 4 mm."""
WAY = (
    *(OPEN, OPEN, PINCHES["index"], PINCHES["index"], OPEN, FIST, FIST, OPEN, HOLD, HOLD),
    *(PINCHES["index"], PINCHES["index"], POINT, FIST, OPEN, PINCHES["index"], OPEN),
    *(PINCHES["middle"], PINCHES["middle"], OPEN, PINCHES["ring"], PINCHES["ring"], OPEN),
    *(PINCHES["middle"], PINCHES["index"], PINCHES["ring"], FIST, OPEN),
)


def posture(turn: float, thumb: float, index: float, middle: float, ring: float) -> np.ndarray:
    """Return WebXR's joints in the palm frame, in m; the thumb turns about z. Shape (25, 3)."""
    joints = np.zeros((25, 3))
    bends = (index, middle, ring, ring)
    for finger, (knuckle, bones, bend) in enumerate(zip(KNUCKLES, BONES, bends, strict=True)):
        first, point, angle = 5 + 5 * finger, np.array(knuckle), 0.0
        joints[first], joints[first + 1] = point * [1, 1, 0.2], point
        for part, (bone, share) in enumerate(zip(bones, (1.5, 1.75, 1.1), strict=True)):
            angle += bend * share
            point = point + bone * np.array([0.0, np.sin(angle), np.cos(angle)])
            joints[first + 2 + part] = point
    about = 1.25 * turn
    along = np.cos(0.75) * np.array([-np.cos(about), np.sin(about), 0.0])
    along[2] = np.sin(0.75)
    joints[1] = -0.022, 0.005, 0.025
    joints[2] = point = joints[1] + 0.045 * along
    inward = np.array([0.004, 0.02, 0.095]) - point
    inward -= (inward @ along) * along
    inward /= np.linalg.norm(inward)
    for part, bone in enumerate((0.033, 0.026)):
        angle = 0.9 * thumb * (part + 1)
        point = point + bone * (np.cos(angle) * along + np.sin(angle) * inward)
        joints[3 + part] = point
    return joints


def frames(rate: float = 90.0, each: float = 0.45) -> np.ndarray:
    """Return joints on the way through `WAY`, `each` s from one posture to the next. (T, 25, 3)."""
    shares = np.arange(int(rate * each)) / int(rate * each)
    shares = (10 * shares**3 - 15 * shares**4 + 6 * shares**5)[:, None]
    steps = zip(np.array(WAY), np.array(WAY[1:]), strict=False)
    return np.array([posture(*row) for a, b in steps for row in (1 - shares) * a + shares * b])


def jitter(shape: tuple[int, ...], size: float = 0.0005) -> np.ndarray:
    """Return noise of tracking along the first axis, correlated over ten frames, in m."""
    white = np.random.default_rng(0).normal(0.0, size, shape)
    noise = np.zeros(shape)
    for row in range(1, len(noise)):
        noise[row] = 0.9 * noise[row - 1] + np.sqrt(1 - 0.81) * white[row]
    return noise

"""The headset's frame and the robot's: the one place where axes are converted.

WebXR's `local-floor`: x right, y up, z back, the origin on the floor below the operator, x y z w
quaternions. The robot's world: x away from the robot, y left, z up, w x y z.
"""

import numpy as np

from gym_grasp.math.rotations import np_matrix, np_multiply

ORIGIN = np.array([0.15, 0.25, -0.75])
"""Where the operator stands: on the floor, left of the robot's base, so that the arm is on their
right and does not hide the hand; world, in [m]."""

_TURN = np.array([0.5, 0.5, -0.5, -0.5])
"""The headset's axes as the world sees them, w x y z."""
_TO_WORLD = np_matrix(_TURN)
_PRODUCT = np.stack([np_multiply(_TURN, unit) for unit in np.eye(4)], axis=1)
"""Times a column w x y z: the product with `_TURN` from the left, for any number at once."""


def position_to_world(position: np.ndarray) -> np.ndarray:
    """From the headset's frame to the world. Shape (..., 3), in [m]."""
    return position @ _TO_WORLD.T + ORIGIN


def position_from_world(position: np.ndarray) -> np.ndarray:
    """From the world to the headset's frame. Shape (..., 3), in [m]."""
    return (position - ORIGIN) @ _TO_WORLD


def quaternion_to_world(xyzw: np.ndarray) -> np.ndarray:
    """From the headset's x y z w to the world's w x y z. Shape (..., 4)."""
    return np.roll(xyzw, 1, axis=-1) @ _PRODUCT.T


def quaternion_from_world(wxyz: np.ndarray) -> np.ndarray:
    """From the world's w x y z to the headset's x y z w. Shape (..., 4)."""
    return np.roll(wxyz @ _PRODUCT, -1, axis=-1)

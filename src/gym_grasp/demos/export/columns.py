"""What LeRobot calls state and environment state, in datasets and environments alike."""

import numpy as np

from gym_grasp.tasks.features import Packer

STATE, SCENE, ACTION = "observation.state", "observation.environment_state", "action"
ROBOT_KEYS = ("finger_positions", "wrist_pose")
"""Features of the robot itself, which every task has; the others are the scene's."""


def columns(packer: Packer) -> dict[str, np.ndarray]:
    """Return which values of packed observations go where: the robot's, and all of them.

    The environment state repeats the robot's, since some tasks add a single number, and LeRobot
    reads a vector of one as a scalar, which its policies refuse.

    Returns:
        Indices along the last axis, by LeRobot's name.
    """
    robot: list[int] = []
    at = 0
    for key, width in packer.layout.items():
        robot += range(at, at + width) if key in ROBOT_KEYS else ()
        at += width
    return {STATE: np.array(robot), SCENE: np.arange(packer.size)}

"""The clutch: couples the operator's hand to the robot's without a jump."""

from dataclasses import dataclass

import numpy as np

from gym_grasp.math.rotations import np_conjugate, np_multiply
from gym_grasp.teleop.hand.input import HandInput, Pose

FADE = 0.5
"""Time in which the fingers' first difference vanishes, in [s]."""


class Press:
    """Tells fresh presses from a button that is still held."""

    def __init__(self) -> None:
        self._before = True  # what is held at first was not pressed for us

    def __call__(self, pressed: bool) -> bool:
        """Return whether the button went down since the last call."""
        fresh = pressed and not self._before
        self._before = pressed
        return fresh

    def hold(self) -> None:
        """Ask for a release before the next press counts."""
        self._before = True


@dataclass(frozen=True)
class Clutch:
    """Where both hands were when they were coupled.

    From then on the robot's hand makes the operator's movements, by the same distances and angles
    about the same axes. Fingers are copied, not moved along: their first difference fades away.
    That difference is one of drives, of which the robot has its own number D: what the operator's
    fingers ask for (`Hand.drives_from_flexion`) on one side, what the robot does on the other.
    """

    operator: Pose
    """The operator's wrist at engaging."""
    robot: Pose
    """The robot's desired wrist pose at engaging, world."""
    offset: np.ndarray
    """The robot's drives minus those that the operator asked for at engaging. Shape (D,)."""

    @staticmethod
    def engage(hand: HandInput, asked: np.ndarray, robot: Pose, drives: np.ndarray) -> "Clutch":
        """Couple an operator's hand to a robot's.

        Args:
            hand: the operator's hand.
            asked: drives that its fingers ask for. Shape (D,).
            robot: the robot's desired wrist pose, world.
            drives: the robot's. Shape (D,).
        """
        operator = Pose(np.array(hand.wrist_position), np.array(hand.wrist_quaternion))
        return Clutch(operator, robot, drives - asked)

    def target(self, hand: HandInput, asked: np.ndarray, elapsed: float) -> tuple[Pose, np.ndarray]:
        """Return where the robot's wrist should be, and its drives (D,).

        Args:
            hand: the operator's hand now.
            asked: drives that its fingers ask for now. Shape (D,).
            elapsed: simulated time since engaging, in [s].
        """
        position = self.robot.position + (hand.wrist_position - self.operator.position)
        turn = np_multiply(hand.wrist_quaternion, np_conjugate(self.operator.quaternion))
        quaternion = np_multiply(turn, self.robot.quaternion)
        left = max(0.0, 1.0 - elapsed / FADE)
        drives = np.clip(asked + left * self.offset, 0.0, 1.0)
        return Pose(position, quaternion / np.linalg.norm(quaternion)), drives

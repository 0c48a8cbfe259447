"""The clutch: couples the operator's hand to the robot's without a jump."""

from dataclasses import dataclass

import mujoco
import numpy as np

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
    """

    operator: Pose
    """The operator's wrist at engaging."""
    robot: Pose
    """The robot's desired wrist pose at engaging, world."""
    finger_offset: np.ndarray
    """Robot's finger commands minus the operator's flexions at engaging. Shape (5,)."""

    @staticmethod
    def engage(hand: HandInput, robot: Pose, fingers: np.ndarray) -> "Clutch":
        """Couple an operator's hand to a robot hand at `robot` with finger commands (5,)."""
        operator = Pose(np.array(hand.wrist_position), np.array(hand.wrist_quaternion))
        return Clutch(operator, robot, fingers - hand.flexion)

    def target(self, hand: HandInput, elapsed: float) -> tuple[Pose, np.ndarray]:
        """Return where the robot's wrist should be and its finger commands (5,).

        Args:
            hand: the operator's hand now.
            elapsed: simulated time since engaging, in [s].
        """
        position = self.robot.position + (hand.wrist_position - self.operator.position)
        turn = multiply(hand.wrist_quaternion, conjugate(self.operator.quaternion))
        quaternion = multiply(turn, self.robot.quaternion)
        left = max(0.0, 1.0 - elapsed / FADE)
        fingers = np.clip(hand.flexion + left * self.finger_offset, 0.0, 1.0)
        return Pose(position, quaternion / np.linalg.norm(quaternion)), fingers


def multiply(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Hamilton product of two quaternions w x y z: the rotation `b` followed by `a`. Shape (4,)."""
    out = np.empty(4)
    mujoco.mju_mulQuat(out, np.asarray(a, dtype=float), np.asarray(b, dtype=float))
    return out


def conjugate(q: np.ndarray) -> np.ndarray:
    """Inverse of a unit quaternion w x y z. Shape (4,)."""
    return np.asarray(q, dtype=float) * [1.0, -1.0, -1.0, -1.0]

"""UR5 arm with a SCHUNK SIH right hand: names, limits and finger couplings.

The model is `ur5_sih.xml`; a scene includes `physics.xml`, then `ur5_sih.xml`, then its own
things, so that `qpos[0:17]` and `ctrl[0:17]` are the robot's joints in the order of `JOINTS`.

Frames: the robot base stands at the world's origin, x away from it, z up. The palm frame (site
`wrist`) has z along the fingers, y out of the palm and x across it, from index to little finger.

Sources: UR5 figures as in ROS-Industrial's ur_description; ranges, servos and couplings of the
hand as published by the authors of Mosbach, Moraw & Behnke (Humanoids 2022).
"""

import math
from functools import cache
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

MJCF: Final = Path(__file__).with_name("ur5_sih.xml")
"""The robot. A scene in `tasks/` includes it as `../robots/ur5_sih.xml`."""

PHYSICS_MJCF: Final = Path(__file__).with_name("physics.xml")
"""Solver, contact and rendering settings that every scene includes first."""

ARM_JOINTS: Final = ("shoulder_pan", "shoulder_lift", "elbow", "wrist_1", "wrist_2", "wrist_3")
HAND_JOINTS: Final = (
    "thumb_rotation",
    "thumb_proximal",
    "thumb_distal",
    "index_proximal",
    "index_distal",
    "middle_proximal",
    "middle_distal",
    "ring_proximal",
    "ring_distal",
    "little_proximal",
    "little_distal",
)
JOINTS: Final = ARM_JOINTS + HAND_JOINTS
"""Every joint; the actuators bear the same names in the same order."""

SERVOS: Final = ("thumb_rotation", "thumb", "index", "middle", "ring")
"""What moves the hand: the last one drives the ring and the little finger."""

WRIST_SITE: Final = "wrist"
"""The controlled frame: the palm frame at the hand's mount."""

PALM_SITE: Final = "palm"
"""The palm's keypoint, on its surface."""

FINGERTIPS: Final = ("thumb_tip", "index_tip", "middle_tip", "ring_tip", "little_tip")
"""Sites on the fingertips' pads."""

ARM_LIMITS: Final = (
    (-2 * math.pi, 2 * math.pi),
    (-2 * math.pi, 2 * math.pi),
    (-math.pi, math.pi),
    (-2 * math.pi, 2 * math.pi),
    (-2 * math.pi, 2 * math.pi),
    (-2 * math.pi, 2 * math.pi),
)
"""Joint ranges of the arm, in [rad]."""

HAND_LIMITS: Final = ((-1.571, 0.0), (0.0, 1.571), (0.0, 1.571)) + 8 * ((-1.571, 0.0),)
"""Joint ranges of the hand, in [rad]."""

HOME_ARM: Final = (-0.3784, -1.7988, 2.1326, -0.3338, 1.1924, 1.5708)
"""Arm joints, in [rad], that put the wrist at (.42, 0, .28) m, palm down, fingers along x."""

HOME_FINGERS: Final = (1.0, 0.0, 0.0, 0.0, 0.0)
"""Servo positions of the open hand with its thumb opposed to the fingers."""

ROTATED: Final = -1.571
"""Thumb rotation, in [rad], that opposes the thumb to the fingers: the end of its range."""

THUMB_CLOSED: Final = 1.1
"""Both flexing joints of the closed thumb, in [rad]; tuned to meet the fingertips in a pinch."""

FINGER_CLOSED: Final = -1.45
"""Both joints of a closed finger, in [rad]; tuned, short of the end of their range."""

# The published coupling: a distal joint follows its proximal one with multiplier 1, the little
# finger follows the ring finger. So each joint has one servo and one angle when that is closed.
_SERVO_OF_JOINT = (0, 1, 1, 2, 2, 3, 3, 4, 4, 4, 4)
_CLOSED = (ROTATED, THUMB_CLOSED, THUMB_CLOSED) + 8 * (FINGER_CLOSED,)
_DRIVING_JOINTS = tuple(_SERVO_OF_JOINT.index(servo) for servo in range(len(SERVOS)))


def hand_targets(fingers: Tensor) -> Tensor:
    """Return the joint targets of the hand for the servo positions `fingers`.

    Args:
        fingers: Servo positions in the order of `SERVOS`. Shape (..., 5), from 0 (open; thumb
            beside the palm) to 1 (closed; thumb opposed).

    Returns:
        Targets in the order of `HAND_JOINTS`. Shape (..., 11), in [rad].
    """
    servo, closed = _coupling(fingers.device, fingers.dtype)[:2]
    # Gathered, not multiplied by a matrix: exact even where matrix products run in TF32.
    return fingers[..., servo] * closed


def finger_positions(hand_qpos: Tensor) -> Tensor:
    """Return the servo positions that the hand's joints show, read from each driving joint.

    Args:
        hand_qpos: Joint angles in the order of `HAND_JOINTS`. Shape (..., 11), in [rad].

    Returns:
        Servo positions in the order of `SERVOS`. Shape (..., 5), within [0, 1].
    """
    _, closed, driving = _coupling(hand_qpos.device, hand_qpos.dtype)
    return (hand_qpos[..., driving] / closed[driving]).clamp(0.0, 1.0)


@cache
def _coupling(device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Return each joint's servo (11,), its closed angle (11,) [rad] and the driving joints (5,)."""
    return (
        torch.tensor(_SERVO_OF_JOINT, device=device),
        torch.tensor(_CLOSED, device=device, dtype=dtype),
        torch.tensor(_DRIVING_JOINTS, device=device),
    )

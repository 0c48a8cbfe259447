"""LEAP hand, right (Shaw, Agarwal & Pathak, RSS 2023): 16 joints, each with a servo and a drive.

Joints, ranges, masses and shapes are those of the published model; NOTICE names sources and
licences. The servos are Dynamixel XC330-M288-T: by their maker's data sheet .93 N·m at a stall and
8.5 rad/s without load, at 5 V. How they are driven is not published: `TORQUE` and `SPEED` are
assumed, three quarters and half of that.
"""

from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from gym_grasp.robots.grasps import Grasp, across
from gym_grasp.robots.servos import Servo, finger, hand_of_servos

TORQUE: Final = 0.7
"""Highest torque of a joint, in N·m; assumed."""
SPEED: Final = 4.0
"""Highest speed of a joint, in rad/s; assumed."""


def _servo(low: float, high: float, gain: float = 0.0, by: str = "") -> Servo:
    return Servo((low, high), TORQUE, SPEED, by, gain)


def _bend(name: str) -> dict[str, Servo]:
    return {
        f"{name}_proximal": _servo(-0.314, 2.23, 1.9, name),
        f"{name}_spread": _servo(-1.047, 1.047),
        f"{name}_middle": _servo(-0.506, 1.885, 1.5, name),
        f"{name}_distal": _servo(-0.366, 2.042, 0.9, name),
    }


_JOINTS = {
    **_bend("index"),
    **_bend("middle"),
    **_bend("ring"),
    "thumb_rotation": _servo(-0.349, 2.094, 1.68, "thumb_rotation"),
    "thumb_twist": _servo(-0.349, 2.094, 0.067, "thumb_rotation"),
    "thumb_proximal": _servo(-0.47, 2.443, 1.4, "thumb"),
    "thumb_distal": _servo(-1.34, 1.88, 1.0, "thumb"),
}


# Fingers that come down beyond a thing and a thumb before it: the palm stays level, and far above.
_OVER = Grasp(
    np.array([-0.022, 0.116, 0.093]),
    np.array([1.0, 0.03, 0.22, 0.22, 0.22]),
    np.array([1.0, 0.31, 0.47, 0.47, 0.47]),
    pitch=0.2,
)
_LIGHTLY = np.array([1.0, 0.29, 0.42, 0.42, 0.42])
_BENT = np.array([1.0, 0.0, 0.36, 0.36, 0.36])
_BARS = {
    "grip": (_BENT, np.array([1.0, 0.3, 0.8, 0.8, 0.8])),
    "hook": (np.array([0.35, 0.0, 0.36, 0.36, 0.36]), np.array([0.35, 0.0, 0.8, 0.8, 0.8])),
    "two fingers": (_BENT, np.array([0.8, 0.2, 0.85, 0.85, 0.36])),
}
_GRASPS = {
    "object": {"all fingers": replace(_OVER, grip=_LIGHTLY)},
    "round": {"all fingers": _OVER},
    "rod": {"all fingers": _OVER},
    "bar": across(np.array([-0.004, 0.058, 0.101]), _BARS, above=0.1),
    "lever": across(np.array([-0.015, 0.060, 0.116]), _BARS, above=0.1),
    "cup": {
        "thumb above": Grasp(
            np.array([0.066, 0.064, 0.1]),
            np.array([1.0, 0.0, 0.2, 0.2, 0.2]),
            np.array([1.0, 0.5, 0.6, 0.6, 0.6]),
        )
    },
    "cube": {
        "lightly": replace(
            _OVER,
            ready=np.array([1.0, 0.0, 0.2, 0.2, 0.2]),
            grip=_LIGHTLY,
        )
    },
}

LEAP: Final = hand_of_servos(
    _JOINTS,
    name="leap",
    mjcf=Path(__file__).with_name("leap.xml"),
    fingers=tuple(map(finger, ("thumb", "index", "middle", "ring"))),
    grasps=_GRASPS,
    mount_position=(0.0, 0.0, 0.042),  # a force/torque sensor and a plate, as the SIH's
    mount_quaternion=(0.7071067811865476, 0.0, 0.0, 0.7071067811865476),
)

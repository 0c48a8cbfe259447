"""Allegro hand V3, right (Wonik Robotics): 16 joints, each with a servo and a drive.

Joints, ranges, masses and shapes are those of the published models; NOTICE names sources and
licences. `TORQUE` and `SPEED` are not in them and assumed.
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


def _servo(low: float, high: float, gain: float = 0.0, by: str = "", still: float = 0.0) -> Servo:
    return Servo((low, high), TORQUE, SPEED, by, gain, still)


def _bend(name: str) -> dict[str, Servo]:
    return {
        f"{name}_spread": _servo(-0.47, 0.47),
        f"{name}_proximal": _servo(-0.196, 1.61, 1.5, name),
        f"{name}_middle": _servo(-0.174, 1.709, 1.5, name),
        f"{name}_distal": _servo(-0.227, 1.618, 0.9, name),
    }


_JOINTS = {
    **_bend("index"),
    **_bend("middle"),
    **_bend("ring"),
    # its range excludes 0
    "thumb_rotation": _servo(0.263, 1.396, 1.133, "thumb_rotation", 0.263),
    "thumb_twist": _servo(-0.105, 1.163, 0.18, "thumb_rotation"),
    "thumb_proximal": _servo(-0.189, 1.644, 1.6, "thumb"),
    "thumb_distal": _servo(-0.162, 1.719, 1.0, "thumb"),
}


# Fingers that come down beyond a thing and a thumb before it: the palm stays level, and far above.
_OVER = Grasp(
    np.array([-0.025, 0.116, 0.097]),
    np.array([1.0, 0.04, 0.3, 0.3, 0.3]),
    np.array([1.0, 0.33, 0.6, 0.6, 0.6]),
    pitch=0.2,
)
_BENT = np.array([1.0, 0.0, 0.45, 0.45, 0.45])
_BARS = {
    "grip": (_BENT, np.array([1.0, 0.3, 0.85, 0.85, 0.85])),
    "hook": (np.array([0.35, 0.0, 0.45, 0.45, 0.45]), np.array([0.35, 0.0, 0.85, 0.85, 0.85])),
    "two fingers": (_BENT, np.array([0.8, 0.2, 0.9, 0.9, 0.45])),
}
_GRASPS = {
    "object": {"all fingers": _OVER},
    "round": {"all fingers": _OVER},
    "rod": {"all fingers": _OVER},
    "bar": across(np.array([-0.004, 0.055, 0.118]), _BARS, above=0.1),
    "lever": across(np.array([-0.015, 0.057, 0.118]), _BARS, above=0.1),
    "cup": {
        "thumb above": Grasp(
            np.array([0.066, 0.06, 0.11]),
            np.array([1.0, 0.0, 0.2, 0.2, 0.2]),
            np.array([1.0, 0.7, 0.8, 0.8, 0.8]),
        )
    },
    "cube": {
        "lightly": replace(
            _OVER,
            ready=np.array([1.0, 0.0, 0.27, 0.27, 0.27]),
            grip=np.array([1.0, 0.31, 0.54, 0.54, 0.54]),
        )
    },
}

ALLEGRO: Final = hand_of_servos(
    _JOINTS,
    name="allegro",
    mjcf=Path(__file__).with_name("allegro.xml"),
    fingers=tuple(map(finger, ("thumb", "index", "middle", "ring"))),
    grasps=_GRASPS,
    mount_position=(0.0, 0.0, 0.042),  # a force/torque sensor and a plate, as the SIH's
    mount_quaternion=(0.7071067811865476, 0.0, 0.0, 0.7071067811865476),
)

"""Shadow Dexterous Hand E3M5, right, without its forearm: 24 joints, 20 drives.

Joints, ranges, masses, torques and shapes are those of the published model; NOTICE names sources
and licences. The forearm (3 kg) would spend what the arms carry; where the servos then sit is left
open, and the wrist stands 7 cm above the flange. On the hand one tendon bends the middle and the
distal joint of a finger and leaves open which; here the distal one follows by `FOLLOWS`. Speeds are
not published: `SPEED` is assumed.
"""

from pathlib import Path
from typing import Final

import numpy as np

from gym_grasp.robots.grasps import GRASPS, Grasp, across
from gym_grasp.robots.servos import Servo, finger, hand_of_servos

SPEED: Final = 4.0
"""Highest speed of a joint, in rad/s; assumed."""
FOLLOWS: Final = 2 / 3
"""How far a distal joint turns where the middle one turns by 1: as in the published postures."""
_SHARED = 1 / (1 + FOLLOWS)
"""Torque of the middle and of the distal joint, in N·m: the servo's 1 N·m carries both."""


def _servo(low: float, high: float, gain: float = 0.0, by: str = "", torque: float = 1.0) -> Servo:
    return Servo((low, high), torque, SPEED, by, gain)


def _bend(name: str, by: str) -> dict[str, Servo]:
    middle, bent = f"{name}_middle", (0.0, 1.5708)
    return {
        f"{name}_spread": _servo(-0.3491, 0.3491),
        f"{name}_proximal": _servo(-0.2618, 1.5708, 1.5, by),
        middle: _servo(*bent, 1.5, by, _SHARED),
        f"{name}_distal": Servo(bent, _SHARED, SPEED, follows=middle, times=FOLLOWS),
    }


_JOINTS = {
    "wrist_side": _servo(-0.5236, 0.1745, torque=10.0),
    "wrist_bend": _servo(-0.6981, 0.4887, torque=5.0),
    **_bend("index", "index"),
    **_bend("middle", "middle"),
    **_bend("ring", "ring"),
    "little_metacarpal": _servo(0.0, 0.7854, 0.35, "ring"),
    **_bend("little", "ring"),
    "thumb_rotation": _servo(-1.0472, 1.0472, 0.31, "thumb_rotation", 3.0),
    "thumb_proximal": _servo(0.0, 1.2217, 1.2217, "thumb_rotation", 2.0),
    "thumb_hub": _servo(-0.2094, 0.2094),
    "thumb_middle": _servo(-0.6981, 0.6981, 0.65, "thumb"),
    "thumb_distal": _servo(-0.2618, 1.5708, 1.2, "thumb"),
}


_OVER = Grasp(
    np.array([-0.02, 0.083, 0.155]),
    np.array([1.0, 0.0, 0.18, 0.18, 0.18]),
    np.array([1.0, 0.35, 0.42, 0.42, 0.42]),
    pitch=0.2,
)
_BENT = np.array([1.0, 0.0, 0.35, 0.35, 0.35])
_BARS = {
    "grip": (_BENT, np.array([1.0, 0.4, 0.63, 0.63, 0.63])),
    "hook": (np.array([0.35, 0.0, 0.35, 0.35, 0.35]), np.array([0.35, 0.0, 0.63, 0.63, 0.63])),
    "two fingers": (_BENT, np.array([0.8, 0.3, 0.68, 0.68, 0.35])),
}
_GRASPS = {
    "object": {"all fingers": _OVER},
    "round": {"all fingers": _OVER},
    "rod": {"all fingers": _OVER},
    "bar": across(np.array([-0.006, 0.047, 0.141]), _BARS),
    "lever": across(np.array([-0.012, 0.047, 0.141]), _BARS),
    "cup": {
        "thumb above": Grasp(
            np.array([0.05, 0.050, 0.170]),
            np.array([0.9, 0.0, 0.0, 0.0, 0.0]),
            np.array([1.0, 0.4, 0.44, 0.44, 0.34]),
        )
    },
    "cube": GRASPS["cube"],
}

SHADOW: Final = hand_of_servos(
    _JOINTS,
    name="shadow",
    mjcf=Path(__file__).with_name("shadow.xml"),
    fingers=(finger("thumb", "middle"), *map(finger, ("index", "middle", "ring", "little"))),
    grasps=_GRASPS,
    mount_position=(0.0, 0.0, 0.068),  # the wrist's first joint; no force/torque sensor
    mount_quaternion=(0.7071067811865476, 0.0, 0.0, 0.7071067811865476),
)

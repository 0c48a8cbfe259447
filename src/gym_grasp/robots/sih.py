"""SCHUNK SIH right hand: ranges, servos and couplings as the authors of Mosbach, Moraw & Behnke
(Humanoids 2022) published them.

Five servos: rotation of the thumb, both flexing joints of the thumb, index, middle, and the ring
finger with the little one. In the published coupling a distal joint follows its proximal one with
multiplier 1, and the little finger follows the ring finger.
"""

from pathlib import Path
from typing import Final

from gym_grasp.robots.base import Finger, Hand

THUMB_ROTATED: Final = -1.571
"""Thumb rotation, in rad, that opposes the thumb to the fingers: the end of its range."""
THUMB_CLOSED: Final = 1.1
"""Both flexing joints of the closed thumb, in rad; tuned to meet the fingertips in a pinch."""
FINGER_CLOSED: Final = -1.45
"""Both joints of a closed finger, in rad; tuned, short of the end of their range."""


def _finger(name: str, drive: str) -> Finger:
    return Finger(name, f"{name}_tip", (f"{name}_distal_collision",), drive)


SIH: Final = Hand(
    name="sih",
    mjcf=Path(__file__).with_name("sih.xml"),
    joints=(
        *("thumb_rotation", "thumb_proximal", "thumb_distal", "index_proximal", "index_distal"),
        *("middle_proximal", "middle_distal", "ring_proximal", "ring_distal"),
        *("little_proximal", "little_distal"),
    ),
    limits=((-1.571, 0.0), *2 * ((0.0, 1.571),), *8 * ((-1.571, 0.0),)),
    speeds=11 * (2.094,),
    torques=11 * (0.75,),
    drives=("thumb_rotation", "thumb", "index", "middle", "ring"),
    actuated=(
        *("thumb_rotation", "thumb_proximal", "index_proximal", "middle_proximal"),
        "ring_proximal",
    ),
    drive_of_joint=(
        *("thumb_rotation", "thumb", "thumb", "index", "index", "middle", "middle"),
        *("ring", "ring", "ring", "ring"),
    ),
    closed=(THUMB_ROTATED, *2 * (THUMB_CLOSED,), *8 * (FINGER_CLOSED,)),
    fingers=(
        _finger("thumb", "thumb"),
        _finger("index", "index"),
        _finger("middle", "middle"),
        _finger("ring", "ring"),
        _finger("little", "ring"),
    ),
    home=(1.0, 0.0, 0.0, 0.0, 0.0),
    flexion_to_drives=(
        (1.0, 0.0, 0.0, 0.0, 0.0),
        (0.0, 1.0, 0.0, 0.0, 0.0),
        (0.0, 0.0, 1.0, 0.0, 0.0),
        (0.0, 0.0, 0.0, 1.0, 0.0),
        (0.0, 0.0, 0.0, 0.0, 1.0),
    ),
    # A force/torque sensor at z −.0065, the palm .04875 further, turned by 1.571 about z.
    mount_position=(0.0, 0.0, 0.04225),
    mount_quaternion=(0.707034768, 0.0, 0.0, 0.707178787),
)

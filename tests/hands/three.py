"""A small hand of three fingers and four drives, entered as another package enters its own."""

from pathlib import Path

from gym_grasp.robots import register_hand
from gym_grasp.robots.base import Finger, Hand


def _finger(name: str) -> Finger:
    return Finger(name, f"{name}_end", (f"{name}_pad",), name)


THREE = Hand(
    name="three",
    mjcf=Path(__file__).with_name("three.xml"),
    joints=(
        *("index_lower", "index_upper", "middle_lower", "middle_upper"),
        *("thumb_turn", "thumb_lower", "thumb_upper"),
    ),
    limits=7 * ((0.0, 1.6),),
    speeds=7 * (2.5,),
    torques=7 * (0.8,),
    drives=("index", "middle", "thumb", "turn"),
    drive_of_joint=("index", "index", "middle", "middle", "turn", "thumb", "thumb"),
    open=(0.02, 0.04, 0.02, 0.04, 0.0, 0.05, 0.05),
    closed=(1.45, 1.45, 1.45, 1.45, 1.571, 1.1, 1.1),
    fingers=(_finger("thumb"), _finger("index"), _finger("middle")),
    home=(0.0, 0.0, 0.0, 1.0),
    flexion_to_drives=(
        (0.0, 0.0, 1.0, 0.0, 0.0),
        (0.0, 0.0, 0.0, 0.5, 0.5),
        (0.0, 1.0, 0.0, 0.0, 0.0),
        (1.0, 0.0, 0.0, 0.0, 0.0),
    ),
    mount_position=(0.0, 0.0, 0.042),
    mount_quaternion=(0.7071068, 0.0, 0.0, 0.7071068),
    wrist="frame",
    palm="pad",
)

register_hand("three", "three:THREE")

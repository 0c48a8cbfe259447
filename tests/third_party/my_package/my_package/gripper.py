"""A gripper of two jaws and one motor: three of its four joints mimic the first."""

from pathlib import Path

import numpy as np

from gym_grasp.robots.base import Finger, Hand
from gym_grasp.robots.grasps import Grasp

OPEN, FIST = np.zeros(5), np.ones(5)
"""Flexions of a person's hand."""
BOX = Grasp(place=np.array([0.0, 0.1, 0.1]), ready=OPEN, grip=FIST / 2)
BAR = Grasp(place=np.array([0.0, 0.1, 0.1]), ready=OPEN, grip=FIST)

GRIPPER = Hand(
    name="gripper",
    mjcf=Path(__file__).with_name("gripper.xml"),
    joints=("index_knuckle", "index_tip", "thumb_knuckle", "thumb_tip"),
    limits=((-0.65, 0.5), (-0.5, 0.65), (-0.65, 0.5), (-0.5, 0.65)),
    speeds=4 * (2.0,),
    torques=4 * (0.42,),
    drives=("jaws",),
    drive_of_joint=4 * ("jaws",),
    open=(-0.6, 0.6, -0.6, 0.6),
    closed=(0.3, -0.3, 0.3, -0.3),
    fingers=(
        Finger("thumb", "thumb_end", ("thumb_pad",), "jaws"),
        Finger("index", "index_end", ("index_pad",), "jaws"),
    ),
    home=(0.0,),
    flexion_to_drives=((0.0, 0.5, 0.5, 0.0, 0.0),),
    mount_position=(0.0, 0.0, 0.042),
    mount_quaternion=(0.7071068, 0.0, 0.0, 0.7071068),
    actuated=("index_knuckle",),
    grasps={
        "object": {"between the jaws": BOX},
        "round": {"between the jaws": BOX},
        "rod": {"between the jaws": BOX},
        "bar": {"between the jaws": BAR},
        "lever": {"between the jaws": BAR},
    },
)

"""Franka Emika Panda: seven joints, so that a posture is free beside the hand's pose.

Joints, ranges, masses and the axes of its shapes are those of the published model, highest speeds
and torques the maker's; NOTICE names sources and licences.
"""

from pathlib import Path
from typing import Final

from gym_grasp.robots.base import Arm, Reach

PANDA: Final = Arm(
    name="panda",
    mjcf=Path(__file__).with_name("panda.xml"),
    joints=("joint1", "joint2", "joint3", "joint4", "joint5", "joint6", "joint7"),
    limits=(
        *((-2.8973, 2.8973), (-1.7628, 1.7628), (-2.8973, 2.8973), (-3.0718, -0.0698)),
        *((-2.8973, 2.8973), (-0.0175, 3.7525), (-2.8973, 2.8973)),
    ),
    speeds=(2.175, 2.175, 2.175, 2.175, 2.61, 2.61, 2.61),
    torques=(87.0, 87.0, 87.0, 87.0, 12.0, 12.0, 12.0),
    payload=2.8,  # the maker's 3 kg less the bracket
    home=(0.0, -0.073, 0.0, -2.4261, 0.0, 2.3531, -0.7854),  # the SIH at (.42, 0, .28) m
    reach=Reach(
        wrist_centre=(0.162, 0.0, -0.02),  # the origin of joint7
        shoulder=(-0.12, 0.0, 0.333),
        nearest=0.30,
        farthest=0.80,
        clearance=0.2,
        lowest=0.07,  # housings of 0.05 m
        comfort=(
            *((-2.6, 2.6), (-1.4, 1.4), (-1.6, 1.6), (-2.85, -0.45)),
            *((-2.2, 2.2), (0.5, 3.65), (-2.8, 2.8)),
        ),
        margin=0.1,
        bent=("joint4",),
    ),
)

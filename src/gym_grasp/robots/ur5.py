"""Universal Robots UR5: figures as in ROS-Industrial's ur_description, payload as the
maker's."""

import math
from pathlib import Path
from typing import Final

from gym_grasp.robots.base import Arm, Reach

UR5: Final = Arm(
    name="ur5",
    mjcf=Path(__file__).with_name("ur5.xml"),
    joints=("shoulder_pan", "shoulder_lift", "elbow", "wrist_1", "wrist_2", "wrist_3"),
    limits=(
        *2 * ((-2 * math.pi, 2 * math.pi),),
        (-math.pi, math.pi),
        *3 * ((-2 * math.pi, 2 * math.pi),),
    ),
    speeds=6 * (math.pi,),
    torques=(150.0, 150.0, 150.0, 28.0, 28.0, 28.0),
    payload=5.0,
    home=(-0.3784, -1.7988, 2.1326, -0.3338, 1.1924, 1.5708),  # the SIH at (.42, 0, .28) m
    reach=Reach(
        wrist_centre=(0.0, 0.0, -0.0823),  # the origin of wrist_2
        shoulder=(0.0, 0.0, 0.089159),
        nearest=0.22,
        farthest=0.75,
        clearance=0.17,
        lowest=0.07,  # housings of 0.04 m
        comfort=(
            *((-2.6, 2.6), (-3.0, 0.1), (0.25, 2.75)),
            *((-4.5, 3.0), (0.03, 3.11), (-2.5, 6.0)),
        ),
        margin=0.1,
        bent=("elbow", "wrist_2"),
    ),
)

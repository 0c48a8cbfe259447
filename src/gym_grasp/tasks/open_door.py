"""OpenDoor: turn the lever handle down and pull the door open."""

from dataclasses import dataclass
from math import radians
from typing import Any, ClassVar, Literal

import mujoco
import torch
from torch import Tensor

from gym_grasp.physics.base import Physics
from gym_grasp.robots.robot import Robot
from gym_grasp.tasks.base import Options, Task
from gym_grasp.tasks.features import Feature, pose
from gym_grasp.tasks.placement import Placement

OPEN = radians(45.0)
"""Opening angle at which the task is done, in rad (the paper's)."""


@dataclass(frozen=True)
class DoorOptions(Options):
    """What can be chosen about OpenDoor."""

    placement: Literal["fixed", "varied"] = "varied"
    """Where the door stands: `varied`, moved by up to 5 cm in x and y and turned by up to 15° about
    its closed handle, or `fixed`."""


class OpenDoor(Task):
    """A latched door in a frame, hinged on the right; it opens towards the robot.

    The latch lets go once the lever is pressed down by about 0.35 rad.
    """

    name = "open-door"
    version = 5
    changelog = (
        "first version",
        "joints keep their speed limits; coupled fingers; self-collision; a solid floor",
        "the arm stays within reach and gentle; operators move as people do; the door stands "
        "elsewhere in every episode (±5 cm, ±15°)",
        "the hand comes to furniture slower and softer; the door stands 3 cm farther",
        "fingers grip with .95 × their torque; palm and arm press furniture softer",
        "softer where friction holds a fingertip, or joints of the arm cancel out",
    )
    summary = "Press the lever down and pull the door open. Done when it is open by 45°."
    success_threshold = "door angle ≥ 45°"
    Options = DoorOptions
    things = ("lever",)
    variants: ClassVar = {"furniture ± 5 cm, 15°": {"placement": "varied"}}

    def __init__(
        self, model: mujoco.MjModel, device: torch.device, robot: Robot, options: Any = None
    ) -> None:
        super().__init__(model, device, robot, options)
        self.hinge = int(model.joint("door").qposadr[0])
        self.handle = model.body("lever").id
        self._placement = Placement(model, "frame", "handle", device)

    def start(self, seeds: Tensor) -> Tensor:
        """A closed door where `placement` wants it, its latch caught, and a slightly random arm."""
        return self.arm_noise(seeds)

    def randomise(self, seeds: Tensor) -> dict[str, Tensor]:
        return self._placement.draw(seeds) if self.options.placement == "varied" else {}

    def constants(self, seeds: Tensor) -> dict[str, Tensor]:
        return {}  # the same door elsewhere

    def angle(self, physics: Physics) -> Tensor:
        """How far the door is open, in rad. Shape (N,)."""
        return physics.bind("qpos")[:, self.hinge]

    @classmethod
    def scene_features(cls, options: Any) -> dict[str, Feature]:
        return {"handle_pose": pose("grip of the lever")}

    def observe_scene(self, physics: Physics) -> dict[str, Tensor]:
        return {"handle_pose": self.pose_of_body(physics, self.handle)}

    def progress(self, physics: Physics) -> Tensor:
        """Opening angle, as a share of what is asked for."""
        return self.angle(physics) / OPEN

    def hand_distance(self, physics: Physics) -> Tensor:
        """Distance of the palm from the handle."""
        palm = physics.bind("site_xpos")[:, self.palm]
        return (palm - physics.bind("xpos")[:, self.handle]).norm(dim=-1)

    def success(self, physics: Physics) -> Tensor:
        return self.angle(physics) >= OPEN

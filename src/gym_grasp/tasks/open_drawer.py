"""OpenDrawer: pull the drawer open by its handle."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import mujoco
import torch
from torch import Tensor

from gym_grasp.physics.base import Physics
from gym_grasp.robots.robot import Robot
from gym_grasp.tasks.base import Options, Task
from gym_grasp.tasks.features import Feature, pose, scalar
from gym_grasp.tasks.placement import Placement

OPEN = 0.20
"""Opening at which the task is done, in m (the paper's)."""


@dataclass(frozen=True)
class DrawerOptions(Options):
    """What can be chosen about OpenDrawer."""

    placement: Literal["fixed", "varied"] = "fixed"
    """Where the cabinet stands: `fixed`, so that the opening alone tells where the handle is, as in
    the paper, or `varied`, moved by up to 5 cm in x and y and turned by up to 15° about the closed
    handle, whose pose is observed then."""


class OpenDrawer(Task):
    """A cabinet stands on the table; its drawer slides .28 m towards the robot."""

    name = "open-drawer"
    version = 5
    changelog = (
        "first version",
        "joints keep their speed limits; coupled fingers; self-collision; a solid floor",
        "the arm stays within reach and gentle; operators move as people do; option `placement`",
        "the hand comes to furniture slower and softer",
        "fingers grip with .95 × their torque; palm and arm press furniture softer",
        "softer where friction holds a fingertip, or joints of the arm cancel out",
    )
    summary = "Pull the drawer open by its handle. Done when it is open by 0.2 m."
    success_threshold = "drawer opening ≥ 0.2 m"
    Options = DrawerOptions
    things = ("drawer",)
    variants: ClassVar = {"furniture ± 5 cm, 15°": {"placement": "varied"}}

    def __init__(
        self, model: mujoco.MjModel, device: torch.device, robot: Robot, options: Any = None
    ) -> None:
        super().__init__(model, device, robot, options)
        self.slide = int(model.joint("drawer").qposadr[0])
        self.handle = model.site("handle").id
        self.varied = self.options.placement == "varied"
        self._placement = Placement(model, "cabinet", "handle", device)

    def start(self, seeds: Tensor) -> Tensor:
        """A closed drawer where `placement` wants it, and a slightly random arm."""
        return self.arm_noise(seeds)

    def randomise(self, seeds: Tensor) -> dict[str, Tensor]:
        return self._placement.draw(seeds) if self.varied else {}

    def constants(self, seeds: Tensor) -> dict[str, Tensor]:
        return {}  # the same cabinet elsewhere

    def opening(self, physics: Physics) -> Tensor:
        """How far the drawer is open, in m. Shape (N,)."""
        return physics.bind("qpos")[:, self.slide]

    @classmethod
    def scene_features(cls, options: Any) -> dict[str, Feature]:
        opening = {"drawer_opening": scalar("how far the drawer is open", "m")}
        varied = options.placement == "varied"
        return opening | ({"handle_pose": pose("middle of the handle")} if varied else {})

    def observe_scene(self, physics: Physics) -> dict[str, Tensor]:
        opening = {"drawer_opening": self.opening(physics)[:, None]}
        if not self.varied:
            return opening
        return opening | {"handle_pose": self.pose_of_site(physics, self.handle)}

    def progress(self, physics: Physics) -> Tensor:
        """Opening, as a share of what is asked for."""
        return self.opening(physics) / OPEN

    def hand_distance(self, physics: Physics) -> Tensor:
        """Distance of the palm from the handle."""
        sites = physics.bind("site_xpos")
        return (sites[:, self.palm] - sites[:, self.handle]).norm(dim=-1)

    def success(self, physics: Physics) -> Tensor:
        return self.opening(physics) >= OPEN

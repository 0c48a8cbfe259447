"""OpenDrawer: pull the drawer open by its handle."""

from typing import Any

import mujoco
import torch
from torch import Tensor

from gym_grasp.physics.base import Physics
from gym_grasp.robots.robot import Robot
from gym_grasp.tasks.base import Task
from gym_grasp.tasks.features import Feature, scalar

OPEN = 0.20
"""Opening at which the task is done, in m (the paper's)."""


class OpenDrawer(Task):
    """A cabinet stands on the table; its drawer slides .28 m towards the robot."""

    name = "open-drawer"
    version = 2
    changelog = (
        "first version",
        "joints keep their speed limits; coupled fingers; self-collision; a solid floor",
        "the arm stays within reach and gentle; operators move as people do",
    )
    summary = "Pull the drawer open by its handle. Done when it is open by 0.2 m."
    success_threshold = "drawer opening ≥ 0.2 m"

    def __init__(
        self, model: mujoco.MjModel, device: torch.device, robot: Robot, options: Any = None
    ) -> None:
        super().__init__(model, device, robot, options)
        self.slide = int(model.joint("drawer").qposadr[0])
        self.handle = model.site("handle").id

    def start(self, seeds: Tensor) -> Tensor:
        """A closed drawer and a slightly random arm."""
        return self.arm_noise(seeds)

    def opening(self, physics: Physics) -> Tensor:
        """How far the drawer is open, in m. Shape (N,)."""
        return physics.bind("qpos")[:, self.slide]

    @classmethod
    def scene_features(cls, options: Any) -> dict[str, Feature]:
        return {"drawer_opening": scalar("how far the drawer is open", "m")}

    def observe_scene(self, physics: Physics) -> dict[str, Tensor]:
        return {"drawer_opening": self.opening(physics)[:, None]}

    def progress(self, physics: Physics) -> Tensor:
        """Opening, as a share of what is asked for."""
        return self.opening(physics) / OPEN

    def hand_distance(self, physics: Physics) -> Tensor:
        """Distance of the palm from the handle."""
        sites = physics.bind("site_xpos")
        return (sites[:, self.palm] - sites[:, self.handle]).norm(dim=-1)

    def success(self, physics: Physics) -> Tensor:
        return self.opening(physics) >= OPEN

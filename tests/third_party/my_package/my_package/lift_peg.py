"""LiftPeg: lift a peg off the table, and set it down again."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mujoco
import torch
from torch import Tensor

from gym_grasp.errors import UsageError
from gym_grasp.physics.base import Physics
from gym_grasp.robots.robot import Robot
from gym_grasp.tasks.base import Task
from gym_grasp.tasks.features import Feature, pose, scalar
from gym_grasp.tasks.random import uniform

AREA_LOW, AREA_HIGH = (0.45, -0.10), (0.60, 0.10)
"""Corners of where the peg stands, x and y, world, in m."""
STANDS = 0.035
"""Height of the peg's middle, in m, below which it stands on the table; at rest it is .03."""


@dataclass(frozen=True)
class PegOptions:
    """What can be chosen about LiftPeg."""

    clearance: float = 0.1
    """How far the peg has to be lifted, in m."""

    def __post_init__(self) -> None:
        """Raise `UsageError` for a clearance that cannot be."""
        if not 0.02 <= self.clearance <= 0.3:
            raise UsageError(f"clearance is {self.clearance}; it must be within [0.02, 0.3] m.")


class LiftPeg(Task):
    """A peg stands on the table; that it was lifted is remembered until the episode ends."""

    name = "lift-peg"
    summary = "Lift the peg and set it down again. Done when it was up and stands on the table."
    success_threshold = "peg lifted by `clearance`, then its middle < 0.035 m above the table"
    Options = PegOptions
    memory_size = 1

    def __init__(
        self, model: mujoco.MjModel, device: torch.device, robot: Robot, options: Any = None
    ) -> None:
        super().__init__(model, device, robot, options)
        self.peg = model.body("peg").id
        self.free = int(model.joint("peg").qposadr[0])
        self.low = torch.tensor(AREA_LOW, device=device)
        self.high = torch.tensor(AREA_HIGH, device=device)

    @classmethod
    def scene(cls) -> Path:
        return Path(__file__).with_name("lift_peg.xml")

    @classmethod
    def scene_features(cls, options: PegOptions) -> dict[str, Feature]:
        return {"peg_pose": pose("peg"), "lifted": scalar("whether the peg was lifted", "1")}

    def start(self, seeds: Tensor) -> Tensor:
        """The peg upright anywhere within the area, and a slightly random arm."""
        qpos = self.arm_noise(seeds)
        qpos[:, self.free : self.free + 2] = uniform(seeds, self.low, self.high, stream=1)
        return qpos

    def remember(self, physics: Physics) -> Tensor:
        """1 from the step on in which the peg is up."""
        up = self.rise(physics) >= self.options.clearance
        return torch.maximum(self.memory, up[:, None].float())

    def observe_scene(self, physics: Physics) -> dict[str, Tensor]:
        return {"peg_pose": self.pose_of_body(physics, self.peg), "lifted": self.memory}

    def rise(self, physics: Physics) -> Tensor:
        """How far the peg is above where it stood, in m. Shape (N,)."""
        return physics.bind("xpos")[:, self.peg, 2] - 0.03

    def progress(self, physics: Physics) -> Tensor:
        """Half of it for the way up, half for the way down."""
        share = (self.rise(physics) / self.options.clearance).clamp(0.0, 1.0)
        return torch.where(self.memory[:, 0] > 0.0, 1.0 - share / 2, share / 2)

    def hand_distance(self, physics: Physics) -> Tensor:
        """Distance of the palm from the peg."""
        palm = physics.bind("site_xpos")[:, self.palm]
        return (palm - physics.bind("xpos")[:, self.peg]).norm(dim=-1)

    def success(self, physics: Physics) -> Tensor:
        low = physics.bind("xpos")[:, self.peg, 2] < STANDS
        return (self.memory[:, 0] > 0.0) & low

"""PourCup: pour the particles from the cup into the bowl."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import mujoco
import torch
from torch import Tensor

from gym_grasp.physics.base import Physics
from gym_grasp.robots.robot import Robot
from gym_grasp.tasks.base import Options, Task
from gym_grasp.tasks.features import Feature, pose
from gym_grasp.tasks.random import uniform

POURED = 0.8
"""Share of the particles in the bowl at which the task is done; the paper names none."""
NEAR = 0.5
"""Progress of particles that are over the bowl's middle, and not in it."""
APART = 0.22
"""Horizontal distance of cup and bowl in the scene, in m, where that progress begins."""
CUP_OFFSET = 0.06
"""Half-width of the uniform noise on the cup's start position, along x and y, in m."""
BOWL_OFFSET = 0.04
"""The same of the bowl's where it varies; its middle is as much farther from the cup then."""
LYING = 0.02
"""Depth below the table top from which a particle has left it, in m."""

# Inside of the vessels as in the scene, in m. Both are octagons, a little wider at the corners.
CUP_RADIUS, CUP_HEIGHT = 0.033, 0.115
BOWL_RADIUS, BOWL_RIM_RADIUS, BOWL_HEIGHT = 0.052, 0.089, 0.055


@dataclass(frozen=True)
class PourOptions(Options):
    """What can be chosen about PourCup."""

    bowl: Literal["fixed", "varied"] = "fixed"
    """Where the bowl stands: `fixed` and not observed, as in the paper, or `varied`, anywhere
    within 4 cm along x and y of a place 4 cm farther left, and observed."""


class PourCup(Task):
    """A cup of 10 particles and a bowl, 22 cm further left, stand on the table."""

    name = "pour-cup"
    version = 6
    changelog = (
        "first version",
        "the cup's linings are 8 cm thick: no particle is lost when it is crushed and flung away; "
        "progress counts how close particles come to the bowl",
        "joints keep their speed limits; coupled fingers; self-collision; a solid floor",
        "the arm stays within reach and gentle; operators move as people do; 10 particles instead "
        "of 16, which fall slowly; the cup's walls are 12 mm thick and nothing invisible surrounds "
        "them; the cup starts within ±6 cm instead of ±3; option `bowl`",
        "the cup falls as slowly as its particles, which no longer leave a dropped one through its "
        "wall; the operator holds it round its middle",
        "fingers grip with .95 × their torque; palm and arm press furniture softer",
        "softer where friction holds a fingertip, or joints of the arm cancel out",
    )
    summary = "Pour the particles from the cup into the bowl. Done when 80 % of them are in it."
    success_threshold = (
        "share of the particles in the bowl, and not in the cup, ≥ 0.8 (the paper gives no share)"
    )
    time_limit = 42.0
    Options = PourOptions
    things = ("cup", "bowl")
    variants: ClassVar = {"bowl ± 4 cm": {"bowl": "varied"}}

    def __init__(
        self, model: mujoco.MjModel, device: torch.device, robot: Robot, options: Any = None
    ) -> None:
        super().__init__(model, device, robot, options)
        self.cup = model.body("cup").id
        self.grip = model.site("cup").id
        particles = [
            body for body in map(model.body, range(model.nbody)) if body.name.startswith("particle")
        ]
        ids = [body.id for body in particles]
        assert ids == list(range(ids[0], ids[-1] + 1)), "particles stand together in the scene"
        self.particles = slice(ids[0], ids[-1] + 1)
        self.bowl = model.body("bowl").id
        self.varied = self.options.bowl == "varied"
        self.body_pos = torch.tensor(model.body_pos, dtype=torch.float32, device=device)
        self.spread = torch.full((2,), CUP_OFFSET, device=device)
        near = torch.tensor([-BOWL_OFFSET, 0.0], device=device)
        self.bowl_low, self.bowl_high = near, near + 2 * BOWL_OFFSET
        # What the cup's offset moves: its own position and every particle's slides.
        address = int(model.joint("cup").qposadr[0])
        joints = [address, *(int(model.jnt_qposadr[body.jntadr[0]]) for body in particles)]
        shift = torch.zeros(2, model.nq, device=device)
        for axis in range(2):
            shift[axis, [joint + axis for joint in joints]] = 1.0
        self.shift = shift

    def start(self, seeds: Tensor) -> Tensor:
        """The cup and what lies in it are moved by ±.06 m, the arm is slightly random."""
        offset = uniform(seeds, -self.spread, self.spread, stream=1)
        return self.arm_noise(seeds) + offset[:, :1] * self.shift[0] + offset[:, 1:] * self.shift[1]

    def randomise(self, seeds: Tensor) -> dict[str, Tensor]:
        if not self.varied:
            return {}
        position = self.body_pos.repeat(len(seeds), 1, 1)
        position[:, self.bowl, :2] += uniform(seeds, self.bowl_low, self.bowl_high, stream=2)
        return {"body_pos": position}

    def constants(self, seeds: Tensor) -> dict[str, Tensor]:
        return {}  # the same bowl elsewhere

    def from_bowl(self, physics: Physics) -> Tensor:
        """Positions of the particles from the bowl's bottom, in m. Shape (N, particles, 3)."""
        positions = physics.bind("xpos")
        return positions[:, self.particles] - positions[:, self.bowl, None]

    def share_poured(self, physics: Physics) -> Tensor:
        """Share of the particles that are in the bowl and not in the cup. Shape (N,)."""
        x, y, z = self.from_bowl(physics).unbind(-1)
        radius = BOWL_RADIUS + (BOWL_RIM_RADIUS - BOWL_RADIUS) * z / BOWL_HEIGHT
        in_bowl = (x.hypot(y) < radius) & (z > 0) & (z < BOWL_HEIGHT)
        return (in_bowl & ~self.in_cup(physics)).float().mean(dim=-1)

    def spilled(self, physics: Physics) -> Tensor:
        """Share of the particles beside cup and bowl, lying or falling below the bowl's rim."""
        x, y, z = self.from_bowl(physics).unbind(-1)
        over_bowl = (x.hypot(y) < BOWL_RIM_RADIUS) & (z > -LYING)
        return ((z < BOWL_HEIGHT) & ~over_bowl & ~self.in_cup(physics)).float().mean(dim=-1)

    def lost(self, physics: Physics) -> Tensor:
        """Whether more particles are spilled than may be missing from the bowl."""
        return self.spilled(physics) > 1.0 - POURED + 1e-4

    def in_cup_frame(self, physics: Physics) -> Tensor:
        """Positions of the particles in the cup's frame, in m. Shape (N, particles, 3)."""
        positions = physics.bind("xpos")
        axes = physics.bind("xmat")[:, self.cup].view(-1, 1, 3, 3)
        offset = positions[:, self.particles] - positions[:, self.cup, None]
        # not a matrix product, which may run in TF32
        return (offset[..., None] * axes).sum(dim=-2)

    def in_cup(self, physics: Physics) -> Tensor:
        """Which particles are in the cup. Shape (N, particles), bool."""
        x, y, z = self.in_cup_frame(physics).unbind(-1)
        return (x.hypot(y) < CUP_RADIUS) & (z > 0) & (z < CUP_HEIGHT)

    @classmethod
    def scene_features(cls, options: Any) -> dict[str, Feature]:
        bowl = Feature("bottom of the bowl, world", "m", ("x", "y", "z"))
        varied = options.bowl == "varied"
        return {"cup_pose": pose("bottom of the cup")} | ({"bowl_position": bowl} if varied else {})

    def observe_scene(self, physics: Physics) -> dict[str, Tensor]:
        cup = {"cup_pose": self.pose_of_body(physics, self.cup)}
        return cup | ({"bowl_position": physics.bind("xpos")[:, self.bowl]} if self.varied else {})

    def progress(self, physics: Physics) -> Tensor:
        """Share of the particles to be poured that are, and half of how close the others come.

        Closeness is horizontal, from 0 where the cup stood to 1 over the bowl's middle. Without it
        nothing tells a cup knocked over towards the bowl from one knocked over away from it.
        """
        poured = (self.share_poured(physics) / POURED).clamp_max(1.0)
        offset = self.from_bowl(physics)[..., :2]
        close = (1.0 - offset.norm(dim=-1) / APART).clamp_min(0.0).mean(-1)
        return poured + (1.0 - poured) * NEAR * close

    def hand_distance(self, physics: Physics) -> Tensor:
        """Distance of the palm from the cup, where a hand holds it."""
        sites = physics.bind("site_xpos")
        return (sites[:, self.palm] - sites[:, self.grip]).norm(dim=-1)

    def success(self, physics: Physics) -> Tensor:
        return self.share_poured(physics) >= POURED

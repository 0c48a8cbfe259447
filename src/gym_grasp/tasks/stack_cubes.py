"""StackCubes: build a tower of three cubes."""

from dataclasses import dataclass
from itertools import permutations
from typing import Any, ClassVar, Literal

import mujoco
import torch
from torch import Tensor

from gym_grasp.physics.base import Physics
from gym_grasp.robots.robot import Robot
from gym_grasp.tasks.base import Options, Task
from gym_grasp.tasks.features import Feature, pose
from gym_grasp.tasks.random import uniform

CUBES = ("red_cube", "green_cube", "blue_cube")
EDGE = 0.06
"""Edge of a cube, in m."""
SPREAD = 0.04
"""Half-width of the uniform noise on each cube's place, x and y, in m."""
TURN = 0.3
"""Half-width of the uniform noise on each cube's yaw, in rad."""
OFFSET = 0.03
"""Largest horizontal offset of a cube from the one below it, in m: half an edge."""
LEVEL = 0.005
"""Largest deviation of a cube's height from that in a tower, in m."""
STILL = 0.05
"""Largest speed of a standing cube, in m/s, and rad/s times an edge."""
FALLEN = 0.03
"""Depth of a cube's middle below the table top from which it has left the table, in m."""
HAND_OFF = 0.02
"""Smallest distance of palm and fingertips from every cube, in m."""
REACH = (0.10, 0.14)
"""Distance of the second and of the third cube from its place where progress begins, in m; at
the start both are farther from it."""
PLACED = 0.03
"""Distance from its place, in m, below which the second cube is left alone."""

ORDERS = ((1, 0, 2), *(o for o in permutations(range(3)) if o != (1, 0, 2)))
"""Bottom, middle and top; where all are equally good, as at the start, the first counts."""

SIZES = {"fixed": 1.0, "small": 0.9, "large": 1.1}
"""Sizes of the cubes, by name."""


@dataclass(frozen=True)
class StackOptions(Options):
    """What can be chosen about StackCubes."""

    size: Literal["fixed", "small", "large"] = "fixed"
    """Edge of the cubes: `fixed`, 6 cm, or 10 % less or more at the same density, `small` or
    `large`. Lengths of the success rule stay."""


class StackCubes(Task):
    """Three cubes stand side by side on the table; any of them may be the lowest."""

    name = "stack-cubes"
    version = 5
    changelog = (
        "first version",
        "joints keep their speed limits; coupled fingers; self-collision; a solid floor",
        "the arm stays within reach and gentle; operators move as people do; cubes are stiffer",
        "the hand comes to the table softer",
        "fingers grip with .95 × their torque; palm and arm press furniture softer",
        "softer where friction holds a fingertip, or joints of the arm cancel out",
    )
    summary = "Stack the three cubes. Done when they stand still and the hand is off them."
    time_limit = 105.0
    things = CUBES
    success_threshold = (
        "three cubes on one another, each at most 0.03 m off the one below and slower than "
        "0.05 m/s; palm and fingertips at least 0.02 m off them"
    )
    Options = StackOptions
    variants: ClassVar = {"size × 0.9": {"size": "small"}, "size × 1.1": {"size": "large"}}

    def __init__(
        self, model: mujoco.MjModel, device: torch.device, robot: Robot, options: Any = None
    ) -> None:
        super().__init__(model, device, robot, options)
        self.cubes = [model.body(cube).id for cube in CUBES]
        self.cube_ids = torch.tensor(self.cubes, device=device)
        self.free = [int(model.joint(cube).qposadr[0]) for cube in CUBES]
        self.speed = [int(model.joint(cube).dofadr[0]) for cube in CUBES]
        self.edge = EDGE * SIZES[self.options.size]
        points = [self.palm, *self.indices.fingertips]
        self.points = torch.tensor(points, device=device)
        self.orders = torch.tensor(ORDERS, device=device)
        self.preference = 1e-6 * torch.arange(len(ORDERS), device=device)
        # The second and the third cube's places above the lowest. Shape (2, 3)
        self.places = torch.tensor(
            [[0.0, 0.0, self.edge], [0.0, 0.0, 2 * self.edge]], device=device
        )
        self.spread = torch.tensor([SPREAD, SPREAD, TURN] * len(CUBES), device=device)
        self.reach = torch.tensor(REACH, device=device)

    @classmethod
    def build_scene(cls, options: StackOptions) -> mujoco.MjSpec:
        scene, size = super().build_scene(options), SIZES[options.size]
        for body in map(scene.body, CUBES):
            body.pos[2] *= size
            for geom in body.geoms:
                geom.size, geom.mass = geom.size * size, geom.mass * size**3
        return scene

    def start(self, seeds: Tensor) -> Tensor:
        """Cubes at slightly random places and yaws, and a slightly random arm."""
        qpos = self.arm_noise(seeds)
        noise = uniform(seeds, -self.spread, self.spread, stream=1).view(-1, len(CUBES), 3)
        for index, free in enumerate(self.free):
            x, y, yaw = noise[:, index].unbind(-1)
            qpos[:, free] += x
            qpos[:, free + 1] += y
            qpos[:, free + 3] = torch.cos(yaw / 2)
            qpos[:, free + 6] = torch.sin(yaw / 2)
        return qpos

    @classmethod
    def scene_features(cls, options: Any) -> dict[str, Feature]:
        return {f"{cube}_pose": pose(cube.replace("_", " ")) for cube in CUBES}

    def observe_scene(self, physics: Physics) -> dict[str, Tensor]:
        return {
            f"{cube}_pose": self.pose_of_body(physics, body)
            for cube, body in zip(CUBES, self.cubes, strict=True)
        }

    def tower(self, physics: Physics) -> tuple[Tensor, Tensor]:
        """How far the cubes are from a tower, in the order that is nearest to one.

        Returns:
            What the second and the third cube lack to be in place on the lowest, in m, world,
            shape (N, 2, 3), and the order, bottom to top, shape (N, 3), int64.
        """
        # The batch is last within: many short rows are slow on a CPU. Shape (orders, 2, 3, N)
        position = physics.bind("xpos")[:, self.cube_ids].permute(1, 2, 0).contiguous()
        ordered = position[self.orders]
        error = ordered[:, :1] + self.places[..., None] - ordered[:, 1:]
        best = (self._closeness(error) - self.preference[:, None]).argmax(0)
        chosen = error.gather(0, best.expand(1, 2, 3, -1))[0]
        return chosen.permute(2, 0, 1).contiguous(), self.orders[best]

    def _closeness(self, error: Tensor) -> Tensor:
        """Of cubes that are off by `error` (..., 2, 3, N) from their places; shape (..., N)."""
        distance = error.square().sum(-2).sqrt()
        return (1.0 - distance / self.reach[:, None]).clamp_min(0.0).mean(-2)

    def hand_off(self, physics: Physics) -> Tensor:
        """Distance of the nearest of palm and fingertips from any cube, in m. Shape (N,)."""
        points = physics.bind("site_xpos")[:, self.points].permute(1, 2, 0).contiguous()
        cubes = physics.bind("xpos")[:, self.cube_ids].permute(1, 2, 0).contiguous()
        rotation = physics.bind("xmat")[:, self.cube_ids].view(-1, len(CUBES), 9)
        rotation = rotation.permute(1, 2, 0).contiguous().view(len(CUBES), 1, 3, 3, -1)
        # Not a matrix product, which may run in TF32. In the cubes' frames: (cubes, points, 3, N)
        offset = points - cubes[:, None]
        local = (offset[..., None, :] * rotation).sum(2)
        apart = (local.abs() - self.edge / 2).clamp_min(0.0).square().sum(2)
        return apart.amin((0, 1)).sqrt()

    def speed_of_cubes(self, physics: Physics) -> Tensor:
        """Largest speed of any cube, turning counted at an edge's distance, in m/s. Shape (N,)."""
        qvel = physics.bind("qvel")
        linear = torch.stack([qvel[:, dof : dof + 3].norm(dim=-1) for dof in self.speed], -1)
        angular = torch.stack([qvel[:, dof + 3 : dof + 6].norm(dim=-1) for dof in self.speed], -1)
        return torch.maximum(linear, angular * self.edge).amax(-1)

    def success(self, physics: Physics) -> Tensor:
        error, order = self.tower(physics)
        lowest = physics.bind("xpos")[:, self.cube_ids, 2].gather(1, order[:, :1])[:, 0]
        steps = torch.stack([error[:, 0], error[:, 1] - error[:, 0]], dim=1)
        stands = (steps[..., :2].norm(dim=-1) < OFFSET).all(-1)
        level = (error[..., 2].abs() < LEVEL).all(-1) & ((lowest - self.edge / 2).abs() < LEVEL)
        still = self.speed_of_cubes(physics) < STILL
        return stands & level & still & (self.hand_off(physics) > HAND_OFF)

    def lost(self, physics: Physics) -> Tensor:
        """Whether a cube is off the table; a tower that fell can be built again."""
        return (physics.bind("xpos")[:, self.cube_ids, 2] < -FALLEN).any(-1)

    def progress(self, physics: Physics) -> Tensor:
        """Closeness of the second and third cube to their places in the tower, half each."""
        return self._closeness(self.tower(physics)[0].permute(1, 2, 0))

    def hand_distance(self, physics: Physics) -> Tensor:
        """Distance of the palm from the nearer of both loose cubes, or from the last one."""
        error, order = self.tower(physics)
        cubes = physics.bind("xpos")[:, self.cube_ids]
        palm = physics.bind("site_xpos")[:, self.palm]
        loose = cubes.gather(1, order[:, 1:, None].expand(-1, 2, 3))
        distance = (loose - palm[:, None]).norm(dim=-1)
        placed = error[:, 0].norm(dim=-1) < PLACED
        return torch.where(placed, distance[:, 1], distance.amin(-1))

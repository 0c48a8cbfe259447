"""LiftObject: pick an object up from the table."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import mujoco
import numpy as np
import torch
from torch import Tensor

from gym_grasp.errors import UsageError, unknown
from gym_grasp.math.rotations import quat_turned
from gym_grasp.physics.base import Physics
from gym_grasp.robots.robot import Robot
from gym_grasp.tasks.base import Options, Task
from gym_grasp.tasks.features import Feature, pose
from gym_grasp.tasks.random import uniform
from gym_grasp.tasks.settling import settled_poses

LIFTED = 0.20
"""Height above the table at which the task is done, in m (the paper's)."""
AREA_LOW, AREA_HIGH = (0.45, -0.20), (0.65, 0.20)
"""Corners of where the object lies, x and y, world, in m."""
POSES = 128
"""Number of settled poses that start states choose from, each at any place and yaw."""
OBJECTS = Path(__file__).parent / "scenes" / "objects"
"""The objects, one MJCF file each: a body of spheres, capsules and boxes."""
HELD_OUT = OBJECTS / "held_out"
"""Objects kept for evaluation: nothing is trained with them."""
SPREAD = 0.15
"""Half-width of the uniform spread of the object's size, as a share of it."""
SIZES = {
    "fixed": (1.0, 1.0),
    "varied": (1 - SPREAD, 1 + SPREAD),
    "small": (0.9, 0.9),
    "large": (1.1, 1.1),
}
"""Least and most of the object's size, by name."""
SHAPES = (mujoco.mjtGeom.mjGEOM_SPHERE, mujoco.mjtGeom.mjGEOM_CAPSULE, mujoco.mjtGeom.mjGEOM_BOX)


@dataclass(frozen=True)
class LiftOptions(Options):
    """What can be chosen about LiftObject."""

    object: str = "box"
    """What lies on the table: box, sphere, capsule, dumbbell, or the path of an MJCF file. Kept for
    evaluation, and refused by training: brick, snowman, tee."""
    size: Literal["fixed", "varied", "small", "large"] = "varied"
    """`varied`: every length up to 15 % smaller or larger in each episode, at constant density;
    `fixed`: as in its file, the paper's single object; `small`, `large`: 10 % smaller, larger."""

    def __post_init__(self) -> None:
        """Raise `UsageError` for an object or a size that is not there."""
        super().__post_init__()
        object_path(self.object)


class LiftObject(Task):
    """An object lies on the table as it fell, anywhere in an area of 20 by 40 cm."""

    name = "lift-object"
    version = 5
    changelog = (
        "first version",
        "joints keep their speed limits; coupled fingers; self-collision; a solid floor",
        "the arm stays within reach and gentle; operators move as people do; the object's size "
        "differs by ±15 %",
        "the hand comes to the table softer",
        "fingers grip with .95 × their torque; palm and arm press furniture softer",
        "softer where friction holds a fingertip, or joints of the arm cancel out",
    )
    summary = "Pick the object up. Done when all of it is 0.2 m above the table."
    success_threshold = "lowest point of the object ≥ 0.2 m above the table"
    Options = LiftOptions
    things = ("object",)
    variants: ClassVar = {"size × 0.9": {"size": "small"}, "size × 1.1": {"size": "large"}}

    def __init__(
        self, model: mujoco.MjModel, device: torch.device, robot: Robot, options: Any = None
    ) -> None:
        super().__init__(model, device, robot, options)
        body = model.body("object")
        self.object = body.id
        self.free = int(model.joint("object").qposadr[0])
        self.tips = torch.tensor(self.indices.fingertips, device=device)  # the thumb's first
        solid = [
            geom
            for geom in range(body.geomadr[0], body.geomadr[0] + body.geomnum[0])
            if model.geom_contype[geom]
        ]
        # Poses of its solid geoms in its body's frame.
        rotation = np.zeros((len(solid), 9))
        for row, quat in zip(rotation, model.geom_quat[solid], strict=True):
            mujoco.mju_quat2Mat(row, quat)
        self.rotation = torch.tensor(rotation.reshape(-1, 3, 3), dtype=torch.float32, device=device)
        self.centre = torch.tensor(model.geom_pos[solid], dtype=torch.float32, device=device)
        # Half a box's edges, half a capsule's straight part along z; the rest is roundness.
        size = torch.tensor(model.geom_size[solid], dtype=torch.float32, device=device)
        shape = torch.tensor(model.geom_type[solid], device=device)[:, None]
        rounds = shape != int(mujoco.mjtGeom.mjGEOM_BOX)
        along_z = torch.tensor([0.0, 0.0, 1.0], device=device) * size[:, 1:2]
        self.extent = torch.where(rounds, along_z, size)
        self.radius = torch.where(rounds, size[:, :1], 0.0)[:, 0]
        poses = settled_poses(model, "object", self.start_qpos.double().cpu().numpy(), POSES)
        self.settled = torch.tensor(poses, dtype=torch.float32, device=device)
        # What changes with the object's size, with which power of it.
        ends = SIZES[self.options.size]
        self.varied = self.options.size != "fixed"
        self.smallest, self.largest = (torch.tensor([end], device=device) for end in ends)
        self.solid = solid[0]
        geoms = np.flatnonzero(model.geom_bodyid == self.object)
        dofs = int(model.joint("object").dofadr[0]) + np.arange(6)
        fields = (
            self._sized("geom_size", geoms, 1),
            self._sized("geom_pos", geoms, 1),
            self._sized("body_ipos", self.object, 1),
            self._sized("body_mass", self.object, 3),
            self._sized("body_inertia", self.object, 5),
        )
        self._fields = [field for field in fields if field[2].any()]
        self._constants = [
            self._sized("geom_rbound", geoms, 1),
            self._sized("geom_aabb", geoms, 1),
            self._sized("body_subtreemass", self.object, 3),
            self._sized("body_invweight0", self.object, (-3, -5)),
            self._sized("dof_invweight0", dofs, (-3, -3, -3, -5, -5, -5)),
        ]
        # Ends of x, y, yaw and of which settled pose.
        self.low = torch.tensor([*AREA_LOW, -math.pi, 0.0], device=device)
        self.high = torch.tensor([*AREA_HIGH, math.pi, float(POSES)], device=device)

    @classmethod
    def build_scene(cls, options: LiftOptions) -> mujoco.MjSpec:
        scene = with_object(super().build_scene(options), options.object)
        meshes = [g for g in scene.body("object").geoms if g.type == mujoco.mjtGeom.mjGEOM_MESH]
        if meshes and options.size != "fixed":
            raise UsageError(
                f"The object '{options.object}' is drawn by a mesh, whose size cannot differ by "
                "episode; give size='fixed', or draw it by primitives."
            )
        return scene

    @classmethod
    def held_out(cls, options: LiftOptions) -> bool:
        return object_path(options.object).parent == HELD_OUT

    def sizes(self, seeds: Tensor) -> Tensor:
        """Return the object's size in the episodes of these seeds, 1 as in its file. Shape (N,)."""
        if not self.varied:
            return torch.ones(len(seeds), device=self.device)
        return uniform(seeds, self.smallest, self.largest, stream=2)[:, 0]

    def randomise(self, seeds: Tensor) -> dict[str, Tensor]:
        if not self.varied:
            return {}
        sizes = self.sizes(seeds)
        return {name: resized(own, powers, sizes) for name, own, powers in self._fields}

    def constants(self, seeds: Tensor) -> dict[str, Tensor]:
        if not self.varied:
            return {}
        sizes = self.sizes(seeds)
        return {name: resized(own, powers, sizes) for name, own, powers in self._constants}

    def _sized(
        self, field: str, rows: Any, power: int | tuple[int, ...]
    ) -> tuple[str, Tensor, Tensor]:
        """Return a field, the model's own values of it, and the power of the size in each.

        Of `body_subtreemass` the world's is left out: nothing reads it.
        """
        own = np.array(getattr(self.model, field))
        powers = np.zeros_like(own)
        powers[rows] = power
        powers[own == 0.0] = 0.0
        values, exponents = (
            torch.tensor(array, dtype=torch.float32, device=self.device) for array in (own, powers)
        )
        return field, values, exponents

    def start(self, seeds: Tensor) -> Tensor:
        """A settled object of random size at a random place and yaw, a slightly random arm."""
        x, y, yaw, drop = uniform(seeds, self.low, self.high, stream=1).unbind(-1)
        pose = self.settled[drop.long().clamp_max(POSES - 1)]
        place = torch.stack([x, y, pose[:, 0] * self.sizes(seeds)], dim=-1)
        qpos = self.arm_noise(seeds)
        turned = quat_turned(pose[:, 1:], yaw)
        qpos[:, self.free : self.free + 7] = torch.cat([place, turned], dim=-1)
        return qpos

    def height(self, physics: Physics) -> Tensor:
        """Height of the object's lowest point above the table, in m. Shape (N,)."""
        up = physics.bind("xmat")[:, None, self.object, 6:]  # world z in the body's frame
        down = (up[..., None] * self.rotation).sum(-2)  # and in the geoms'
        middle = (up * self.centre).sum(-1)
        lowest = (middle - (down.abs() * self.extent).sum(-1) - self.radius).amin(-1)
        if self.varied:
            size = physics.get_field("geom_size")[:, self.solid, 0]
            lowest = lowest * (size / physics.model.geom_size[self.solid, 0]).float()
        return physics.bind("xpos")[:, self.object, 2] + lowest

    @classmethod
    def scene_features(cls, options: Any) -> dict[str, Feature]:
        return {"object_pose": pose("object")}

    def observe_scene(self, physics: Physics) -> dict[str, Tensor]:
        return {"object_pose": self.pose_of_body(physics, self.object)}

    def progress(self, physics: Physics) -> Tensor:
        """Height of its lowest point, as a share of what is asked for."""
        return (self.height(physics) / LIFTED).clamp_min(0.0)

    def hand_distance(self, physics: Physics) -> Tensor:
        """Distance of the object from the middle between thumb and fingers, their tips, in m.

        A quarter of its distance from each of the two is added: it is small only where the object
        is between them, neither beside the palm nor under the fingertips, and they have closed.
        """
        tips = physics.bind("site_xpos")[:, self.tips] - physics.bind("xpos")[:, None, self.object]
        thumb, fingers = tips[:, 0], tips[:, 1:].mean(1)
        middle = (thumb + fingers) / 2
        return middle.norm(dim=-1) + (thumb.norm(dim=-1) + fingers.norm(dim=-1)) / 4

    def success(self, physics: Physics) -> Tensor:
        return self.height(physics) >= LIFTED


def resized(own: Tensor, powers: Tensor, sizes: Tensor) -> Tensor:
    """Return values (…) times sizes (N,) to their powers (…). Shape (N, …)."""
    return own * sizes.view(-1, *[1] * own.dim()) ** powers


def object_path(name: str) -> Path:
    """Return the MJCF file of an object: of `OBJECTS`, of `HELD_OUT`, or the path itself.

    Raises:
        UsageError: there is none.
    """
    path = Path(name) if name.endswith(".xml") else OBJECTS / f"{name}.xml"
    if not path.is_file() and path.parent == OBJECTS:
        path = HELD_OUT / path.name
    if not path.is_file():
        if name.endswith(".xml"):
            raise UsageError(
                f"There is no object {path}; give the path of an MJCF file, as seen from "
                f"{Path.cwd()}."
            )
        known = [file.stem for file in OBJECTS.rglob("*.xml")]
        raise unknown("object", name, [*known, "<path of an MJCF file>.xml"])
    return path


def with_object(scene: mujoco.MjSpec, name: str) -> mujoco.MjSpec:
    """Put an object into the scene, as the free body `object` with the contacts of an object.

    Args:
        scene: where it is added, at the origin.
        name: as `object_path` takes it; the first body of the file is the object.

    Raises:
        UsageError: no such object, or its file holds something else.
    """
    path = object_path(name)
    try:
        body = mujoco.MjSpec.from_file(str(path)).worldbody.first_body()
    except ValueError as error:
        raise UsageError(f"MuJoCo cannot read the object {path}: {error}") from error
    if body is None:
        raise UsageError(f"{path} holds no object: expected a <body> in its <worldbody>.")
    body = scene.worldbody.add_frame().attach_body(body, "object_", "")
    body.name = "object"
    if not body.joints:
        body.add_freejoint()
    if [joint.type for joint in body.joints] != [mujoco.mjtJoint.mjJNT_FREE] or body.bodies:
        raise UsageError(f"{path} holds no single rigid body: leave out joints and inner bodies.")
    body.joints[0].name = "object"
    contacts = scene.find_default("scene_object").geom
    solid = [geom for geom in body.geoms if geom.contype]
    if not solid or any(geom.type not in SHAPES for geom in solid):
        raise UsageError(
            f"{path}: what touches must be spheres, capsules and boxes, at least one; "
            'give other geoms contype="0" conaffinity="0", then they are only drawn.'
        )
    for geom in solid:
        geom.contype, geom.conaffinity = contacts.contype, contacts.conaffinity
        geom.condim = max(geom.condim, contacts.condim)  # 6: with rolling friction
    return scene

"""LiftObject: pick an object up from the table."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import torch
from torch import Tensor

from gym_grasp.errors import UsageError, unknown
from gym_grasp.physics.base import Physics
from gym_grasp.robots.robot import Robot
from gym_grasp.tasks.base import Task
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
SHAPES = (mujoco.mjtGeom.mjGEOM_SPHERE, mujoco.mjtGeom.mjGEOM_CAPSULE, mujoco.mjtGeom.mjGEOM_BOX)


@dataclass(frozen=True)
class LiftOptions:
    """What can be chosen about LiftObject."""

    object: str = "box"
    """What lies on the table: box, sphere, capsule, dumbbell, or the path of an MJCF file."""

    def __post_init__(self) -> None:
        """Raise `UsageError` for an object that is not there."""
        object_path(self.object)


class LiftObject(Task):
    """An object lies on the table as it fell, anywhere within the hand's reach."""

    name = "lift-object"
    version = 2
    changelog = (
        "first version",
        "joints keep their speed limits; coupled fingers; self-collision; a solid floor",
        "the arm stays within reach and gentle; operators move as people do",
    )
    summary = "Pick the object up. Done when all of it is 0.2 m above the table."
    success_threshold = "lowest point of the object ≥ 0.2 m above the table"
    Options = LiftOptions

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
        # Ends of x, y, yaw and of which settled pose.
        self.low = torch.tensor([*AREA_LOW, -math.pi, 0.0], device=device)
        self.high = torch.tensor([*AREA_HIGH, math.pi, float(POSES)], device=device)

    @classmethod
    def build_scene(cls, options: LiftOptions) -> mujoco.MjSpec:
        return with_object(super().build_scene(options), options.object)

    def start(self, seeds: Tensor) -> Tensor:
        """A settled object at a random place and yaw, and a slightly random arm."""
        x, y, yaw, drop = uniform(seeds, self.low, self.high, stream=1).unbind(-1)
        pose = self.settled[drop.long().clamp_max(POSES - 1)]
        height, qw, qx, qy, qz = pose.unbind(-1)
        c, s = torch.cos(yaw / 2), torch.sin(yaw / 2)
        turned = [c * qw - s * qz, c * qx - s * qy, c * qy + s * qx, c * qz + s * qw]
        qpos = self.arm_noise(seeds)
        qpos[:, self.free : self.free + 7] = torch.stack([x, y, height, *turned], dim=-1)
        return qpos

    def height(self, physics: Physics) -> Tensor:
        """Height of the object's lowest point above the table, in m. Shape (N,)."""
        up = physics.bind("xmat")[:, None, self.object, 6:]  # world z in the body's frame
        down = (up[..., None] * self.rotation).sum(-2)  # and in the geoms'
        middle = (up * self.centre).sum(-1)
        lowest = (middle - (down.abs() * self.extent).sum(-1) - self.radius).amin(-1)
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


def object_path(name: str) -> Path:
    """Return the MJCF file of an object: one of those in `OBJECTS`, or the path itself.

    Raises:
        UsageError: there is none.
    """
    path = Path(name) if name.endswith(".xml") else OBJECTS / f"{name}.xml"
    if not path.is_file():
        if name.endswith(".xml"):
            raise UsageError(
                f"There is no object {path}; give the path of an MJCF file, as seen from "
                f"{Path.cwd()}."
            )
        known = [file.stem for file in OBJECTS.glob("*.xml")]
        raise unknown("object", name, [*known, "<path of an MJCF file>.xml"])
    return path


def with_object(scene: mujoco.MjSpec, name: str) -> mujoco.MjSpec:
    """Put an object into the scene, as the free body `object` with the contacts of an object.

    Args:
        scene: where it is added, at the origin.
        name: one of those in `OBJECTS`, or the path of an MJCF file whose first body it is.

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

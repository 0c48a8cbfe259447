"""What stands in a scene and does not give way: how far the robot's points are from it.

Table and furniture, movable parts of it included; not what can be picked up.
"""

import math
from typing import Final

import mujoco
import numpy as np
import torch
from torch import Tensor

from gym_grasp.math.linear import total
from gym_grasp.physics.base import Physics
from gym_grasp.robots.robot import Indices

ROUNDED: Final = 0.01
"""Most of a box's edges that counts as rounded, in m: a point may be so deep in it and still be led
outwards."""


class Obstacles:
    """The solid geoms of a scene that are neither the robot's nor free, as boxes with round edges.

    Args:
        physics: the simulations. Places are each simulation's, sizes the model's.
        indices: of the robot in them.
    """

    def __init__(self, physics: Physics, indices: Indices) -> None:
        model, device = physics.model, physics.device
        ours = model.body_rootid[model.geom_bodyid] == model.body_rootid[indices.wrist_body]
        robot = np.flatnonzero(ours)
        solid = [geom for geom in range(model.ngeom) if _stands(model, geom, robot)]
        self._geoms = torch.tensor(solid, dtype=torch.long, device=device)
        self._xpos, self._xmat = physics.bind("geom_xpos"), physics.bind("geom_xmat")
        boxes = [_rounded_box(model, geom) for geom in solid]
        table = torch.tensor(boxes, dtype=torch.float32, device=device).reshape(-1, 7)
        self._middle, self._half = (
            part.T[:, None, :, None] for part in (table[:, :3], table[:, 3:6])
        )
        self._radius = table[:, 6, None]

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._geoms)

    def nearest(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return how far points are from the nearest obstacle, of at least one, and the ways to it.

        Args:
            points: in the world, in m. Shape (3, P, N).

        Returns:
            Distances in m, negative inside, shape (P, N); and unit vectors from the points
            towards what is nearest, world, shape (3, P, N).
        """
        count = len(self)
        turn = self._xmat[:, self._geoms].reshape(-1, count, 3, 3).permute(2, 3, 1, 0).contiguous()
        place = self._xpos[:, self._geoms].permute(2, 1, 0).contiguous()
        way = points[:, :, None] - place[:, None]
        out = []
        for axis in range(3):
            here = total(way * turn[:, axis, None]) - self._middle[axis]
            half = self._half[axis]
            out.append(here - torch.minimum(torch.maximum(here, -half), half))
        distances = total([part.square() for part in out]).sqrt() - self._radius
        distance, which = distances.min(1)
        chosen = which[:, None]
        out = [part.gather(1, chosen)[:, 0] for part in out]
        length = (distance + self._radius[:, 0][which]).clamp_min(1e-6)
        turn = turn.permute(0, 1, 3, 2)  # (3, 3, N, O)
        turn = turn.gather(3, which.T.expand(3, 3, -1, -1)).transpose(2, 3)  # (3, 3, P, N)
        towards = total([turn[:, axis] * out[axis] for axis in range(3)])
        return distance, towards / -length


def loose(model: mujoco.MjModel, body: int) -> bool:
    """Return whether nothing holds a body: an object, or a particle on three slides."""
    root = model.body_rootid[body]
    first = model.body_jntadr[root]
    types = model.jnt_type[first : first + model.body_jntnum[root]].tolist()
    joint = mujoco.mjtJoint
    return int(joint.mjJNT_FREE) in types or types.count(int(joint.mjJNT_SLIDE)) == 3


def _stands(model: mujoco.MjModel, geom: int, robot: np.ndarray) -> bool:
    """Whether a geom meets the robot's and belongs to what cannot be picked up."""
    body = model.geom_bodyid[geom]
    kinds, meets = model.geom_contype, model.geom_conaffinity
    met = (kinds[geom] & meets[robot]) | (meets[geom] & kinds[robot])
    return bool(met.any()) and geom not in robot and not loose(model, body)


def _rounded_box(model: mujoco.MjModel, geom: int) -> list[float]:
    """Middle and half sizes of a geom's core in its own frame, and the radius around it, in m."""
    kind, size = int(model.geom_type[geom]), model.geom_size[geom]
    if kind == mujoco.mjtGeom.mjGEOM_PLANE:
        return [0.0, 0.0, 0.0, math.inf, math.inf, 0.0, 0.0]
    if kind == mujoco.mjtGeom.mjGEOM_CAPSULE:
        return [0.0, 0.0, 0.0, 0.0, 0.0, size[1], size[0]]
    if kind == mujoco.mjtGeom.mjGEOM_SPHERE:
        return [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, size[0]]
    middle, half = model.geom_aabb[geom, :3], model.geom_aabb[geom, 3:]
    radius = min(ROUNDED, half.min())
    return [*middle, *(half - radius), radius]

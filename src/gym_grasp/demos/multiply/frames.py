"""Frames that parts of a demonstration refer to: how they moved, modulo what looks the same."""

from dataclasses import dataclass
from itertools import product

import mujoco
import numpy as np
import torch
from torch import Tensor

from gym_grasp.math.rotations import (
    np_from_rotvec,
    np_matrix,
    np_multiply,
    np_rotate,
    quat_conjugate,
    quat_multiply,
    quat_turned,
)

SAME = 0.002
"""How far a shape's corners may be off after a turn that counts as a symmetry, in m."""
STEP = np.pi / 12
"""Turns about the axes that are tried, in rad: round things get as many."""
LOOSE = (int(mujoco.mjtJoint.mjJNT_FREE), int(mujoco.mjtJoint.mjJNT_BALL))
"""Joints of bodies that can lie in any way."""
UPRIGHT = 3.0
"""How much a tilt counts beside a turn about the vertical, which a hand can follow."""


def symmetries(model: mujoco.MjModel, body: int) -> np.ndarray:
    """Return the turns after which the solid geoms of a loose body look the same.

    Those of a body on a hinge or slide, or of a fixed one, are none: it matters which side of a
    door is which.

    Args:
        model: the compiled scene.
        body: number of the body.

    Returns:
        Quaternions in the body's frame, the first of them the identity. Shape (S, 4).
    """
    identity = np.array([1.0, 0.0, 0.0, 0.0])
    joints = model.jnt_type[model.jnt_bodyid == body]
    solid = (model.geom_contype != 0) | (model.geom_conaffinity != 0)
    geoms = np.flatnonzero((model.geom_bodyid == body) & solid)
    if not np.isin(joints, LOOSE).any() or not len(geoms):
        return identity[None]
    points, kinds = _corners(model, geoms)
    axes = np.eye(3)
    turns = [identity]
    for axis, count in product(range(3), range(1, round(2 * np.pi / STEP))):
        turns.append(np_from_rotvec(axes[axis] * count * STEP))
    upright = [turn for turn in turns if abs(_quarter(turn)) < 1e-9]
    found: list[np.ndarray] = []
    for first, second in product(turns, upright):
        turn = np_multiply(first, second)
        moved = points @ np_matrix(turn).T
        apart = np.linalg.norm(moved[:, None] - points[None], axis=-1)
        apart[kinds[:, None] != kinds[None]] = np.inf
        known = (abs(turn @ other) > 1 - 1e-9 for other in found)
        if apart.min(1).max() < SAME and not any(known):
            found.append(turn)
    return np.array(found)


def _quarter(turn: np.ndarray) -> float:
    """Return how far a turn is from a whole number of quarter turns, in rad."""
    angle = 2 * np.arccos(np.clip(abs(turn[0]), 0.0, 1.0))
    return float((angle + np.pi / 4) % (np.pi / 2) - np.pi / 4)


def _corners(model: mujoco.MjModel, geoms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return points (P, 3) that say where geoms are, body frame, in m, and a kind (P,) of each."""
    points, kinds, known = [], [], dict[tuple[float, ...], int]()
    signs = np.array(list(product((-1.0, 1.0), repeat=3)))
    for geom in geoms:
        shape, size = int(model.geom_type[geom]), model.geom_size[geom]
        if shape == mujoco.mjtGeom.mjGEOM_BOX:
            own, radius = signs * size, 0.0
        elif shape == mujoco.mjtGeom.mjGEOM_CAPSULE:
            own, radius = np.array([[0.0, 0.0, size[1]], [0.0, 0.0, -size[1]]]), size[0]
        else:
            own, radius = np.zeros((1, 3)), size[0]
        kind = known.setdefault((shape, round(float(radius), 3)), len(known))
        points += [np_rotate(model.geom_quat[geom], p) + model.geom_pos[geom] for p in own]
        kinds += [kind] * len(own)
    return np.array(points), np.array(kinds)


def describe(turns: np.ndarray) -> str:
    """Return in words how many turns look the same, such as `alone`, where there is only one."""
    return "alone" if len(turns) == 1 else f"one of {len(turns)} turns that look the same"


@dataclass
class Motion:
    """A turn about the vertical and then a shift, of a batch: where a part of the way has moved."""

    yaw: Tensor
    """In rad. Shape (N,)."""
    shift: Tensor
    """World, in m. Shape (N, 3)."""

    def place(self, position: Tensor, orientation: Tensor) -> tuple[Tensor, Tensor]:
        """Move positions (N, 3) and orientations (N, 4)."""
        return turned(position, self.yaw) + self.shift, quat_turned(orientation, self.yaw)

    def where(self, mask: Tensor, other: "Motion") -> None:
        """Take over another's rows in a mask (N,), in place."""
        self.yaw.copy_(torch.where(mask, other.yaw, self.yaw))
        self.shift.copy_(torch.where(mask[:, None], other.shift, self.shift))


def turned(position: Tensor, yaw: Tensor) -> Tensor:
    """Turn positions (..., 3) about the world's z axis by angles (...) in rad."""
    x, y, z = position.unbind(-1)
    c, s = torch.cos(yaw), torch.sin(yaw)
    return torch.stack([c * x - s * y, s * x + c * y, z], dim=-1)


def motion_between(
    before: tuple[Tensor, Tensor], after: tuple[Tensor, Tensor], turns: Tensor
) -> tuple[Motion, Tensor]:
    """Return how a thing has moved, as little turned as its symmetries allow.

    Args:
        before: position (N, 3) and orientation (N, 4) in the demonstration.
        after: the same now.
        turns: that look the same, thing's frame. Shape (N, S, 4).

    Returns:
        The motion, and the tilt that it leaves out, in rad. Shape (N,).
    """
    alike = quat_multiply(after[1][:, None], turns)
    yaw, tilt = yaw_of(alike, before[1][:, None])
    best = (UPRIGHT * tilt + yaw.abs()).argmin(1, keepdim=True)
    yaw, tilt = yaw.gather(1, best)[:, 0], tilt.gather(1, best)[:, 0]
    return Motion(yaw, after[0] - turned(before[0], yaw)), tilt


def yaw_of(after: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
    """Return by how much orientations (..., 4) differ: about the vertical, and as a tilt, in rad.

    The first within ±π; shapes (...).
    """
    turn = quat_multiply(after, quat_conjugate(before).expand_as(after))
    w, x, y, z = turn.unbind(-1)
    yaw = 2 * torch.atan2(z, w)
    tilt = 2 * torch.asin((x.square() + y.square()).sqrt().clamp_max(1.0))
    return torch.atan2(torch.sin(yaw), torch.cos(yaw)), tilt

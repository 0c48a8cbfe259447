"""Rotations. Quaternions are w x y z, rotation vectors in rad.

Above, batches in torch, in the tensors' own precision; below, single ones in NumPy, float64 (names
begin with `np_`).
"""

import mujoco
import numpy as np
import torch
from torch import Tensor

_TINY = 1e-12


def quat_multiply(a: Tensor, b: Tensor) -> Tensor:
    """Hamilton product: the rotation `b` followed by `a`. Shape (..., 4)."""
    aw, av, bw, bv = a[..., :1], a[..., 1:], b[..., :1], b[..., 1:]
    w = aw * bw - (av * bv).sum(-1, keepdim=True)
    v = torch.addcmul(torch.addcmul(torch.linalg.cross(av, bv), aw, bv), bw, av)
    return torch.cat([w, v], dim=-1)


def quat_conjugate(q: Tensor) -> Tensor:
    """Inverse of a unit quaternion. Shape (..., 4)."""
    return torch.cat([q[..., :1], -q[..., 1:]], dim=-1)


def quat_rotate(q: Tensor, vector: Tensor) -> Tensor:
    """Turn vectors (..., 3) by unit quaternions (..., 4)."""
    real, imaginary = q[..., :1], q[..., 1:]
    once = 2.0 * torch.linalg.cross(imaginary, vector.expand_as(imaginary), dim=-1)
    return vector + real * once + torch.linalg.cross(imaginary, once, dim=-1)


def quat_from_rotvec(rotvec: Tensor) -> Tensor:
    """Unit quaternion of a rotation vector. (..., 3) to (..., 4)."""
    angle = rotvec.square().sum(-1, keepdim=True).clamp_min(_TINY).sqrt()
    return torch.cat([torch.cos(angle / 2), rotvec * (torch.sin(angle / 2) / angle)], dim=-1)


def rotvec_from_quat(q: Tensor) -> Tensor:
    """Shortest rotation vector of a unit quaternion. (..., 4) to (..., 3)."""
    q = torch.where(q[..., :1] < 0, -q, q)
    sine = q[..., 1:].square().sum(-1, keepdim=True).clamp_min(_TINY).sqrt()
    return q[..., 1:] * (2 * torch.atan2(sine, q[..., :1]) / sine)


def quat_turned(q: Tensor, yaw: Tensor) -> Tensor:
    """Turn orientations (..., 4) about the vertical, world, by angles (...) in rad."""
    w, x, y, z = q.unbind(-1)
    c, s = torch.cos(yaw / 2), torch.sin(yaw / 2)
    return torch.stack([c * w - s * z, c * x - s * y, c * y + s * x, c * z + s * w], dim=-1)


def limit_norm(vector: Tensor, limit: float | Tensor) -> Tensor:
    """Shorten vectors (..., D) that are longer than `limit`, a number or (..., 1)."""
    norm = vector.square().sum(-1, keepdim=True).clamp_min(_TINY).sqrt()
    return vector * (limit / norm).clamp_max(1.0)


def np_multiply(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Hamilton product: the rotation `b` followed by `a`. Shape (4,)."""
    out = np.empty(4)
    mujoco.mju_mulQuat(out, np.asarray(a, dtype=float), np.asarray(b, dtype=float))
    return out


def np_conjugate(q: np.ndarray) -> np.ndarray:
    """Inverse of a unit quaternion. Shape (4,)."""
    return np.asarray(q, dtype=float) * [1.0, -1.0, -1.0, -1.0]


def np_from_rotvec(rotvec: np.ndarray) -> np.ndarray:
    """Unit quaternion of a rotation vector. (3,) to (4,)."""
    angle = float(np.linalg.norm(rotvec))
    out = np.array([1.0, 0.0, 0.0, 0.0])
    if angle > 1e-9:
        mujoco.mju_axisAngle2Quat(out, np.asarray(rotvec, dtype=float) / angle, angle)
    return out


def np_rotate(q: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Turn a vector by a unit quaternion. Shape (3,)."""
    out = np.empty(3)
    mujoco.mju_rotVecQuat(out, np.asarray(vector, dtype=float), np.asarray(q, dtype=float))
    return out


def np_matrix(q: np.ndarray) -> np.ndarray:
    """Rotation matrix of a unit quaternion. Shape (3, 3)."""
    return np.stack([np_rotate(q, axis) for axis in np.eye(3)], axis=1)


def np_slerp(a: np.ndarray, b: np.ndarray, t: float) -> np.ndarray:
    """Interpolate between two unit quaternions on the shorter way, in their own type, (4,)."""
    cosine = float(a @ b)
    if cosine < 0.0:
        b, cosine = -b, -cosine
    angle = np.arccos(min(cosine, 1.0))
    if angle < 1e-6:
        return b.copy()
    return (np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle)

"""Batched rotations. Quaternions are w x y z, rotation vectors in rad; all float32 torch."""

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


def quat_from_rotvec(rotvec: Tensor) -> Tensor:
    """Unit quaternion of a rotation vector. (..., 3) to (..., 4)."""
    angle = rotvec.square().sum(-1, keepdim=True).clamp_min(_TINY).sqrt()
    return torch.cat([torch.cos(angle / 2), rotvec * (torch.sin(angle / 2) / angle)], dim=-1)


def rotvec_from_quat(q: Tensor) -> Tensor:
    """Shortest rotation vector of a unit quaternion. (..., 4) to (..., 3)."""
    q = torch.where(q[..., :1] < 0, -q, q)
    sine = q[..., 1:].square().sum(-1, keepdim=True).clamp_min(_TINY).sqrt()
    return q[..., 1:] * (2 * torch.atan2(sine, q[..., :1]) / sine)


def limit_norm(vector: Tensor, limit: float) -> Tensor:
    """Shorten vectors that are longer than `limit`. Shape (..., D)."""
    norm = vector.square().sum(-1, keepdim=True).clamp_min(_TINY).sqrt()
    return vector * (limit / norm).clamp_max(1.0)

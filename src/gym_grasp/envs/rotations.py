"""Batched rotations. Quaternions are w x y z, rotation vectors in rad; all float32 torch."""

import torch
from torch import Tensor

_TINY = 1e-12


def quat_multiply(a: Tensor, b: Tensor) -> Tensor:
    """Hamilton product: the rotation `b` followed by `a`. Shape (..., 4)."""
    aw, ax, ay, az = a.unbind(-1)
    bw, bx, by, bz = b.unbind(-1)
    return torch.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        dim=-1,
    )


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


def quat_from_matrix(matrix: Tensor) -> Tensor:
    """Unit quaternion with w ≥ 0 of a rotation matrix. (..., 3, 3) to (..., 4).

    Each component's magnitude comes from the diagonal; the row of the largest one gives the signs
    (Shepperd, 1978), without a branch.
    """
    m = matrix
    xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    wx, wy, wz = (
        m[..., 2, 1] - m[..., 1, 2],
        m[..., 0, 2] - m[..., 2, 0],
        m[..., 1, 0] - m[..., 0, 1],
    )
    xy, xz, yz = (
        m[..., 0, 1] + m[..., 1, 0],
        m[..., 0, 2] + m[..., 2, 0],
        m[..., 1, 2] + m[..., 2, 1],
    )
    # Row i is 4·qᵢ·q
    rows = torch.stack(
        [
            torch.stack([1 + xx + yy + zz, wx, wy, wz], -1),
            torch.stack([wx, 1 + xx - yy - zz, xy, xz], -1),
            torch.stack([wy, xy, 1 - xx + yy - zz, yz], -1),
            torch.stack([wz, xz, yz, 1 - xx - yy + zz], -1),
        ],
        dim=-2,
    )
    largest = torch.diagonal(rows, dim1=-2, dim2=-1).argmax(-1)
    q = rows.gather(-2, largest[..., None, None].expand(*largest.shape, 1, 4)).squeeze(-2)
    q = q / q.norm(dim=-1, keepdim=True)
    return torch.where(q[..., :1] < 0, -q, q)


def limit_norm(vector: Tensor, limit: float) -> Tensor:
    """Shorten vectors that are longer than `limit`. Shape (..., D)."""
    norm = vector.square().sum(-1, keepdim=True).clamp_min(_TINY).sqrt()
    return vector * (limit / norm).clamp_max(1.0)

"""Damped least squares in batches, in the way that suits each device.

On a GPU it is made of elementwise operations: a library call for 6×6 systems may wait for the
device (MAGMA's workspaces), and matrix products there may run in TF32, whose 10-bit mantissa is
too coarse for inverse kinematics. On the CPU, LAPACK takes fewer calls.
"""

import torch
from torch import Tensor


def damped_least_squares(jacobian_t: Tensor, error: Tensor, damping: float) -> Tensor:
    """Return Jᵀ(JJᵀ + λ²I)⁻¹e, the joint step that reduces a task-space error.

    Args:
        jacobian_t: Jᵀ, one row per joint. Shape (N, joints, m).
        error: e. Shape (N, m).
        damping: λ.

    Returns:
        Shape (N, joints). Rows do not mix: one that is not finite leaves the others alone.
    """
    solve = least_squares_lapack if error.device.type == "cpu" else least_squares_elementwise
    return solve(jacobian_t, error, damping)


def least_squares_lapack(jacobian_t: Tensor, error: Tensor, damping: float) -> Tensor:
    """`damped_least_squares` by Cholesky factorisation."""
    identity = torch.eye(error.shape[-1], device=error.device)
    gram = jacobian_t.mT @ jacobian_t + damping**2 * identity
    factor = torch.linalg.cholesky_ex(gram)[0]
    return (jacobian_t @ torch.cholesky_solve(error[:, :, None], factor)).squeeze(-1)


def least_squares_elementwise(jacobian_t: Tensor, error: Tensor, damping: float) -> Tensor:
    """`damped_least_squares` by Gauss-Jordan elimination, which needs no pivoting here."""
    size = error.shape[-1]
    identity = torch.eye(size, device=error.device)
    gram = (jacobian_t[:, :, :, None] * jacobian_t[:, :, None, :]).sum(dim=1)
    rows = torch.cat([gram + damping**2 * identity, error[:, :, None]], dim=-1)
    for k in range(size):
        pivot = rows[:, k : k + 1] / rows[:, k : k + 1, k : k + 1]
        # Row k becomes the pivot row, every other one loses its k-th entry.
        rows = torch.addcmul(rows, rows[:, :, k : k + 1] - identity[k, :, None], pivot, value=-1.0)
    return (jacobian_t * rows[:, None, :, size]).sum(dim=-1)

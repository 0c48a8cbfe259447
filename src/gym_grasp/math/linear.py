"""Damped least squares for many small systems at once, the same on every device.

The batch is the last dimension, so that each operation runs over it: on a CPU, thousands of 6×6
systems take a third of LAPACK's time (a few hundred take longer than by it), and on a GPU nothing
waits for the device, as library calls may (MAGMA's workspaces), or runs in TF32, whose 10-bit
mantissa is too coarse for inverse kinematics.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def damped_least_squares(jacobian_t: Tensor, error: Tensor, damping: float) -> Tensor:
    """Return Jᵀ(JJᵀ + λ²I)⁻¹e, the joint step that reduces a task-space error.

    Multiplications and additions are kept apart, so that rounding, and with it the last bit, does
    not depend on how many systems are solved together.

    Args:
        jacobian_t: Jᵀ, one row per joint. Shape (joints, m, N).
        error: e. Shape (m, N).
        damping: λ.

    Returns:
        Shape (joints, N). Systems do not mix: one that is not finite leaves the others alone.
    """
    joints, size, count = jacobian_t.shape
    system = torch.empty(size, size + 1, count, device=error.device)
    gram = system[:, :size]
    gram.copy_(jacobian_t[0, :, None] * jacobian_t[0])
    for joint in range(1, joints):
        gram += jacobian_t[joint, :, None] * jacobian_t[joint]
    gram.diagonal().add_(damping**2)
    system[:, size] = error
    solution = system[:, size]
    for k in range(size):  # no pivoting: the matrix is positive definite
        row = system[k, k + 1 :]
        row /= system[k, k]
        system[k + 1 :, k + 1 :] -= system[k + 1 :, k, None] * row
    for k in reversed(range(1, size)):
        solution[:k] -= system[:k, k] * solution[k]
    step = jacobian_t[:, 0] * solution[0]
    for k in range(1, size):
        step += jacobian_t[:, k] * solution[k]
    return step


def total(parts: Sequence[Tensor] | Tensor) -> Tensor:
    """Sum over the first dimension, in order.

    So that rounding does not depend on how many simulations there are.
    """
    summed = parts[0]
    for part in parts[1:]:
        summed = summed + part
    return summed

"""Damped least squares against torch.linalg in float64."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from gym_grasp.envs.linear import (
    damped_least_squares,
    least_squares_elementwise,
    least_squares_lapack,
)

Solver = Callable[[Tensor, Tensor, float], Tensor]
both = pytest.mark.parametrize("solve", [least_squares_lapack, least_squares_elementwise])
DAMPING = 0.05


def _problems(joints: int = 6, size: int = 6) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    jacobian_t = torch.randn(500, joints, size, generator=generator) * 0.5
    jacobian_t[:250, 0] = jacobian_t[:250, 1]  # half of them singular
    return jacobian_t, 0.1 * torch.randn(500, size, generator=generator)


@both
@pytest.mark.parametrize(("joints", "size"), [(6, 6), (7, 6), (2, 3)])
def test_solves_what_linalg_solves(solve: Solver, joints: int, size: int) -> None:
    jacobian_t, error = _problems(joints, size)
    exact = jacobian_t.double()
    gram = exact.mT @ exact + DAMPING**2 * torch.eye(size, dtype=torch.float64)
    expected = (exact @ torch.linalg.solve(gram, error.double())[:, :, None]).squeeze(-1)

    found = solve(jacobian_t, error, DAMPING)

    assert found.shape == (500, joints)
    assert found.dtype == torch.float32
    assert float((found - expected).abs().max()) < 1e-4


@both
def test_rows_do_not_mix(solve: Solver) -> None:
    jacobian_t, error = _problems()
    broken = jacobian_t.clone()
    broken[1] = float("nan")
    keep = torch.arange(500) != 1
    found = solve(broken, error, DAMPING)
    assert torch.equal(found[keep], solve(jacobian_t, error, DAMPING)[keep])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
def test_on_a_gpu_neither_waits_nor_rounds_to_tf32() -> None:
    jacobian_t, error = _problems()
    on_gpu = jacobian_t.cuda(), error.cuda()
    damped_least_squares(*on_gpu, DAMPING)
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = damped_least_squares(*on_gpu, DAMPING)
    finally:
        torch.cuda.set_sync_debug_mode("default")
        torch.set_float32_matmul_precision(precision)
    expected = damped_least_squares(jacobian_t, error, DAMPING)
    assert float((found.cpu() - expected).abs().max()) < 1e-4

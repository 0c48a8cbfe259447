"""Damped least squares against torch.linalg in float64."""

import pytest
import torch
from torch import Tensor

from gym_grasp.math.linear import damped_least_squares

DAMPING = 0.05


def _problems(joints: int = 6, size: int = 6) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    jacobian_t = torch.randn(joints, size, 500, generator=generator) * 0.5
    jacobian_t[0, :, :250] = jacobian_t[1, :, :250]  # half of them singular
    return jacobian_t, 0.1 * torch.randn(size, 500, generator=generator)


@pytest.mark.parametrize(("joints", "size"), [(6, 6), (7, 6), (2, 3)])
def test_solves_what_linalg_solves(joints: int, size: int) -> None:
    jacobian_t, error = _problems(joints, size)
    exact = jacobian_t.double().permute(2, 0, 1)
    gram = exact.mT @ exact + DAMPING**2 * torch.eye(size, dtype=torch.float64)
    expected = (exact @ torch.linalg.solve(gram, error.double().T)[:, :, None]).squeeze(-1)

    found = damped_least_squares(jacobian_t, error, DAMPING)

    assert found.shape == (joints, 500)
    assert found.dtype == torch.float32
    assert float((found.T - expected).abs().max()) < 1e-4


def test_systems_do_not_mix() -> None:
    jacobian_t, error = _problems()
    broken = jacobian_t.clone()
    broken[:, :, 1] = float("nan")
    keep = torch.arange(500) != 1
    found = damped_least_squares(broken, error, DAMPING)
    expected = damped_least_squares(jacobian_t, error, DAMPING)
    assert torch.equal(found[:, keep], expected[:, keep])


@pytest.mark.parametrize("count", [1, 3, 8, 31, 257])
def test_the_last_bit_does_not_depend_on_the_batch(count: int) -> None:
    jacobian_t, error = _problems()
    few = damped_least_squares(jacobian_t[..., :count], error[..., :count], DAMPING)
    assert torch.equal(few, damped_least_squares(jacobian_t, error, DAMPING)[:, :count])


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

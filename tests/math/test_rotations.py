import math

import pytest
import torch

from gym_grasp.math.rotations import (
    limit_norm,
    quat_conjugate,
    quat_from_rotvec,
    quat_multiply,
    rotvec_from_quat,
)


def random_quaternions(count: int) -> torch.Tensor:
    q = torch.randn(count, 4, generator=torch.Generator().manual_seed(0))
    q = q / q.norm(dim=-1, keepdim=True)
    return torch.where(q[:, :1] < 0, -q, q)


def test_product_by_hand():
    # a quarter turn about z, then one about x
    half = math.sqrt(0.5)
    about_z = torch.tensor([half, 0, 0, half])
    about_x = torch.tensor([half, half, 0, 0])
    assert quat_multiply(about_x, about_z).tolist() == pytest.approx([0.5, 0.5, -0.5, 0.5])


def test_conjugate_undoes():
    q = random_quaternions(500)
    identity = torch.tensor([1.0, 0.0, 0.0, 0.0]).expand_as(q)
    torch.testing.assert_close(quat_multiply(q, quat_conjugate(q)), identity, atol=1e-5, rtol=0)


def test_rotation_vector_round_trip():
    rotvec = torch.randn(500, 3, generator=torch.Generator().manual_seed(1))
    rotvec = limit_norm(rotvec, 3.1)
    back = rotvec_from_quat(quat_from_rotvec(rotvec))
    torch.testing.assert_close(back, rotvec, atol=1e-4, rtol=0)


def test_no_rotation_gives_finite_zero():
    assert rotvec_from_quat(quat_from_rotvec(torch.zeros(1, 3))).abs().max() < 1e-6


def test_limit_norm_keeps_short_vectors_and_directions():
    short, long = torch.tensor([[0.3, 0.4]]), torch.tensor([[3.0, 4.0]])
    assert torch.equal(limit_norm(short, 1.0), short)
    assert limit_norm(long, 1.0)[0].tolist() == pytest.approx([0.6, 0.8])

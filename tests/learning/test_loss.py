import math

import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from gym_grasp.learning import loss


def test_density_and_divergence_agree_with_torch():
    torch.manual_seed(0)
    mean, old_mean, action = torch.randn(3, 7, 4)
    log_std, old_log_std = 0.3 * torch.randn(2, 4)
    new = Independent(Normal(mean, log_std.exp()), 1)
    old = Independent(Normal(old_mean, old_log_std.exp()), 1)
    torch.testing.assert_close(loss.log_prob(action, mean, log_std), new.log_prob(action))
    torch.testing.assert_close(
        loss.gaussian_kl(old_mean, old_log_std, mean, log_std), kl_divergence(old, new).mean()
    )


def test_surrogate_by_hand():
    ratio = torch.tensor([1.5, 1.5, 0.5, 0.5, 1.1])
    advantage = torch.tensor([1.0, -1.0, 1.0, -1.0, 2.0])
    # Clip 0.2, the smaller of both: 1.2, −1.5, 0.5, −0.8, 2.2.
    value, clipped = loss.surrogate_loss(ratio.log(), torch.zeros(5), advantage, 0.2)
    assert value.item() == pytest.approx(-(1.2 - 1.5 + 0.5 - 0.8 + 2.2) / 5)
    assert clipped.item() == pytest.approx(4 / 5)


def test_value_loss_by_hand():
    value = torch.tensor([0.1, 1.0, 1.0])
    old = torch.zeros(3)
    target = torch.tensor([0.5, 2.0, 0.0])
    # Clipped to 0.1, 0.2, 0.2; the larger square: 0.4², 1.8², 1².
    result = loss.value_loss(value, old, target, 0.2)
    assert result.item() == pytest.approx((0.16 + 3.24 + 1.0) / 3)


def test_bounds_and_cloning_by_hand():
    mean = torch.tensor([[1.0, -1.3], [2.1, 0.0]])
    assert loss.bounds_loss(mean, 1.1).item() == pytest.approx((0.04 + 1.0) / 2)
    action = torch.tensor([[1.0, -1.0], [1.1, 0.0]])
    assert loss.cloning_loss(mean, action).item() == pytest.approx((0.09 + 1.0) / 4)


@pytest.mark.parametrize(
    ("kl", "expected"), [(0.033, 1e-3 / 1.5), (0.02, 1e-3), (0.007, 1.5e-3), (math.inf, 1e-3 / 1.5)]
)
def test_learning_rate_follows_the_divergence(kl, expected):
    result = loss.adapt_learning_rate(torch.tensor(1e-3), torch.tensor(kl), 0.016, 1e-5, 1e-2)
    assert result.item() == pytest.approx(expected)


def test_learning_rate_stays_within_its_ends():
    high = loss.adapt_learning_rate(torch.tensor(9e-3), torch.tensor(0.0), 0.016, 1e-5, 1e-2)
    low = loss.adapt_learning_rate(torch.tensor(1.2e-5), torch.tensor(1.0), 0.016, 1e-5, 1e-2)
    assert (high.item(), low.item()) == (pytest.approx(1e-2), pytest.approx(1e-5))

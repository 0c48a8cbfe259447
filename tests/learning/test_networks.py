import numpy as np
import pytest
import torch

from gym_grasp.learning.networks import ActorCritic, Policy, RunningNormalizer


def test_merged_moments_are_those_of_all_samples():
    generator = np.random.default_rng(0)
    batches = [generator.normal(5, s, (n, 3)).astype("f") for n, s in ((7, 1), (100, 9), (1, 2))]
    normalizer = RunningNormalizer(3)
    for batch in batches:
        normalizer.update(torch.from_numpy(batch))
    samples = np.concatenate(batches)
    np.testing.assert_allclose(normalizer.mean, samples.mean(0), rtol=1e-5)
    np.testing.assert_allclose(normalizer.var, samples.var(0), rtol=1e-5)
    assert normalizer.count == 108
    x = torch.from_numpy(samples)
    torch.testing.assert_close(normalizer.denormalize(normalizer.normalize(x)), x)


def test_policy_is_clipped_and_its_mean_is_not():
    policy = Policy(3, 2, (16, 16))
    with torch.no_grad():
        policy.actor[-1].bias.copy_(torch.tensor([3.0, -0.5]))
        policy.actor[-1].weight.zero_()
    assert policy(torch.randn(4, 3)).tolist() == [[1.0, -0.5]] * 4
    assert policy.mean(torch.randn(4, 3))[0, 0] == 3.0


def test_sizes_are_the_papers():
    model = ActorCritic(20, 11, (512, 256, 256), 0.5)
    shapes = [tuple(p.shape) for p in model.policy.actor.parameters() if p.ndim == 2]
    assert shapes == [(512, 20), (256, 512), (256, 256), (11, 256)]
    assert model.log_std.detach().exp().tolist() == pytest.approx([0.5] * 11)
    assert model.normalized_value(torch.randn(5, 20)).shape == (5,)

import numpy as np
import pytest
import torch

from gym_grasp.learning.networks import ActorCritic, Policy, RunningNormalizer, deviation_floor


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
    assert model.normalized_value(torch.randn(5, 20), torch.zeros(5, 0)).shape == (5,)


def test_layers_are_orthogonal_at_first():
    """Hidden ones with the gain √2; the action mean begins near 0, the value does not."""
    model = ActorCritic(6, 3, (6, 6), 0.5)
    for layers, last in ((model.policy.actor, 1e-2), (model.critic, 1.0)):
        for index, gain in ((0, 2**0.5), (2, 2**0.5), (4, last)):
            weight = layers[index].weight.detach()
            square = weight @ weight.T
            torch.testing.assert_close(square, gain**2 * torch.eye(len(weight)))
            assert layers[index].bias.abs().max() == 0


def test_what_never_varies_is_normalised_and_back():
    normalizer = RunningNormalizer(1)
    normalizer.update(torch.full((9, 1), 4.0))
    scaled = normalizer.normalize(torch.tensor([[4.01]]))
    assert scaled.item() == pytest.approx(0.01 / 1e-5**0.5, rel=1e-3)
    assert normalizer.denormalize(scaled).item() == pytest.approx(4.01)


def test_the_deviation_has_a_floor_by_unit():
    """Added in quadrature: 5 mm, 2° for angles and for a rotation's entries, else hardly any."""
    floor = deviation_floor(("m", "rad", "1", "N"))
    assert floor.tolist() == pytest.approx([0.005, 0.035, 0.035, 1e-5**0.5])
    policy = Policy(4, 2, (8,), floor)
    policy.normalizer.update(torch.tensor([[0.0], [0.024]]).expand(2, 4))  # deviation 0.012
    scaled = policy.normalizer.normalize(torch.full((1, 4), 0.012 + 0.013))
    expected = [0.013 / (0.012**2 + f**2) ** 0.5 for f in floor.tolist()]
    assert expected[0] == pytest.approx(1.0)
    assert scaled[0].tolist() == pytest.approx(expected, rel=1e-4)
    assert "normalizer.floor" in policy.state_dict()

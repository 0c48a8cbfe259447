"""The update itself: what it does with one fixed rollout, on the CPU and on a GPU."""

import pytest
import torch

from gym_grasp import capture
from gym_grasp.learning.config import TrainConfig
from gym_grasp.learning.learner import Learner


def updated(reach, demonstrate, device, epochs=1, precision="highest", **settings):
    """Learn from one fixed rollout; return the learner and each epoch's metrics."""
    env = reach(num_envs=32)
    env.device = torch.device(device)
    small = {"hidden_sizes": (32, 32), "demo_batch_size": 32, "horizon": 16, "initial_std": 0.5}
    config = TrainConfig(**small | settings)
    learner = Learner(env, config, demonstrate())
    torch.set_float32_matmul_precision(precision)
    generator = torch.Generator().manual_seed(1)
    for name in ("observations", "final_observations", "actions", "means", "rewards"):
        values = getattr(learner._rollout, name)
        values.copy_(torch.randn(values.shape, generator=generator))
    learner._rollout.means.mul_(0.01)
    learner._rollout.actions.mul_(0.5)
    learner._rollout.terminated[5, ::3] = True
    learner._rollout.truncated[9, ::4] = True
    last = torch.randn((32, env.observation_size), generator=generator).to(device)
    return learner, [learner.update(epoch, last) for epoch in range(epochs)]


def weights(learner):
    return torch.cat([parameter.detach().flatten() for parameter in learner._parameters])


def test_the_gradient_is_clipped_and_its_parts_are_told(reach, demonstrate):
    learner, [metrics] = updated(reach, demonstrate, "cpu", gradient_limit=1e-3)
    assert metrics["gradient/total"] > 1e-3
    assert torch.linalg.vector_norm(learner._gradient) == pytest.approx(1e-3, rel=1e-3)
    parts = [metrics[f"gradient/{n}"] for n in ("surrogate", "value", "bounds", "cloning")]
    # cloning weighs 50 at first and dwarfs the rest
    assert metrics["gradient/cloning"] == max(parts)
    assert sum(parts) >= metrics["gradient/total"] * 0.5


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_losses_on_a_gpu_are_those_on_the_cpu(reach, demonstrate):
    # one gradient step of all samples, since each device shuffles in its own way
    settings = {"mini_epochs": 1, "minibatch_size": 10_000, "demo_batch_size": 10_000}
    _, [expected] = updated(reach, demonstrate, "cpu", **settings)
    _, [found] = updated(reach, demonstrate, "cuda", **settings)
    for name, value in expected.items():
        if name.startswith(("loss/", "gradient/", "value/")):
            assert found[name] == pytest.approx(value, rel=1e-4, abs=1e-6), name


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_captured_step_is_the_very_step(reach, demonstrate, monkeypatch):
    captured, metrics = updated(reach, demonstrate, "cuda", epochs=3)
    monkeypatch.setattr(capture, "WARM_UP", 10**9)
    eager, expected = updated(reach, demonstrate, "cuda", epochs=3)
    torch.testing.assert_close(weights(captured), weights(eager), rtol=1e-4, atol=1e-6)
    assert metrics[-1]["loss/value"] == pytest.approx(expected[-1]["loss/value"], rel=1e-3)

"""Captured updates: the same tensors every time; on a GPU the same numbers as on the CPU."""

import pytest
import torch

from gym_grasp import capture
from gym_grasp.errors import UsageError
from gym_grasp.learning.config import TrainConfig
from gym_grasp.learning.learner import Learner

FLOAT32 = {"mixed_precision": False, "compile": False}
ONE_STEP = {"mini_epochs": 1, "minibatch_size": 10_000, "demo_batch_size": 10_000}


def updated(reach, demonstrate, device, epochs=1, **settings):
    """Learn from one fixed rollout; return the learner and each epoch's metrics."""
    env = reach(num_envs=32)
    env.device = torch.device(device)
    small = {"hidden_sizes": (32, 32), "demo_batch_size": 32, "horizon": 16, "initial_std": 0.5}
    config = TrainConfig(**small | settings)
    learner = Learner(env, config, demonstrate())
    torch.set_float32_matmul_precision("highest")
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


def test_updates_read_and_write_the_same_tensors(reach, demonstrate):
    """A GPU replays the addresses that it saw first."""
    learner, _ = updated(reach, demonstrate, "cpu")

    def places():
        own = {n: v for n, v in vars(learner).items() if isinstance(v, torch.Tensor)}
        own |= {f"sample {i}": v for i, v in enumerate(learner._samples)}
        own |= {f"{n}.grad": p.grad for n, p in learner.model.named_parameters()}
        own |= learner.model.state_dict() | {"rows": learner._minibatches.rows}
        return {name: tensor.data_ptr() for name, tensor in own.items()}

    before = places()
    assert len(before) > 30
    learner.update(1, torch.zeros(32, 4))
    learner.load_state_dict(learner.state_dict())
    assert places() == before


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_losses_on_a_gpu_are_those_on_the_cpu(reach, demonstrate):
    # one gradient step of all samples, since each device shuffles in its own way
    settings = ONE_STEP | FLOAT32
    _, [expected] = updated(reach, demonstrate, "cpu", **settings)
    _, [found] = updated(reach, demonstrate, "cuda", **settings)
    for name, value in expected.items():
        if name.startswith(("loss/", "gradient/", "value/")):
            assert found[name] == pytest.approx(value, rel=1e-4, abs=1e-6), name


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_captured_step_is_the_very_step(reach, demonstrate, monkeypatch):
    captured, metrics = updated(reach, demonstrate, "cuda", epochs=3, **FLOAT32)
    monkeypatch.setattr(capture, "WARM_UP", 10**9)
    eager, expected = updated(reach, demonstrate, "cuda", epochs=3, **FLOAT32)
    torch.testing.assert_close(weights(captured), weights(eager), rtol=1e-4, atol=1e-6)
    assert metrics[-1]["loss/value"] == pytest.approx(expected[-1]["loss/value"], rel=1e-3)


def assert_as_good(found, expected):
    """The losses of bfloat16 networks are within 1 %, and the gradient has the same direction."""
    learner, metrics = found
    other, exact = expected
    for name, value in exact.items():
        if name.startswith(("loss/", "policy/kl", "value/")):
            assert metrics[name] == pytest.approx(value, rel=0.01, abs=1e-3), name
    first, second = learner._gradient.cpu(), other._gradient.cpu()
    assert torch.cosine_similarity(first, second, dim=0) > 0.9995
    assert float(first.norm()) == pytest.approx(float(second.norm()), rel=0.01)
    assert not torch.equal(first, second)


def test_networks_in_bfloat16_learn_the_same(reach, demonstrate, monkeypatch):
    expected, [exact] = updated(reach, demonstrate, "cpu", **ONE_STEP)
    monkeypatch.setattr(TrainConfig, "accelerate", lambda self, name, possible: name[0] == "m")
    found, [metrics] = updated(reach, demonstrate, "cpu", **ONE_STEP)
    assert found._mixed_precision
    assert_as_good((found, metrics), (expected, exact))
    assert {p.dtype for p in found.model.parameters()} == {torch.float32}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_compiled_updates_in_bfloat16_learn_the_same(reach, demonstrate):
    expected, [exact] = updated(reach, demonstrate, "cuda", **ONE_STEP | FLOAT32)
    found, [metrics] = updated(reach, demonstrate, "cuda", **ONE_STEP)
    assert found._mixed_precision
    assert_as_good((found, metrics), (expected, exact))
    compiled, [metrics] = updated(
        reach, demonstrate, "cuda", **ONE_STEP, compile=True, mixed_precision=False
    )
    assert metrics["loss/value"] == pytest.approx(exact["loss/value"], rel=1e-4)
    torch.testing.assert_close(compiled._gradient, expected._gradient, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("compiles", [True, False])
def test_an_environment_that_can_be_compiled_is(reach, demonstrate, monkeypatch, compiles):
    """As on a GPU; torch.compile itself is left out."""
    monkeypatch.setattr(TrainConfig, "accelerate", lambda self, name, possible: compiles)
    monkeypatch.setattr("gym_grasp.learning.learner.compiled", lambda function: function)
    calls, env = [], reach(num_envs=8)
    env.compile = lambda: calls.append("compile")
    Learner(env, TrainConfig(hidden_sizes=(8,), horizon=4), demonstrate())
    assert calls == ["compile"] * compiles


@pytest.mark.parametrize("setting", ["mixed_precision", "compile"])
def test_what_a_cpu_cannot_do_is_refused(reach, demonstrate, setting):
    with pytest.raises(UsageError, match=f"{setting} is asked for, .* on a GPU"):
        updated(reach, demonstrate, "cpu", **{setting: True})
    updated(reach, demonstrate, "cpu", **{setting: False})

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest

from gym_grasp.errors import UsageError
from gym_grasp.learning.config import TrainConfig


def test_methods_are_what_they_learn_from():
    bc, ppo, dapg = (TrainConfig(method=method) for method in ("bc", "ppo", "dapg"))
    assert [c.steps_environment for c in (bc, ppo, dapg)] == [False, True, True]
    assert [c.needs_demonstrations for c in (bc, ppo, dapg)] == [True, False, True]
    assert not TrainConfig(method="dapg", bc_weight=0.0).needs_demonstrations
    assert [c.cloning_weight(7) for c in (bc, ppo, dapg)] == [1, 0, 50 * 0.99**7]
    assert dapg.cloning_weight(0) == 50


def test_a_clone_explores_quietly():
    assert TrainConfig(method="dapg").exploration_std == 0.05
    assert TrainConfig(method="ppo").exploration_std == 0.5
    assert TrainConfig(method="dapg", pretrain_epochs=0).exploration_std == 0.5
    assert TrainConfig(method="dapg", initial_std=0.7).exploration_std == 0.7
    with pytest.raises(UsageError, match="initial_std is 0"):
        TrainConfig(initial_std=0.0)


def test_only_dapg_pretrains():
    assert TrainConfig(method="dapg").pretrains
    assert not TrainConfig(method="dapg", pretrain_epochs=0).pretrains
    assert not TrainConfig(method="dapg", bc_weight=0.0).pretrains
    assert not TrainConfig(method="ppo").pretrains
    assert not TrainConfig(method="bc").pretrains


@pytest.mark.parametrize(
    ("envs", "minibatches"), [(1, 4), (512, 4), (4096, 4), (16_384, 16), (65_536, 64)]
)
def test_minibatches_fit_the_size(envs, minibatches):
    assert TrainConfig().minibatches(envs * 32) == minibatches
    assert TrainConfig(minibatch_size=10**9).minibatches(envs * 32) == 1


@pytest.mark.parametrize(
    "values",
    [
        {"epochs": 0},
        {"seed": 2**31},
        {"discount": 1.1},
        {"hidden_sizes": ()},
        {"method": "bcc"},
        {"min_learning_rate": 1.0},
        {"learning_rate": float("nan")},
        {"minibatch_size": 0},
        {"cloning_learning_rate": 0.0},
        {"pretrain_epochs": -1},
    ],
)
def test_values_out_of_range_are_refused(values):
    name = next(iter(values))
    with pytest.raises(UsageError, match=name):
        TrainConfig(**values)


@pytest.mark.parametrize(
    "values",
    [
        {"horizon": 1.5},
        {"epochs": True},
        {"seed": "3"},
        {"learning_rate": "a"},
        {"gae_lambda": None},
        {"hidden_sizes": 16},
        {"hidden_sizes": ["a"]},
        {"wandb": 1.5},
        {"compile": "yes"},
    ],
)
def test_values_of_another_type_are_refused(values):
    with pytest.raises(UsageError, match=next(iter(values))):
        TrainConfig(**values)


def test_equal_settings_are_equal_however_they_are_given():
    given = {"hidden_sizes": [8, 4], "epochs": np.int64(3), "discount": np.float32(0.5)}
    config = TrainConfig(**given)
    assert config == TrainConfig(hidden_sizes=(8, 4), epochs=3, discount=0.5)
    assert hash(config) == hash(TrainConfig(hidden_sizes=(8, 4), epochs=3, discount=0.5))
    assert json.loads(json.dumps(dataclasses.asdict(config)))["epochs"] == 3


def test_importing_the_settings_imports_no_torch():
    code = "import sys, gym_grasp.learning.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("values", [{"horizon": 64}, {"bc_weight": 5.0}, {"pretrain_epochs": 0}])
def test_bc_refuses_what_only_rollouts_use(values):
    name = next(iter(values))
    with pytest.raises(UsageError, match=f"{name} is .* 'bc' steps no environment"):
        TrainConfig(method="bc", **values)
    assert TrainConfig(method="dapg", **values)


@pytest.mark.parametrize(
    ("settings", "idle"),
    [
        ({"method": "ppo"}, {"bc_weight": 3.0}),
        ({"method": "ppo"}, {"bc_decay": 0.5}),
        ({"method": "ppo"}, {"demo_batch_size": 7}),
        ({"method": "ppo"}, {"pretrain_epochs": 0}),
        ({"method": "ppo"}, {"cloning_learning_rate": 1e-3}),
        ({"method": "ppo"}, {"cloning_noise": (0.1, 0.1)}),
        ({"method": "ppo"}, {"learning_rate": 1.0}),
        ({"bc_weight": 0.0}, {"bc_decay": 0.5}),
        ({"bc_weight": 0.0}, {"pretrain_epochs": 5}),
        ({"pretrain_epochs": 0}, {"cloning_learning_rate": 1e-3}),
        ({"pretrain_epochs": 0}, {"learning_rate": 1e-9}),
        ({}, {"learning_rate": 1e-4}),
    ],
    ids=str,
)
def test_a_setting_without_effect_is_named(settings, idle):
    TrainConfig(**settings).refuse_idle()
    (name,) = idle
    with pytest.raises(UsageError, match=f"{name} is .*(no use for it|must be within)"):
        TrainConfig(**settings, **idle).refuse_idle()


def test_pretraining_is_bc_with_the_settings_it_shares():
    whole = TrainConfig(horizon=64, pretrain_epochs=7, hidden_sizes=(8,), cloning_noise=(0.1, 0.2))
    clone = whole.of_pretraining()
    assert (clone.method, clone.epochs, clone.hidden_sizes) == ("bc", 7, (8,))
    assert clone.cloning_noise == (0.1, 0.2)


@pytest.mark.parametrize("noise", [(0.1,), (-1.0, 0.0), "ab", (float("nan"), 0.0), None])
def test_noise_is_two_deviations(noise):
    with pytest.raises(UsageError, match=r"cloning_noise is .* expected two standard deviations"):
        TrainConfig(cloning_noise=noise)

import itertools
import json
import math
from dataclasses import replace

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gym_grasp.errors import CheckpointError, DatasetError, UsageError
from gym_grasp.learning.checkpoint import CHECKPOINT, POLICY, load, load_policy
from gym_grasp.learning.config import TrainConfig
from gym_grasp.learning.evaluate import evaluate
from gym_grasp.learning.learner import Learner
from gym_grasp.learning.record import load_config
from gym_grasp.learning.train import train
from gym_grasp.learning.watch import Watch
from training import SMALL, run, same


def learned(folder):
    """Return the parts of a checkpoint that do not speak of time or method."""
    content = load(folder / CHECKPOINT, "training")
    return {key: content[key] for key in ("learner", "processes", "epoch")}


def test_dapg_without_weight_is_ppo(reach, demonstrate, tmp_path):
    run(reach(), tmp_path / "ppo", method="ppo", epochs=3)
    run(reach(), tmp_path / "dapg", demonstrate(), method="dapg", bc_weight=0.0, epochs=3)
    assert same(learned(tmp_path / "ppo"), learned(tmp_path / "dapg"))
    run(reach(), tmp_path / "both", demonstrate(), method="dapg", bc_weight=1.0, epochs=3)
    assert not same(learned(tmp_path / "ppo")["learner"], learned(tmp_path / "both")["learner"])


class Interrupt(Exception):  # noqa: N818
    pass


@pytest.mark.parametrize("method", ["bc", "ppo", "dapg"])
def test_resume_is_exact(reach, demonstrate, tmp_path, method):
    settings = {"method": method, "epochs": 6, "checkpoint_interval": 2}
    if method == "dapg":
        settings["pretrain_epochs"] = 3
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    run(reach(), whole, demonstrate(), **settings)

    def interrupt(epoch, metrics):
        if epoch == 4:  # one epoch past the last checkpoint
            raise Interrupt

    with pytest.raises(Interrupt):
        run(reach(), cut, demonstrate(), on_epoch=interrupt, **settings)
    assert load(cut / CHECKPOINT, "training")["epoch"] == 4
    torch.manual_seed(123)
    run(reach(), cut, demonstrate(), resume=True, **settings)

    assert same(learned(whole), learned(cut))
    rows = [json.loads((folder / "metrics.json").read_text())["epochs"] for folder in (whole, cut)]
    assert [row["epoch"] for row in rows[1]] == list(range(6))
    for row, other in zip(*rows, strict=True):
        assert {k: v for k, v in row.items() if "second" not in k} == {
            k: v for k, v in other.items() if "second" not in k
        }


def test_demonstrations_are_seen_with_noise(reach, demonstrate):
    """Another error for each gradient step, of the deviation of each value's unit."""
    env = reach()
    env.observation_units = ("m", "rad", "1", "N")
    config = TrainConfig(method="bc", hidden_sizes=(8,), cloning_noise=(0.1, 0.2))
    learner = Learner(env, config, demonstrate())
    drawn = []
    for step in range(40):
        learner._choose_samples(step % learner._sampler.batches_per_pass)
        drawn.append(learner._demo_noise.clone())
    assert not torch.equal(drawn[0], drawn[1])
    found = torch.cat(drawn)
    assert found.std(0).tolist() == pytest.approx([0.1, 0.2, 0.2, 0.0], rel=0.05)
    assert found.mean(0).abs().max() < 0.02
    noisy = learner._actor_terms()[1]["loss/cloning"]
    learner._demo_noise.zero_()
    assert not torch.equal(noisy, learner._actor_terms()[1]["loss/cloning"])


def test_the_learner_takes_the_floor_of_the_observations_units(reach):
    env = reach()
    env.observation_units = ("m", "rad", "1", "N")
    learner = Learner(env, TrainConfig(method="ppo", hidden_sizes=(8,)), None)
    floor = learner.model.policy.normalizer.floor
    assert floor.tolist() == pytest.approx([0.005, 0.035, 0.035, 1e-5**0.5])


def test_other_runs_are_not_resumed(reach, demonstrate, tmp_path):
    demos = demonstrate()
    run(reach(), tmp_path, demos, epochs=1)
    with pytest.raises(UsageError, match="gym-grasp resume"):
        run(reach(), tmp_path, demos, epochs=1)
    with pytest.raises(CheckpointError, match="horizon was 16, is 8"):
        run(reach(), tmp_path, demos, resume=True, epochs=2, horizon=8)
    with pytest.raises(CheckpointError, match="64 environments"):
        run(reach(num_envs=8), tmp_path, demos, resume=True, epochs=2)
    other = reach()
    other.description["spec"] |= {"version": 2, "tolerance": 0.2}
    both = "version: file 1, environment 2; tolerance: file 0.1, environment 0.2"
    with pytest.raises(CheckpointError, match=both):
        run(other, tmp_path, demos, resume=True, epochs=2)
    moved = type(demos)(**vars(demos) | {"fingerprint": "other"})
    with pytest.raises(CheckpointError, match="dataset toy, other"):
        run(reach(), tmp_path, moved, resume=True, epochs=2)
    with pytest.raises(CheckpointError, match="no file"):
        run(reach(), tmp_path / "none", demos, resume=True)
    run(reach(), tmp_path, demos, resume=True, epochs=2)  # more epochs are welcome


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_envs": 8}, "num_envs: it says 8, the run has 64"),
        ({"reward": "sparse"}, "reward: it says sparse"),
        ({"environment": {"spec": {"tolerance": 0.3}}}, "spec.tolerance: it says 0.3"),
    ],
)
def test_what_was_edited_and_is_not_read_is_not_ignored(
    reach, demonstrate, tmp_path, change, message
):
    run(reach(), tmp_path, demonstrate(), epochs=1)
    path = tmp_path / "config.json"
    whole = path.read_bytes()
    path.write_text(json.dumps(json.loads(whole) | change))
    with pytest.raises(CheckpointError, match=message):
        run(reach(), tmp_path, demonstrate(), resume=True, epochs=2)
    assert json.loads(path.read_bytes()) == json.loads(whole) | change
    for content in (whole, b"{", b"[]"):  # what is damaged is written anew
        path.write_bytes(content)
        run(reach(), tmp_path, demonstrate(), resume=True, epochs=2)
        assert json.loads(path.read_bytes())["num_envs"] == 64


@pytest.mark.parametrize(
    ("name", "value"),
    [("reward", "dense"), ("demo_starts", True), ("perturbation", {"mass": [1, 2]})],
)
def test_settings_that_decide_what_is_learned_stay(reach, tmp_path, name, value):
    asked = {"reward": "sparse", "demo_starts": False, "perturbation": {"mass": [1, 1]}}
    begun, on = (TrainConfig(**SMALL | {"method": "ppo", "epochs": n}) for n in (1, 2))
    train(reach(), begun, tmp_path, settings=asked | {"device": "cuda"}, progress=False)
    with pytest.raises(CheckpointError, match=rf"{name}.*: was .*, is "):
        train(reach(), on, tmp_path, resume=True, settings=asked | {name: value}, progress=False)
    train(reach(), on, tmp_path, resume=True, settings=asked | {"device": "cpu"}, progress=False)


def test_demonstrations_must_be_there_and_fit(reach, demonstrate, tmp_path):
    with pytest.raises(UsageError, match="learns from demonstrations"):
        run(reach(), tmp_path, None, method="bc")
    with pytest.raises(DatasetError, match="12 observed values and 6 actions"):
        run(reach(), tmp_path, demonstrate(size=6))


def test_the_folder_tells_all(reach, demonstrate, tmp_path):
    epochs = []
    summary = run(
        reach(), tmp_path, demonstrate(), epochs=4, on_epoch=lambda epoch, _: epochs.append(epoch)
    )
    assert epochs == [0, 1, 2, 3]
    assert summary["steps"] == 4 * 16 * 64
    record = json.loads((tmp_path / "metrics.json").read_text())
    assert record["summary"] == summary
    first, *_, last = record["epochs"]
    assert last["cloning_weight"] == pytest.approx(50 * 0.99**3)
    assert {"gradient/surrogate", "gradient/value", "gradient/bounds", "gradient/cloning"} < set(
        first
    )
    assert first["rollout/episodes"] > 0  # staggered: some time out at once
    assert last["loss/validation"] < first["loss/validation"]
    config, description = load_config(tmp_path)
    assert config == TrainConfig(**SMALL, epochs=4)
    assert description["environment"]["spec"]["task"] == "reach"
    assert {"gym-grasp", "torch", "mujoco", "git"} == set(description["versions"])
    assert (tmp_path / "learning_curve.png").read_bytes().startswith(b"\x89PNG")
    assert list(tmp_path.glob("events.out.tfevents.*"))


def test_gradients_that_are_not_finite_end_the_run(reach, tmp_path):
    env = reach()
    step = env.step

    def poisoned(action):
        observation, reward, *rest = step(action)
        return observation, reward * math.nan, *rest

    run(env, tmp_path, method="ppo", epochs=2)
    before = (tmp_path / CHECKPOINT).read_bytes()
    env.step = poisoned
    with pytest.raises(Exception, match="diverged in epoch 2"):
        run(env, tmp_path, resume=True, method="ppo", epochs=4)
    assert (tmp_path / CHECKPOINT).read_bytes() == before


def test_time_is_limited_over_all_sessions(reach, tmp_path, monkeypatch):
    """A clock that goes 10 s with each look: 10 s for the rollout, 10 for the update."""
    clock = itertools.count(0.0, 10.0)
    monkeypatch.setattr("gym_grasp.learning.train.time.perf_counter", lambda: next(clock))
    summary = run(reach(), tmp_path, method="ppo", epochs=9, max_minutes=1)
    assert (summary["epochs"], summary["seconds"]) == (3, 60)
    assert summary["last"]["steps_per_second"] == 16 * 64 / 20
    summary = run(reach(), tmp_path, resume=True, method="ppo", epochs=9, max_minutes=1.5)
    assert (summary["epochs"], summary["seconds"]) == (5, 100)


def test_a_seed_is_that_of_networks_and_environments(reach, tmp_path):
    starts, resets = {}, []
    for seed in (0, 1, 1):
        env = reach(num_envs=4)
        reset = env.reset

        def watched(reset=reset, **arguments):
            resets.append(arguments)
            return reset(**arguments)

        env.reset = watched
        before = torch.get_rng_state()
        learner = Learner(env, TrainConfig(**SMALL, method="ppo", seed=seed), None)
        assert torch.equal(torch.get_rng_state(), before)
        starts.setdefault(seed, []).append(learner.model.state_dict())
        run(env, tmp_path / str(len(resets)), method="ppo", epochs=1, seed=seed)
    assert [reset["seed"] for reset in resets] == [0, 1, 1]
    assert all(reset["options"] == {"stagger": True} for reset in resets)
    assert same(*starts[1])
    assert not same(starts[0][0], starts[1][0])


def test_the_rates_and_the_noise_are_those_asked_for(reach, demonstrate):
    config = TrainConfig(**SMALL, method="ppo", learning_rate=3e-4, initial_std=0.3)
    learner = Learner(reach(), config, None)
    assert learner.learning_rate.item() == pytest.approx(3e-4)
    assert learner.model.log_std.exp().tolist() == pytest.approx([0.3, 0.3])
    learner.begin_with(Learner(reach(), replace(config, seed=7), None).model.policy)
    assert learner.learning_rate.item() == pytest.approx(config.min_learning_rate)


@pytest.mark.parametrize("method", ["bc", "dapg"])
def test_the_normaliser_is_that_of_the_training_demonstrations(
    reach, demonstrate, tmp_path, method
):
    demos = demonstrate()
    run(reach(), tmp_path, demos, method=method, epochs=2)
    normalizer = load_policy(tmp_path).normalizer
    torch.testing.assert_close(normalizer.mean, demos.observations.mean(0))
    assert normalizer.count == len(demos.observations)


def test_without_demonstrations_rollouts_feed_the_normaliser(reach, demonstrate, tmp_path):
    run(reach(num_envs=8), tmp_path, demonstrate(), method="ppo", epochs=3)
    assert load_policy(tmp_path).normalizer.count == 3 * 16 * 8


def test_dapg_begins_as_a_clone(reach, demonstrate, tmp_path):
    first = {}
    for passes in (0, 100):
        env = reach(num_envs=128, reward_kind="sparse", tolerance=0.2)
        demos, folder = demonstrate(episodes=100), tmp_path / str(passes)
        settings = {"pretrain_epochs": passes, "horizon": 60, "epochs": 1}
        first[passes] = run(env, folder, demos, method="dapg", **settings)["last"]
    assert first[100]["steps"] == first[0]["steps"] == 60 * 128  # cloning takes none
    assert first[0]["rollout/success"] < 0.3
    assert first[100]["rollout/success"] > 0.9
    assert first[100]["loss/validation"] < 0.1 * first[0]["loss/validation"]


def test_ppo_learns_to_reach(reach, tmp_path):
    env = reach(num_envs=128)
    run(env, tmp_path, method="ppo", epochs=40, horizon=32, mini_epochs=5, discount=0.99)
    result = evaluate(load_policy(tmp_path), reach(num_envs=100))
    assert result.success_rate >= 0.95


def test_cloning_fits(reach, demonstrate, tmp_path):
    demos = demonstrate(episodes=100)
    last = run(reach(num_envs=1), tmp_path, demos, method="bc", epochs=150)["last"]
    variance = demos.valid_actions.var().item()
    assert last["loss/validation"] < 0.03 * variance
    assert (tmp_path / POLICY).exists()


def test_demonstrations_make_sparse_rewards_learnable(reach, demonstrate, tmp_path):
    rates = {}
    for method in ("ppo", "dapg"):
        env = reach(num_envs=64, reward_kind="sparse", size=3, tolerance=0.2)
        folder, demos = tmp_path / method, demonstrate(3, 100)
        settings = {
            "epochs": 40,
            "horizon": 32,
            "mini_epochs": 5,
            "pretrain_epochs": 0,
            "initial_std": 0.2,
        }
        run(env, folder, demos, method=method, **settings)
        test = reach(num_envs=100, size=3, tolerance=0.2)
        rates[method] = evaluate(load_policy(folder), test).success_rate
    assert rates["dapg"] >= 0.9
    assert rates["ppo"] <= 0.5


class Filmed:
    """Stands in for a film: says what it was asked for."""

    def __init__(self):
        self.paths = []

    def __call__(self, policy, path):
        assert policy(torch.zeros(1, 4)).shape == (1, 2)
        self.paths.append(path.name)


def test_a_fault_of_the_film_does_not_end_training(reach, demonstrate, tmp_path, caplog):
    """Nor does it lose what is evaluated at the same moment."""

    def fail(policy, path):
        raise OSError(28, "No space left on device")

    config = TrainConfig(**SMALL | {"epochs": 2}, evaluation_interval=1, film_interval=1)
    watch = Watch(reach(num_envs=2), fail)
    summary = train(reach(), config, tmp_path, demonstrate(), progress=False, watch=watch)
    assert summary["epochs"] == 2
    assert "evaluation/success" in summary["last"]
    assert "goes on without the film" in caplog.text
    assert "No space left on device" in caplog.text


def test_a_run_is_looked_at_without_changing_it(reach, demonstrate, tmp_path):
    """Evaluations after pretraining, at their interval and at the end; films likewise."""
    run(reach(), tmp_path / "plain", demonstrate(), epochs=5, pretrain_epochs=3)
    filmed, evaluated = Filmed(), reach(num_envs=20)
    small = SMALL | {"pretrain_epochs": 3, "epochs": 5}
    config = TrainConfig(**small, evaluation_interval=2, evaluation_episodes=20, film_interval=3)
    watch = Watch(evaluated, filmed)
    folder = tmp_path / "watched"
    train(reach(), config, folder, demonstrate(), progress=False, watch=watch)
    assert same(learned(tmp_path / "plain"), learned(folder))
    assert filmed.paths == ["epoch-0.mp4", "epoch-3.mp4", "epoch-5.mp4"]
    record = json.loads((folder / "metrics.json").read_text())
    *_, cloned = record["pretraining"]
    assert [row["epoch"] for row in record["pretraining"]] == [0, 1, 2]
    rows = [cloned, *(row for row in record["epochs"] if "evaluation/success" in row)]
    assert [row["epoch"] for row in rows] == [2, 1, 3, 4]
    for row in rows:
        assert 0 <= row["evaluation/low"] <= row["evaluation/success"] <= row["evaluation/high"]
        assert row["evaluation/high"] - row["evaluation/low"] > 0.1
    tags = EventAccumulator(str(folder)).Reload().Tags()["scalars"]
    assert {"evaluation/low", "pretraining/loss/cloning", "pretraining/evaluation/success"} <= {
        *tags
    }
    config = replace(config, epochs=6, film_interval=None)
    train(reach(), config, folder, demonstrate(), resume=True, progress=False, watch=watch)
    assert json.loads((folder / "metrics.json").read_text())["pretraining"] == record["pretraining"]
    with pytest.raises(UsageError, match="evaluation_interval is given"):
        train(reach(), config, tmp_path / "none", demonstrate(), progress=False)

"""`gym-grasp audit`: who acts, what is printed, how it ends."""

import json
from pathlib import Path

import pytest

from gym_grasp.cli.main import main
from gym_grasp.demos.record import record
from gym_grasp.envs import kinematics
from gym_grasp.envs.control import ControlConfig
from gym_grasp.envs.spec import EnvSpec


def audited(capsys, *args: str) -> dict:
    """Return what an audit prints as JSON."""
    assert main(["audit", *args, "--json"]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def values(result: dict) -> dict[str, float]:
    return {one["name"]: one["measured"] for one in result["figures"]}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    """Two episodes at 15 Hz."""
    path = tmp_path_factory.mktemp("data") / "drawer.hdf5"
    record(EnvSpec("open-drawer", control=ControlConfig(interval=6)), path, episodes=2, seed=1)
    return path


@pytest.fixture(scope="module")
def policy(dataset) -> Path:
    """What has hardly learned from them."""
    run = dataset.with_name("run")
    learn = ["train", "open-drawer", "--demos", str(dataset), "--method", "bc", "--epochs", "1"]
    assert main([*learn, "--run", str(run), "--control.interval", "6"]) == 0
    return run


def test_an_operator_is_audited(capsys):
    assert main(["audit", "open-drawer", "--episodes", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "open-drawer, operator: 2 of 2 episodes succeed"
    assert lines[2:4] == ["| figure | limit | measured | ok |", "| --- | --- | --- | --- |"]
    assert "| diverged episodes | 0 | 0 | yes |" in lines


def test_the_same_again_as_json(capsys):
    args = ("open-drawer", "--policy", "random", "--episodes", "2", "--max-episode-steps", "20")
    result, again = audited(capsys, *args), audited(capsys, *args)
    assert result == again
    assert (result["episodes"], result["successes"]) == (2, 0)
    assert result["substeps"] == 2 * 20 * 3
    assert result["spec"] == EnvSpec("open-drawer", max_episode_steps=20).to_dict()
    other = audited(capsys, *args, "--seed", "1")
    assert values(other) != values(result)
    assert result["exceeded"] == [one["name"] for one in result["figures"] if not one["ok"]]


def test_strict_fails_with_what_is_exceeded(capsys, monkeypatch):
    args = ["audit", "open-drawer", "--policy", "press", "--episodes", "4", "--strict"]
    for bound in ("TOUCH_FORCE", "BLOW_FORCE", "STUCK_FORCE"):
        monkeypatch.setattr(kinematics, bound, 1e9)
    assert main([*args, "--max-episode-steps", "60"]) == 1
    printed = capsys.readouterr()
    assert "| figure | limit |" in printed.out
    (line,) = [one for one in printed.err.splitlines() if "error" in one]
    assert "limit(s) exceeded: " in line
    assert "force on furniture, 100 ms: p99" in line
    # at rest nothing is
    assert main([*args, "--max-episode-steps", "1", "--control.finger-speed", "1e-6"]) == 0


def test_recorded_episodes_are_audited_as_they_were(capsys, dataset):
    result = audited(capsys, "open-drawer", "--demos", str(dataset))
    assert (result["episodes"], result["successes"]) == (2, 2)
    assert result["spec"]["control"]["interval"] == 6
    assert main(["audit", "open-drawer", "--demos", str(dataset), "--control.interval", "3"]) == 1
    assert "control.interval: dataset 6, environment 3" in capsys.readouterr().err


def test_a_policy_is_audited_in_its_own_environment(capsys, policy):
    args = ("open-drawer", "--policy", str(policy), "--episodes", "1", "--max-episode-steps", "5")
    result = audited(capsys, *args)
    assert result["spec"]["control"]["interval"] == 6
    assert result["substeps"] == 30


def test_what_does_not_fit_is_refused(capsys, dataset, policy):
    for args, message in (
        (("open-drawr",), "Did you mean 'open-drawer'?"),
        (("open-drawer", "--episodes", "0"), "--episodes is 0"),
        (("open-door", "--policy", str(policy)), "is of the task 'open-drawer', not of"),
        (("open-drawer", "--policy", "random", "--demos", str(dataset)), "give one of them"),
    ):
        assert main(["audit", *args]) == 2, args
        assert message in capsys.readouterr().err
    assert main(["audit", "open-drawer", "--policy", "nowhere"]) == 1

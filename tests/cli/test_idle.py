"""What is asked for and cannot have an effect is refused, not ignored."""

import json
import os
from pathlib import Path

import pytest

from gym_grasp.cli.main import main
from gym_grasp.study.folder import Study
from gym_grasp.study.protocol import Protocol


@pytest.fixture
def refusal(monkeypatch, capsys, tmp_path, recorded):
    """Return the message of a command that is refused and leaves nothing behind."""
    monkeypatch.chdir(tmp_path)
    os.link(recorded, "drawer.hdf5")

    def refused(command: str) -> str:
        assert main(command.split()) == 2
        printed, message = capsys.readouterr()
        assert not printed
        assert message.count("\n") == 1
        assert os.listdir() == ["drawer.hdf5"]
        return message

    return refused


@pytest.mark.parametrize(
    ("command", "named"),
    [
        ("train open-drawer --method ppo --bc-weight 3", "bc_weight is 3.0"),
        ("train open-drawer --method ppo --device cpu:3", "Unknown device 'cpu:3'"),
        ("sweep --tasks open-drawer --methods ppo-sparse --demos 5", "demos is 5"),
        ("sweep --tasks open-drawer --methods bc --num-envs 5", "--num-envs"),
        ("sweep --tasks open-drawer --num-envs 0", "num_envs is 0"),
        ("sweep --tasks open-drawer --runs-per-gpu 2", "runs_per_gpu is 2"),
        ("sweep --tasks open-drawer --workers 2 --executor serial", "workers is 2"),
        ("sweep --tasks open-drawer --cores-per-run 4", "cores_per_run is 4"),
        ("sweep --tasks open-drawer --ray-address auto", "ray_address is auto"),
        ("reproduce table1 --seeds 5", "--seeds"),
        ("audit open-drawer --demos drawer.hdf5 --seed 7", "--seed"),
        ("audit open-drawer --demos drawer.hdf5 --episodes 3", "drawer.hdf5 has 2"),
        ("benchmark open-drawer --num-envs 1 --repeats 2", "--repeats"),
        ("benchmark open-drawer --num-envs 1 --peers --no-train", "--no-train"),
        ("learn drawer.hdf5 --no-video --max-minutes nan", "max_minutes is nan"),
        ("learn drawer.hdf5 --no-video --seed 99999999999", "seed is 99999999999"),
        ("learn drawer.hdf5 --no-video --to 0", "to is 0"),
        ("demos multiply drawer.hdf5 --to 1 --episode 1,1", "each of them once"),
        ("demos film drawer.hdf5 --fps 1e-9", "at least 1"),
        ("view open-drawer --port 70000", "--port is 70000"),
        ("view open-drawer --port 0 --seconds nan", "--seconds is nan"),
        ("teleop open-drawer --port -1", "--port is -1"),
        ("teleop open-drawer --port 0 --seconds -1", "--seconds is -1"),
        ("teleop open-drawer --port 0 --seconds 1 --episodes 0 --out a.hdf5", "episodes is 0"),
        ("teleop open-drawer --port 0 --seconds 1 --seed -1 --out a.hdf5", "seed is -1"),
        ("study run study --port 70000", "--port is 70000"),
        ("study run study --port 0 --seconds inf", "--seconds is inf"),
        ("sweep --tasks", "--tasks names none"),
        ("sweep --tasks open-drawer --seeds", "--seeds names none"),
        ("sweep --tasks open-drawer --methods", "--methods names none"),
        ("sweep --tasks open-drawer --episodes 0", "episodes is 0"),
        ("sweep --tasks open-drawer --device tpu", "Unknown device 'tpu'"),
        ("sweep --tasks open-drawer --set horizon=2 horizon=4", "given twice"),
        ("sweep --tasks open-drawer --set horizon=1.5", "horizon is 1.5; it must be a whole"),
        ("sweep --tasks open-drawer --set horizon=true", "horizon is True"),
        ("sweep --tasks open-drawer --set hidden_sizes=16", "hidden_sizes is 16"),
        ('sweep --tasks open-drawer --set learning_rate="a"', "learning_rate is a"),
        ("sweep --tasks open-drawer --set learning_rate=1e-3", "--set learning_rate is given"),
        ("benchmark open-drawer --num-envs", "--num-envs names no number"),
        ("benchmark open-drawer --num-envs 1 --rounds 0", "--rounds is 0"),
        ("demo --out new --epochs 0", "epochs is 0"),
    ],
)
def test_options_without_effect(refusal, command, named):
    assert named in refusal(command)


def test_a_rehearsal_that_has_a_protocol_takes_no_other(capsys, tmp_path):
    Study.create(tmp_path / "study", Protocol(seed=3))
    Study.create(tmp_path / "rehearsal", Protocol(seed=3, synthetic=True))
    new = (str(tmp_path / "new"), "--protocol", str(tmp_path / "study"))
    for args in (new, (str(tmp_path / "rehearsal"),)):
        assert main(["study", "dry-run", *args, "--seed", "9"]) == 2
        assert "--seed" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("command", ["multiply --to 1", "retarget --robot panda-leap"])
def test_demonstrations_are_not_lost_to_what_is_made_of_them(
    monkeypatch, capsys, tmp_path, recorded, command
):
    monkeypatch.chdir(tmp_path)
    os.link(recorded, "drawer.hdf5")
    os.symlink("drawer.hdf5", "link.hdf5")
    for out in ("drawer.hdf5", "./link.hdf5"):
        name, *options = command.split()
        assert main(["demos", name, "drawer.hdf5", *options, "--overwrite", "--out", out]) == 1
        assert "Choose another name" in capsys.readouterr().err
    assert recorded.samefile("drawer.hdf5")


def test_one_policy_is_not_counted_as_two_seeds(monkeypatch, capsys, tmp_path, recorded):
    monkeypatch.chdir(tmp_path)
    train = "train open-drawer --method ppo --num-envs 2 --horizon 2 --hidden-sizes 4 --run run"
    assert main([*train.split(), "--epochs", "2"]) == 0
    assert main(["evaluate", "run", str(tmp_path / "run"), "--no-video", "--episodes", "1"]) == 2
    assert "named twice" in capsys.readouterr().err
    assert main(["evaluate", "run", "--no-video", "--episodes", "0"]) == 2
    assert "episodes is 0" in capsys.readouterr().err
    before = json.loads(Path("run/metrics.json").read_text())
    assert main(["resume", "run", "--epochs", "1"]) == 1
    assert "has 2 epochs already" in capsys.readouterr().err
    assert json.loads(Path("run/metrics.json").read_text()) == before

"""The command line: what it prints, and how it refuses."""

import sys
from pathlib import Path

import pytest

from gym_grasp.cli.main import SUBCOMMANDS, main
from gym_grasp.demos.record import record


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("data") / "drawer.hdf5"
    record("open-drawer", path, episodes=4, seed=1)
    return path


def refusal(capsys, *args: str) -> tuple[int, str]:
    """Return exit code and message of a command that fails."""
    code = main(args)
    message = capsys.readouterr().err.strip().partition("gym-grasp: error: ")[2]
    assert message
    return code, message


def test_help_names_every_subcommand(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in SUBCOMMANDS)
    assert "open-drawer" in text


@pytest.mark.parametrize("name", sorted(SUBCOMMANDS))
def test_every_subcommand_has_help(name, capsys):
    with pytest.raises(SystemExit) as exit_:
        main([name, "--help"])
    assert exit_.value.code == 0
    assert "usage: gym-grasp" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["teleop", "view"])
def test_help_needs_no_extra(name, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with pytest.raises(SystemExit):
        main([name, "--help"])
    assert f"usage: gym-grasp {name}" in capsys.readouterr().out
    code, message = refusal(capsys, name, "open-drawer")
    assert code == 2
    assert "pip install 'gym-grasp[teleop]'" in message


def test_unknown_command_and_task(capsys):
    code, message = refusal(capsys, "trian")
    assert code == 2
    assert "Did you mean 'train'?" in message
    code, message = refusal(capsys, "render", "open-drawr")
    assert code == 2
    assert "Did you mean 'open-drawer'?" in message


def test_missing_dataset(capsys, tmp_path):
    code, message = refusal(capsys, "train", "open-drawer", "--demos", str(tmp_path / "none.hdf5"))
    assert code == 1
    assert "gym-grasp demos record" in message


def test_damaged_dataset(capsys, tmp_path, dataset):
    damaged = tmp_path / "damaged.hdf5"
    damaged.write_bytes(dataset.read_bytes()[:-5000])
    code, message = refusal(capsys, "demos", "info", str(damaged))
    assert code == 1
    assert "damaged" in message


def test_dataset_of_another_task(capsys, dataset, tmp_path):
    code, message = refusal(
        capsys, "train", "open-door", "--demos", str(dataset), "--run", str(tmp_path / "run")
    )
    assert code == 1
    assert "task: dataset open-drawer, environment open-door" in message


def test_recording_does_not_overwrite(capsys, dataset):
    before = dataset.read_bytes()
    code, message = refusal(
        capsys, "demos", "record", "open-drawer", "--out", str(dataset), "--episodes", "4"
    )
    assert code == 1
    assert "exists" in message
    assert dataset.read_bytes() == before


def test_same_seed_same_bytes(dataset, tmp_path):
    again = tmp_path / "again.hdf5"
    record("open-drawer", again, episodes=4, seed=1)
    assert again.read_bytes() == dataset.read_bytes()


def test_validation_replays_every_episode(capsys, dataset):
    assert main(["demos", "validate", str(dataset), "--json"]) == 0
    report = capsys.readouterr().out
    assert '"episodes": 4, "reproduced": 4, "bit_exact": 4' in report


def test_train_resume_evaluate(capsys, dataset, tmp_path):
    run = tmp_path / "run"
    args = ("--num-envs", "8", "--horizon", "4", "--mini-epochs", "1", "--epochs", "2")
    assert main(["train", "open-drawer", "--demos", str(dataset), "--run", str(run), *args]) == 0
    code, message = refusal(
        capsys, "train", "open-drawer", "--demos", str(dataset), "--run", str(run), *args
    )
    assert code == 2
    assert "holds a run already" in message
    assert main(["resume", str(run), "--epochs", "3"]) == 0
    assert main(["evaluate", str(run), "--episodes", "2", "--no-video", "--json"]) == 0
    assert '"episodes": 2' in capsys.readouterr().out
    for name in ("config.json", "metrics.json", "learning_curve.png", "checkpoints/policy.pt"):
        assert (run / name).is_file(), name


def test_resume_of_another_version(capsys, dataset, tmp_path, monkeypatch):
    run = tmp_path / "run"
    args = ["train", "open-drawer", "--method", "bc", "--demos", str(dataset), "--epochs", "1"]
    assert main([*args, "--run", str(run)]) == 0
    monkeypatch.setattr("gym_grasp.learning.resuming.__version__", "9.9.9")
    code, message = refusal(capsys, "resume", str(run), "--epochs", "2")
    assert code == 1
    assert "9.9.9" in message


def test_nothing_to_evaluate(capsys, tmp_path):
    code, message = refusal(capsys, "evaluate", str(tmp_path), "--no-video")
    assert code == 1
    assert str(tmp_path) in message


def test_a_run_folder_that_cannot_be_written(capsys, dataset, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    code, message = refusal(
        capsys, "train", "open-drawer", "--method", "bc", "--demos", str(dataset),
        "--epochs", "1", "--run", str(blocked / "run"),
    )  # fmt: skip
    assert code == 1
    assert str(blocked) in message

"""Trainings that are killed, stopped, short of disk or damaged: they go on as if nothing was."""

import json
import os
import signal
import subprocess
import sys

import pytest
import torch

from gym_grasp.cli import main as cli
from gym_grasp.errors import CheckpointError, GymGraspError
from gym_grasp.learning import stopping
from gym_grasp.learning.checkpoint import CHECKPOINT, POLICY, PREVIOUS, load, load_policy
from gym_grasp.learning.learner import Learner
from gym_grasp.learning.metrics import METRICS, read_history
from training import SMALL, run, same

SETTINGS = {**SMALL, "method": "ppo", "epochs": 6, "checkpoint_interval": 2}


def outcome(folder):
    """Return all that a finished run has come to, but times."""
    rows = [
        {name: value for name, value in row.items() if "second" not in name}
        for row in read_history(folder)
    ]
    checkpoint = load(folder / CHECKPOINT, "training")
    policy = load_policy(folder).state_dict()
    return {"learner": checkpoint["learner"], "policy": policy, "rows": json.dumps(rows)}


@pytest.fixture
def whole(reach, tmp_path):
    """What the run comes to when nothing happens to it."""
    run(reach(), tmp_path / "whole", **SETTINGS)
    return outcome(tmp_path / "whole")


class Killed(BaseException):
    pass


@pytest.mark.parametrize("rename", range(1, 10))  # three files, three times
def test_killed_at_any_rename(reach, tmp_path, monkeypatch, whole, rename):
    folder, count, replace = tmp_path / "cut", 0, os.replace

    def deadly(source, target):
        nonlocal count
        count += folder in target.parents and target.name != "config.json"
        if count == rename:
            raise Killed
        replace(source, target)

    monkeypatch.setattr(os, "replace", deadly)
    with pytest.raises(Killed):
        run(reach(), folder, **SETTINGS)
    monkeypatch.undo()
    resume = (folder / CHECKPOINT).exists()
    assert resume == (rename > 3)
    run(reach(), folder, resume=resume, **SETTINGS)
    assert same(outcome(folder), whole)


@pytest.mark.parametrize("write", [4, 5, 6, 7])
def test_a_full_disk_replaces_nothing(reach, tmp_path, monkeypatch, whole, write):
    """Each file is brought to the disk before any is renamed; the first write is config.json."""
    folder, count, fsync = tmp_path / "cut", 0, os.fsync

    def full(descriptor):
        nonlocal count
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        count += path.endswith(".unfinished") and "config" not in path
        if count > 6 + write - 4:  # two for each of the three files of the first checkpoint
            raise OSError(28, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(GymGraspError, match="No space left"):
        run(reach(), folder, **SETTINGS)
    monkeypatch.undo()
    epochs = {load(folder / CHECKPOINT, "training")["epoch"], len(read_history(folder))}
    assert len(epochs) == 1, "old and new files are mixed"
    run(reach(), folder, resume=True, **SETTINGS)
    assert same(outcome(folder), whole)


@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_a_damaged_checkpoint_is_replaced_by_the_one_before(reach, tmp_path, caplog, whole, damage):
    folder = tmp_path / "cut"
    run(reach(), folder, **SETTINGS)
    last = folder / CHECKPOINT
    data = bytearray(last.read_bytes())
    data[len(data) // 2] ^= 1
    last.unlink()
    if damage != "gone":
        last.write_bytes(data if damage == "flip" else data[:-1000])
    assert load(folder / PREVIOUS, "training")["epoch"] == 4
    run(reach(), folder, resume=True, **SETTINGS)
    assert "Going on from the one before, of epoch 4." in caplog.text
    assert same(outcome(folder), whole)
    (folder / PREVIOUS).write_bytes(b"")
    last.write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"last\.pt is damaged"):
        run(reach(), folder, resume=True, **SETTINGS)


def test_lost_metrics_and_policy_come_back(reach, tmp_path, whole):
    folder = tmp_path / "cut"
    run(reach(), folder, **SETTINGS | {"epochs": 4})
    (folder / METRICS).write_text('[{"epochs": 3}]')
    with pytest.raises(CheckpointError, match=r"metrics\.json is missing or damaged"):
        read_history(folder)
    (folder / POLICY).unlink()
    run(reach(), folder, resume=True, **SETTINGS)
    assert same(outcome(folder), whole)


@pytest.mark.parametrize("number", stopping.SIGNALS)
def test_a_signal_ends_with_a_checkpoint(reach, tmp_path, capsys, whole, number):
    folder = tmp_path / "cut"
    before = signal.getsignal(number)

    def stop(epoch, metrics):
        if epoch == 2:
            os.kill(os.getpid(), number)

    with pytest.raises(stopping.Stopped, match="after epoch 4 of 6, which is saved") as stopped:
        run(reach(), folder, on_epoch=stop, **SETTINGS)
    assert stopped.value.exit_code == 128 + number
    assert number.name in capsys.readouterr().err
    assert signal.getsignal(number) is before
    assert load(folder / CHECKPOINT, "training")["epoch"] == 4
    run(reach(), folder, resume=True, **SETTINGS)
    assert same(outcome(folder), whole)


def test_a_signal_while_pretraining_ends_too(reach, demonstrate, tmp_path, monkeypatch):
    update, calls = Learner.update, []

    def signalled(self, epoch, last):
        calls.append(epoch)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return update(self, epoch, last)

    monkeypatch.setattr(Learner, "update", signalled)
    settings = SETTINGS | {"method": "dapg", "pretrain_epochs": 50}
    with pytest.raises(stopping.Stopped, match="while pretraining, of which nothing is saved"):
        run(reach(), tmp_path, demonstrate(), **settings)
    assert calls == [0, 1, 2]
    assert not (tmp_path / CHECKPOINT).exists()


def test_a_second_signal_ends_at_once():
    code = (
        "import os, signal\n"
        "from gym_grasp.learning import stopping\n"
        "with stopping.watching():\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    print('on', flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    print('never', flush=True)\n"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (child.stdout, child.returncode) == ("on\n", -signal.SIGTERM)


def test_the_command_line_says_how_it_ended(monkeypatch, capsys):
    def stopped(args):
        raise stopping.Stopped(15, "stopped after epoch 4")

    monkeypatch.setattr("gym_grasp.cli.resume.main", stopped)
    assert cli.main(["resume", "run"]) == 143
    assert capsys.readouterr().err == "gym-grasp: stopped after epoch 4\n"


def test_one_folder_takes_one_training(reach, tmp_path):
    def another(epoch, metrics):
        with pytest.raises(GymGraspError, match="Another process trains into"):
            run(reach(), tmp_path, **SETTINGS)
        with pytest.raises(GymGraspError, match="Another process trains into"):
            run(reach(), tmp_path, resume=True, **SETTINGS)

    run(reach(), tmp_path, on_epoch=another, **SETTINGS | {"epochs": 2})
    run(reach(), tmp_path, resume=True, **SETTINGS | {"epochs": 3})
    assert torch.tensor([row["epoch"] for row in read_history(tmp_path)]).tolist() == [0, 1, 2]

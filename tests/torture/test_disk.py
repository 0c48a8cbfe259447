"""A disk that is full at any write, read-only, or slow; and a clock that jumps."""

import contextlib
import itertools
import os
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from amounts import NAME
from elsewhere import module_of

from gym_grasp.demos.parts import parts_folder, recover
from gym_grasp.demos.reader import check, open_dataset
from gym_grasp.demos.writer import DatasetWriter
from gym_grasp.errors import DatasetError, GymGraspError
from gym_grasp.learning.checkpoint import CHECKPOINT, load, load_policy
from gym_grasp.learning.metrics import METRICS, read_history
from gym_grasp.teleop.session.recording import Recorder
from training import run, same

DEMOS, LEARNING = module_of("demos", "conftest"), module_of("learning", "conftest")
PAGE = 4
"""What a tmpfs grows by, in kB."""
STRIDE = 23 if NAME == "tiny" else 1
"""Pages from one size to the next."""
EPISODES = 4

needs_mount = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("mount"), reason="file systems are mounted by root"
)


def mount(place: Path, options: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=True)


@pytest.fixture
def disk(tmp_path):
    """A place for a file system."""
    place = tmp_path / "disk"
    place.mkdir()
    yield place
    while place.is_mount():
        subprocess.run(["umount", "--lazy", place], check=True)


@contextlib.contextmanager
def room(disk: Path, kilobytes: int):
    """A file system of this size, which is enlarged afterwards."""
    mount(disk, f"size={kilobytes}k")
    yield
    mount(disk, "remount,size=64m")


def one_line(error: BaseException) -> None:
    assert len(str(error).splitlines()) == 1, error


def record(path: Path, way: str) -> int:
    """Record as much as there is room for; return how many episodes were said to be on disk."""
    done = 0
    try:
        writer = DatasetWriter(path, DEMOS.build_meta())
    except DatasetError as error:
        one_line(error)
        return done
    recorder = Recorder(writer)
    try:
        for seed in range(EPISODES):
            if way == "a writer":
                writer.add(DEMOS.build_episode(seed))
                done += 1
            else:
                recorder.add(DEMOS.build_episode(seed))
                recorder.flush()
                done = recorder.counts[0]
                assert (recorder.error is None) == (done == seed + 1)
        recorder.close()
    except DatasetError as error:
        one_line(error)
    finally:
        writer._lock.close()  # as when the process ends
    return done


@needs_mount
@pytest.mark.parametrize("way", ["a writer", "teleoperation"])
def test_a_recording_on_a_disk_of_any_size(disk, tally, way):
    path, kilobytes, tried = disk / "a.hdf5", PAGE, 0
    whole = False
    while not whole:
        with room(disk, kilobytes):
            done = record(path, way)
            whole = path.exists()
        if not whole:
            with DatasetWriter(path, DEMOS.build_meta(), resume=True) as writer:
                assert done <= len(writer) <= done + 1
                for seed in range(len(writer), EPISODES):
                    writer.add(DEMOS.build_episode(seed))
        dataset = open_dataset(path)
        for seed, episode in enumerate(dataset.episodes()):
            assert np.array_equal(episode.actions, DEMOS.build_episode(seed).actions)
        assert len(dataset) == EPISODES
        assert [entry.name for entry in disk.iterdir()] == ["a.hdf5"]
        subprocess.run(["umount", "--lazy", disk], check=True)
        kilobytes, tried = kilobytes + PAGE * STRIDE, tried + 1
        tally(f"sizes of a full disk: {way}", tried)
    assert tried > 2


SETTINGS = {"method": "ppo", "epochs": 3, "checkpoint_interval": 1, "hidden_sizes": (16, 16)}


def outcome(folder: Path) -> tuple[dict, list]:
    """Return the policy of a training and its metrics, but times."""
    rows = [{k: v for k, v in row.items() if "second" not in k} for row in read_history(folder)]
    return load_policy(folder).state_dict(), rows


def train(folder: Path, resume: bool = False) -> None:
    run(LEARNING.Reach(num_envs=8), folder, resume=resume, **SETTINGS)


@needs_mount
@pytest.mark.slow  # some minutes
@pytest.mark.filterwarnings("ignore:Exception in thread")  # TensorBoard's; it raises again later
def test_a_training_on_a_disk_of_any_size(disk, tmp_path, tally):
    train(tmp_path / "whole")
    wanted = outcome(tmp_path / "whole")
    folder, kilobytes, tried, whole = disk / "run", PAGE, 0, False
    while not whole:
        with room(disk, kilobytes):
            try:
                train(folder)
                whole = True
            except GymGraspError as error:
                one_line(error)
        begun = (folder / CHECKPOINT).exists()
        if begun:
            rows = read_history(folder)
            assert load(folder / CHECKPOINT, "training")["epoch"] == len(rows), "a mixed set"
        else:
            assert not (folder / METRICS).exists()
        if not whole:
            train(folder, resume=begun)
        assert same(outcome(folder), wanted)
        subprocess.run(["umount", "--lazy", disk], check=True)
        kilobytes, tried = kilobytes + PAGE * STRIDE, tried + 1
        tally("sizes of a full disk: training", tried)
    assert tried > 2


@needs_mount
def test_a_read_only_disk_is_read_and_not_written(disk, tally):
    tally("uses of a read-only disk", 6)
    mount(disk, "size=64m")
    DEMOS.record_file(disk / "a.hdf5", 3)
    with (
        contextlib.suppress(KeyboardInterrupt),
        DatasetWriter(disk / "cut.hdf5", DEMOS.build_meta()) as writer,
    ):
        writer.add(DEMOS.build_episode(0))
        raise KeyboardInterrupt
    train(disk / "run")
    mount(disk, "remount,ro")
    check(open_dataset(disk / "a.hdf5"))
    load_policy(disk / "run")
    for use in (
        lambda: DatasetWriter(disk / "b.hdf5", DEMOS.build_meta()),
        lambda: DatasetWriter(disk / "cut.hdf5", DEMOS.build_meta(), resume=True),
        lambda: recover(disk / "cut.hdf5"),
        lambda: train(disk / "other"),
        lambda: train(disk / "run", resume=True),
    ):
        with pytest.raises(GymGraspError, match="Read-only file system") as caught:
            use()
        one_line(caught.value)
    assert len(list(parts_folder(disk / "cut.hdf5").glob("*.hdf5"))) == 1


def test_a_slow_disk_holds_no_session_up(tmp_path, tally, monkeypatch):
    tally("episodes on a slow disk", 3)
    fsync = os.fsync

    def slow(descriptor: int) -> None:
        time.sleep(0.5)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", slow)
    recorder = Recorder(DatasetWriter(tmp_path / "a.hdf5", DEMOS.build_meta()))
    for seed in range(3):
        began = time.perf_counter()
        recorder.add(DEMOS.build_episode(seed))
        assert time.perf_counter() - began < 0.25
        assert recorder.counts[0] <= seed  # not before it is on disk
    recorder.flush()
    assert recorder.counts == (3, 0)
    recorder.close()
    assert len(open_dataset(tmp_path / "a.hdf5")) == 3


def test_a_clock_that_jumps_changes_nothing(tmp_path, tally, monkeypatch):
    tally("jumps of a clock", 2)
    train(tmp_path / "whole")
    DEMOS.record_file(tmp_path / "a.hdf5", 3)
    jump, clock = itertools.count(), time.time
    monkeypatch.setattr(time, "time", lambda: clock() + (-1) ** next(jump) * 1e7)
    train(tmp_path / "jumped")
    DEMOS.record_file(tmp_path / "b.hdf5", 3)
    assert same(outcome(tmp_path / "jumped"), outcome(tmp_path / "whole"))
    assert (tmp_path / "b.hdf5").read_bytes() == (tmp_path / "a.hdf5").read_bytes()
    assert next(jump) > 0, "nobody looked at the clock"

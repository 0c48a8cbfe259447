"""Killed at any time, a recording loses at most the episode in hand; training and study nothing."""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from amounts import AMOUNT
from elsewhere import TESTS, module_of

from gym_grasp.demos.parts import parts_folder, recover
from gym_grasp.demos.reader import open_dataset
from gym_grasp.demos.record import record
from gym_grasp.envs.spec import EnvSpec
from gym_grasp.learning.checkpoint import CHECKPOINT, load_policy
from gym_grasp.learning.metrics import read_history
from training import same

EACH, OF_A_STUDY = min(10, AMOUNT.kills), min(25, AMOUNT.trainings)
"""Kills of one test, so that a run that was cut off goes on near to where it was."""
RECORDINGS, TRAININGS = range(AMOUNT.kills // EACH), range(AMOUNT.trainings // EACH)
STUDIES = range(AMOUNT.trainings // OF_A_STUDY)

RECORD = """
import itertools, sys
from conftest import build_episode, build_meta
from gym_grasp.demos.writer import DatasetWriter
from gym_grasp.teleop.session.recording import Recorder
writer = DatasetWriter(sys.argv[1], build_meta(), resume=True)
add = writer.add
if sys.argv[2] == "teleoperation":
    recorder = Recorder(writer)
    def add(episode):
        recorder.add(episode)
        recorder.flush()
        assert recorder.error is None
for seed in itertools.count(len(writer)):
    add(build_episode(seed))
    print(seed, flush=True)
"""
TRAIN = """
import sys
from pathlib import Path
import torch
from conftest import Reach, make_demonstrations
from training import run
torch.set_num_threads(1)
print("begun", flush=True)
folder, resume, method = Path(sys.argv[1]), sys.argv[2] == "True", sys.argv[3]
settings = {"method": method, "epochs": 60, "checkpoint_interval": 1}
demos = None if method == "ppo" else make_demonstrations()
run(Reach(num_envs=8), folder, demos, resume=resume, **settings)
print("done", flush=True)
"""


def start(script: str, room: str, *arguments: object) -> subprocess.Popen[str]:
    paths = [str(TESTS / room), str(TESTS), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def kill(process: subprocess.Popen[str], delay: float) -> list[str]:
    """Kill a process a while after its first words; return all that it said."""
    assert process.stdout is not None
    first = process.stdout.readline()
    time.sleep(delay)
    process.kill()
    return [first, *process.communicate()[0].splitlines()]


@pytest.mark.parametrize("way", ["a writer", "teleoperation", "several writers"])
@pytest.mark.parametrize("number", RECORDINGS)
def test_a_recording_that_is_killed_and_gone_on_with(tmp_path, tally, way, number):
    count = 3 if way == "several writers" else 1
    tally(f"kills of recordings: {way}", EACH * count)
    chance = random.Random(f"{way} {number}")
    paths = [tmp_path / f"{index}.hdf5" for index in range(count)]
    acknowledged = [0] * count
    for _ in range(EACH):
        running = [start(RECORD, "demos", path, way) for path in paths]
        for index, process in enumerate(running):
            said = kill(process, chance.uniform(0, 0.3))
            assert acknowledged[index] <= int(said[0]) <= acknowledged[index] + 1
            acknowledged[index] = int(said[-1]) + 1
    build_episode = module_of("demos", "conftest").build_episode
    for path, least in zip(paths, acknowledged, strict=True):
        dataset = open_dataset(recover(path))
        assert least <= len(dataset) <= least + 1
        for seed, episode in enumerate(dataset.episodes()):
            assert np.array_equal(episode.actions, build_episode(seed).actions)
    assert sorted(tmp_path.iterdir()) == paths


HARD = EnvSpec("open-drawer", max_episode_steps=165)
"""In this time a third of the attempts succeed: it takes several batches."""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """The bytes of a recording that nothing happens to."""
    path = tmp_path_factory.mktemp("whole") / "a.hdf5"
    record(HARD, path, episodes=5, num_threads=1)
    return path.read_bytes()


@pytest.mark.slow  # some 40 s
@pytest.mark.parametrize("number", RECORDINGS)
def test_a_batched_recording_that_is_killed_comes_to_the_same_bytes(
    tmp_path, tally, recorded, number
):
    tally("kills of recordings: batched", EACH)
    chance, path, kills = random.Random(number), tmp_path / "a.hdf5", 0
    parts = parts_folder(path)
    limit = str(HARD.max_episode_steps)
    words = ["demos", "record", "open-drawer", "--max-episode-steps", limit, "--episodes", "5"]
    command = [sys.executable, "-m", "gym_grasp.cli.main", *words, "--out", str(path), "--resume"]
    while kills < EACH or not path.exists():
        path.unlink(missing_ok=True)
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        before = len(list(parts.glob("*")))
        while kills < EACH and process.poll() is None:
            if len(list(parts.glob("*"))) > before:
                time.sleep(chance.uniform(0, 0.3))
                process.kill()
                kills += 1
                break
            time.sleep(0.005)
        process.wait()
        if path.exists():  # if there are kills left, another recording is begun
            assert path.read_bytes() == recorded
        else:
            assert process.returncode < 0


def outcome(folder: Path) -> tuple[dict, str]:
    """Return the policy of a training and its metrics, but times."""
    rows = [{k: v for k, v in row.items() if "second" not in k} for row in read_history(folder)]
    return load_policy(folder).state_dict(), json.dumps(rows)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """What trainings come to that nothing happens to, by method."""
    found = {}

    def look(method):
        if method not in found:
            folder = tmp_path_factory.mktemp(method) / "run"
            said = start(TRAIN, "learning", folder, False, method).communicate()[0]
            assert said.endswith("done\n")
            found[method] = outcome(folder)
        return found[method]

    return look


@pytest.mark.slow  # some 40 s
@pytest.mark.parametrize("number", TRAININGS)
@pytest.mark.parametrize("method", ["bc", "ppo", "dapg"])
def test_a_training_that_is_killed_comes_to_the_same(tmp_path, tally, trained, method, number):
    tally(f"kills of trainings: {method}", EACH)
    chance = random.Random(number)
    folder = tmp_path / "run"
    for _ in range(EACH):
        resume = (folder / CHECKPOINT).exists()
        kill(start(TRAIN, "learning", folder, resume, method), chance.uniform(0, 1.0))
    resume = (folder / CHECKPOINT).exists()
    said = start(TRAIN, "learning", folder, resume, method).communicate()[0]
    assert said.endswith("done\n")
    assert same(outcome(folder), trained(method))


@pytest.mark.slow  # some minutes
@pytest.mark.parametrize("number", STUDIES)
def test_a_study_that_is_killed_loses_and_doubles_nothing(tmp_path, tally, number):
    tally("kills of a study", OF_A_STUDY)
    kills = module_of("study", "kills")
    found = kills.kill_again_and_again(tmp_path / "study", OF_A_STUDY, number, 4.0)
    assert found["kills"] == OF_A_STUDY
    assert found["trials"] == 12

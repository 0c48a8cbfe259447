"""Killed at any time, a recording loses at most the episode in hand, and a training nothing."""

import importlib.util
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from amounts import AMOUNT

from gym_grasp.demos.reader import open_dataset
from gym_grasp.demos.writer import recover
from gym_grasp.learning.checkpoint import CHECKPOINT, load_policy
from training import same

TESTS = Path(__file__).parents[1]
KILLS = range(AMOUNT.kills)

RECORD = """
import itertools, sys
from conftest import build_episode, build_meta
from gym_grasp.demos.writer import DatasetWriter
writer = DatasetWriter(sys.argv[1], build_meta(), resume=True)
for seed in itertools.count(len(writer)):
    writer.add(build_episode(seed))
    print(seed, flush=True)
"""
TRAIN = """
import sys
from pathlib import Path
from conftest import Reach
from training import run
print("begun", flush=True)
resume = sys.argv[2] == "True"
settings = {"method": "ppo", "epochs": 60, "checkpoint_interval": 1}
run(Reach(num_envs=8), Path(sys.argv[1]), resume=resume, **settings)
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


def build_episode(seed: int):
    spec = importlib.util.spec_from_file_location("episodes", TESTS / "demos" / "conftest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.build_episode(seed)


@pytest.mark.parametrize("number", KILLS)
def test_a_recording_that_is_killed_and_gone_on_with(tmp_path, tally, number):
    tally("kills of a recording", 2)
    chance = random.Random(number)
    path = tmp_path / "a.hdf5"
    said = kill(start(RECORD, "demos", path), chance.uniform(0, 0.3))
    acknowledged = int(said[-1]) + 1
    said = kill(start(RECORD, "demos", path), chance.uniform(0, 0.3))
    assert acknowledged <= int(said[0]) <= acknowledged + 1
    acknowledged = int(said[-1]) + 1
    dataset = open_dataset(recover(path))
    assert acknowledged <= len(dataset) <= acknowledged + 1
    for seed, episode in enumerate(dataset.episodes()):
        assert np.array_equal(episode.actions, build_episode(seed).actions)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The policy of a training that nothing happens to."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert start(TRAIN, "learning", folder, False).communicate()[0].endswith("done\n")
    return load_policy(folder).state_dict()


@pytest.mark.slow  # some 40 s
@pytest.mark.parametrize("number", KILLS)
def test_a_training_that_is_killed_twice_comes_to_the_same(tmp_path, tally, whole, number):
    tally("kills of a training", 2)
    chance = random.Random(number)
    folder = tmp_path / "run"
    for _ in range(2):
        resume = (folder / CHECKPOINT).exists()
        kill(start(TRAIN, "learning", folder, resume), chance.uniform(0, 1.5))
    resume = (folder / CHECKPOINT).exists()
    assert start(TRAIN, "learning", folder, resume).communicate()[0].endswith("done\n")
    assert same(load_policy(folder).state_dict(), whole)

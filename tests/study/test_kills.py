"""Rehearsals over the real path: one in short, one that is killed again and again."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from kills import TWO_MINUTES, kill_again_and_again, verify

from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.study.dry_run import dry_run
from gym_grasp.study.folder import Study
from gym_grasp.study.protocol import Protocol
from gym_grasp.study.synthetic import dry_protocol, operator, skill_of
from gym_grasp.teleop.devices.operator import TACTILE, OperatorDevice
from gym_grasp.teleop.hand.input import Haptics


@pytest.mark.slow
def test_a_rehearsal_over_the_wire(tmp_path) -> None:
    protocol = Protocol(tasks=("open-door",), practice_seconds=0.0, time_limit=0.5)
    study = Study.create(tmp_path, dry_protocol(protocol))
    assert study.protocol.synthetic
    done: list[int] = []
    dry_run(study, 1, 1, done.append)
    assert done == [0, 1]
    assert verify(tmp_path) == {"trials": 2, "cut off": 0, "adopted": 0, "answers": 46}
    rows = (tmp_path / "trials.csv").read_text().splitlines()
    assert all(row.split(",")[0] == "P01" for row in rows[1:])
    dry_run(study, 1, 1, done.append)  # nobody is missing
    assert done == [0, 1, 1]


def test_skills_are_spread() -> None:
    skills = sorted(skill_of(0, slot) for slot in range(6))
    assert all(0 <= skill < 1 for skill in skills)
    assert min(b - a for a, b in itertools.pairwise(skills)) > 0.08


def test_who_feels_a_contact_reacts_sooner() -> None:
    env = GraspVectorEnv("open-drawer", 1, num_threads=1, autoreset=False)
    env.reset(seed=0)
    conductor = SimpleNamespace(session=SimpleNamespace(env=env))
    feels = operator(conductor, lambda: 1.0, skill=0.5)
    numb = OperatorDevice(env, lambda: 1.0, skill=0.5)
    times = {}
    for level in (0.0, 0.5, 0.0):
        for device in (feels, numb):
            device.latest()
            device.feedback(Haptics(("thumb",), np.array([level]), np.array([0.0])))
            times.setdefault(device, []).append(device._human.traits.reaction)
    seen = times[numb][0]
    assert times[numb] == [seen] * 3
    assert times[feels] == [seen, TACTILE * seen, seen]
    env.close()


@pytest.mark.slow
def test_thirty_kills(tmp_path) -> None:
    assert TWO_MINUTES.repetitions * 2 == 12
    found = kill_again_and_again(tmp_path / "study", kills=30, seed=0, longest=8.0)
    assert found["kills"] == 30
    assert found["trials"] == 12

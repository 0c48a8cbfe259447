"""Rehearsals over the real path: one in short, one that is killed again and again."""

import itertools

import pytest
from kills import TWO_MINUTES, kill_again_and_again, verify

from gym_grasp.study.dry_run import dry_run
from gym_grasp.study.folder import Study
from gym_grasp.study.protocol import Protocol
from gym_grasp.study.synthetic import dry_protocol, skill_of


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


@pytest.mark.slow
def test_thirty_kills(tmp_path) -> None:
    assert TWO_MINUTES.repetitions * 2 == 12
    found = kill_again_and_again(tmp_path / "study", kills=30, seed=0, longest=8.0)
    assert found["kills"] == 30
    assert found["trials"] == 12

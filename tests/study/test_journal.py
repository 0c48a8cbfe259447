"""The journal: what was written is there, a torn line is not, and nobody writes at once."""

import errno
import os

import pytest

from gym_grasp.errors import GymGraspError
from gym_grasp.study.journal import Journal, read_journal


def test_every_cut_leaves_whole_events(tmp_path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        for number in range(5):
            journal.add("said", text=f"ä {number}")
    whole = path.read_bytes()
    ends = [index + 1 for index, byte in enumerate(whole) if byte == ord("\n")]
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        with Journal(path) as journal:
            kept = sum(end <= cut for end in ends)
            assert [event["text"] for event in journal.events] == [f"ä {n}" for n in range(kept)]
            journal.add("went on")
        assert [event["n"] for event in read_journal(path)] == list(range(kept + 1))


@pytest.mark.parametrize("damage", [b"{", b'{"n": 1, "event": "a"}', b"[]", b'{"n": 7}'])
def test_damage_within_is_refused(tmp_path, damage) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        journal.add("begun")
        journal.add("done")
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([damage, lines[1], b""]))
    with pytest.raises(GymGraspError, match="damaged in line 1"):
        Journal(path)


def test_one_process_writes(tmp_path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path), pytest.raises(GymGraspError, match="Another process"):
        Journal(path)
    Journal(path).close()


def test_a_full_disk_leaves_nothing_half(tmp_path, monkeypatch) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        journal.add("begun")
        write = os.write

        def full(descriptor: int, data: bytes) -> int:
            write(descriptor, data[:7])
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "write", full)
        with pytest.raises(GymGraspError, match="No space left"):
            journal.add("lost", text="x" * 50)
        monkeypatch.setattr(os, "write", write)
        journal.add("went on")
    assert [event["event"] for event in read_journal(path)] == ["begun", "went on"]

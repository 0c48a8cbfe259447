"""A rehearsal that is killed again and again, and what has to be left of it."""

import hashlib
import json
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

from gym_grasp.study.flow import Kind, plan
from gym_grasp.study.folder import Study
from gym_grasp.study.journal import read_journal
from gym_grasp.study.protocol import Protocol
from gym_grasp.study.synthetic import dry_protocol
from gym_grasp.study.trials import read_events, read_trial

TWO_MINUTES = Protocol(tasks=("open-door",), repetitions=6, time_limit=60.0)
"""Twelve trials of about 10 s, and 46 questions."""


def rehearse(folder: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "gym_grasp.cli.main", "study", "dry-run", str(folder)]
    return subprocess.Popen(
        [*command, "--participants", "1", "--workers", "1", "--no-report"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip


def kill_again_and_again(folder: Path, kills: int, seed: int, longest: float) -> dict:
    """Kill a rehearsal at random points, as often as asked for, and let it end."""
    Study.create(folder, dry_protocol(TWO_MINUTES))
    rng = random.Random(seed)
    done, lengths = 0, []
    while done < kills:
        before = size(folder)
        process = rehearse(folder)
        end = time.monotonic() + 120
        while size(folder) == before and process.poll() is None and time.monotonic() < end:
            time.sleep(0.02)  # it has begun once its journal grows
        time.sleep(rng.uniform(0.0, longest))
        if process.poll() is None:
            process.kill()
            done += 1
        process.communicate()
        lengths.append(size(folder))
        if process.returncode == 0:
            break
    process = rehearse(folder)
    _, error = process.communicate(timeout=600)
    assert process.returncode == 0, error.decode()
    return {"kills": done, **verify(folder)}


def size(folder: Path) -> int:
    path = folder / "participants" / "P01" / "journal.jsonl"
    return path.stat().st_size if path.exists() else 0


def verify(folder: Path) -> dict:
    """Check that all is there once; return what was cut off."""
    study = Study(folder)
    assert study.participants == ["P01"]
    events = read_journal(study.path("P01") / "journal.jsonl")
    progress = study.progress("P01")
    assert progress.finished
    asked = [(e["event"], e.get("key")) for e in events if e["event"] in ("consent", "answered")]
    assert len(set(asked)) == len(asked), "something was asked twice"
    steps = plan(study.protocol, 0)
    wanted = {step.key for step in steps if step.kind is Kind.TRIAL}
    assert set(progress.ended) == wanted, "a trial is missing"
    ended = [e["key"] for e in events if e["event"] == "ended"]
    assert sorted(ended) == sorted(wanted), "a trial was done twice"
    assert set(progress.answers) == {step.key for step in steps if step.kind is Kind.ITEM}
    began = [(e["key"], e["attempt"]) for e in events if e["event"] == "began"]
    assert len(set(began)) == len(began)
    for key, event in progress.ended.items():
        path = study.path("P01") / event["file"]
        if "sha256" in event:
            assert hashlib.sha256(path.read_bytes()).hexdigest() == event["sha256"]
        assert read_events(path)["key"] == key
        assert read_trial(path).success == (event["outcome"] == "success")
    files = list((study.path("P01") / "trials").glob("*.hdf5"))
    assert len(files) == len(wanted), "a file belongs to no trial"
    return {
        "trials": len(wanted),
        "cut off": sum(e["event"] == "voided" for e in events),
        "adopted": sum(bool(e.get("adopted")) for e in events),
        "answers": len(progress.answers),
    }


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    shutil.rmtree(folder, ignore_errors=True)
    begin = time.monotonic()
    found = kill_again_and_again(folder, int(sys.argv[2]), 0, float(sys.argv[3]))
    print(json.dumps({**found, "seconds": round(time.monotonic() - begin, 1)}))

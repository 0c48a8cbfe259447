"""What keeping costs: recording and training as they are, against the same that keep nothing.

    PYTHONPATH=tests python tests/torture/speed.py [PAIRS]

Recording without it brings nothing to the disk by force and makes no digests; training without it
writes no checkpoint. Both ways alternate in one process; processor time says more than the clock
where others compute.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles
from unittest.mock import patch

from gym_grasp.demos import hdf5
from gym_grasp.demos import record as recording
from gym_grasp.demos.episode import Episode
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.learning import checkpoint
from gym_grasp.learning import train as training
from gym_grasp.learning.config import TrainConfig

TASK = "open-drawer"


def record(folder: Path, keeps: bool) -> None:
    def run() -> None:
        recording.record(TASK, folder / "a.hdf5", episodes=40, num_threads=1, overwrite=True)

    if keeps:
        run()
    else:
        with (
            patch.object(Episode, "digest", lambda self: ""),
            patch.object(hdf5, "structure", lambda file: ""),
            patch.object(os, "fsync", lambda descriptor: None),
        ):
            run()


def train(folder: Path, keeps: bool) -> None:
    """Ten epochs of 64 environments, as many as there are between two checkpoints."""
    env = GraspVectorEnv(TASK, 64, num_threads=1)
    config = TrainConfig(method="ppo", epochs=10)
    assert config.checkpoint_interval == config.epochs
    with tempfile.TemporaryDirectory(dir=folder) as place:
        if keeps:
            training.train(env, config, Path(place) / "run", progress=False)
        else:
            with (
                patch.object(training, "write_together", lambda files: None),
                patch.object(checkpoint, "to_bytes", lambda *_: b""),
                patch.object(checkpoint, "policy_file", lambda *_: b""),
                patch.object(checkpoint, "keep_previous", lambda _: None),
            ):
                training.train(env, config, Path(place) / "run", progress=False)
    env.close()


def measure(what: Callable[[Path, bool], None], folder: Path, keeps: bool) -> tuple[float, float]:
    """Return seconds of the clock and of the processor."""
    clock, work = time.perf_counter(), time.process_time()
    what(folder, keeps)
    return time.perf_counter() - clock, time.process_time() - work


def main(pairs: int = 12) -> None:
    with tempfile.TemporaryDirectory() as name:
        for what in (record, train):
            measure(what, Path(name), True)  # imports
            ratios = []
            for pair in range(pairs):
                order = (True, False) if pair % 2 else (False, True)
                found = {keeps: measure(what, Path(name), keeps) for keeps in order}
                ratios.append([a / b for a, b in zip(found[True], found[False], strict=True)])
                print(f"{what.__name__} {found}", file=sys.stderr, flush=True)
            for kind, values in zip(("clock", "processor"), zip(*ratios, strict=True), strict=True):
                low, _, high = quantiles(values, n=4)
                print(f"{what.__name__}, {kind}: {median(values):.3f} ({low:.3f} to {high:.3f})")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

"""Many demonstrations from a few."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from gym_grasp.demos.hdf5 import check_free
from gym_grasp.demos.multiply import WANDER
from gym_grasp.demos.multiply.attempts import Multiplier
from gym_grasp.demos.multiply.report import Report, SourceReport
from gym_grasp.demos.multiply.segments import find_segments, read_corrections
from gym_grasp.demos.multiply.source import read_sources
from gym_grasp.demos.reader import Dataset, open_dataset
from gym_grasp.envs.checks import checked_count
from gym_grasp.errors import GymGraspError, UsageError


def multiply(
    dataset: Dataset | str | Path,
    path: str | Path,
    to: int = 1_000,
    *,
    episodes: Sequence[int] | None = None,
    seed: int = 0,
    segments: Path | None = None,
    wander: float = WANDER,
    device: str = "cpu",
    num_threads: int = 0,
    overwrite: bool = False,
    on_episode: Callable[[int, int], None] = lambda kept, attempts: None,
) -> Report:
    """Make many demonstrations of a few, each from a start state of its own.

    Parts of a source are carried over to where the things lie that they refer to, and hands follow
    them closed-loop through the controller of everybody. What succeeds is kept.

    Args:
        dataset: the sources, or the file of them.
        path: the dataset to write.
        to: episodes to keep.
        episodes: which of the dataset's episodes are sources; None: all.
        seed: of start states and wandering; the sources' own start states do not come again.
        segments: a file of corrected segments, see `segments.read_corrections`.
        wander: deviation of the hands' wandering, in m.
        device: where to simulate.
        num_threads: of the physics on a CPU; 0 takes every core.
        overwrite: replace an existing file.
        on_episode: called after each attempt with the episodes kept and the attempts made so far.

    Raises:
        UsageError: an argument is out of range, or the task cannot be multiplied.
        DatasetError: the dataset cannot be made again, or the file cannot be written.
        GymGraspError: no source leads anywhere, or hardly any attempt succeeds.
    """
    began = time.perf_counter()
    checked_count("to", to, 1)
    checked_count("seed", seed, 0)
    if not 0.0 <= wander < 0.1:
        raise UsageError(f"wander is {wander!r}; expected metres within [0, 0.1).")
    if not isinstance(dataset, Dataset):
        dataset = open_dataset(dataset)
    chosen = dataset.chosen(episodes, "multiplied")
    path = Path(path)
    check_free(path, overwrite, dataset.path)
    sources = read_sources(dataset, chosen)
    found = {one.index: find_segments(one) for one in sources}
    if segments is not None:
        found |= read_corrections(segments, sources)
    parts = [found[one.index] for one in sources]
    work = Multiplier(dataset, sources, parts, to, seed, wander, device, num_threads)
    try:
        reports = work.try_sources()
        if not any(one.used for one in reports):
            raise GymGraspError(
                f"No source of {dataset.path} leads anywhere: {_shares(reports)}. See their "
                "segments (`gym-grasp demos info`) and correct them (--segments), or "
                "demonstrate anew."
            )
        return work.make(path, reports, overwrite, began, on_episode)
    finally:
        work.env.close()


def _shares(reports: Sequence[SourceReport]) -> str:
    worst = ", ".join(
        f"episode {one.episode}: {one.successes} of {one.trials}" for one in reports[:5]
    )
    return worst + (f" and {len(reports) - 5} more" if len(reports) > 5 else "")

"""`gym-grasp demos multiply`, and the segments that `gym-grasp demos info` shows."""

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from gym_grasp.cli.common import Device, numbers, print_json
from gym_grasp.demos.multiply import WANDER
from gym_grasp.errors import GymGraspError, reason
from gym_grasp.progress import bar

if TYPE_CHECKING:
    from gym_grasp.demos.multiply.report import Report
    from gym_grasp.demos.multiply.segments import Segment
    from gym_grasp.demos.reader import Dataset

SHOWN = 5
"""Episodes whose segments are shown."""


def multiply(
    file: Annotated[Path, tyro.conf.Positional],
    /,
    *,
    to: int = 1_000,
    out: Path | None = None,
    episode: str | None = None,
    segments: Path | None = None,
    seed: int = 0,
    wander: float = WANDER,
    device: Device = "cpu",
    overwrite: bool = False,
    json: bool = False,
) -> None:
    """Make many demonstrations of a few, each from a start state of its own.

    Args:
        file: the dataset of the few.
        to: episodes to make.
        out: the file to write; by default FILE-multiplied.hdf5, beside the dataset.
        episode: which episodes are multiplied, counted from 0: N, or N,M,…; by default all.
        segments: a file of corrected segments: `demos info FILE --segments` writes one.
        seed: of start states and wandering.
        wander: standard deviation of the hand's wandering along each axis, in m.
        device: where to simulate: cpu or cuda.
        overwrite: replace an existing file.
        json: print the report as one JSON object.
    """
    chosen = None if episode is None else numbers(episode)
    path = out or multiplied_path(file)
    report = multiply_one(file, path, to, chosen, segments, seed, wander, device, overwrite)
    if json:
        print_json(report.to_dict())
    else:
        print(told(report))


def multiplied_path(file: Path) -> Path:
    """Return where what is made of a dataset lies by default."""
    return file.parent / f"{file.stem}-multiplied.hdf5"


def multiply_one(
    file: Path,
    path: Path,
    to: int,
    chosen: Sequence[int] | None = None,
    segments: Path | None = None,
    seed: int = 0,
    wander: float = WANDER,
    device: str = "cpu",
    overwrite: bool = False,
) -> "Report":
    """Multiply a dataset with a bar; see `demos.multiply.multiply.multiply`."""
    from gym_grasp.demos.multiply.multiply import multiply as multiply_dataset

    with bar("multiplying", to) as tell:
        return multiply_dataset(
            file,
            path,
            to,
            episodes=chosen,
            seed=seed,
            segments=segments,
            wander=wander,
            device=device,
            overwrite=overwrite,
            on_episode=lambda kept, attempts: tell(kept),
        )


def told(report: "Report") -> str:
    """Return what a person wants to know of a multiplication."""
    lines = []
    for one in report.sources:
        if not one.trials:
            lines.append(f"episode {one.episode} is left out: no start state fits it")
        elif not one.used:
            lines.append(
                f"episode {one.episode} is left out: {one.successes} of {one.trials} trials succeed"
            )
    used = [one for one in report.sources if one.used]
    lines += [
        f"{report.path}: {report.episodes} episodes from {len(used)} of {len(report.sources)}",
        f"{report.share:.1%} of {report.attempts} attempts succeeded, {report.per_minute:.0f} "
        f"attempts a minute, {report.seconds:.0f} s in all",
        f"start states are at least {1e3 * report.apart:g} mm apart ({report.near} left out); "
        f"{report.unfit} had no source that fits",
    ]
    return "\n".join(lines)


@dataclass(frozen=True)
class Parts:
    """Segments of a dataset's first episodes."""

    found: "Mapping[int, Sequence[Segment]]"
    """By episode."""
    looks: Mapping[str, str]
    """In which turns each thing looks the same, in words."""
    rate: float
    why: str = ""
    """Why there are none."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {str(n): [dataclasses.asdict(one) for one in own] for n, own in self.found.items()}

    def text(self) -> str:
        """Return them as Markdown."""
        from gym_grasp.markdown import table

        lines = ["## Segments", ""]
        if self.why:
            return "\n".join([*lines, f"None can be found: {self.why}."])
        rows = [
            (str(n), f"{one.begin} to {one.end}", f"{(one.end - one.begin) / self.rate:.1f} s")
            + (one.frame, one.holds or "–")
            for n, own in list(self.found.items())[:SHOWN]
            for one in own
        ]
        lines += [
            "Parts that `gym-grasp demos multiply` carries over, in the frame of a thing as it "
            "stands when they begin. What lies between two of them, mistakes for instance, is "
            "left out.",
            "",
            *table(("episode", "steps", "time", "frame", "in the hand"), rows),
            "",
            *(f"- {name}: {looks}" for name, looks in self.looks.items()),
        ]
        if len(self.found) > SHOWN:
            lines.append(f"\nOf {len(self.found)} episodes the first {SHOWN} are shown.")
        return "\n".join(lines)


def parts_of(dataset: "Dataset", path: Path | None = None) -> Parts:
    """Find the segments of a dataset's first episodes; with a path, of all, and write them."""
    from gym_grasp.demos.multiply.frames import describe, symmetries
    from gym_grasp.demos.multiply.segments import find_segments, to_json
    from gym_grasp.demos.multiply.source import read_sources
    from gym_grasp.envs.build import compile_scene
    from gym_grasp.files import write_atomically

    count = len(dataset) if path is not None else min(len(dataset), SHOWN)
    try:
        sources = read_sources(dataset, list(range(count)))
        model = compile_scene(dataset.env_spec())
    except GymGraspError as error:
        if path is not None:
            raise
        return Parts({}, {}, dataset.meta.control_rate, reason(error))
    found = {one.index: find_segments(one) for one in sources}
    looks = {name: describe(symmetries(model, model.body(name).id)) for name in sources[0].things}
    if path is not None:
        write_atomically(path, to_json(found).encode())
        print(f"segments: {path}", file=sys.stderr)
    return Parts(found, looks, dataset.meta.control_rate)

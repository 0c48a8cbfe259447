"""Parts of a demonstration, found from what moved, and the frame that each refers to."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from gym_grasp.demos.multiply.source import Source, Track
from gym_grasp.errors import UsageError, reason
from gym_grasp.files import read_json

WORLD = "world"
"""The frame of what refers to no thing."""
ARM = 0.1
"""At what distance a turn of a thing counts as a shift, in m/rad."""
WINDOW = 0.1
"""In which speeds of things are measured, in s."""
MOVES = 0.012
"""Speed from which a thing moves, in m/s."""
FLICKER = 3
"""Moments in a row that a movement has to last, and that it may pause."""
LEAST = 0.015
"""Way of a thing below which it was only nudged, in m."""
HELD = 0.05
"""By how much the hand's distance from a thing that rests may change while it holds it, in m."""
AWAY = 0.10
"""Distance from the grasp at which the way to it begins, in m."""
NEXT_TO = 0.18
"""Horizontal distance within which a thing was brought to another, in m."""
PUT_BACK = 0.01
"""By how much a thing that was dropped may lie lower or higher than before, in m."""


@dataclass(frozen=True)
class Segment:
    """Moments `begin` to `end` of a demonstration, which refer to a frame."""

    begin: int
    """First moment; where it is not the end of the segment before, what is between is left out."""
    end: int
    """Moment at which the next one takes over."""
    frame: str
    """The thing that the hand's way refers to, as it stands when the segment begins, or `world`."""
    holds: str = ""
    """The thing that the hand brings to that; empty: none."""


@dataclass(frozen=True)
class Hold:
    """The hand moves a thing."""

    thing: str
    begin: int
    end: int


def find_holds(source: Source) -> list[Hold]:
    """Return when the hand moved which thing, in the order of their beginnings."""
    found: list[Hold] = []
    for name, track in source.things.items():
        spans = moving(track, source.rate)
        merged: list[list[int]] = []
        for begin, end in spans:
            if merged and _kept_hold(source, track, merged[-1][1], begin):
                merged[-1][1] = end
            else:
                merged.append([begin, end])
        found += [Hold(name, begin, end) for begin, end in merged if _way(track, begin, end)]
    found.sort(key=lambda hold: (hold.begin, hold.end))
    alone: list[Hold] = []
    for hold in found:  # a thing that is pushed by the one in the hand is not held
        if alone and hold.begin < alone[-1].end:
            if hold.end <= alone[-1].end:
                continue
            hold = Hold(hold.thing, alone[-1].end, hold.end)
            if not _way(source.things[hold.thing], hold.begin, hold.end):
                continue
        alone.append(hold)
    return alone


def moving(track: Track, rate: float) -> list[tuple[int, int]]:
    """Return the first and last moments of each time in which a thing moves."""
    lag = max(1, round(WINDOW * rate))
    speed = np.zeros(len(track.position))
    shift = np.linalg.norm(track.position[lag:] - track.position[:-lag], axis=1)
    same = np.abs((track.orientation[lag:] * track.orientation[:-lag]).sum(1)).clip(0, 1)
    speed[lag // 2 : lag // 2 + len(shift)] = (shift + ARM * 2 * np.arccos(same)) * rate / lag
    edges = np.flatnonzero(np.diff(np.pad((speed > MOVES).astype(int), 1)))
    spans: list[tuple[int, int]] = []
    for begin, end in zip(edges[::2].tolist(), (edges[1::2] - 1).tolist(), strict=True):
        if spans and begin - spans[-1][1] <= FLICKER:
            begin = spans.pop()[0]
        spans.append((begin, end))
    return [(begin, end) for begin, end in spans if end - begin >= FLICKER]


def _way(track: Track, begin: int, end: int) -> bool:
    """Whether a thing went farther than a nudge."""
    off = np.linalg.norm(track.position[begin : end + 1] - track.position[begin], axis=1)
    same = np.abs(track.orientation[begin : end + 1] @ track.orientation[begin]).clip(0, 1)
    return bool((off + ARM * 2 * np.arccos(same)).max() > LEAST)


def _kept_hold(source: Source, track: Track, end: int, begin: int) -> bool:
    """Whether the hand stayed at a thing that rested from one moment to another."""
    apart = np.linalg.norm(source.wrist.position - track.position, axis=1)
    return bool(np.abs(apart[end : begin + 1] - apart[end]).max() < HELD)


def useful(source: Source, holds: Sequence[Hold]) -> list[Hold]:
    """Leave out what was a mistake: a thing that lies as before and is taken again."""
    kept = []
    for index, hold in enumerate(holds):
        again = any(later.thing == hold.thing for later in holds[index + 1 :])
        track = source.things[hold.thing]
        rise = abs(track.position[hold.end, 2] - track.position[hold.begin, 2])
        tilt = abs(track.orientation[hold.end] @ track.orientation[hold.begin])
        slid = np.linalg.norm(track.position[hold.end] - track.position[hold.begin])
        lifted = track.position[hold.begin : hold.end + 1, 2].max() - track.position[hold.begin, 2]
        dropped = lifted > LEAST or slid < 2 * LEAST
        if again and dropped and rise < PUT_BACK and tilt > 0.99:
            continue
        kept.append(hold)
    return kept


def find_segments(source: Source) -> list[Segment]:
    """Return the segments of a demonstration; the last one ends with it.

    Before each hold the hand comes to the thing, in the thing's own frame. What it brings to
    another thing is in the frame of that from then on, until the hand has left.
    """
    holds = useful(source, find_holds(source))
    segments: list[Segment] = []
    last = len(source) - 1
    free = 0  # from where on the hand is on its way to the next thing
    for index, hold in enumerate(holds):
        gap = source.wrist.position[: hold.begin + 1] - source.wrist.position[hold.begin]
        far = np.flatnonzero(np.linalg.norm(gap, axis=1) >= AWAY)
        entry = max(free, int(far[-1]) if len(far) else 0)
        whole = index > 0 and not _between(find_holds(source), holds[index - 1], hold)
        begin = free if whole else entry  # else it is joined to where the hand is
        goal = brought_to(source, hold)
        final = index == len(holds) - 1
        out = np.linalg.norm(
            source.wrist.position[hold.end :] - source.wrist.position[hold.end], axis=1
        )
        left = np.flatnonzero(out >= AWAY / 2)
        free = last if final else min(hold.end + int(left[0]) if len(left) else last, last)
        if not final:
            free = min(free, holds[index + 1].begin - 1)
        if goal == hold.thing:
            segments.append(Segment(begin, free, hold.thing))
        else:
            segments.append(Segment(begin, hold.begin, hold.thing))
            segments.append(Segment(hold.begin, free, goal, hold.thing))
    return [one for one in segments if one.end > one.begin] or [Segment(0, last, WORLD)]


def _between(all_holds: Sequence[Hold], before: Hold, after: Hold) -> bool:
    """Whether something that was left out happened between two holds."""
    return any(before.end < one.begin < after.begin for one in all_holds)


def brought_to(source: Source, hold: Hold) -> str:
    """Return the thing next to which a held one is at the end of the hold, or itself."""
    place = source.things[hold.thing].position[hold.end]
    best, nearest = hold.thing, np.inf
    for name, track in source.things.items():
        apart = track.position[hold.end] - place
        if name != hold.thing and np.hypot(*apart[:2]) < NEXT_TO:
            distance = float(np.linalg.norm(apart))
            if distance < nearest:
                best, nearest = name, distance
    return best


# A small file of corrections ----------------------------------------------------------------------


def to_json(segments: Mapping[int, Sequence[Segment]]) -> str:
    """Return segments by the numbers of their episodes, as a file that can be corrected."""
    lines = [
        f'  "{index}": [\n    ' + ",\n    ".join(json.dumps(asdict(one)) for one in own) + "\n  ]"
        for index, own in segments.items()
    ]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def read_corrections(path: Path, sources: Sequence[Source]) -> dict[int, list[Segment]]:
    """Read what `to_json` wrote and someone corrected; episodes that it leaves out stay as found.

    Raises:
        UsageError: the file is missing, or says something that cannot be.
    """
    known = {source.index: source for source in sources}
    try:
        content = read_json(path)
        if not isinstance(content, dict):
            raise ValueError(f"it holds {reason(content)}, expected episodes with segments")
        read = {int(key): [Segment(**one) for one in own] for key, own in content.items()}
        for index, own in read.items():
            if index not in known:
                raise ValueError(f"there is no episode {index}; chosen are {sorted(known)[:20]}")
            _check(known[index], own)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UsageError(
            f"The segments in {path} cannot be used: {reason(error)}. Write them anew with "
            "`gym-grasp demos info FILE --segments`, and correct those."
        ) from error
    return read


def _check(source: Source, segments: Sequence[Segment]) -> None:
    if not segments:
        raise ValueError(f"episode {source.index} has no segment")
    end = 0
    for one in segments:
        for name, value in (("frame", one.frame), ("holds", one.holds)):
            allowed = [*source.things, WORLD if name == "frame" else ""]
            if value not in allowed:
                raise ValueError(
                    f"{name} in episode {source.index} is {value!r}; known: {', '.join(allowed)}"
                )
        whole = all(type(moment) is int for moment in (one.begin, one.end))
        if not whole or not end <= one.begin < one.end < len(source):
            raise ValueError(
                f"a segment of episode {source.index} goes from {one.begin!r} to {one.end!r}; "
                f"expected whole numbers, ascending, {end} to {len(source) - 1}"
            )
        end = one.end

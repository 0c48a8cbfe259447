"""Demonstrations side by side as tensors, moment by moment, for a batch of hands to follow."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gym_grasp.demos.multiply.segments import ARM, WORLD, Segment, find_holds, moving
from gym_grasp.demos.multiply.source import Source, smoothed

PAUSE = (0.03, 0.15, 0.10, 0.01)
"""Speeds of wrist, its turning, drives and things below which nothing happens, in m/s, rad/s, 1/s
and m/s."""
HURRY = 2.0
"""How much faster moments pass in which nothing happens."""
PACES = (0.08, 0.16)
"""Mean speeds of a reach, in m/s: the source's own within these."""
NEAR = (0.02, 0.10)
"""Distances from a grasp or a release between which the hand is no longer careful, in m."""
CARE = 0.35
"""Share of its wandering that is left where it is."""
BLEND = (0.1, 0.8)
"""Shares of the way from one thing to another between which the frame changes."""
LEAVE, ARRIVE = 0.04, 0.10
"""Distances from a release and from the next grasp within which the frame is that thing's, in m."""


@dataclass(frozen=True)
class Plans:
    """S demonstrations of at most R moments and K segments; float32, on the device."""

    aimed: Tensor
    """Wrist pose that the hand is led to, then its drives. Shape (S, R, 7 + D)."""
    wrist: Tensor
    """Where the wrist was, world, in m. Shape (S, R, 3)."""
    held: Tensor
    """Where the thing was that the hand holds, world, in m. Shape (S, R, 3)."""
    blend: Tensor
    """How far the frame has changed from the segment's before to its own, 0 to 1. Shape (S, R)."""
    free: Tensor
    """Share of wandering that the hand allows itself. Shape (S, R)."""
    rate: Tensor
    """Moments that pass in one control step. Shape (S, R)."""
    begin: Tensor
    """Of segments, moments. Shape (S, K)."""
    end: Tensor
    """Of segments, moments; the last one's repeats. Shape (S, K)."""
    count: Tensor
    """Number of segments. Shape (S,)."""
    frame: Tensor
    """Number of the thing, -1 for the world. Shape (S, K)."""
    holds: Tensor
    """Number of the thing in the hand, -1 for none. Shape (S, K)."""
    release: Tensor
    """Moment at which that has arrived. Shape (S, K)."""
    joined: Tensor
    """Whether the hand comes from elsewhere than the moment before. Shape (S, K)."""
    anew: Tensor
    """Whether the frame is looked at. Shape (S, K)."""
    reference: Tensor
    """Pose of the frame at the beginning of each segment. Shape (S, K, 7)."""
    start: Tensor
    """Pose of the frames at the start of the demonstration. Shape (S, K, 7)."""
    pace: Tensor
    """Mean speed of a reach, in m/s. Shape (S,)."""
    last_velocity: Tensor
    """Of the hand that is led, at the end, in m per moment. Shape (S, 3)."""


def make_plans(
    sources: Sequence[Source], segments: Sequence[Sequence[Segment]], device: torch.device
) -> Plans:
    """Return the plans of demonstrations with their segments."""
    rows = max(map(len, sources))
    most = max(map(len, segments))
    parts = [_plan(source, own, rows, most) for source, own in zip(sources, segments, strict=True)]
    stacked = {name: np.stack([part[name] for part in parts]) for name in parts[0]}
    tensors = {
        name: torch.tensor(value, device=device).to(
            torch.float32 if value.dtype.kind == "f" else None
        )
        for name, value in stacked.items()
    }
    return Plans(**tensors)


def _plan(
    source: Source, segments: Sequence[Segment], rows: int, most: int
) -> dict[str, np.ndarray]:
    names = [*source.things]
    held, blend = source.wrist.position.copy(), np.ones(len(source))
    near = np.full(len(source), np.inf)
    for hold in find_holds(source):
        for moment in (hold.begin, hold.end):
            gap = source.wrist.position - source.wrist.position[moment]
            near = np.minimum(near, np.linalg.norm(gap, axis=1))
    table: list[dict[str, Any]] = []
    before: Segment | None = None
    for one in segments:
        span = slice(one.begin, one.end + 1)
        joined = before is None or before.end != one.begin
        anew = joined or before is None or before.frame != one.frame
        release = one.end
        if one.holds:
            track = source.things[one.holds]
            held[span] = track.position[span]
            spans = [b for a, b in moving(track, source.rate) if a < one.end and b > one.begin]
            release = min(one.end, max(spans, default=one.end))
        if anew and not joined:
            blend[span] = _blend(source, one, release)
        table.append(
            {
                "begin": one.begin,
                "end": one.end,
                "frame": names.index(one.frame) if one.frame != WORLD else -1,
                "holds": names.index(one.holds) if one.holds else -1,
                "release": release,
                "joined": joined,
                "anew": anew,
                "reference": _pose(source, one.frame, one.begin),
                "start": _pose(source, one.frame, 0),
            }
        )
        before = one
    table += [table[-1]] * (most - len(table))
    share = np.clip((near - NEAR[0]) / (NEAR[1] - NEAR[0]), 0.0, 1.0)

    def filled(values: np.ndarray) -> np.ndarray:
        return np.concatenate([values, np.repeat(values[-1:], rows - len(values), axis=0)])

    aimed = np.concatenate([source.aimed.position, source.aimed.orientation, source.drives], axis=1)
    back = max(1, round(0.2 * source.rate))
    return {
        "aimed": filled(aimed),
        "wrist": filled(source.wrist.position),
        "held": filled(held),
        "blend": filled(blend),
        "free": filled(CARE + (1 - CARE) * share),
        "rate": filled(_rates(source)),
        "count": np.array(len(segments)),
        **{name: np.array([row[name] for row in table]) for name in table[0]},
        "pace": np.array(_pace(source, segments[0].begin)),
        "last_velocity": (aimed[-1, :3] - aimed[-1 - min(back, len(aimed) - 1), :3]) / back,
    }


def _pose(source: Source, frame: str, moment: int) -> np.ndarray:
    if frame == WORLD:
        return np.array([0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0])
    track = source.things[frame]
    return np.concatenate([track.position[moment], track.orientation[moment]])


def _blend(source: Source, segment: Segment, release: int) -> np.ndarray:
    """Return how far the frame has changed in each moment of a segment, never back."""
    span = slice(segment.begin, segment.end + 1)
    if segment.holds:
        path = source.things[segment.holds].position[:, :2]
        gone = np.linalg.norm(path[span] - path[segment.begin], axis=1)
        left = np.linalg.norm(path[span] - path[release], axis=1)
        share = (gone / np.maximum(gone + left, 1e-6) - BLEND[0]) / (BLEND[1] - BLEND[0])
    else:
        path = source.wrist.position
        gone = np.linalg.norm(path[span] - path[segment.begin], axis=1) - LEAVE
        left = np.linalg.norm(path[span] - path[segment.end], axis=1) - ARRIVE
        gone, left = np.maximum(gone, 0.0), np.maximum(left, 0.0)
        share = gone / np.maximum(gone + left, 1e-6)
    share = np.maximum.accumulate(np.clip(share, 0.0, 1.0))
    share[release - segment.begin :] = 1.0
    share = smoothed(share[:, None], 0.1 * source.rate)[:, 0]
    return share * share * (3 - 2 * share)


def _rates(source: Source) -> np.ndarray:
    """Return how many moments pass in a control step: more where nothing happens."""
    tracks = [source.aimed, *source.things.values()]
    rate = source.rate

    def speed(values: np.ndarray) -> np.ndarray:
        return np.linalg.norm(np.gradient(values, axis=0), axis=1) * rate

    turning = 2 * speed(source.aimed.orientation)
    motion = [
        speed(source.aimed.position) / PAUSE[0],
        turning / PAUSE[1],
        np.abs(np.gradient(source.drives, axis=0)).max(1) * rate / PAUSE[2],
    ]
    for track in tracks[1:]:
        moves = speed(track.position) + ARM * 2 * speed(track.orientation)
        motion.append(moves / PAUSE[3])
    most = smoothed(np.max(motion, axis=0)[:, None], 0.1 * rate)[:, 0]
    return np.clip(1.0 / np.maximum(most, 1e-6), 1.0, HURRY)


def _pace(source: Source, moments: int) -> float:
    """Return the mean speed at which the hand came, in m/s."""
    speed = np.linalg.norm(np.diff(source.wrist.position[: moments + 1], axis=0), axis=1)
    going = speed[speed * source.rate > PAUSE[0]] * source.rate
    return float(np.clip(going.mean() if len(going) > 5 else 0.12, *PACES))

"""How whoever demonstrates behaves, in figures that can be set beside people's."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from gym_grasp.demos.episode import Episode
from gym_grasp.demos.meta import DatasetMeta

PAPER_SECONDS: Final = {"stack-cubes": 35.2, "open-door": 6.5, "pour-cup": 13.9}
"""Times of people with haptics in the paper's Table II, in s; it has no other task."""
RESTING: Final = 0.02
"""Speed of the wrist below which it rests, in m/s."""
BAND: Final = (8.0, 12.0)
"""Frequencies of physiological tremor, in Hz."""
WINDOW: Final = 1.0
"""Duration of the pieces whose spectra are taken, in s."""


@dataclass(frozen=True)
class Behaviour:
    """How the episodes of a dataset were performed; None where they do not tell."""

    seconds: float
    """Median time, in s."""
    rest: float | None
    """Share of all time in which the wrist rests."""
    strategies: dict[str, int]
    """How many episodes follow each."""
    mended: float
    """Share of the episodes with a mistake that was mended."""
    thumb: float | None
    """Range in which the thumb rotates, median of the episodes, in degrees."""
    tremor: float | None
    """RMS of what the wrist's tracker sent in the tremor's band, along one axis, median, in m."""
    skill: tuple[float, float, float] | None
    """Least, median and greatest skill of synthetic operators."""


def behaviour(episodes: Iterable[Episode], meta: DatasetMeta) -> Behaviour:
    """Return how episodes, read whole, were performed."""
    rate, found = meta.control_rate, list[tuple[float, ...]]()
    strategies: Counter[str] = Counter()
    for episode in episodes:
        events = episode.events
        strategies[str(events.get("strategy", ""))] += 1
        sent = episode.operator_input.get("wrist_position")
        found.append(
            (
                len(episode) / rate,
                rest_steps(episode, rate),
                float(int(events.get("mistakes", 0)) > 0),
                thumb_range(episode, meta),
                np.nan if sent is None else tremor(sent, rate),
                float(events.get("skill", np.nan)),
            )
        )
    seconds, rest, mended, thumb, shake, skill = np.array(found).T
    del strategies[""]
    return Behaviour(
        seconds=float(np.median(seconds)),
        rest=None if np.isnan(rest).any() else float(rest.sum() / (seconds * rate).sum()),
        strategies=dict(sorted(strategies.items())),
        mended=float(mended.mean()),
        thumb=_median(thumb),
        tremor=_median(shake),
        skill=None
        if np.isnan(skill).any()
        else (skill.min(), float(np.median(skill)), skill.max()),
    )


def rest_steps(episode: Episode, rate: float) -> float:
    """Return in how many control steps the wrist is slower than `RESTING`; NaN if not observed."""
    pose = episode.observations.get("wrist_pose")
    if pose is None:
        return np.nan
    return float((np.linalg.norm(np.diff(pose[:, :3], axis=0), axis=1) * rate < RESTING).sum())


def thumb_range(episode: Episode, meta: DatasetMeta) -> float:
    """Return in which range the thumb rotates, in degrees; NaN where the hand's cannot."""
    feature = meta.features.get("finger_positions")
    if feature is None or "thumb_rotation" not in feature.components:
        return np.nan
    column = feature.components.index("thumb_rotation")
    return float(np.degrees(np.ptp(episode.observations["finger_positions"][:, column])))


def tremor(position: np.ndarray, rate: float) -> float:
    """Return the RMS of a movement (T, 3) within `BAND` along one axis, in its unit.

    Spectra of Hann-weighted pieces; of second differences, since those of the movement itself would
    leak into the band. The median piece counts: a jerk is no tremor. NaN where the movement is
    shorter than a piece, partly unknown or sampled too slowly.
    """
    length = round(WINDOW * rate)
    jerks = np.diff(position.astype(float), 2, axis=0)
    if len(jerks) < length or rate < 2 * BAND[1]:
        return np.nan
    window = np.hanning(length + 2)[1:-1, None]
    frequency = np.fft.rfftfreq(length, 1 / rate)
    band = (frequency >= BAND[0]) & (frequency <= BAND[1])
    gain = (2 * np.sin(np.pi * frequency[band] / rate))[:, None] ** 4  # of second differences
    powers = []
    for start in range(0, len(jerks) - length + 1, length // 2):
        spectrum = np.fft.rfft(jerks[start : start + length] * window, axis=0)[band]
        powers.append((np.abs(spectrum) ** 2 / gain).sum(0).mean())
    return float(np.sqrt(np.median(powers) * 2 / (length * (window**2).sum())))


def _median(values: np.ndarray) -> float | None:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if known.size else None

"""What came of multiplying, and of each source."""

import dataclasses
from dataclasses import dataclass

from gym_grasp.demos.multiply.segments import Segment

LEAST_SHARE = 0.3
"""Share of a source's trials that has to succeed for it to be used."""
APART = 0.005
"""Least distance of any two start states, in m: Euclidean, of what policies observe, where entries
of rotation matrices and angles in rad count 0.1 m each."""


@dataclass(frozen=True)
class SourceReport:
    """What came of one source."""

    episode: int
    """Its number in the dataset."""
    segments: tuple[Segment, ...]
    """Its parts."""
    trials: int
    """Attempts made to try it; 0: no start state fits."""
    successes: int
    """How many of these succeeded."""
    kept: int = 0
    """Episodes kept that were made of it."""

    @property
    def share(self) -> float:
        """Share of its trials that succeeded."""
        return self.successes / self.trials if self.trials else 0.0

    @property
    def used(self) -> bool:
        """Whether it is good enough."""
        return self.share >= LEAST_SHARE


@dataclass(frozen=True)
class Report:
    """What came of multiplying."""

    path: str
    episodes: int
    """Episodes kept."""
    attempts: int
    """Attempts made for these, trials apart."""
    share: float
    """Share of them that succeeded."""
    near: int
    """Start states left out for lying too near to another."""
    unfit: int
    """Start states left out because no source fits them."""
    apart: float
    """Least distance of any two start states, see `APART`, in m."""
    spread: tuple[float, ...]
    """Deviation of each observed value over the start states kept."""
    seconds: float
    """Time that it took, trials and writing included."""
    per_minute: float
    """Attempts a minute, trials apart."""
    sources: tuple[SourceReport, ...]

    def to_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return dataclasses.asdict(self)

"""A clock that ticks in real time: it does not drift, and it does not chase what it missed."""

import numpy as np

HISTORY = 65_536
"""Ticks whose lateness is remembered: 12 minutes at 90 Hz."""


class TickClock:
    """An absolute schedule of ticks; times in [s] of `time.perf_counter`.

    A tick that begins more than half a period after its time is late; where whole periods have
    passed, their ticks are skipped, so that the next one is on schedule again.

    Args:
        rate: ticks per second, in [Hz].
        start: time of the first tick.
    """

    def __init__(self, rate: float, start: float) -> None:
        self.period = 1.0 / rate
        self._start = start
        self._index = 0
        self._lateness = np.zeros(HISTORY, np.float32)
        self.ticks = 0
        """Ticks begun."""
        self.late = 0
        """Ticks begun more than half a period late."""
        self.skipped = 0
        """Ticks that never began."""

    @property
    def due(self) -> float:
        """When the next tick should begin."""
        return self._start + self._index * self.period

    def begin(self, now: float) -> int:
        """Begin a tick, and return how many were skipped to do so."""
        lateness = now - self.due
        skipped = max(0, int(lateness / self.period))
        self._lateness[self.ticks % HISTORY] = lateness
        self.ticks += 1
        self.late += lateness > self.period / 2
        self.skipped += skipped
        self._index += 1 + skipped
        return skipped

    def summary(self) -> dict[str, float]:
        """Return counts, the share of ticks on time, and percentiles of the lateness in [ms]."""
        lateness = self._lateness[: min(self.ticks, HISTORY)] * 1e3
        p50, p99 = np.percentile(lateness, [50, 99]) if self.ticks else (0.0, 0.0)
        return {
            "ticks": self.ticks,
            "late": int(self.late),
            "skipped": self.skipped,
            "on_time": (self.ticks - self.late) / max(1, self.ticks + self.skipped),
            "jitter_p50_ms": round(float(p50), 3),
            "jitter_p99_ms": round(float(p99), 3),
        }

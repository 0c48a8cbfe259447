"""Where the time goes between an operator's movement and its picture."""

from collections import deque

import numpy as np

STAGES = {
    "capture_to_arrival": "headset's frame to the host, the network included",
    "arrival_to_applied": "waiting for the control step that uses it",
    "applied_to_sent": "control, physics and haptics, until the scene is sent",
    "input_to_state": "capture until the first scene that it moved is sent",
    "sent_to_shown": "scene to the headset's next frame",
    "input_to_shown": "capture until that frame: the whole loop",
}
"""Every stage that is measured, with its meaning."""

HISTORY = 65_536
"""Values remembered per stage."""
SCENES = 256
"""Scenes whose showing may still be reported; 2.8 s at 90 Hz."""


class Samples:
    """The newest values of one stage, in [s]."""

    def __init__(self) -> None:
        self._values = np.zeros(HISTORY, np.float32)
        self._count = self._marked = 0

    def add(self, value: float) -> None:
        """Remember one value."""
        self._values[self._count % HISTORY] = value
        self._count += 1

    def mark(self) -> None:
        """Begin a stretch of values."""
        self._marked = self._count

    @property
    def since_mark(self) -> int:
        """Number of values since the mark."""
        return self._count - self._marked

    def summary(self, newest: int = HISTORY) -> dict[str, float]:
        """Return count and percentiles, in [ms], of the newest values; empty without any."""
        kept = min(self._count, HISTORY, newest)
        if kept == 0:
            return {}
        values = self._values[np.arange(self._count - kept, self._count) % HISTORY] * 1e3
        p50, p99 = np.percentile(values, [50, 99])
        return {
            "count": kept,
            "p50_ms": round(float(p50), 2),
            "p99_ms": round(float(p99), 2),
            "max_ms": round(float(values.max()), 2),
        }


class LatencyMeter:
    """Follows inputs through the stages; times in [s] of `time.perf_counter`."""

    def __init__(self) -> None:
        self._sent: deque[tuple[int, float | None, float]] = deque(maxlen=SCENES)
        self._pending: tuple[float, float] | None = None
        self._last = -1
        self.stages = {name: Samples() for name in STAGES}

    def begin_episode(self) -> None:
        """Let `episode` speak of what comes from now on."""
        for samples in self.stages.values():
            samples.mark()

    def applied(self, sequence: int, capture: float, arrival: float, now: float) -> None:
        """An input began to move the robot at `now`; one that did so before is not counted."""
        if sequence == self._last:
            return
        self._last = sequence
        self._pending = capture, now
        self.stages["capture_to_arrival"].add(arrival - capture)
        # a device on the host may look at its clock after the tick did
        self.stages["arrival_to_applied"].add(max(0.0, now - arrival))

    def sent(self, scene: int, now: float) -> None:
        """A scene went out at `now`; the first after `applied` is the one that the input moved."""
        capture = None
        if self._pending is not None:
            capture, applied = self._pending
            self._pending = None
            self.stages["applied_to_sent"].add(now - applied)
            self.stages["input_to_state"].add(now - capture)
        self._sent.append((scene, capture, now))

    def shown(self, scene: int, time: float) -> None:
        """A headset drew a scene in its frame at `time`."""
        while self._sent and self._sent[0][0] <= scene:
            number, capture, sent = self._sent.popleft()
            if number == scene:
                self.stages["sent_to_shown"].add(time - sent)
            if capture is not None:
                self.stages["input_to_shown"].add(time - capture)

    def summary(self, newest: int = HISTORY) -> dict[str, dict[str, float]]:
        """Return percentiles in [ms] of every stage that has values, over its newest ones."""
        values = {name: samples.summary(newest) for name, samples in self.stages.items()}
        return {name: value for name, value in values.items() if value}

    def episode(self) -> dict[str, dict[str, float]]:
        """Return the same over the present episode."""
        values = {
            name: samples.summary(samples.since_mark) for name, samples in self.stages.items()
        }
        return {name: value for name, value in values.items() if value}

"""Time: several sides go through their episodes in step."""

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

from gym_grasp.view.grip import Grip
from gym_grasp.view.sides import Live, Side

SPEEDS = (0.05, 8.0)
"""Slowest and fastest, relative to real time."""
BUDGET = 0.03
"""Time that may be spent on simulating before the network has its turn, in [s]."""
REST = 1.5
"""How long the end of an episode is shown before the next begins, in [s]."""
PACE_WINDOW = 1.0
"""Time over which the speed reached is measured, in [s]."""


@dataclass(eq=False)
class Player:
    """Plays, pauses, steps and seeks; what is not known yet is simulated on the way.

    All sides show the moment of the same number, and where one has ended its last.
    """

    sides: Sequence[Side]
    """All of one control rate."""
    index: int = 0
    """Which moment is shown."""
    playing: bool = True
    speed: float = 1.0
    """Relative to real time."""
    loop: bool = True
    """Whether the next episode follows by itself."""
    grip: tuple[Live, Grip] | None = None
    """Who is held; while someone is, time runs."""
    pace: float = 0.0
    """The speed that is reached."""
    _goal: int | None = None
    _due: float = 0.0
    """When the next moment is to be shown."""
    _ended: float | None = None
    """Since when the end is shown."""
    _paced: tuple[float, int] = (0.0, 0)

    @property
    def period(self) -> float:
        """Time between two moments, in [s]."""
        return self.sides[0].env.controller.period

    @property
    def running(self) -> bool:
        """Whether time passes, or is caught up."""
        return self.playing or self.grip is not None or self._goal is not None

    @property
    def over(self) -> bool:
        """Whether nothing comes after the present moment."""
        return all(side.track.outcome and self.index >= len(side.track) - 1 for side in self.sides)

    def restart(self) -> None:
        """Show the first moment of new tracks."""
        self.index, self.grip = 0, None
        self._goal = self._ended = None
        self._due = 0.0

    def seek(self, index: int) -> None:
        """Show a moment, as soon as it is known."""
        self._ended = None
        self._goal = max(0, index)

    def step(self, by: int) -> None:
        """Pause, and show the moment so many later, or earlier where it is negative."""
        self.playing = False
        self.seek(self.index + by)

    def hold(self, side: Live, grip: Grip) -> bool:
        """Hold a body from the present moment on; return whether that is possible.

        What came after that moment is forgotten; who acts but cannot go back is held at the end.
        """
        if self.grip is None or self.grip[0] is not side:
            if side.rewinds and self.index < len(side.track) - 1:
                side.rewind(self.index)
            elif not side.rewinds:
                self.index = max(self.index, len(side.track) - 1)
            if side.track.outcome:
                return False
            self._due = 0.0
        self.grip = side, grip
        self._goal = None
        return True

    def tick(self, now: float) -> bool:
        """Do what is due at a time in [s]; return whether another moment is shown."""
        before = self.index
        if self._goal is not None:
            self._catch_up()
        elif self.playing or self.grip is not None:
            self._play(now)
        else:
            self._due = 0.0
        if self.over:
            self.grip = None
            self._ended = now if self._ended is None else self._ended
            if not self.loop:
                self.playing = False
        else:
            self._ended = None
        self._measure(now)
        return self.index != before

    def rested(self, now: float) -> bool:
        """Return whether it is time for the next episode."""
        return self.loop and self.playing and self._ended is not None and now - self._ended >= REST

    def wait(self, now: float) -> float | None:
        """Return in how many seconds `tick` has something to do; None: not until it is asked."""
        if self._goal is not None:
            return 0.0
        if self.over:
            waits = self.loop and self.playing and self._ended is not None
            return max(0.0, self._ended + REST - now) if waits and self._ended else None
        return max(0.0, self._due - now) if self.running else None

    def _catch_up(self) -> None:
        """Go to the goal, which may take more than one call."""
        assert self._goal is not None
        self.index = min(self._goal, self._known())
        begin = perf_counter()
        while self.index < self._goal and not self.over and perf_counter() - begin < BUDGET:
            self._next()
        if self.index >= self._goal or self.over:
            self._goal = None

    def _known(self) -> int:
        """Return the last moment that no side has to simulate for."""
        tracks = [side.track for side in self.sides]
        going = [len(track) for track in tracks if not track.outcome]
        return min(going, default=max(map(len, tracks))) - 1

    def _play(self, now: float) -> None:
        period = self.period / self.speed
        self._due = self._due or now
        begin = perf_counter()
        while self._due <= now and not self.over:
            self._next()
            self._due += period
            if perf_counter() - begin > BUDGET:  # too slow for this speed: time stretches
                self._due = max(self._due, now)
                break

    def _next(self) -> None:
        for side in self.sides:
            grip = self.grip[1] if self.grip is not None and self.grip[0] is side else None
            if self.index >= len(side.track) - 1:
                side.advance(grip)
        if any(len(side.track) - 1 > self.index for side in self.sides):
            self.index += 1

    def _measure(self, now: float) -> None:
        since, index = self._paced
        if not self.running or self.index < index or now - since >= PACE_WINDOW:
            if self.index > index and since and now > since:
                self.pace = (self.index - index) * self.period / (now - since)
            self._paced = now, self.index

"""Measuring an operator's range of motion in 10 s, and keeping it in a file."""

import os
import re
from dataclasses import asdict
from enum import Enum
from pathlib import Path

import numpy as np

from gym_grasp.errors import GymGraspError, UsageError, reason
from gym_grasp.files import read_json, write_json
from gym_grasp.teleop.hand.retargeting import LEAST_RANGE, Calibration, Source
from gym_grasp.typed import construct

FORMAT = "gym-grasp hand calibration 1"


class Phase(Enum):
    """What the operator is asked to do; the value is the request."""

    OPEN = "Spread your hand flat, the thumb beside the palm."
    FIST = "Make a fist, the thumb over the fingers."
    DONE = "Done."


class Calibrator:
    """Calibrates an operator within 10 s: open hand, then fist, each held for a moment.

    A pose is taken as soon as it has been held still; the fist also has to differ from the open
    hand. After `PHASE_LIMIT` the last moment is taken as it is.
    """

    HOLD = 1.0
    """How long a pose has to be held, in [s]."""
    STILL = 0.15
    """How far any bend may range while it counts as still, in [rad]."""
    PHASE_LIMIT = 5.0
    """Longest wait for one pose, in [s]; two of them make 10 s."""

    def __init__(self, source: Source = "joints") -> None:
        self.phase = Phase.OPEN
        self._source: Source = source
        self._began: float | None = None
        self._samples: list[tuple[float, np.ndarray]] = []
        self._open: tuple[float, ...] = ()
        self._result: Calibration | None = None

    def add(self, time: float, bends: np.ndarray) -> Phase:
        """Take in the bends (5,) in [rad] at a time in [s]; return what is asked for now.

        Raises:
            UsageError: the time is up and a finger was not seen, or hardly moved; what was done
                so far is dropped, and the next call begins anew.
        """
        if self.phase is Phase.DONE:
            return self.phase
        self._began = time if self._began is None else self._began
        if np.isfinite(bends).all():
            self._samples.append((time, np.array(bends, dtype=float)))
        recent = [bends for when, bends in self._samples if time - when <= self.HOLD]
        late = time - self._began >= self.PHASE_LIMIT
        if late or self._held(time, recent):
            try:
                self._take(recent)
            except UsageError:
                self._restart()
                raise
        return self.phase

    @property
    def result(self) -> Calibration:
        """The calibration; only once the phase is DONE."""
        assert self._result is not None
        return self._result

    def _held(self, time: float, recent: list[np.ndarray]) -> bool:
        if not recent or time - self._samples[0][0] < self.HOLD:
            return False
        if np.ptp(recent, axis=0).max() > self.STILL:
            return False
        if self.phase is Phase.OPEN:
            return True
        moved = np.abs(np.median(recent, axis=0) - np.array(self._open))
        return bool((moved >= LEAST_RANGE).all())

    def _take(self, recent: list[np.ndarray]) -> None:
        if not recent:
            raise UsageError(
                "Calibration: the hand was not tracked. Hold it in view of the headset, or check"
                " the glove, and try again."
            )
        pose = tuple(float(bend) for bend in np.median(recent, axis=0))
        if self.phase is Phase.OPEN:
            self._open, self.phase = pose, Phase.FIST
        else:
            self._result = Calibration(self._open, pose, self._source)
            self.phase = Phase.DONE
        self._began, self._samples = None, []

    def _restart(self) -> None:
        self.phase, self._open = Phase.OPEN, ()
        self._began, self._samples = None, []


def calibration_path(operator: str, source: Source) -> Path:
    """Return where an operator's calibration is kept, below `$XDG_CONFIG_HOME` or `~/.config`.

    Raises:
        UsageError: the name is not made of letters, digits, `_` and `-`.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", operator):
        raise UsageError(
            f"Operator '{operator}': a name has 1 to 64 letters, digits, underscores and dashes."
        )
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return config / "gym-grasp" / "calibration" / f"{operator}-{source}.json"


def save_calibration(path: Path, calibration: Calibration) -> None:
    """Write a calibration as JSON; the file holds all of it or is not touched.

    Raises:
        GymGraspError: it cannot be written.
    """
    write_json(path, {"format": FORMAT, **asdict(calibration)})


def load_calibration(path: Path, source: Source | None = None) -> Calibration:
    """Read what `save_calibration` wrote.

    Args:
        path: the file.
        source: what has to have measured it; None takes any.

    Raises:
        GymGraspError: the file is missing, damaged, or of another source.
    """
    again = "Calibrate again."
    try:
        content = read_json(path)
        if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
            raise ValueError(f"it does not say that it is a '{FORMAT}'")
        if set(content) != {"open", "fist", "source"}:
            raise ValueError(f"it holds {sorted(content)}")
        poses = {name: tuple(float(bend) for bend in content[name]) for name in ("open", "fist")}
        calibration = construct(Calibration, {**poses, "source": content["source"]})
    except FileNotFoundError as error:
        raise GymGraspError(f"There is no calibration {path}. Calibrate first.") from error
    except OSError as error:
        raise GymGraspError(f"Cannot read the calibration {path}: {error.strerror}.") from error
    except (ValueError, TypeError, OverflowError, UsageError) as error:
        raise GymGraspError(
            f"The calibration {path} is damaged: {reason(error)}. {again}"
        ) from error
    if source is not None and calibration.source != source:
        raise GymGraspError(
            f"The calibration {path} was made with '{calibration.source}', not '{source}'. {again}"
        )
    return calibration

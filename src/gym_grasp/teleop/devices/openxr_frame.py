"""What an OpenXR runtime knows at a moment, whatever library asks it."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class XrPose:
    """A pose as OpenXR gives it: x right, y up, z back."""

    position: np.ndarray
    """Shape (3,), in [m]."""
    quaternion: np.ndarray
    """x y z w. Shape (4,)."""


@dataclass(frozen=True)
class XrFrame:
    """What the runtime knows at one moment."""

    time: float
    """For which the poses hold, in [s] of the session's clock."""
    wrist: XrPose | None
    """None: not tracked now; an inferred pose does not count."""
    head: XrPose | None = None
    trigger: float = 0.0
    """Of the controller in the right hand, 0–1."""
    squeeze: float = 0.0
    """Of the controller in the right hand, 0–1."""
    clutch: bool = False
    reset: bool = False
    next: bool = False
    discard: bool = False


class XrSession(Protocol):
    """A running connection to an OpenXR runtime."""

    def poll(self) -> XrFrame | None:
        """Return what is known now; None while the runtime has not started the session."""
        ...

    def vibrate(self, amplitude: float, duration: float) -> None:
        """Let the right hand's controller vibrate, 0–1, for a duration in [s]; else do nothing."""
        ...

    def close(self) -> None:
        """End the session."""
        ...

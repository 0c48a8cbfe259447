"""What an operator's devices send and get back, whatever they are."""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

FINGERS = ("thumb", "index", "middle", "ring", "little")
"""The order of every value per finger that goes to an operator."""


@dataclass(frozen=True)
class Pose:
    """Where something is and how it is turned, in the robot's world frame."""

    position: np.ndarray
    """Shape (3,), in [m]."""
    quaternion: np.ndarray
    """Unit quaternion w x y z. Shape (4,)."""


@dataclass(frozen=True)
class Buttons:
    """What the operator asks for besides moving; true while it is pressed."""

    reset: bool = False
    """Begin a new episode; one that had begun to move is given up and counts as a failure."""
    discard: bool = False
    """The same, and an episode that was kept is dropped and counts as a failure."""
    save: bool = False
    """Go on after an episode that ended; a success is on disk already."""


@dataclass(frozen=True)
class HandInput:
    """The newest thing known about an operator's hand and head.

    Positions and orientations are in axes parallel to the robot's world (x away from the robot,
    y left, z up); their origin may be anywhere, since the clutch uses changes only.
    """

    time: float
    """When it was captured, in [s] of the session's clock (`time.perf_counter`)."""
    wrist_position: np.ndarray
    """Shape (3,), in [m]."""
    wrist_quaternion: np.ndarray
    """Unit quaternion w x y z of the hand's palm frame: z along the fingers, y out of the palm.
    Shape (4,)."""
    flexion: np.ndarray
    """0 open to 1 closed, in the order of the robot's SERVOS: thumb rotation, thumb, index,
    middle, ring. Shape (5,)."""
    clutch: bool = False
    """Whether the clutch (key, button or pinch) is pressed."""
    tracked: bool = True
    """Whether wrist and fingers are measured now; False stops the robot."""
    lost: str = "tracking of the hand is lost"
    """What to tell the operator where it is not tracked."""
    head: Pose | None = None
    """The operator's head: x right, y up, z back, as of a camera."""
    buttons: Buttons = field(default_factory=Buttons)
    sequence: int = 0
    """Counts what the device sent; tells the stages of the latency apart."""
    arrival: float | None = None
    """When the host received it, in [s] of the session's clock; None: the device is on the host."""
    joints: np.ndarray | None = None
    """The tracked hand as it came, in WebXR's order of joints and in the robot's axes: position
    [m], quaternion w x y z, radius [m]; NaN where a joint is lost. Shape (25, 8)."""

    def valid(self) -> bool:
        """Whether all numbers are finite and the orientation is a rotation."""
        numbers = (self.wrist_position, self.wrist_quaternion, self.flexion)
        return (
            np.isfinite(self.time)
            and all(np.isfinite(number).all() for number in numbers)
            and abs(float(np.linalg.norm(self.wrist_quaternion)) - 1.0) < 1e-2
        )


@dataclass(frozen=True)
class Haptics:
    """What the operator's fingers are to feel, by finger in the order of `FINGERS`."""

    brake: np.ndarray
    """How hard closing is resisted, 0–1. Shape (5,)."""
    vibration: np.ndarray
    """0–1. Shape (5,)."""

    @staticmethod
    def none() -> "Haptics":
        """Nothing is felt."""
        return Haptics(np.zeros(len(FINGERS)), np.zeros(len(FINGERS)))


class Device(Protocol):
    """Something that an operator holds or wears."""

    def latest(self) -> HandInput | None:
        """Return the newest input, never an older one that waits; None: nothing came yet."""
        ...

    def feedback(self, haptics: Haptics) -> None:
        """Pass on what the fingers feel; called at every tick, must not wait."""
        ...

    def close(self) -> None:
        """Let go of the hardware."""
        ...

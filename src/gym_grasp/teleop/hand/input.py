"""What an operator's devices send and get back, whatever they are."""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from gym_grasp.robots.base import HUMAN_FINGERS

RELAXED = (1.0, 0.0, 0.0, 0.0, 0.0)
"""Flexions of a hand that nothing is known of yet: open, the thumb opposed to the fingers."""


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
    """The same, and a success that was just kept is dropped, which is no failure."""
    next: bool = False
    """Go on after an episode that ended; before its end it does nothing."""


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
    """Of the operator's own fingers, 0 open to 1 closed, as in `robots.base.HUMAN_FLEXIONS`.
    Shape (5,)."""
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
    """What the robot's F fingers feel, for the operator's fingers of the same names."""

    fingers: tuple[str, ...]
    """The robot's fingers, each named after a human one."""
    brake: np.ndarray
    """How hard closing is resisted, 0–1. Shape (F,)."""
    vibration: np.ndarray
    """0–1. Shape (F,)."""

    @staticmethod
    def none(fingers: tuple[str, ...]) -> "Haptics":
        """Nothing is felt."""
        return Haptics(fingers, np.zeros(len(fingers)), np.zeros(len(fingers)))

    def for_human(self) -> tuple[np.ndarray, np.ndarray]:
        """Return brake and vibration for each of `HUMAN_FINGERS`; 0 where the robot has none.

        Shapes (5,).
        """
        felt = dict(zip(self.fingers, zip(self.brake, self.vibration, strict=True), strict=True))
        brake, vibration = zip(*(felt.get(name, (0.0, 0.0)) for name in HUMAN_FINGERS), strict=True)
        return np.array(brake), np.array(vibration)


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

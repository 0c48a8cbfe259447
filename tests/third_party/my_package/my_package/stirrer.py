"""A device without an operator: a hand that goes round in a circle."""

import time
from dataclasses import dataclass

import numpy as np

from gym_grasp.errors import UsageError
from gym_grasp.teleop.devices.base import DeviceContext, OpenedDevice
from gym_grasp.teleop.hand.input import HandInput, Haptics


@dataclass(frozen=True)
class StirrerOptions:
    """A hand that goes round in a circle."""

    radius: float = 0.05
    """Of the circle, in m."""

    def open(self, context: DeviceContext) -> OpenedDevice:
        """Begin to stir."""
        if self.radius <= 0.0:
            raise UsageError(f"radius is {self.radius}; it must be positive.")
        return OpenedDevice(Stirrer(self.radius), moved_by="synthetic")


class Stirrer:
    """Goes round once in 2 s, palm down, with the clutch pressed from its second input on."""

    def __init__(self, radius: float) -> None:
        self.radius = radius
        self.sequence = 0

    def latest(self) -> HandInput:
        """Return where the hand is now."""
        now = time.perf_counter()
        angle = np.pi * now
        hand = HandInput(
            time=now,
            wrist_position=self.radius * np.array([np.cos(angle), np.sin(angle), 0.0]),
            wrist_quaternion=np.array([0.5, -0.5, 0.5, -0.5]),
            flexion=np.zeros(5),
            clutch=self.sequence > 0,
            sequence=self.sequence,
        )
        self.sequence += 1
        return hand

    def feedback(self, haptics: Haptics) -> None:
        """It feels nothing."""

    def close(self) -> None:
        """There is nothing to let go of."""

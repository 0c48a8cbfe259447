"""From forces on the fingertips to what is felt: brake and vibration.

After Mosbach, Moraw & Behnke (Humanoids 2022): the component of a fingertip's net contact force
that resists closing drives the glove's brake; what the force's magnitude exceeds its own moving
average by drives the vibration, so that an impact is felt as a burst and a steady hold is not.
"""

from collections import deque
from dataclasses import dataclass
from math import ceil

import numpy as np

from gym_grasp.teleop.hand.input import Haptics


@dataclass(frozen=True)
class HapticsConfig:
    """How forces become levels."""

    full_brake: float = 20.0
    """Force against closing that brakes fully, in [N]; a firm grasp reaches 10 to 20."""
    full_vibration: float = 20.0
    """Excess of the force over its average that vibrates fully, in [N]."""
    dead_band: float = 1.0
    """Excess that is not felt, in [N]: the solver's ripple while something is held."""
    window: float = 0.25
    """Duration of the moving average, in [s]; a burst dies away within it."""


def brake_level(force: np.ndarray, closing: np.ndarray, full: float) -> np.ndarray:
    """Return how hard each finger's closing is resisted.

    >>> brake_level(np.array([[0.0, -3.0, 9.0]]), np.array([[0.0, 1.0, 0.0]]), full=12.0)
    array([0.25])

    Args:
        force: net contact force on each fingertip, world, in [N]. Shape (F, 3).
        closing: unit direction in which each fingertip moves as its finger closes. Shape (F, 3).
        full: force that gives 1, in [N].

    Returns:
        0–1; a force along the closing direction gives 0. Shape (F,).
    """
    return np.clip(-np.einsum("fi,fi->f", force, closing) / full, 0.0, 1.0)


def vibration_level(
    magnitude: np.ndarray, average: np.ndarray, full: float, dead_band: float = 0.0
) -> np.ndarray:
    """Return how much each force exceeds its moving average, rectified.

    >>> vibration_level(np.array([6.0]), np.array([1.0]), full=8.0, dead_band=1.0)
    array([0.5])

    Args:
        magnitude: of the net contact force on each fingertip, in [N]. Shape (F,).
        average: its moving average, in [N]. Shape (F,).
        full: excess beyond the dead band that gives 1, in [N].
        dead_band: excess that gives 0, in [N].

    Returns:
        0–1. Shape (F,).
    """
    return np.clip((magnitude - average - dead_band) / full, 0.0, 1.0)


class MovingAverage:
    """Mean of the newest `length` values, of fewer at first counted as if zeros came before."""

    def __init__(self, length: int, width: int) -> None:
        self._values = deque([np.zeros(width)] * length, maxlen=length)

    def push(self, value: np.ndarray) -> np.ndarray:
        """Take in a value (width,) and return the mean with it, (width,)."""
        self._values.append(np.array(value, dtype=float))
        return np.mean(self._values, axis=0)


class HapticFilter:
    """From fingertip forces to what is felt, one tick after the other.

    Args:
        fingers: the robot's, F of them; see `Haptics.fingers`.
        rate: of the ticks, in [Hz].
        config: full scales, dead band and window.
    """

    def __init__(
        self, fingers: tuple[str, ...], rate: float, config: HapticsConfig | None = None
    ) -> None:
        self.fingers = fingers
        self.config = config or HapticsConfig()
        self._length = max(1, ceil(self.config.window * rate - 1e-9))
        self.reset()

    def reset(self) -> None:
        """Forget the past, as a new episode does."""
        self._average = MovingAverage(self._length, len(self.fingers))

    def tick(self, force: np.ndarray, closing: np.ndarray) -> Haptics:
        """Return what is felt now; arguments as of `brake_level`."""
        magnitude = np.linalg.norm(force, axis=-1)
        config = self.config
        average = self._average.push(magnitude)
        return Haptics(
            self.fingers,
            brake=brake_level(force, closing, config.full_brake),
            vibration=vibration_level(magnitude, average, config.full_vibration, config.dead_band),
        )

"""What no hand does, so that it must be the tracking."""

import numpy as np

from gym_grasp.teleop.hand.input import HandInput

LEAP, FASTEST = 0.06, 4.0
"""From one look to the next a hand moves by at most LEAP [m] + FASTEST [m/s] × the time between."""
TWIST, FASTEST_TURN = 0.5, 20.0
"""The same for turning, in [rad] and [rad/s]."""


def jumped(before: HandInput, hand: HandInput) -> bool:
    """Return whether a hand is where, or turned as, it cannot have come to be since `before`.

    Both are tracked and valid; a re-centred headset or a tracker that lost its base moves like it.
    """
    elapsed = max(0.0, hand.time - before.time)
    moved = float(np.linalg.norm(hand.wrist_position - before.wrist_position))
    cosine = min(1.0, abs(float(hand.wrist_quaternion @ before.wrist_quaternion)))
    turned = 2.0 * float(np.arccos(cosine))
    return moved > LEAP + FASTEST * elapsed or turned > TWIST + FASTEST_TURN * elapsed


class Stillness:
    """Tells a measured pose that stays bit-identical for too long: a living hand's never does."""

    LONGEST = 1.0
    """In [s]."""

    def __init__(self) -> None:
        self._pose = b""
        self._since = 0.0

    def frozen(self, pose: bytes, time: float) -> bool:
        """Take in a pose as it was measured; return whether it has been the same for too long.

        Args:
            pose: its bits; of another length where another thing is tracked.
            time: when it came, in [s].
        """
        if pose != self._pose:
            self._pose, self._since = pose, time
        return time - self._since >= self.LONGEST

"""The participant's device in a study: its buttons for the screens, its hand for the robot."""

from dataclasses import replace

from gym_grasp.teleop.hand.input import Buttons, Device, HandInput, Haptics
from gym_grasp.teleop.session.clutch import Press

FIRST, THEN = 0.5, 0.12
"""How long a key is held until it repeats, and from one time to the next, in s."""


class Held:
    """A device whose buttons the session does not see, and which can be held back."""

    def __init__(self, device: Device) -> None:
        self.inner = device
        self.paused = False
        """Whether the robot stays where it is, whatever the hand does."""
        self.buttons = Buttons()
        self.clutch = False

    def latest(self) -> HandInput | None:
        """Return the newest input without its buttons."""
        hand = self.inner.latest()
        self.buttons = Buttons() if hand is None else hand.buttons
        self.clutch = hand is not None and hand.clutch
        if hand is None:
            return None
        if self.paused:
            lost = "the experimenter has paused"
            return replace(hand, buttons=Buttons(), clutch=False, tracked=False, lost=lost)
        return replace(hand, buttons=Buttons())

    def feedback(self, haptics: Haptics) -> None:
        """Pass on what the fingers feel."""
        self.inner.feedback(haptics)

    def close(self) -> None:
        """Let go of the hardware."""
        self.inner.close()


class Keys:
    """From buttons that are down to what they mean on a screen."""

    def __init__(self) -> None:
        self._confirm = Press()
        self._since: tuple[int, float] | None = None
        self._idle = False

    def hold(self) -> None:
        """Ask for a release of every button before it counts again."""
        self._confirm.hold()
        self._idle = False

    def confirm(self, device: Held) -> bool:
        """Whether the participant has just confirmed."""
        return self._confirm(device.buttons.reset or device.buttons.next)

    def turn(self, device: Held, now: float) -> int:
        """Return by how many values to go on: 1, −1 or 0; a key that is held repeats."""
        way = int(device.clutch) - int(device.buttons.discard)
        if way == 0:
            self._idle, self._since = True, None
            return 0
        if not self._idle:
            return 0
        if self._since is None or self._since[0] != way:
            self._since = way, now + FIRST
            return way
        if now >= self._since[1]:
            self._since = way, now + THEN
            return way
        return 0

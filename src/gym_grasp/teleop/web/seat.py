"""Who drives: one at a time. Others may ask, and who lost the connection finds the robot kept."""

from collections.abc import Callable

from gym_grasp.teleop.web.connection import Client

RESERVED = 30.0
"""How long the robot is kept for an operator whose connection died, in [s]."""
ANSWER = 15.0
"""How long who drives may take to answer one who asks, in [s]."""


class Seat:
    """The operator's place.

    Who asks while another drives gets it when that one agrees, leaves, or neither answers nor
    moves the robot for ANSWER. Who comes back under the same name, from a connection that died,
    gets it back, even where the host has not noticed yet that the first is dead.

    Args:
        passed: called whenever another or nobody drives; has to stop the robot.
    """

    def __init__(self, passed: Callable[[], None]) -> None:
        self.driver: Client | None = None
        self.asking: Client | None = None
        """Who asks to drive."""
        self.epoch = 0
        """Counts who drove."""
        self._passed = passed
        self._name = ""
        self._kept_until = 0.0
        self._answer_until = 0.0
        self._moved = 0.0

    def kept(self, now: float) -> bool:
        """Return whether nobody drives, and the robot is kept for one who lost the connection."""
        return self.driver is None and now < self._kept_until

    def state(self, now: float) -> str:
        """Return who drives: `page`, `nobody`, or `kept` for one who lost the connection."""
        if self.driver is not None:
            return "page"
        return "kept" if self.kept(now) else "nobody"

    def enter(self, client: Client, now: float) -> None:
        """Seat one who comes to drive, if the place is free or was theirs."""
        theirs = bool(client.name) and client.name == self._name
        if theirs and self.driver is not None:
            self.driver.say(type="role", role="watch", epoch=self.epoch, note="")
            self._give(client)
        elif self.driver is None and (theirs or not self.kept(now)):
            self._give(client)
        else:
            self._tell(client)

    def watch(self, client: Client) -> None:
        """Tell one who came that they watch."""
        self._tell(client)

    def leave(self, client: Client, died: bool, now: float) -> None:
        """Free the place of one who is gone; keep it for a while if the connection died."""
        if client is self.asking:
            self.asking = None
        if client is not self.driver:
            return
        self.driver = None
        self._passed()
        self._kept_until = now + RESERVED if died and client.name else 0.0
        if not self.kept(now) and self.asking is not None:
            self._give(self.asking)

    def ask(self, client: Client, now: float) -> None:
        """One wants to drive."""
        if client is self.driver:
            return
        if self.driver is None and not self.kept(now):
            self._give(client)
        elif self.asking is None:
            self.asking, self._answer_until, self._moved = client, now + ANSWER, 0.0
            self._tell(client, "You asked to drive.")
        elif self.asking is not client:
            self._tell(client, "Another visitor has asked already.")

    def answer(self, client: Client, yes: bool) -> None:
        """Who drives lets the one who asks drive, or does not."""
        if client is not self.driver or self.asking is None:
            return
        if yes:
            self._give(self.asking)
        else:
            self._refuse()

    def tick(self, moves: bool, now: float) -> None:
        """Let time pass; `moves` says whether the robot follows who drives."""
        if self.asking is None:
            return
        if self.driver is None:
            if not self.kept(now):
                self._give(self.asking)
            return
        if moves:
            self._moved = now
        if now >= self._answer_until:
            if self._moved:
                self._refuse()
            else:
                self._give(self.asking)

    def _refuse(self) -> None:
        asked, self.asking = self.asking, None
        assert asked is not None
        self._tell(asked, "The operator goes on driving. You may ask again later.")

    def _give(self, client: Client) -> None:
        before, self.driver = self.driver, client
        self._name, self._kept_until = client.name, 0.0
        if self.asking is client:
            self.asking = None
        self.epoch += 1
        self._passed()
        if before is not None:
            self._tell(before, "Another operator drives now.")
        self._tell(client)

    def _tell(self, client: Client, note: str = "") -> None:
        role = "drive" if client is self.driver else "watch"
        client.say(type="role", role=role, epoch=self.epoch, note=note)

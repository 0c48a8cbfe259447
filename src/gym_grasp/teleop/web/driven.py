"""What every host does whose clients drive a session, one at a time, or watch it."""

import ssl
import time
from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
from aiohttp import WSCloseCode

from gym_grasp.teleop.session.clock import TickClock
from gym_grasp.teleop.session.session import Session
from gym_grasp.teleop.web import protocol
from gym_grasp.teleop.web.connection import Client
from gym_grasp.teleop.web.host import Host
from gym_grasp.teleop.web.page import PageDevice
from gym_grasp.teleop.web.scene import Scene
from gym_grasp.teleop.web.seat import CUT, SILENT, Seat

STATUS_PERIOD = 0.25
"""Longest time between two status messages, in [s]."""
NEWEST = 256
"""Inputs that the latency shown live is taken over."""
OLDEST_FRAME = 2.0
"""A frame that a page says it drew before that is not timed, in [s]."""


class DrivenHost(Host):
    """Seats who drives, takes their input in, and shows everybody the scene.

    Args:
        files: the page, by path.
        session: what is driven at first.
        page: takes the input of the page that drives; None where another device drives, and every
            page only watches.
        token: what a client has to show; None makes one.
        tls: settings for https; None: plain http, for loopback only.
    """

    PASSED: ClassVar[str] = "another operator drives"
    """Why the robot stops where another takes over."""

    def __init__(
        self,
        files: dict[str, tuple[bytes, str]],
        session: Session,
        page: PageDevice | None,
        *,
        token: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(files, token=token, tls=tls)
        self.page = page
        self.clock: TickClock | None = None
        self._scene = Scene(session.env)
        self._seat = Seat(self._pass)
        self._sequence = 0
        self._told: dict[str, Any] = {}
        """What everyone was told last; empty: tell them anew."""
        self._told_at = 0.0

    @abstractmethod
    def driven(self) -> Session:
        """Return the session that is driven now."""

    def now(self) -> float:
        """Return the time by which the seat is kept, in [s]."""
        return time.perf_counter()

    # To the clients -----------------------------------------------------------------------------

    def welcome(self, *clients: Client) -> None:
        """Describe the scene to clients."""
        for client in clients:
            client.say(type="welcome", version=protocol.VERSION, scene=self._scene.manifest)

    def show(self, simulated: float, now: float) -> None:
        """Send everybody the poses as they are.

        Args:
            simulated: time in the simulation, in [s].
            now: time of the host, in [s].
        """
        session = self.driven()
        self._sequence += 1
        number, hand = self._sequence, session.hand
        message = protocol.write_scene(
            self._scene.poses(),
            sequence=number,
            input_sequence=hand.sequence if hand else 0,
            epoch=self._seat.epoch,
            simulated=simulated,
            time=now,
            brake=session.haptics.brake,
            vibration=session.haptics.vibration,
        )
        # where no page drives, any of those that watch tells when the scene went out
        timed = self._seat.driver if self.page is not None else next(iter(self.clients))
        for client in self.clients:
            if client is timed:
                client.show(message, lambda: session.meter.sent(number, time.perf_counter()))
            else:
                client.show(message, lambda: None)

    def seated(self, now: float) -> dict[str, Any]:
        """Return what a status says about who drives."""
        return {
            "guide": self.page.guide if self.page else "",
            "driver": self._seat.state(now) if self.page else "device",
            "asked": self._seat.asking is not None,
        }

    def due(self, status: dict[str, Any], now: float, **more: object) -> bool:
        """Return whether everyone should hear a status now: it is new, or the last one is old.

        Args:
            status: what would be said.
            now: time of the host, in [s].
            more: what else makes it new.
        """
        plain = {key: value for key, value in status.items() if key not in ("time", "progress")}
        fresh = {**plain, **more}
        if fresh == self._told and now - self._told_at < STATUS_PERIOD:
            return False
        self._told, self._told_at = fresh, now
        return True

    # From the clients ---------------------------------------------------------------------------

    def sit(self, client: Client, drives: bool) -> None:
        """Greet a client, and seat one who may and wants to drive."""
        self._told = {}
        self.welcome(client)
        if drives and self.page is not None:
            self._seat.enter(client, self.now())
        else:
            self._seat.watch(client)

    def left(self, client: Client) -> None:
        self._told = {}
        goodbye = client.socket.close_code in (WSCloseCode.OK, WSCloseCode.GOING_AWAY)
        silent = isinstance(client.socket.exception(), TimeoutError)
        self._seat.leave(client, 0.0 if goodbye else SILENT if silent else CUT, self.now())

    def read(self, client: Client, data: bytes) -> np.void | None:
        """Return the input in a message, if it is from who drives."""
        record = protocol.read_input(data)
        seat = self._seat
        if client is not seat.driver or self.page is None or record["epoch"] != seat.epoch:
            return None
        return record

    def drawn(self, record: np.void, now: float) -> None:
        """Time the frame that an input says its page drew last."""
        capture = float(record["capture"])
        if 0.0 <= now - capture <= OLDEST_FRAME:
            self.driven().meter.shown(int(record["scene"]), capture)

    def _pass(self) -> None:
        """Stop the robot, since another drives from now on, or nobody."""
        self._told = {}
        if self.page is not None:
            self.page.drop()
        if self._seat.driver is not None:
            self.driven().stop(self.PASSED)

"""The host of teleoperation: the session's clock, and what page and session tell each other.

One thread does everything, so that nothing waits for a lock: a tick takes a few milliseconds of
its 11, and the rest belongs to the network.
"""

import asyncio
import contextlib
import gc
import os
import ssl
import time
from typing import Any

from gym_grasp.teleop.session.clock import TickClock
from gym_grasp.teleop.session.session import Session
from gym_grasp.teleop.web import protocol
from gym_grasp.teleop.web.connection import Client
from gym_grasp.teleop.web.host import Host, answer_ping
from gym_grasp.teleop.web.page import PageDevice
from gym_grasp.teleop.web.scene import Scene
from gym_grasp.teleop.web.static import load_page

STATUS_PERIOD = 0.25
"""Longest time between two status messages, in [s]."""
NEWEST = 256
"""Inputs that the latency shown live is taken over."""
OLDEST_FRAME = 2.0
"""A frame that a page says it drew before that is not timed, in [s]."""


class TeleopServer(Host):
    """Serves one session until it is stopped.

    Args:
        session: what to run.
        page: takes the input of the operator's page; None where another device drives, and every
            page only watches.
        token: what a client has to show; None makes one.
        files: the page, by path; None: as built.
        tls: settings for https; None: plain http, for loopback only.
    """

    def __init__(
        self,
        session: Session,
        page: PageDevice | None,
        *,
        token: str | None = None,
        files: dict[str, tuple[bytes, str]] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(load_page() if files is None else files, token=token, tls=tls)
        self.session = session
        self.page = page
        self.clock: TickClock | None = None
        self._scene = Scene(session.env)
        self._driver: Client | None = None
        self._epoch = 0
        self._sequence = 0
        self._status_time = 0.0
        self._status: dict[str, Any] = {}

    async def run(self) -> None:
        """Tick until `stop` or the session's end, then close all connections."""
        prefer_this_thread()
        gc.collect()
        gc.freeze()  # what lives as long as the session need not be looked at again
        clock = self.clock = TickClock(self.session.rate, time.perf_counter())
        try:
            while not self._stop.is_set() and not self.session.over:
                await asyncio.sleep(max(0.0, clock.due - time.perf_counter()))
                now = time.perf_counter()
                clock.begin(now)
                self.session.tick(now)
                self._publish(now)
        finally:
            gc.unfreeze()
            await self.close()

    # To the clients -----------------------------------------------------------------------------

    def _publish(self, now: float) -> None:
        status = self._described(now)
        if status is not None:
            for client in self.clients:
                client.say(type="status", **status)
        if not self.clients:
            return
        if self._scene.follow():
            for client in self.clients:
                client.say(type="welcome", version=protocol.VERSION, scene=self._scene.manifest)
        self._sequence += 1
        session, hand = self.session, self.session.hand
        message = protocol.write_scene(
            self._scene.poses(),
            sequence=self._sequence,
            input_sequence=hand.sequence if hand else 0,
            epoch=self._epoch,
            simulated=len(session.rows) / session.env.control_rate,
            time=now,
            brake=session.haptics.brake,
            vibration=session.haptics.vibration,
        )
        number = self._sequence
        # where no page drives, any of those that watch tells when the scene went out
        timed = self._driver if self.page is not None else next(iter(self.clients))
        for client in self.clients:
            if client is timed:
                client.show(message, lambda: session.meter.sent(number, time.perf_counter()))
            else:
                client.show(message, lambda: None)

    def _described(self, now: float) -> dict[str, Any] | None:
        """Return the status if the clients should hear it now."""
        status = self.session.status()
        status["guide"] = self.page.guide if self.page else ""
        fresh = {key: value for key, value in status.items() if key not in ("time", "progress")}
        if fresh == self._status and now - self._status_time < STATUS_PERIOD:
            return None
        self._status, self._status_time = fresh, now
        assert self.clock is not None
        return {
            **status,
            "latency": self.session.meter.summary(NEWEST),
            "clients": len(self.clients),
            "driven": self._driver is not None or self.page is None,
            "late": int(self.clock.late),
            "skipped": self.clock.skipped,
        }

    # From the clients ---------------------------------------------------------------------------

    def entered(self, client: Client, drives: bool) -> None:
        self._status = {}  # tell everyone
        client.say(type="welcome", version=protocol.VERSION, scene=self._scene.manifest)
        self._assign(client, drives)

    def left(self, client: Client) -> None:
        self._status = {}
        if self._driver is client:
            self._driver = None
            if self.page is not None:
                self.page.drop()

    def heard(self, client: Client, message: bytes | str, now: float) -> None:
        if isinstance(message, str):
            self._request(client, message, now)
        else:
            self._input(client, message, now)

    def _assign(self, client: Client, drives: bool) -> None:
        if drives and self.page is not None and self._driver is None:
            self._driver = client
            self._epoch += 1
            self._status = {}
        role = "drive" if self._driver is client else "watch"
        client.say(type="role", role=role, epoch=self._epoch)

    def _input(self, client: Client, data: bytes, now: float) -> None:
        record = protocol.read_input(data)
        if client is not self._driver or self.page is None or record["epoch"] != self._epoch:
            return
        self.page.receive(record, now)
        capture = float(record["capture"])
        if 0.0 <= now - capture <= OLDEST_FRAME:
            self.session.meter.shown(int(record["scene"]), capture)

    def _request(self, client: Client, text: str, now: float) -> None:
        content = protocol.read_json(text, ("ping", "drive", "calibrate"))
        if content["type"] == "ping":
            answer_ping(client, content, now)
        elif content["type"] == "drive":
            self._assign(client, True)
        elif client is self._driver and self.page is not None:
            self.page.calibrate()


def prefer_this_thread() -> None:
    """Let the system run this thread before ordinary ones, where it permits that."""
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))

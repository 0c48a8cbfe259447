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

from gym_grasp.errors import GymGraspError
from gym_grasp.teleop.session.clock import TickClock
from gym_grasp.teleop.session.session import Session, State
from gym_grasp.teleop.web import protocol
from gym_grasp.teleop.web.about import About
from gym_grasp.teleop.web.connection import Client
from gym_grasp.teleop.web.driven import NEWEST, DrivenHost
from gym_grasp.teleop.web.host import answer_ping
from gym_grasp.teleop.web.page import PageDevice
from gym_grasp.teleop.web.scene import Scene
from gym_grasp.teleop.web.static import load_page

FAREWELL = 0.05
"""Between the last message and the end of a connection, so that it is read, in [s]."""


class TeleopServer(DrivenHost):
    """Serves one session until it is stopped.

    Args:
        session: what to run.
        page: takes the input of the operator's page; None where another device drives, and every
            page only watches.
        token: what a client has to show; None makes one.
        files: the page, by path; None: as built.
        tls: settings for https; None: plain http, for loopback only.
        about: what the host offers besides; None: nothing.
    """

    def __init__(
        self,
        session: Session,
        page: PageDevice | None,
        *,
        token: str | None = None,
        files: dict[str, tuple[bytes, str]] | None = None,
        tls: ssl.SSLContext | None = None,
        about: About | None = None,
    ) -> None:
        built = load_page() if files is None else files
        super().__init__(built, session, page, token=token, tls=tls)
        self.session = session
        self._about = about or About()
        self._wanted = ""
        self._note = ""
        self._earlier: list[dict[str, Any]] = []
        self._begun = time.perf_counter()

    def driven(self) -> Session:
        return self.session

    async def run(self) -> None:
        """Tick until `stop` or the session's end, then close all connections."""
        prefer_this_thread()
        gc.collect()
        gc.freeze()  # what lives as long as the session need not be looked at again
        clock = self.clock = TickClock(self.session.rate, time.perf_counter())
        self._begun = time.perf_counter()
        try:
            while not self._stop.is_set() and not self.session.over:
                await asyncio.sleep(max(0.0, clock.due - time.perf_counter()))
                now = time.perf_counter()
                clock.begin(now)
                self._seat.tick(self.session.state is State.ENGAGED, now)
                if self.clients or not self.waits:
                    self.session.tick(now)
                self._publish(now)
                if self._wanted:
                    await self._switch()
        finally:
            gc.unfreeze()
            await self.close()

    @property
    def waits(self) -> bool:
        """Whether the session stands still while nobody watches."""
        return self._about.waits

    async def close(self) -> None:
        """Tell everybody what came of the session, and end all connections."""
        over = {"type": "over", **self.session.outcome()}
        told = [client.socket.send_json(over) for client in self.clients]
        await asyncio.gather(*told, return_exceptions=True)
        await asyncio.sleep(FAREWELL)
        await super().close()

    # To the clients -----------------------------------------------------------------------------

    def _publish(self, now: float) -> None:
        status = self._described(now)
        if status is not None:
            for client in self.clients:
                client.say(type="status", **status)
        if not self.clients:
            return
        if self._scene.follow():
            self.welcome(*self.clients)
        session = self.session
        self.show(len(session.rows) / session.env.control_rate, now)

    def _described(self, now: float) -> dict[str, Any] | None:
        """Return the status if the clients should hear it now."""
        status = self.session.status()
        if self.session.state is State.ENGAGED:
            self._note = ""
        status["notice"] = " ".join(filter(None, (self._note, status["notice"])))
        status |= self.seated(now)
        if not self.due(status, now):
            return None
        assert self.clock is not None
        return {
            **status,
            "latency": self.session.meter.summary(NEWEST),
            "clients": len(self.clients),
            "moved_by": self._about.moved_by,
            "controls": self._about.controls,
            "tasks": self._about.tasks,
            "earlier": self._earlier,
            "session_time": round(now - self._begun),
            "late": int(self.clock.late),
            "skipped": self.clock.skipped,
        }

    # From the clients ---------------------------------------------------------------------------

    def entered(self, client: Client, drives: bool) -> None:
        self.sit(client, drives)

    def heard(self, client: Client, message: bytes | str, now: float) -> None:
        if isinstance(message, str):
            self._request(client, message, now)
        else:
            self._input(client, message, now)

    async def _switch(self) -> None:
        """Go on with another task, in a session of its own."""
        task, self._wanted = self._wanted, ""
        assert self._about.begin is not None
        if task == self.session.env.task_name:
            return
        self._note = f"Going on with {task} …"
        self._publish(time.perf_counter())
        before, self._note = self.session, ""
        try:
            self.session = await asyncio.to_thread(self._about.begin, task)
        except GymGraspError as error:
            self._note = str(error)
            return
        kept, failed = before.recorder.counts
        self._earlier.append({"task": before.env.task_name, "kept": kept, "failed": failed})
        self._scene = Scene(self.session.env)
        self.welcome(*self.clients)

    def _input(self, client: Client, data: bytes, now: float) -> None:
        record = self.read(client, data)
        if record is None or self.page is None:
            return
        self.page.receive(record, now)
        self.drawn(record, now)

    def _request(self, client: Client, text: str, now: float) -> None:
        content = protocol.read_json(text, ("ping", "drive", "answer", "calibrate", "task"))
        if content["type"] == "ping":
            answer_ping(client, content, now)
        elif content["type"] == "drive":
            if self.page is not None:
                self._seat.ask(client, now)
        elif client is not self._seat.driver or self.page is None:
            return
        elif content["type"] == "answer":
            self._seat.answer(client, content.get("yes") is True)
        elif content["type"] == "calibrate":
            self.page.calibrate()
        elif content.get("task") in self._about.tasks:
            self._wanted = content["task"]


def prefer_this_thread() -> None:
    """Let the system run this thread before ordinary ones, where it permits that."""
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))

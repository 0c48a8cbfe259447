"""The study's host: the participant's page and the experimenter's, each with a token of its own.

Participants speak on `/socket`, as the page of teleoperation does, and may `choose`, `confirm` and
go `back`. Experimenters speak on `/experimenter` and may pause, repeat, fail, mark, note, ready and
abort. Neither can say what is the other's.
"""

import asyncio
import gc
import math
import secrets
import ssl
import time
from dataclasses import asdict
from typing import Any

from gym_grasp.errors import UsageError
from gym_grasp.study.conductor import Conductor
from gym_grasp.study.flow import key_of
from gym_grasp.study.overview import overview_of
from gym_grasp.teleop.session.clock import TickClock
from gym_grasp.teleop.session.session import Session, State
from gym_grasp.teleop.web import protocol
from gym_grasp.teleop.web.connection import Client
from gym_grasp.teleop.web.driven import NEWEST, DrivenHost
from gym_grasp.teleop.web.host import answer_ping
from gym_grasp.teleop.web.page import PageDevice
from gym_grasp.teleop.web.protocol import Close, ProtocolError
from gym_grasp.teleop.web.scene import Scene
from gym_grasp.teleop.web.static import load_page

PARTICIPANT, EXPERIMENTER = "/socket", "/experimenter"
"""Where each connects, with a token of its own."""
PAGES = {PARTICIPANT: "participant.html", EXPERIMENTER: "experimenter.html"}
REQUESTS = {
    PARTICIPANT: ("ping", "drive", "answer", "calibrate", "choose", "confirm", "back"),
    EXPERIMENTER: ("ping", "pause", "repeat", "fail", "mark", "note", "ready", "abort"),
}
"""What each may ask for; anything else ends the connection."""
LONGEST_TEXT = 1000
"""Of a note, in characters."""


class StudyHost(DrivenHost):
    """Serves one participant and the experimenter until it is stopped.

    Args:
        conductor: who leads the participant.
        page: takes the input of the participant's page; None where another device drives.
        files: the pages, by path; None: as built.
        tls: settings for https; None: plain http, for loopback only.
        lockstep: time passes with the inputs that come, a tick for each, instead of with the
            clock: for synthetic participants, who need not wait.
    """

    PASSED = "another page drives"

    def __init__(
        self,
        conductor: Conductor,
        page: PageDevice | None,
        *,
        files: dict[str, tuple[bytes, str]] | None = None,
        tls: ssl.SSLContext | None = None,
        lockstep: bool = False,
    ) -> None:
        built = load_page(first=PAGES[PARTICIPANT]) if files is None else files
        super().__init__(built, conductor.session, page, tls=tls)
        self.sockets[EXPERIMENTER] = secrets.token_urlsafe(18)
        self.conductor = conductor
        self.ticked = 0.0 if lockstep else time.perf_counter()
        """Time of the newest tick, in [s]."""
        self._begun = self.ticked
        self._lockstep = lockstep
        if lockstep:
            self.rate = math.inf
        self._session = conductor.session

    def driven(self) -> Session:
        return self.conductor.session

    def now(self) -> float:
        return self.ticked if self._lockstep else time.perf_counter()

    async def run(self) -> None:
        """Tick until `stop`, then close all connections."""
        gc.collect()
        gc.freeze()
        try:
            if self._lockstep:
                await self._stop.wait()
            clock = self.clock = TickClock(self._session.rate, time.perf_counter())
            while not self._stop.is_set():
                await asyncio.sleep(max(0.0, clock.due - time.perf_counter()))
                now = time.perf_counter()
                clock.begin(now)
                self._tick(now)
        finally:
            gc.unfreeze()
            await self.close()

    def address(self, place: str, name: str = "localhost") -> str:
        """Return where the page of a place is, its token in it."""
        scheme = "https" if self._tls else "http"
        return f"{scheme}://{name}:{self.port}/{PAGES[place]}#token={self.sockets[place]}"

    # To the clients -----------------------------------------------------------------------------

    def _tick(self, now: float) -> None:
        self.ticked = now
        self._seat.tick(self.conductor.session.state is State.ENGAGED, now)
        self.conductor.tick(now)
        self._publish(now)

    def _publish(self, now: float) -> None:
        if not self.clients:
            return
        session = self.conductor.session
        if session is not self._session:
            changed = session.env is not self._session.env
            self._session = session
            if changed:
                self._scene = Scene(session.env)
            if changed or self._scene.follow():
                self.welcome(*self.clients)
        self._tell(now)
        self.show(self.conductor.seconds, now)

    def _tell(self, now: float) -> None:
        """Tell everyone what is new, and now and then what is not."""
        conductor = self.conductor
        screen = {**asdict(conductor.screen()), "step": key_of(conductor.step)}
        status = {
            **conductor.session.status(),
            **self.seated(now),
            "kept": len(conductor.progress.ended),
            "failed": 0,
            "study": screen,
        }
        if not self.due(status, now, journal=len(conductor.journal.events)):
            return
        common = {
            **status,
            "latency": {} if self._lockstep else conductor.session.meter.summary(NEWEST),
            "clients": len(self.clients),
            "moved_by": conductor.operator,
            "controls": None,
            "tasks": {},
            "earlier": [],
            "session_time": round(now - self._begun),
            "late": int(self.clock.late) if self.clock else 0,
            "skipped": self.clock.skipped if self.clock else 0,
        }
        overview = overview_of(conductor)
        for client in self.clients:
            more = {"overview": overview} if client.place == EXPERIMENTER else {}
            client.say(type="status", **common, **more)

    # From the clients ---------------------------------------------------------------------------

    def entered(self, client: Client, drives: bool) -> None:
        self.sit(client, drives and client.place == PARTICIPANT)
        if self._lockstep:
            self._publish(self.ticked)

    def heard(self, client: Client, message: bytes | str, now: float) -> None:
        if isinstance(message, str):
            content = protocol.read_json(message, REQUESTS[client.place])
            self._request(client, content, now)
        elif client.place == PARTICIPANT:
            self._input(client, message, now)
        else:
            raise ProtocolError(Close.MALFORMED, "experimenters send text")

    def _input(self, client: Client, data: bytes, now: float) -> None:
        record = self.read(client, data)
        if record is None or self.page is None:
            return
        now = self.ticked + 1.0 / self._session.rate if self._lockstep else now
        self.page.receive(record, now)
        if self._lockstep:
            self._tick(now)
        else:
            self.drawn(record, now)

    def _request(self, client: Client, content: dict[str, Any], now: float) -> None:
        kind = content["type"]
        if kind == "ping":
            answer_ping(client, content, now)
            return
        try:
            if client.place == EXPERIMENTER:
                self._manage(kind, content)
            elif kind == "drive":
                if self.page is not None:
                    self._seat.ask(client, self.now())
            elif kind == "answer":
                self._seat.answer(client, content.get("yes") is True)
            elif client is self._seat.driver or self.page is None:
                self._answer(kind, content)
        except UsageError as error:
            client.say(type="refused", reason=str(error))
        self._told = {}
        if self._lockstep:
            self._publish(self.ticked)

    def _answer(self, kind: str, content: dict[str, Any]) -> None:
        """Do what a participant asks for, unless it was meant for a screen that is gone."""
        if kind == "calibrate":
            if self.page is not None:
                self.page.calibrate()
        elif content.get("step") == key_of(self.conductor.step):
            if kind == "choose":
                value = content.get("value")
                if type(value) is not int:
                    raise ProtocolError(Close.MALFORMED, "a choice has a value")
                self.conductor.choose(value)
            elif kind == "confirm":
                self.conductor.confirm()
            else:
                self.conductor.back()

    def _manage(self, kind: str, content: dict[str, Any]) -> None:
        conductor = self.conductor
        if kind == "pause":
            conductor.pause(content.get("paused") is True)
        elif kind in ("mark", "note", "abort"):
            text = content.get("text")
            if not isinstance(text, str) or not 0 < len(text.strip()) <= LONGEST_TEXT:
                raise UsageError(f"A text of 1 to {LONGEST_TEXT} characters goes with '{kind}'.")
            getattr(conductor, kind)(text.strip())
        else:
            getattr(conductor, kind)()

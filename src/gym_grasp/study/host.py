"""The study's host: the participant's page and the experimenter's, each with a token of its own.

Participants speak on `/socket`, as the page of teleoperation does, and may `choose`, `confirm` and
go `back`. Experimenters speak on `/experimenter` and may pause, repeat, fail, mark, note, ready and
abort. Neither can say what is the other's.
"""

import asyncio
import contextlib
import gc
import secrets
import ssl
import time
from dataclasses import asdict
from functools import partial
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from gym_grasp.errors import UsageError
from gym_grasp.study.conductor import Conductor
from gym_grasp.study.overview import key_of, overview_of
from gym_grasp.teleop.session.clock import TickClock
from gym_grasp.teleop.web import protocol
from gym_grasp.teleop.web.connection import Client, admit
from gym_grasp.teleop.web.gate import Bucket, Gate, Guesses, Handler
from gym_grasp.teleop.web.page import PageDevice
from gym_grasp.teleop.web.protocol import Close, ProtocolError
from gym_grasp.teleop.web.scene import Scene
from gym_grasp.teleop.web.static import HEADERS, load_page

PARTICIPANT, EXPERIMENTER = "participant", "experimenter"
PAGES = {PARTICIPANT: "/participant.html", EXPERIMENTER: "/experimenter.html"}
SOCKETS = {PARTICIPANT: "/socket", EXPERIMENTER: "/experimenter"}
REQUESTS = {
    PARTICIPANT: ("ping", "drive", "calibrate", "choose", "confirm", "back"),
    EXPERIMENTER: ("ping", "pause", "repeat", "fail", "mark", "note", "ready", "abort"),
}
"""What each may ask for; anything else ends the connection."""
LONGEST_TEXT = 1000
"""Of a note, in characters."""
HEARTBEAT, STATUS_PERIOD, GOODBYE = 5.0, 0.25, 2.0
"""As in teleoperation, in [s]."""
MOST_CLIENTS = 8


class Host:
    """Serves one participant until they are done or it is stopped.

    Args:
        conductor: who leads them.
        page: takes the input of the participant's page; None where another device drives.
        tokens: what participant and experimenter have to show; None makes them.
        files: the pages, by path; None: as built.
        tls: settings for https; None: plain http, for loopback only.
        lockstep: time passes with the inputs that come, a tick for each, instead of with the
            clock: for synthetic participants, who need not wait.
    """

    def __init__(
        self,
        conductor: Conductor,
        page: PageDevice | None,
        *,
        tokens: dict[str, str] | None = None,
        files: dict[str, tuple[bytes, str]] | None = None,
        tls: ssl.SSLContext | None = None,
        lockstep: bool = False,
    ) -> None:
        self.conductor, self.page = conductor, page
        self.tokens = tokens or {role: secrets.token_urlsafe(18) for role in PAGES}
        self.clock: TickClock | None = None
        self.now = 0.0 if lockstep else time.perf_counter()
        """Time of the newest tick, in [s]."""
        self.port = 0
        self.rejected: dict[str, int] = {}
        """Connections that were closed, by the name of the reason."""
        self._lockstep = lockstep
        self._files = load_page() if files is None else files
        self._tls = tls
        self._session = conductor.session
        self._scene = Scene(self._session.env)
        self._clients: dict[Client, str] = {}
        self._driver: Client | None = None
        self._guesses = Guesses()
        self._epoch = self._sequence = 0
        self._told: dict[str, Any] = {}
        self._told_at = 0.0
        self._stop = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._gate: Gate | None = None

    async def start(self, host: str, port: int) -> None:
        """Listen; afterwards `port` is the one taken; raises as `Gate.listen`."""
        app = web.Application()
        for role, path in SOCKETS.items():
            app.router.add_get(path, partial(self._socket, role))
        app.router.add_get("/{path:.*}", self._file)
        app.on_response_prepare.append(_add_headers)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=GOODBYE)
        await self._runner.setup()
        assert self._runner.server is not None
        self._gate = Gate(self._runner.server, self._tls)
        self.port = self._gate.listen(host, port)

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
            await self._close()

    def stop(self) -> None:
        """Let `run` end."""
        self._stop.set()

    def address(self, role: str, name: str = "localhost") -> str:
        """Return where a role's page is, its token in it."""
        scheme = "https" if self._tls else "http"
        return f"{scheme}://{name}:{self.port}{PAGES[role]}#token={self.tokens[role]}"

    # To the clients -----------------------------------------------------------------------------

    def _tick(self, now: float) -> None:
        self.now = now
        self.conductor.tick(now)
        self._publish(now)

    def _publish(self, now: float) -> None:
        if not self._clients:
            return
        session = self.conductor.session
        if session is not self._session:
            changed = session.env is not self._session.env
            self._session = session
            if changed:
                self._scene = Scene(session.env)
            if changed or self._scene.follow():
                for client in self._clients:
                    self._welcome(client)
        self._tell(now)
        self._sequence += 1
        number, hand = self._sequence, session.hand
        message = protocol.write_scene(
            self._scene.poses(),
            sequence=number,
            input_sequence=hand.sequence if hand else 0,
            epoch=self._epoch,
            simulated=self.conductor.seconds,
            time=now,
            brake=session.haptics.brake,
            vibration=session.haptics.vibration,
        )
        timed = self._driver if self.page is not None else next(iter(self._clients))
        for client in self._clients:
            if client is timed:
                client.show(message, lambda: session.meter.sent(number, time.perf_counter()))
            else:
                client.show(message, lambda: None)

    def _tell(self, now: float) -> None:
        """Tell everyone what is new, and now and then what is not."""
        conductor = self.conductor
        screen = {**asdict(conductor.screen()), "step": key_of(conductor)}
        status = {**conductor.session.status(), "guide": self.page.guide if self.page else ""}
        paused = conductor.device.paused
        kept = len(conductor.progress.ended)
        shown = {"screen": screen, "paused": paused, "driven": self._driver is not None}
        plain = {k: v for k, v in status.items() if k not in ("time", "progress")}
        fresh = {**plain, **shown, "journal": len(conductor.journal.events)}
        if fresh == self._told and now - self._told_at < STATUS_PERIOD:
            return
        self._told, self._told_at = fresh, now
        common = {
            **status,
            "kept": kept,
            "failed": 0,
            "latency": {} if self._lockstep else conductor.session.meter.summary(256),
            "clients": len(self._clients),
            "driven": self._driver is not None or self.page is None,
            "late": int(self.clock.late) if self.clock else 0,
            "skipped": self.clock.skipped if self.clock else 0,
            "study": screen,
        }
        overview = overview_of(conductor)
        for client, role in self._clients.items():
            more = {"overview": overview} if role == EXPERIMENTER else {}
            client.say(type="status", **common, **more)

    def _welcome(self, client: Client) -> None:
        client.say(type="welcome", version=protocol.VERSION, scene=self._scene.manifest)

    # From the clients ---------------------------------------------------------------------------

    async def _file(self, request: web.Request) -> web.Response:
        path = PAGES[PARTICIPANT] if request.path == "/" else request.path
        body, kind = self._files.get(path, (b"not found", "text/plain"))
        return web.Response(
            body=body, status=200 if path in self._files else 404, content_type=kind
        )

    async def _socket(self, role: str, request: web.Request) -> web.WebSocketResponse:
        # A browser cannot read why an upgrade was refused: accept it, then close with a code.
        socket = web.WebSocketResponse(
            protocols=(protocol.SUBPROTOCOL,),
            max_msg_size=protocol.MAX_MESSAGE,
            heartbeat=HEARTBEAT,
            compress=False,
            timeout=GOODBYE,
        )
        await socket.prepare(request)
        assert isinstance(request.protocol, Handler)
        try:
            await self._serve(role, request, socket)
        except ProtocolError as error:
            self.rejected[error.code.name] = self.rejected.get(error.code.name, 0) + 1
            await socket.close(code=error.code, message=str(error).encode()[:120])
        finally:
            request.protocol.leave()
        return socket

    async def _serve(self, role: str, request: web.Request, socket: web.WebSocketResponse) -> None:
        drives = await admit(request, socket, self.tokens[role], self._guesses)
        if len(self._clients) >= MOST_CLIENTS:
            raise ProtocolError(Close.FULL, f"{MOST_CLIENTS} clients are here already")
        transport = request.transport
        assert transport is not None
        assert isinstance(request.protocol, Handler)
        request.protocol.stay()
        client = Client(socket, transport.get_write_buffer_size)
        self._clients[client] = role
        self._welcome(client)
        writer = asyncio.create_task(client.write())
        try:
            self._assign(client, drives and role == PARTICIPANT)
            if self._lockstep:
                self._publish(self.now)
            await self._listen(client, role)
        finally:
            self._clients.pop(client, None)
            self._told = {}
            if self._driver is client:
                self._driver = None
                if self.page is not None:
                    self.page.drop()
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await writer

    def _assign(self, client: Client, drives: bool) -> None:
        if drives and self.page is not None and self._driver is None:
            self._driver = client
            self._epoch += 1
        self._told = {}
        role = "drive" if self._driver is client else "watch"
        client.say(type="role", role=role, epoch=self._epoch)

    async def _listen(self, client: Client, role: str) -> None:
        bucket = Bucket(protocol.MAX_RATE, protocol.MAX_RATE)
        async for message in client.socket:
            now = time.perf_counter()
            if not self._lockstep and not bucket.take(now):
                raise ProtocolError(Close.RATE, f"more than {protocol.MAX_RATE:g} messages a s")
            if message.type is WSMsgType.BINARY and role == PARTICIPANT:
                self._input(client, message.data, now)
            elif message.type is WSMsgType.TEXT:
                self._request(client, role, protocol.read_json(message.data, REQUESTS[role]))
            else:
                raise ProtocolError(Close.MALFORMED, "experimenters send text")

    def _input(self, client: Client, data: bytes, now: float) -> None:
        record = protocol.read_input(data)
        if client is not self._driver or self.page is None or record["epoch"] != self._epoch:
            return
        now = self.now + 1.0 / self._session.rate if self._lockstep else now
        self.page.receive(record, now)
        capture = float(record["capture"])
        if self._lockstep:
            self._tick(now)
        elif 0.0 <= now - capture <= 2.0:
            self.conductor.session.meter.shown(int(record["scene"]), capture)

    def _request(self, client: Client, role: str, content: dict[str, Any]) -> None:
        kind = content["type"]
        if kind == "ping":
            sent = content.get("time")
            if not isinstance(sent, int | float):
                raise ProtocolError(Close.MALFORMED, "a ping says its time")
            client.say(type="pong", time=sent, host=time.perf_counter())
            return
        try:
            if role == EXPERIMENTER:
                self._manage(kind, content)
            elif kind == "drive":
                self._assign(client, True)
            elif client is self._driver or self.page is None:
                self._answer(kind, content)
        except UsageError as error:
            client.say(type="refused", reason=str(error))
        self._told = {}
        if self._lockstep:
            self._publish(self.now)

    def _answer(self, kind: str, content: dict[str, Any]) -> None:
        """Do what a participant asks for, unless it was meant for a screen that is gone."""
        if kind == "calibrate":
            if self.page is not None:
                self.page.calibrate()
        elif content.get("step") == key_of(self.conductor):
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

    async def _close(self) -> None:
        if self._gate is not None:
            await self._gate.close()
        goodbyes = [
            client.socket.close(code=WSCloseCode.GOING_AWAY, message=b"the host stops")
            for client in self._clients
        ]
        await asyncio.gather(*goodbyes, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()


async def _add_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)

"""The host: page, WebSocket and TLS on one port, and the session's clock.

One thread does everything, so that nothing waits for a lock: a tick takes a few milliseconds of
its 11, and the rest belongs to the network.
"""

import asyncio
import contextlib
import gc
import os
import secrets
import ssl
import time
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from gym_grasp.errors import GymGraspError
from gym_grasp.teleop.session.clock import TickClock
from gym_grasp.teleop.session.session import Session, State
from gym_grasp.teleop.web import protocol
from gym_grasp.teleop.web.about import About
from gym_grasp.teleop.web.connection import Client, admit
from gym_grasp.teleop.web.gate import Bucket, Gate, Guesses, Handler
from gym_grasp.teleop.web.page import PageDevice
from gym_grasp.teleop.web.protocol import Close, ProtocolError
from gym_grasp.teleop.web.scene import Scene
from gym_grasp.teleop.web.seat import Seat
from gym_grasp.teleop.web.static import HEADERS, load_page

HEARTBEAT = 5.0
"""A client that does not answer a ping for so long is gone, in [s]."""
STATUS_PERIOD = 0.25
"""Longest time between two status messages, in [s]."""
NEWEST = 256
"""Inputs that the latency shown live is taken over."""
OLDEST_FRAME = 2.0
"""A frame that a page says it drew before that is not timed, in [s]."""
MOST_CLIENTS = 8
LONGEST_NAME = 64
"""Of what a page calls itself."""
GOODBYE = 2.0
"""How long a client may take to answer a goodbye, in [s]."""
FAREWELL = 0.05
"""Between the last message and the end of a connection, so that it is read, in [s]."""


class TeleopServer:
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
        self.session = session
        self.page = page
        self.token = token or secrets.token_urlsafe(18)
        self.clock: TickClock | None = None
        self.port = 0
        self.rejected: dict[str, int] = {}
        """Connections that were closed, by the name of the reason."""
        self._files = load_page() if files is None else files
        self._tls = tls
        self._scene = Scene(session.env)
        self._clients: set[Client] = set()
        self._seat = Seat(self._pass)
        self._guesses = Guesses()
        self._about = about or About()
        self._wanted = ""
        self._note = ""
        self._earlier: list[dict[str, Any]] = []
        self._sequence = 0
        self._status_time = 0.0
        self._status: dict[str, Any] = {}
        self._begun = time.perf_counter()
        self._stop = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._gate: Gate | None = None

    async def start(self, host: str, port: int) -> None:
        """Listen; afterwards `port` is the one taken.

        Raises:
            GymGraspError: as `Gate.listen`.
        """
        app = web.Application()
        app.router.add_get("/socket", self._socket)
        app.router.add_get("/{path:.*}", self._file)
        app.on_response_prepare.append(_add_headers)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=GOODBYE)
        await self._runner.setup()
        assert self._runner.server is not None
        self._gate = Gate(self._runner.server, self._tls)
        self.port = self._gate.listen(host, port)

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
                if self._clients or not self._about.waits:
                    self.session.tick(now)
                self._publish(now)
                if self._wanted:
                    await self._switch()
        finally:
            gc.unfreeze()
            await self._close()

    @property
    def waits(self) -> bool:
        """Whether the session stands still while nobody watches."""
        return self._about.waits

    def stop(self) -> None:
        """Let `run` end after its present tick."""
        self._stop.set()

    # To the clients -----------------------------------------------------------------------------

    def _publish(self, now: float) -> None:
        status = self._described(now)
        if status is not None:
            for client in self._clients:
                client.say(type="status", **status)
        if not self._clients:
            return
        if self._scene.follow():
            for client in self._clients:
                client.say(type="welcome", version=protocol.VERSION, scene=self._scene.manifest)
        self._sequence += 1
        session, hand = self.session, self.session.hand
        message = protocol.write_scene(
            self._scene.poses(),
            sequence=self._sequence,
            input_sequence=hand.sequence if hand else 0,
            epoch=self._seat.epoch,
            simulated=len(session.rows) / session.env.control_rate,
            time=now,
            brake=session.haptics.brake,
            vibration=session.haptics.vibration,
        )
        number = self._sequence
        # where no page drives, any of those that watch tells when the scene went out
        timed = self._seat.driver if self.page is not None else next(iter(self._clients))
        for client in self._clients:
            if client is timed:
                client.show(message, lambda: session.meter.sent(number, time.perf_counter()))
            else:
                client.show(message, lambda: None)

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
        for client in self._clients:
            client.say(type="welcome", version=protocol.VERSION, scene=self._scene.manifest)

    def _described(self, now: float) -> dict[str, Any] | None:
        """Return the status if the clients should hear it now."""
        status = self.session.status()
        status["guide"] = self.page.guide if self.page else ""
        status["notice"] = self._note or status["notice"]
        status["driver"] = self._seat.state(now) if self.page else "device"
        status["asked"] = self._seat.asking is not None
        fresh = {key: value for key, value in status.items() if key not in ("time", "progress")}
        if fresh == self._status and now - self._status_time < STATUS_PERIOD:
            return None
        self._status, self._status_time = fresh, now
        assert self.clock is not None
        return {
            **status,
            "latency": self.session.meter.summary(NEWEST),
            "clients": len(self._clients),
            "moved_by": self._about.moved_by,
            "controls": self._about.controls,
            "tasks": self._about.tasks,
            "earlier": self._earlier,
            "session_time": round(now - self._begun),
            "late": int(self.clock.late),
            "skipped": self.clock.skipped,
        }

    # From the clients ---------------------------------------------------------------------------

    async def _file(self, request: web.Request) -> web.Response:
        body, kind = self._files.get(request.path, (b"not found", "text/plain"))
        status = 200 if request.path in self._files else 404
        return web.Response(body=body, status=status, content_type=kind)

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
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
            await self._serve(request, socket)
        except ProtocolError as error:
            self.rejected[error.code.name] = self.rejected.get(error.code.name, 0) + 1
            await socket.close(code=error.code, message=str(error).encode()[:120])
        finally:
            request.protocol.leave()
        return socket

    async def _serve(self, request: web.Request, socket: web.WebSocketResponse) -> None:
        hello = await admit(request, socket, self.token, self._guesses)
        if len(self._clients) >= MOST_CLIENTS:
            raise ProtocolError(Close.FULL, f"{MOST_CLIENTS} clients are here already")
        transport = request.transport
        assert transport is not None
        assert isinstance(request.protocol, Handler)
        request.protocol.stay()
        name = str(hello.get("name", ""))[:LONGEST_NAME]
        client = Client(socket, transport.get_write_buffer_size, name)
        self._clients.add(client)
        self._status = {}  # tell everyone
        client.say(type="welcome", version=protocol.VERSION, scene=self._scene.manifest)
        writer = asyncio.create_task(client.write())
        try:
            if self.page is not None and hello.get("role") != "watch":
                self._seat.enter(client, time.perf_counter())
            else:
                self._seat.watch(client)
            await self._listen(client)
        finally:
            self._clients.discard(client)
            self._status = {}
            died = socket.close_code not in (WSCloseCode.OK, WSCloseCode.GOING_AWAY)
            self._seat.leave(client, died, time.perf_counter())
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await writer

    def _pass(self) -> None:
        """Stop the robot, since another drives from now on, or nobody."""
        self._status = {}
        if self.page is not None:
            self.page.drop()
        if self._seat.driver is not None:
            self.session.stop("another operator drives")

    async def _listen(self, client: Client) -> None:
        bucket = Bucket(protocol.MAX_RATE, protocol.MAX_RATE)
        async for message in client.socket:
            now = time.perf_counter()
            if not bucket.take(now):
                raise ProtocolError(
                    Close.RATE, f"more than {protocol.MAX_RATE:g} messages a second"
                )
            if message.type is WSMsgType.BINARY:
                self._input(client, message.data, now)
            elif message.type is WSMsgType.TEXT:
                self._request(client, message.data, now)

    def _input(self, client: Client, data: bytes, now: float) -> None:
        record = protocol.read_input(data)
        seat = self._seat
        if client is not seat.driver or self.page is None or record["epoch"] != seat.epoch:
            return
        self.page.receive(record, now)
        capture = float(record["capture"])
        if 0.0 <= now - capture <= OLDEST_FRAME:
            self.session.meter.shown(int(record["scene"]), capture)

    def _request(self, client: Client, text: str, now: float) -> None:
        content = protocol.read_json(text, ("ping", "drive", "answer", "calibrate", "task"))
        if content["type"] == "ping":
            sent = content.get("time")
            if not isinstance(sent, int | float):
                raise ProtocolError(Close.MALFORMED, "a ping says its time")
            client.say(type="pong", time=sent, host=now)
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

    async def _close(self) -> None:
        if self._gate is not None:
            await self._gate.close()
        over = {"type": "over", **self.session.outcome()}
        clients = list(self._clients)
        told = [client.socket.send_json(over) for client in clients]
        await asyncio.gather(*told, return_exceptions=True)
        await asyncio.sleep(FAREWELL)
        goodbyes = [
            client.socket.close(code=WSCloseCode.GOING_AWAY, message=b"the host has ended")
            for client in clients
        ]
        await asyncio.gather(*goodbyes, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()


async def _add_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)


def prefer_this_thread() -> None:
    """Let the system run this thread before ordinary ones, where it permits that."""
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))

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

from gym_grasp.teleop.session.clock import TickClock
from gym_grasp.teleop.session.session import Session
from gym_grasp.teleop.web import protocol
from gym_grasp.teleop.web.connection import Client, admit
from gym_grasp.teleop.web.gate import Bucket, Gate, Guesses, Handler
from gym_grasp.teleop.web.page import PageDevice
from gym_grasp.teleop.web.protocol import Close, ProtocolError
from gym_grasp.teleop.web.scene import Scene
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
GOODBYE = 2.0
"""How long a client may take to answer a goodbye, in [s]."""


class TeleopServer:
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
        self._driver: Client | None = None
        self._guesses = Guesses()
        self._epoch = 0
        self._sequence = 0
        self._status_time = 0.0
        self._status: dict[str, Any] = {}
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
        try:
            while not self._stop.is_set() and not self.session.over:
                await asyncio.sleep(max(0.0, clock.due - time.perf_counter()))
                now = time.perf_counter()
                clock.begin(now)
                self.session.tick(now)
                self._publish(now)
        finally:
            gc.unfreeze()
            await self._close()

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
            epoch=self._epoch,
            simulated=len(session.rows) / session.env.control_rate,
            time=now,
            brake=session.haptics.brake,
            vibration=session.haptics.vibration,
        )
        number = self._sequence
        # where no page drives, any of those that watch tells when the scene went out
        timed = self._driver if self.page is not None else next(iter(self._clients))
        for client in self._clients:
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
            "clients": len(self._clients),
            "driven": self._driver is not None or self.page is None,
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
        drives = await admit(request, socket, self.token, self._guesses)
        if len(self._clients) >= MOST_CLIENTS:
            raise ProtocolError(Close.FULL, f"{MOST_CLIENTS} clients are here already")
        transport = request.transport
        assert transport is not None
        assert isinstance(request.protocol, Handler)
        request.protocol.stay()
        client = Client(socket, transport.get_write_buffer_size)
        self._clients.add(client)
        self._status = {}  # tell everyone
        client.say(type="welcome", version=protocol.VERSION, scene=self._scene.manifest)
        writer = asyncio.create_task(client.write())
        try:
            self._assign(client, drives)
            await self._listen(client)
        finally:
            self._clients.discard(client)
            self._status = {}
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
            self._status = {}
        role = "drive" if self._driver is client else "watch"
        client.say(type="role", role=role, epoch=self._epoch)

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
        if client is not self._driver or self.page is None or record["epoch"] != self._epoch:
            return
        self.page.receive(record, now)
        capture = float(record["capture"])
        if 0.0 <= now - capture <= OLDEST_FRAME:
            self.session.meter.shown(int(record["scene"]), capture)

    def _request(self, client: Client, text: str, now: float) -> None:
        content = protocol.read_json(text, ("ping", "drive", "calibrate"))
        if content["type"] == "ping":
            sent = content.get("time")
            if not isinstance(sent, int | float):
                raise ProtocolError(Close.MALFORMED, "a ping says its time")
            client.say(type="pong", time=sent, host=now)
        elif content["type"] == "drive":
            self._assign(client, True)
        elif client is self._driver and self.page is not None:
            self.page.calibrate()

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


def prefer_this_thread() -> None:
    """Let the system run this thread before ordinary ones, where it permits that."""
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))

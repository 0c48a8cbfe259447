"""The host: page, WebSocket and TLS on one port, and the session's clock.

One thread does everything, so that nothing waits for a lock: a tick takes a few milliseconds of
its 11, and the rest belongs to the network.
"""

import asyncio
import contextlib
import gc
import hmac
import mimetypes
import os
import secrets
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiohttp import WSCloseCode, WSMsgType, web

from gym_grasp.errors import DependencyError, GymGraspError
from gym_grasp.teleop import protocol
from gym_grasp.teleop.clock import TickClock
from gym_grasp.teleop.page import PageDevice
from gym_grasp.teleop.protocol import Close, ProtocolError
from gym_grasp.teleop.scene import Scene
from gym_grasp.teleop.session import Session

PAGE = Path(__file__).parent / "webxr" / "dist"
NOT_BUILT = (
    "The page of the teleoperation is not built. In a git checkout: "
    "cd src/gym_grasp/teleop/webxr && npm ci && npm run build."
)
HELLO_LIMIT = 5.0
"""A client that has not said hello by then is sent away, in [s]."""
HEARTBEAT = 5.0
"""A client that does not answer a ping for so long is gone, in [s]."""
STATUS_PERIOD = 0.25
"""Longest time between two status messages, in [s]."""
NEWEST = 256
"""Inputs that the latency shown live is taken over."""
MOST_CLIENTS = 8
MOST_UNSENT = 64_000
"""A client's scenes are skipped while so many bytes wait for its network."""
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Permissions-Policy": "xr-spatial-tracking=(self)",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


@dataclass
class Bucket:
    """Lets `rate` messages per second through, and as many at once after a pause."""

    rate: float
    level: float = 0.0
    time: float = 0.0

    def take(self, now: float) -> bool:
        """Return whether one more message is allowed at a time in [s]."""
        self.level = max(0.0, self.level - (now - self.time) * self.rate) + 1.0
        self.time = now
        return self.level <= self.rate


@dataclass(eq=False)
class Client:
    """One connection that has shown the token."""

    socket: web.WebSocketResponse
    unsent: Callable[[], int]
    """Bytes that its network has not taken yet."""
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    scene: bytes | None = None
    """The newest scene; one that was not sent in time is replaced, never queued."""
    messages: list[dict[str, Any]] = field(default_factory=list)
    sent: Callable[[], None] = lambda: None

    def say(self, **message: Any) -> None:
        """Send a JSON message, all of which arrive."""
        self.messages.append(message)
        self.wake.set()

    def show(self, scene: bytes, sent: Callable[[], None]) -> None:
        """Send a scene unless the network is behind."""
        if self.unsent() < MOST_UNSENT:
            self.scene, self.sent = scene, sent
            self.wake.set()

    async def write(self) -> None:
        """Send until the connection ends."""
        while not self.socket.closed:
            await self.wake.wait()
            self.wake.clear()
            messages, self.messages = self.messages, []
            for message in messages:
                await self.socket.send_json(message)
            scene, self.scene = self.scene, None
            if scene is not None:
                await self.socket.send_bytes(scene)
                self.sent()


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
        self._connections = 0
        self._epoch = 0
        self._sequence = 0
        self._status_time = 0.0
        self._status: dict[str, Any] = {}
        self._stop = asyncio.Event()
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int) -> None:
        """Listen; afterwards `port` is the one taken.

        Raises:
            GymGraspError: the port is taken, or is not ours to take.
        """
        app = web.Application()
        app.router.add_get("/socket", self._socket)
        app.router.add_get("/{path:.*}", self._file)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, ssl_context=self._tls)
        try:
            await site.start()
        except OSError as error:
            raise GymGraspError(f"Cannot listen on {host}:{port}: {error.strerror}.") from error
        server = site._server
        assert isinstance(server, asyncio.Server)
        self.port = server.sockets[0].getsockname()[1]

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
        for client in self._clients:
            if client is self._driver:
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
        return web.Response(body=body, status=status, content_type=kind, headers=HEADERS)

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        # A browser cannot read why an upgrade was refused: accept it, then close with a code.
        socket = web.WebSocketResponse(
            protocols=(protocol.SUBPROTOCOL,),
            max_msg_size=protocol.MAX_MESSAGE,
            heartbeat=HEARTBEAT,
            compress=False,
        )
        await socket.prepare(request)
        self._connections += 1
        try:
            if self._connections > 2 * MOST_CLIENTS:
                raise ProtocolError(Close.FULL, "too many connections")
            await self._serve(request, socket)
        except ProtocolError as error:
            self.rejected[error.code.name] = self.rejected.get(error.code.name, 0) + 1
            await socket.close(code=error.code, message=str(error).encode()[:120])
        finally:
            self._connections -= 1
        return socket

    async def _serve(self, request: web.Request, socket: web.WebSocketResponse) -> None:
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != request.host:
            raise ProtocolError(Close.ORIGIN, "this page is not the host's own")
        if socket.ws_protocol != protocol.SUBPROTOCOL:
            raise ProtocolError(Close.VERSION, f"speak {protocol.SUBPROTOCOL}; reload the page")
        drives = await self._hello(socket)
        if len(self._clients) >= MOST_CLIENTS:
            raise ProtocolError(Close.FULL, f"{MOST_CLIENTS} clients are here already")
        transport = request.transport
        assert transport is not None
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

    async def _hello(self, socket: web.WebSocketResponse) -> bool:
        try:
            async with asyncio.timeout(HELLO_LIMIT):
                message = await socket.receive()
        except TimeoutError:
            raise ProtocolError(Close.SILENT, "no hello came") from None
        if message.type is not WSMsgType.TEXT:
            raise ProtocolError(Close.MALFORMED, "the first message has to be hello")
        hello = protocol.read_json(message.data, ("hello",))
        token = hello.get("token")
        if not isinstance(token, str) or not hmac.compare_digest(
            token.encode(errors="replace"), self.token.encode()
        ):
            raise ProtocolError(Close.TOKEN, "wrong token; open the address that the host printed")
        if hello.get("version") != protocol.VERSION:
            raise ProtocolError(Close.VERSION, f"speak version {protocol.VERSION}; reload the page")
        return hello.get("role") != "watch"

    def _assign(self, client: Client, drives: bool) -> None:
        if drives and self.page is not None and self._driver is None:
            self._driver = client
            self._epoch += 1
            self._status = {}
        role = "drive" if self._driver is client else "watch"
        client.say(type="role", role=role, epoch=self._epoch)

    async def _listen(self, client: Client) -> None:
        bucket = Bucket(protocol.MAX_RATE)
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
        if capture <= now:
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
        for client in list(self._clients):
            await client.socket.close(code=WSCloseCode.GOING_AWAY, message=b"the host stops")
        if self._runner is not None:
            await self._runner.cleanup()


def prefer_this_thread() -> None:
    """Let the system run this thread before ordinary ones, where it permits that."""
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))


def load_page(folder: Path = PAGE) -> dict[str, tuple[bytes, str]]:
    """Return the page's files, body and content type by path.

    Raises:
        DependencyError: the page is not built.
    """
    if not (folder / "index.html").exists():
        raise DependencyError(NOT_BUILT)
    files = {
        "/" + path.relative_to(folder).as_posix(): (
            path.read_bytes(),
            mimetypes.guess_type(path.name)[0] or "application/octet-stream",
        )
        for path in folder.rglob("*")
        if path.is_file()
    }
    return {**files, "/": files["/index.html"]}

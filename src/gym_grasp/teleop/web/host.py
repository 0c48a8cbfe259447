"""A page, its WebSocket and TLS on one port, for those who know the token."""

import asyncio
import contextlib
import secrets
import ssl
import time
from abc import ABC, abstractmethod

from aiohttp import WSCloseCode, WSMsgType, web

from gym_grasp.teleop.web import protocol
from gym_grasp.teleop.web.connection import Client, admit
from gym_grasp.teleop.web.gate import Bucket, Gate, Guesses, Handler
from gym_grasp.teleop.web.protocol import Close, ProtocolError
from gym_grasp.teleop.web.static import HEADERS

HEARTBEAT = 5.0
"""A client is pinged so long after its last message, and gone if it is silent half as long again.
In [s]."""
MOST_CLIENTS = 8
LONGEST_NAME = 64
"""Of what a page calls itself."""
GOODBYE = 2.0
"""How long a client may take to answer a goodbye, in [s]."""


class Host(ABC):
    """Lets clients in, and hears them, one message after the other, in the thread of its loop.

    Args:
        files: the page, body and content type by path; see `static.load_page`.
        token: what a client has to show; None makes one.
        tls: settings for https; None: plain http, for loopback only.
    """

    def __init__(
        self,
        files: dict[str, tuple[bytes, str]],
        *,
        token: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.token = token or secrets.token_urlsafe(18)
        self.sockets = {"/socket": self.token}
        """Where clients connect, and the token that each of these places takes."""
        self.rate = protocol.MAX_RATE
        """Most messages per second from a client."""
        self.port = 0
        self.rejected: dict[str, int] = {}
        """Connections that were closed, by the name of the reason."""
        self.clients: set[Client] = set()
        """Who has shown the token and is here."""
        self._files = files
        self._tls = tls
        self._guesses = Guesses()
        self._stop = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._gate: Gate | None = None

    @abstractmethod
    def entered(self, client: Client, drives: bool) -> None:
        """Greet a client that was let in; `drives`: it wants to do more than watch."""

    @abstractmethod
    def heard(self, client: Client, message: bytes | str, now: float) -> None:
        """Take a message in; raises ProtocolError where it has to end the connection."""

    @abstractmethod
    def left(self, client: Client) -> None:
        """Do without a client, which is no longer in `clients`."""

    async def start(self, host: str, port: int) -> None:
        """Listen; afterwards `port` is the one taken.

        Raises:
            GymGraspError: as `Gate.listen`.
        """
        app = web.Application()
        for place in self.sockets:
            app.router.add_get(place, self._socket)
        app.router.add_get("/{path:.*}", self._file)
        app.on_response_prepare.append(_add_headers)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=GOODBYE)
        await self._runner.setup()
        assert self._runner.server is not None
        self._gate = Gate(self._runner.server, self._tls)
        self.port = self._gate.listen(host, port)

    @abstractmethod
    async def run(self) -> None:
        """Do what there is to do until `stop`, then `close`."""

    def stop(self) -> None:
        """Let `run` end."""
        self._stop.set()

    async def close(self) -> None:
        """Say goodbye, and end all connections."""
        if self._gate is not None:
            await self._gate.close()
        goodbyes = [
            client.socket.close(code=WSCloseCode.GOING_AWAY, message=b"the host stops")
            for client in self.clients
        ]
        await asyncio.gather(*goodbyes, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()

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
        hello = await admit(request, socket, self.sockets[request.path], self._guesses)
        if len(self.clients) >= MOST_CLIENTS:
            raise ProtocolError(Close.FULL, f"{MOST_CLIENTS} clients are here already")
        transport = request.transport
        assert transport is not None
        assert isinstance(request.protocol, Handler)
        request.protocol.stay()
        name = str(hello.get("name", ""))[:LONGEST_NAME]
        client = Client(socket, transport.get_write_buffer_size, name, request.path)
        self.clients.add(client)
        writer = asyncio.create_task(client.write())
        try:
            self.entered(client, hello.get("role") != "watch")
            await self._hear(client)
        finally:
            self.clients.discard(client)
            self.left(client)
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await writer

    async def _hear(self, client: Client) -> None:
        bucket = Bucket(self.rate, self.rate)
        async for message in client.socket:
            now = time.perf_counter()
            if not bucket.take(now):
                raise ProtocolError(Close.RATE, f"more than {self.rate:g} messages a second")
            if message.type in (WSMsgType.BINARY, WSMsgType.TEXT):
                self.heard(client, message.data, now)


def answer_ping(client: Client, content: dict[str, object], now: float) -> None:
    """Tell a client the time that its ping came, by which it knows the host's clock."""
    sent = content.get("time")
    if not isinstance(sent, int | float):
        raise ProtocolError(Close.MALFORMED, "a ping says its time")
    client.say(type="pong", time=sent, host=now)


async def _add_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)

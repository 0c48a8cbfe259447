"""One client's connection: what lets it in, what it is sent, how much it may say."""

import asyncio
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from aiohttp import WSMsgType, web

from gym_grasp.teleop.web import protocol
from gym_grasp.teleop.web.gate import Guesses
from gym_grasp.teleop.web.protocol import Close, ProtocolError

HELLO_LIMIT = 5.0
"""A client that has not said hello by then is sent away, in [s]."""
MOST_UNSENT = 64_000
"""A client's scenes are skipped while so many bytes wait for its network."""


@dataclass(eq=False)
class Client:
    """One connection that has shown the token."""

    socket: web.WebSocketResponse
    unsent: Callable[[], int]
    """Bytes that its network has not taken yet."""
    name: str = ""
    """What its page calls itself, to be known again after its connection died; empty: nothing."""
    place: str = "/socket"
    """Where it connected; see `Host.sockets`."""
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    scene: bytes | None = None
    """The newest scene; one that was not sent in time is replaced, never queued."""
    messages: list[dict[str, Any] | bytes] = field(default_factory=list)
    sent: Callable[[], None] = lambda: None

    def say(self, **message: Any) -> None:
        """Send a JSON message, all of which arrive."""
        self.messages.append(message)
        self.wake.set()

    def tell(self, message: bytes) -> None:
        """Send a binary message, all of which arrive, in order with those that `say` sends."""
        self.messages.append(message)
        self.wake.set()

    def show(self, scene: bytes, sent: Callable[[], None], late: bool = False) -> None:
        """Send a scene unless the network is behind; `late`: then too, unless a newer one comes."""
        if late or self.unsent() < MOST_UNSENT:
            self.scene, self.sent = scene, sent
            self.wake.set()

    async def write(self) -> None:
        """Send until the connection ends."""
        while not self.socket.closed:
            await self.wake.wait()
            self.wake.clear()
            messages, self.messages = self.messages, []
            for message in messages:
                if isinstance(message, bytes):
                    await self.socket.send_bytes(message)
                else:
                    await self.socket.send_json(message)
            scene, self.scene = self.scene, None
            if scene is not None:
                await self.socket.send_bytes(scene)
                self.sent()


async def admit(
    request: web.Request, socket: web.WebSocketResponse, token: str, guesses: Guesses
) -> dict[str, Any]:
    """Let a client in that is the host's own page and knows the token; return what it said.

    Args:
        request: its first.
        socket: the connection.
        token: what it has to know.
        guesses: wrong tokens so far.

    Raises:
        ProtocolError: it is turned away, before it was sent anything.
    """
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.host:
        raise ProtocolError(Close.ORIGIN, "this page is not the host's own")
    if socket.ws_protocol != protocol.SUBPROTOCOL:
        raise ProtocolError(Close.VERSION, f"speak {protocol.SUBPROTOCOL}; reload the page")
    try:
        async with asyncio.timeout(HELLO_LIMIT):
            message = await socket.receive()
    except TimeoutError:
        raise ProtocolError(Close.SILENT, "no hello came") from None
    if message.type is not WSMsgType.TEXT:
        raise ProtocolError(Close.MALFORMED, "the first message has to be hello")
    hello = protocol.read_json(message.data, ("hello",))
    address = request.remote or ""
    if guesses.blocked(address):
        raise ProtocolError(Close.TOKEN, "too many wrong tokens from here; wait a minute")
    shown = hello.get("token")
    if not isinstance(shown, str) or not hmac.compare_digest(
        shown.encode(errors="replace"), token.encode()
    ):
        guesses.wrong(address)
        raise ProtocolError(Close.TOKEN, "wrong token; open the address that the host printed")
    if hello.get("version") != protocol.VERSION:
        raise ProtocolError(Close.VERSION, f"speak version {protocol.VERSION}; reload the page")
    return hello

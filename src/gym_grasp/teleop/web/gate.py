"""The gate: who may connect, how many at once, and for how long without having shown the token.

Connections are accepted here and then handed to aiohttp, which by itself neither counts them nor
ends one that is silent during the handshake of TLS or within a request.
"""

import asyncio
import logging
import resource
import socket
import ssl
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from pathlib import Path
from time import monotonic
from typing import Any

from aiohttp import web

from gym_grasp.errors import GymGraspError
from gym_grasp.teleop.web.static import HEADERS

PATIENCE = 15.0
"""A connection that has not shown the token by then is cut, in [s]; long enough for the page."""
MOST_CONNECTIONS = 64
MOST_PER_ADDRESS = 24
RESERVE = 16
"""File descriptors that connections leave to the recording and to everything else."""
FEWEST = 4
"""Connections for which descriptors have to be left: page and socket of one operator."""
RETRY = 0.5
"""Pause after a connection could not be accepted, in [s]."""
CROWDED = 0.01
"""Pause after one had to go for another, in [s]: what was cut is closed by then."""
GUESSES, GUESS_PERIOD = 5.0, 60.0
"""Wrong tokens that an address may show at once, and in [s] until it may show as many again."""
MOST_ADDRESSES = 4096
"""Addresses whose guesses are counted."""
LOG_LINES, LOG_PERIOD = 10.0, 60.0
"""Lines that network and server library may log at once, and in [s] until as many again."""
LOGGERS = (__name__, "asyncio", "aiohttp.server", "aiohttp.web", "aiohttp.websocket")

log = logging.getLogger(__name__)


@dataclass
class Bucket:
    """Lets `rate` events per second through, and `burst` at once after a pause."""

    rate: float
    burst: float
    level: float = 0.0
    time: float = 0.0

    def full(self, now: float) -> bool:
        """Return whether no more events are allowed at a time in [s]."""
        self.level = max(0.0, self.level - (now - self.time) * self.rate)
        self.time = now
        return self.level + 1.0 > self.burst

    def take(self, now: float) -> bool:
        """Count an event; return whether it was allowed at a time in [s]."""
        full = self.full(now)
        self.level += 1.0
        return not full


class Guesses:
    """Wrong tokens by address: after a few, an address is heard no more for a while."""

    def __init__(self) -> None:
        self._buckets: dict[str, Bucket] = {}

    def blocked(self, address: str) -> bool:
        """Return whether an address has shown too many wrong tokens."""
        bucket = self._buckets.get(address)
        return bucket is not None and bucket.full(monotonic())

    def wrong(self, address: str) -> None:
        """Count a wrong token."""
        while len(self._buckets) >= MOST_ADDRESSES and address not in self._buckets:
            self._buckets.pop(next(iter(self._buckets)))
        new = Bucket(GUESSES / GUESS_PERIOD, GUESSES)
        self._buckets.setdefault(address, new).take(monotonic())


class FewLines(logging.Filter):
    """Lets a few records a minute through, whatever a network provokes."""

    def __init__(self) -> None:
        super().__init__()
        self._bucket = Bucket(LOG_LINES / LOG_PERIOD, LOG_LINES)

    def filter(self, record: logging.LogRecord) -> bool:
        return not self._bucket.full(now := monotonic()) and self._bucket.take(now)


@dataclass(eq=False)
class Slot:
    """One connection, from before its handshake until it is closed."""

    address: str
    end: Callable[[], object]
    """Cuts it."""
    since: float = field(default_factory=monotonic)
    deadline: asyncio.TimerHandle | None = None
    """When it is cut; None: it has shown the token."""


class Handler(web.RequestHandler):
    """Speaks HTTP on one connection; what is no HTTP is answered in a line, and not logged."""

    stay: Callable[[], None]
    """Lets the connection live as long as it answers, since it has shown the token."""
    leave: Callable[[], None]
    """Gives the connection a last while to be closed in order."""
    lost: Callable[[], None]

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self.lost()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            answer = super().handle_error(request, status, exc, message)
        else:
            answer = web.Response(status=status, text=HTTPStatus(status).phrase)
            answer.force_close()
        answer.headers.update(HEADERS)
        return answer


class Gate:
    """Accepts connections for a server until it is closed.

    Where all places are taken, a new connection takes that of the one that has waited longest
    without showing the token; if all have shown it, the new one is closed.

    Args:
        server: what the connections are for.
        tls: settings for https; None: plain http.
    """

    def __init__(self, server: web.Server, tls: ssl.SSLContext | None) -> None:
        self.slots: set[Slot] = set()
        """The connections that are open."""
        self.cut = 0
        """Connections that were not let in, or were cut for not showing the token."""
        self.places = MOST_CONNECTIONS
        """Connections that may be open at once."""
        self._server = server
        self._tls = tls
        self._listening: socket.socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._few = FewLines()

    def listen(self, host: str, port: int) -> int:
        """Begin to accept; return the port, a free one for 0.

        Raises:
            GymGraspError: the port is taken or not ours to take, or too few descriptors are left.
        """
        self.places = _places()
        try:
            listening = socket.create_server((host, port), backlog=MOST_CONNECTIONS)
        except OSError as error:
            raise GymGraspError(f"Cannot listen on {host}:{port}: {error.strerror}.") from error
        listening.setblocking(False)
        self._listening = listening
        for name in LOGGERS:
            logging.getLogger(name).addFilter(self._few)
        self._start(self._accept(listening))
        return listening.getsockname()[1]

    async def close(self) -> None:
        """Accept no more; those that the server speaks with are left to it."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._listening is not None:
            self._listening.close()
        for name in LOGGERS:
            logging.getLogger(name).removeFilter(self._few)

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, (address, *_) = await loop.sock_accept(listening)
            except OSError as error:  # no descriptor is left, or it is gone already
                log.warning("A connection could not be accepted: %s.", error.strerror)
                await asyncio.sleep(RETRY)
                continue
            cut = self.cut
            if self._make_room(address):
                slot = Slot(address, connection.close)
                self.slots.add(slot)
                self._wait(slot)
                task = self._start(self._hand_over(connection, slot))
                task.add_done_callback(partial(_close_if_cancelled, connection))
                slot.end = task.cancel
            else:
                self.cut += 1
                connection.close()
            if self.cut > cut:
                await asyncio.sleep(CROWDED)

    def _make_room(self, address: str) -> bool:
        """Return whether there is a place for one more connection."""
        own = {slot for slot in self.slots if slot.address == address}
        for slots, most in ((own, MOST_PER_ADDRESS), (self.slots, self.places)):
            if len(slots) >= most:
                strangers = [slot for slot in slots if slot.deadline is not None]
                if not strangers:
                    return False
                self._cut(min(strangers, key=lambda slot: slot.since))
        return True

    async def _hand_over(self, connection: socket.socket, slot: Slot) -> None:
        """Let the server speak on a connection, after the handshake of TLS."""
        loop = asyncio.get_running_loop()
        options: dict[str, Any] = {"access_log": None, "keepalive_timeout": PATIENCE}
        handler = Handler(self._server, loop=loop, **options)
        handler.stay = lambda: self._stay(slot)
        handler.leave = lambda: self._wait(slot)
        handler.lost = lambda: self._forget(slot)
        limit = PATIENCE if self._tls else None
        try:
            transport, _ = await loop.connect_accepted_socket(
                lambda: handler, connection, ssl=self._tls, ssl_handshake_timeout=limit
            )
        except OSError:  # what a failed handshake is too
            self._forget(slot)
            connection.close()
        else:
            slot.end = transport.abort

    def _wait(self, slot: Slot) -> None:
        self._stay(slot)
        if slot in self.slots:
            loop = asyncio.get_running_loop()
            slot.deadline = loop.call_later(PATIENCE, self._cut, slot)

    def _stay(self, slot: Slot) -> None:
        if slot.deadline is not None:
            slot.deadline.cancel()
            slot.deadline = None

    def _cut(self, slot: Slot) -> None:
        self.cut += 1
        self._forget(slot)
        slot.end()

    def _forget(self, slot: Slot) -> None:
        self._stay(slot)
        self.slots.discard(slot)


def _close_if_cancelled(connection: socket.socket, task: asyncio.Task[None]) -> None:
    if task.cancelled():  # perhaps before it began
        connection.close()


def _places() -> int:
    """Return how many connections the process' file descriptors are enough for."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    folder = Path("/proc/self/fd")
    taken = len(list(folder.iterdir())) if folder.is_dir() else RESERVE
    left = limit - taken - RESERVE
    if limit != resource.RLIM_INFINITY and left < FEWEST:
        raise GymGraspError(
            f"A process may open {limit} files here, of which {taken} are open and {RESERVE} are "
            f"kept for the recording; connections need {FEWEST} more: raise `ulimit -n`."
        )
    return MOST_CONNECTIONS if limit == resource.RLIM_INFINITY else min(MOST_CONNECTIONS, left)

"""The host of the page that shows: what a client asks for, and what all clients see."""

import asyncio
import contextlib
import ssl
import time
from collections.abc import Sequence
from typing import Any

from gym_grasp.errors import GymGraspError
from gym_grasp.teleop.hand import frames
from gym_grasp.teleop.web.connection import Client
from gym_grasp.teleop.web.host import Host, answer_ping
from gym_grasp.teleop.web.protocol import VERSION, Close, ProtocolError
from gym_grasp.teleop.web.static import load_page
from gym_grasp.view import wire
from gym_grasp.view.grip import Grip, fixed
from gym_grasp.view.player import SPEEDS, Player
from gym_grasp.view.sides import Live, Recorded, Side, describe
from gym_grasp.view.track import Track, curves

PAGE = "view.html"
STATUS_PERIOD = 0.25
"""Time between two status messages while time runs, in [s]."""


class ViewServer(Host):
    """Shows one side, or two in step; everyone who opens the page looks at the same moment.

    Args:
        sides: what to show; at most one is `Recorded`.
        seed: of the first live episode; where there is a dataset, its episodes say the seeds.
        episode: number of the first recorded one.
        token: what a client has to show; None makes one.
        files: the page, by path; None: as built.
        tls: settings for https; None: plain http, for loopback only.
    """

    def __init__(
        self,
        sides: Sequence[Side],
        *,
        seed: int = 0,
        episode: int = 0,
        token: str | None = None,
        files: dict[str, tuple[bytes, str]] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(load_page(first=PAGE) if files is None else files, token=token, tls=tls)
        self.sides = tuple(sides)
        self._recorded = next((one for one in self.sides if isinstance(one, Recorded)), None)
        self.player = Player(self.sides, loop=self._recorded is None)
        self.notice = ""
        self._live = [one for one in self.sides if isinstance(one, Live)]
        self._seed, self._episode = seed, episode
        self._sent = [0] * len(self.sides)
        self._status_time = 0.0
        self._changed = asyncio.Event()
        self._loading: asyncio.Task[None] | None = None
        self._wanted: tuple[int, int] | None = None
        """Which recorded episode to show next, and which moment of it."""

    async def run(self) -> None:
        """Play until `stop`, then close all connections."""
        if self._recorded is not None:
            self._load(self._episode)
        else:
            self._begin(self._seed)
        try:
            while not self._stop.is_set():
                now = time.perf_counter()
                if self._loading is None and self.clients:  # nobody needs to be shown anything
                    if self.player.rested(now):
                        self._follow()
                    elif self.player.tick(now):
                        self._publish()
                    if not self.player.running or now - self._status_time > STATUS_PERIOD:
                        self._tell()
                await self._wait(now)
        finally:
            if self._loading is not None:
                await asyncio.gather(self._loading, return_exceptions=True)
            await self.close()
            for side in self.sides:
                side.close()

    def stop(self) -> None:
        super().stop()
        self._changed.set()

    async def _wait(self, now: float) -> None:
        """Wait until there is something to do, and let the network have its turn."""
        idle = self._loading is not None or not self.clients
        delay = None if idle else self.player.wait(now)
        if delay == 0.0:
            await asyncio.sleep(0)
        else:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._changed.wait()
        self._changed.clear()

    # Episodes -----------------------------------------------------------------------------------

    def _begin(self, seed: int, index: int = 0) -> None:
        """Let the live sides begin an episode, and show a moment."""
        self._seed = seed
        for side in self._live:
            side.begin(seed)
        self.player.restart()
        if index:
            self.player.seek(index)
        self._show(*self._live)

    def _load(self, episode: int, index: int = 0) -> None:
        """Read an episode of the dataset, in a thread, and then show a moment of it."""
        self._wanted = episode, index
        if self._loading is None:
            self._loading = asyncio.get_running_loop().create_task(self._read())
        self._tell()

    async def _read(self) -> None:
        assert self._recorded is not None
        try:
            while self._wanted is not None:
                (episode, index), self._wanted = self._wanted, None
                self.notice = f"reading episode {episode}"
                track = await asyncio.to_thread(self._recorded.load, episode)
            self.notice = ""
            self._episode, self._recorded.track = episode, track
            self._begin(track.seed, index)
            self._show(self._recorded)
        except GymGraspError as error:
            self.notice = str(error)
            self.player.playing = False
        finally:
            self._loading = None
            self._changed.set()
            self._tell()

    def _follow(self) -> None:
        """Show the next episode."""
        if self._recorded is not None:
            self._load((self._episode + 1) % len(self._recorded.listing.episodes))
        else:
            self._begin((self._seed + 1) % 2**63)

    # To the clients -----------------------------------------------------------------------------

    def _show(self, *sides: Side) -> None:
        """Tell everyone that sides show other episodes."""
        for side in sides:
            number = self.sides.index(side)
            self._sent[number] = 0
            for client in self.clients:
                client.say(**self._opened(number))
        self._publish()
        self._tell()

    def _publish(self) -> None:
        """Send what is new of the curves, and the present moment."""
        for number, side in enumerate(self.sides):
            rows = side.track.rows
            first = min(self._sent[number], len(rows))
            if first < len(rows):
                message = wire.write_curves(number, first, rows[first:])
                for client in self.clients:
                    client.tell(message)
                self._sent[number] = len(rows)
        if all(len(side.track) for side in self.sides):
            moment = self._moment()
            for client in self.clients:
                client.show(moment, lambda: None)

    def _moment(self) -> bytes:
        index = self.player.index
        return wire.write_moment(
            index,
            [(min(index, len(one.track) - 1), one.track.at(index).look) for one in self.sides],
        )

    def _opened(self, number: int) -> dict[str, Any]:
        track: Track = self.sides[number].track
        return {
            "type": "opened",
            "side": number,
            "seed": str(track.seed),
            "episode": track.episode,
            "scene": track.scene,
        }

    def _tell(self) -> None:
        """Tell everyone how it stands."""
        self._status_time = time.perf_counter()
        for client in self.clients:
            client.say(**self._status())

    def _status(self) -> dict[str, Any]:
        player = self.player
        return {
            "type": "status",
            "index": player.index,
            "playing": player.playing,
            "speed": player.speed,
            "pace": round(player.pace, 3),
            "loop": player.loop,
            "held": player.grip is not None,
            "loading": self._loading is not None,
            "notice": self.notice,
            "sides": [
                {
                    "known": len(one.track),
                    "outcome": one.track.outcome,
                    "touched": one.track.touched,
                }
                for one in self.sides
            ],
        }

    def _welcome(self) -> dict[str, Any]:
        listing = self._recorded.listing if self._recorded is not None else None
        return {
            "type": "welcome",
            "version": VERSION,
            "period": self.player.period,
            "sides": [
                {
                    **describe(side),
                    "curves": [vars(one) for one in curves(side.env.robot)],
                }
                for side in self.sides
            ],
            "operator": listing.meta.operator if listing else None,
            "episodes": listing
            and [
                {"steps": one.steps, "success": one.success, "events": one.events}
                for one in listing.episodes
            ],
        }

    # From the clients ---------------------------------------------------------------------------

    def entered(self, client: Client, drives: bool) -> None:
        client.say(**self._welcome())
        for number, side in enumerate(self.sides):
            if len(side.track):
                client.say(**self._opened(number))
                if self._sent[number]:
                    client.tell(wire.write_curves(number, 0, side.track.rows[: self._sent[number]]))
        client.say(**self._status())
        if all(len(side.track) for side in self.sides):
            client.show(self._moment(), lambda: None)
        self._changed.set()

    def left(self, client: Client) -> None:
        if not self.clients:
            self.player.grip = None

    def heard(self, client: Client, message: bytes | str, now: float) -> None:
        if not isinstance(message, str):
            raise ProtocolError(Close.MALFORMED, "a page that looks on says everything in JSON")
        content = wire.read_request(message)
        if content["type"] == "ping":
            answer_ping(client, content, now)
            return
        self._obey(content)
        self._changed.set()
        self._tell()

    def _obey(self, content: dict[str, Any]) -> None:
        player, kind = self.player, content["type"]
        if self._loading is None:
            self.notice = ""
        if kind == "play":
            player.playing = wire.flag(content, "on")
            if player.playing and player.over:
                player.seek(0)
        elif kind == "seek":
            player.seek(wire.whole(content, "index", 0, wire.MOST_STEPS))
        elif kind == "step":
            player.step(wire.whole(content, "by", -wire.MOST_STEPS, wire.MOST_STEPS))
        elif kind == "speed":
            player.speed = wire.number(content, "value", *SPEEDS)
        elif kind == "loop":
            player.loop = wire.flag(content, "on")
        elif kind == "reset":
            self._reset(wire.read_seed(content), wire.moment_of(content))
        elif kind == "open":
            self._open(content)
        elif kind == "drag":
            self._drag(content)
        else:
            player.grip = None

    def _reset(self, seed: int | None, index: int) -> None:
        if self._recorded is None:
            self._begin(self._seed if seed is None else seed, index)
        elif seed is None:
            self._begin(self._recorded.track.seed, index)
        else:
            raise ProtocolError(Close.MALFORMED, "the episodes of the dataset say the seeds")

    def _open(self, content: dict[str, Any]) -> None:
        if self._recorded is None:
            raise ProtocolError(Close.MALFORMED, "no dataset is shown")
        last = len(self._recorded.listing.episodes) - 1
        self._load(wire.whole(content, "episode", 0, last), wire.moment_of(content))

    def _drag(self, content: dict[str, Any]) -> None:
        side = self.sides[wire.whole(content, "side", 0, len(self.sides) - 1)]
        bodies = side.looker.scene.bodies
        body = int(bodies[wire.whole(content, "body", 0, len(bodies) - 1)])
        point, to = wire.place(content, "point"), wire.place(content, "to")
        if not isinstance(side, Live) or not len(side.track) or fixed(side.looker.model, body):
            return
        if not self.player.hold(side, Grip(body, point, frames.position_to_world(to))):
            self.notice = "This episode is over; reset to begin another."
        number = self.sides.index(side)
        self._sent[number] = min(self._sent[number], len(side.track))

import asyncio
import json
import os
import ssl
import stat
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import numpy as np
import pytest
from conftest import Rig
from test_protocol import message

from gym_grasp.errors import DependencyError, GymGraspError
from gym_grasp.teleop import protocol, server
from gym_grasp.teleop.certificate import tls_context
from gym_grasp.teleop.page import PageDevice
from gym_grasp.teleop.protocol import Close, Flag
from gym_grasp.teleop.server import TeleopServer, load_page
from gym_grasp.teleop.session import Session, State

FILES = {"/": (b"<!doctype html>", "text/html"), "/main.js": (b"1", "text/javascript")}


class Visitor:
    """A client that speaks for itself."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.told: dict[str, dict] = {}
        self.scenes = 0
        self.number = 0
        self.bytes = 0

    async def hear(self) -> None:
        received = await asyncio.wait_for(self.socket.receive(), 5)
        if received.type is aiohttp.WSMsgType.BINARY:
            self.scenes += 1
            self.bytes += len(received.data)
        elif received.type is aiohttp.WSMsgType.TEXT:
            content = json.loads(received.data)
            self.told[content["type"]] = content
            self.bytes += len(received.data)

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                assert not self.socket.closed, self.socket.close_code
                await self.hear()

    async def until_closed(self) -> int | None:
        async with asyncio.timeout(10):
            while not self.socket.closed:
                await self.hear()
        return self.socket.close_code

    async def send(self, age: float = 0.0, **fields: object) -> None:
        self.number += 1
        epoch = self.told.get("role", {}).get("epoch", 0)
        record = message(
            sequence=self.number, epoch=epoch, capture=time.perf_counter() - age, **fields
        )
        await self.socket.send_bytes(record.tobytes())

    async def engage(self) -> None:
        async with asyncio.timeout(10):
            while self.told.get("status", {}).get("state") != "engaged":
                clutch = Flag.CLUTCH if self.number % 16 >= 8 else 0
                await self.send(flags=Flag.VISIBLE | clutch)
                await self.hear()

    async def drive(self, seconds: float) -> None:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            await self.send()
            await self.hear()


class Place:
    """A running host, and the way to it."""

    def __init__(self, host: TeleopServer, client: aiohttp.ClientSession) -> None:
        self.host, self.client = host, client
        self.address = f"http://127.0.0.1:{host.port}"

    async def connect(self, **options: object) -> Visitor:
        options = {"protocols": (protocol.SUBPROTOCOL,), **options}
        return Visitor(await self.client.ws_connect(self.address + "/socket", **options))

    async def enter(self, role: str = "drive") -> Visitor:
        visitor = await self.connect()
        await visitor.socket.send_json(self.hello(role=role))
        await visitor.until(lambda: {"welcome", "role", "status"} <= set(visitor.told))
        return visitor

    def hello(self, **changes: object) -> dict:
        return {
            "type": "hello", "version": protocol.VERSION, "token": self.host.token, **changes
        }  # fmt: skip


@asynccontextmanager
async def place(rig: Rig) -> AsyncIterator[Place]:
    page = PageDevice()
    rig.session = Session(rig.env, page, rig.recorder)
    host = TeleopServer(rig.session, page, files=FILES)
    await host.start("127.0.0.1", 0)
    running = asyncio.create_task(host.run())
    async with aiohttp.ClientSession() as client:
        yield Place(host, client)
        host.stop()
        await asyncio.wait_for(running, 10)


def in_place(rig: Rig, visit: Callable[[Place], Awaitable[None]]) -> None:
    async def stay() -> None:
        async with place(rig) as there:
            await visit(there)

    asyncio.run(stay())


def test_the_page_is_served_with_a_policy_and_nothing_else_is(rig: Rig) -> None:
    async def visit(there: Place) -> None:
        for path, status in [("/", 200), ("/main.js", 200), ("/x", 404), ("/..%2f..%2fetc", 404)]:
            async with there.client.get(there.address + path) as response:
                assert response.status == status
                assert response.headers["Content-Security-Policy"].startswith("default-src 'self'")
                assert there.host.token not in await response.text()

    in_place(rig, visit)


@pytest.mark.parametrize(
    ("first", "code"),
    [
        ({"token": "wrong"}, Close.TOKEN),
        ({"token": None}, Close.TOKEN),
        ({"token": "\ud800"}, Close.TOKEN),
        ({"version": 99}, Close.VERSION),
        ({"type": "ping"}, Close.MALFORMED),
        ("{", Close.MALFORMED),
        (b"binary", Close.MALFORMED),
        (None, Close.SILENT),
        ("x" * 5000, 1009),
    ],
)
def test_without_the_token_there_is_not_a_byte_of_state(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, first: object, code: int
) -> None:
    monkeypatch.setattr(server, "HELLO_LIMIT", 0.3)

    async def visit(there: Place) -> None:
        visitor = await there.connect()
        if isinstance(first, dict):
            await visitor.socket.send_str(json.dumps(there.hello(**first)))
        elif isinstance(first, bytes):
            await visitor.socket.send_bytes(first)
        elif isinstance(first, str):
            await visitor.socket.send_str(first)
        assert await visitor.until_closed() == code
        assert visitor.bytes == 0

    in_place(rig, visit)


def test_a_page_of_another_origin_is_refused_even_with_the_token(rig: Rig) -> None:
    async def visit(there: Place) -> None:
        visitor = await there.connect(headers={"Origin": "http://evil.example"})
        await visitor.socket.send_json(there.hello())
        assert await visitor.until_closed() == Close.ORIGIN
        assert visitor.bytes == 0
        own = await there.connect(headers={"Origin": there.address})
        await own.socket.send_json(there.hello())
        await own.until(lambda: "welcome" in own.told)
        other = await there.connect(protocols=("gym-grasp.0",))
        assert await other.until_closed() == Close.VERSION

    in_place(rig, visit)


def test_one_drives_and_the_next_takes_over_when_it_leaves(rig: Rig) -> None:
    async def visit(there: Place) -> None:
        first = await there.enter()
        second = await there.enter()
        assert (first.told["role"]["role"], second.told["role"]["role"]) == ("drive", "watch")
        await first.engage()
        await second.send(flags=0)  # a watcher's hidden page stops nobody
        await first.drive(0.2)
        assert rig.session.state is State.ENGAGED
        await first.socket.close()
        await second.until(lambda: second.told["status"]["state"] == "paused")
        assert "no operator" in second.told["status"]["notice"]
        await second.socket.send_json({"type": "drive"})
        await second.until(lambda: second.told["role"]["role"] == "drive")
        await second.engage()

    in_place(rig, visit)


def test_a_killed_connection_and_a_silent_one_stop_the_robot(rig: Rig) -> None:
    async def visit(there: Place) -> None:
        watcher = await there.enter("watch")
        for cut in (True, False):
            driver = await there.enter()
            await driver.engage()
            await watcher.until(lambda: watcher.told["status"]["state"] == "engaged")
            if cut:
                driver.socket._response.connection.transport.abort()
            await watcher.until(lambda: watcher.told["status"]["state"] == "paused")
            start = time.perf_counter()
            before = rig.qpos
            await watcher.until(lambda start=start: time.perf_counter() - start > 0.2)
            np.testing.assert_array_equal(rig.qpos, before)
            await driver.socket.close()

    in_place(rig, visit)


def test_stale_poses_and_a_hidden_page_stop_the_robot_and_say_so(rig: Rig) -> None:
    async def visit(there: Place) -> None:
        visitor = await there.enter()
        await visitor.engage()
        for _ in range(6):
            await visitor.send(age=0.5)
        await visitor.until(lambda: "too old" in visitor.told["status"]["notice"])
        await visitor.engage()
        await visitor.send(flags=0)
        await visitor.until(lambda: "page is hidden" in visitor.told["status"]["notice"])

    in_place(rig, visit)


def test_too_many_messages_end_the_connection(rig: Rig) -> None:
    async def visit(there: Place) -> None:
        visitor = await there.enter()
        for _ in range(400):
            await visitor.send()
        assert await visitor.until_closed() == Close.RATE
        await (await there.enter()).engage()

    in_place(rig, visit)


def test_ten_thousand_bad_messages_and_the_host_lives(rig: Rig) -> None:
    rng = np.random.default_rng(1)

    async def visit(there: Place) -> None:
        good = await there.enter("watch")
        for _ in range(200):
            bad = await there.connect()
            await bad.socket.send_json(there.hello(role="watch"))
            for _ in range(50):
                size = int(rng.integers(0, 3000))
                try:
                    if rng.random() < 0.3:
                        await bad.socket.send_str(rng.bytes(size // 2).hex())
                    else:
                        await bad.socket.send_bytes(rng.bytes(size))
                except ConnectionError:
                    break
            assert await bad.until_closed() in (Close.MALFORMED, 1006, None)
        seen = good.scenes
        await good.until(lambda: good.scenes > seen + 5)
        assert there.host.rejected["MALFORMED"] == 200

    in_place(rig, visit)


def test_a_crowd_is_limited(rig: Rig) -> None:
    async def visit(there: Place) -> None:
        crowd = [await there.enter() for _ in range(server.MOST_CLIENTS)]
        late = await there.connect()
        await late.socket.send_json(there.hello())
        assert await late.until_closed() == Close.FULL
        await crowd[0].socket.close()
        await asyncio.sleep(0.1)
        await there.enter()

    in_place(rig, visit)


def test_stopping_says_goodbye(rig: Rig) -> None:
    async def visit(there: Place) -> None:
        visitor = await there.enter()
        there.host.stop()
        assert await visitor.until_closed() == Close.GOING_AWAY

    in_place(rig, visit)


def test_pings_carry_the_hosts_clock(rig: Rig) -> None:
    async def visit(there: Place) -> None:
        visitor = await there.enter()
        await visitor.socket.send_json({"type": "ping", "time": 1.5})
        await visitor.until(lambda: "pong" in visitor.told)
        assert visitor.told["pong"]["time"] == 1.5
        assert abs(visitor.told["pong"]["host"] - time.perf_counter()) < 5

    in_place(rig, visit)


def test_a_page_that_is_not_built_is_an_error_that_says_how(tmp_path: Path) -> None:
    with pytest.raises(DependencyError, match="npm ci"):
        load_page(tmp_path)


def test_a_taken_port_is_an_error(rig: Rig) -> None:
    async def visit(there: Place) -> None:
        page = PageDevice()
        other = TeleopServer(rig.session, page, files=FILES)
        with pytest.raises(GymGraspError, match="Cannot listen"):
            await other.start("127.0.0.1", there.host.port)
        assert other._runner is not None
        await other._runner.cleanup()

    in_place(rig, visit)


def test_the_certificate_is_private_and_serves_https(rig: Rig, tmp_path: Path) -> None:
    folder = tmp_path / "tls"
    context = tls_context(folder, ["192.0.2.7"])
    key = folder / "teleop-key.pem"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    before = key.read_bytes()
    tls_context(folder, ["192.0.2.7"])
    assert key.read_bytes() == before
    os.chmod(key, 0o644)  # no longer a secret: made anew
    tls_context(folder, ["192.0.2.7"])
    assert key.read_bytes() != before
    before = key.read_bytes()
    context = tls_context(folder, ["192.0.2.8"])
    assert key.read_bytes() != before
    trust = ssl.create_default_context(cafile=folder / "teleop-cert.pem")

    async def visit() -> None:
        page = PageDevice()
        host = TeleopServer(Session(rig.env, page), page, files=FILES, tls=context)
        await host.start("127.0.0.1", 0)
        running = asyncio.create_task(host.run())
        async with aiohttp.ClientSession() as client:
            address = f"https://127.0.0.1:{host.port}/"
            async with client.get(address, ssl=trust) as response:
                assert response.status == 200
            async with client.ws_connect(
                address + "socket", ssl=trust, protocols=(protocol.SUBPROTOCOL,)
            ) as socket:
                await socket.send_json(
                    {"type": "hello", "version": protocol.VERSION, "token": host.token}
                )
                assert (await socket.receive_json())["type"] == "welcome"
        host.stop()
        await running

    asyncio.run(visit())

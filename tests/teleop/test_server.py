import asyncio
import json
import os
import ssl
import stat
import time
from pathlib import Path

import aiohttp
import numpy as np
import pytest
from rig import Rig
from visitors import FILES, Place, in_place

from gym_grasp.errors import DependencyError, GymGraspError
from gym_grasp.teleop.hand.input import Haptics
from gym_grasp.teleop.session.session import Session, State
from gym_grasp.teleop.web import connection, protocol
from gym_grasp.teleop.web.certificate import tls_context
from gym_grasp.teleop.web.host import MOST_CLIENTS
from gym_grasp.teleop.web.page import PageDevice
from gym_grasp.teleop.web.protocol import Close
from gym_grasp.teleop.web.server import TeleopServer
from gym_grasp.teleop.web.static import load_page


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
    monkeypatch.setattr(connection, "HELLO_LIMIT", 0.3)

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
        port = there.host.port
        for origin in ("http://evil.example", f"http://evil.example:{port}", "null", ""):
            visitor = await there.connect(headers={"Origin": origin})
            await visitor.socket.send_json(there.hello())
            assert await visitor.until_closed() == Close.ORIGIN, origin
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


def test_a_crowd_is_limited(rig: Rig) -> None:
    async def visit(there: Place) -> None:
        crowd = [await there.enter() for _ in range(MOST_CLIENTS)]
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


def test_who_drives_may_calibrate_and_everyone_reads_the_request(rig: Rig) -> None:
    async def visit(there: Place) -> None:
        driver, watcher = await there.enter(), await there.enter("watch")
        await watcher.socket.send_json({"type": "calibrate"})
        await watcher.until(lambda: there.host._sequence > 10)
        assert there.host.page is not None
        assert there.host.page.guide == ""
        await driver.socket.send_json({"type": "calibrate"})
        await watcher.until(lambda: "Spread" in watcher.told["status"]["guide"])

    in_place(rig, visit)


def test_every_scene_says_what_each_finger_feels(rig: Rig) -> None:
    async def visit(there: Place) -> None:
        visitor = await there.enter("watch")
        names = [finger["name"] for finger in visitor.told["welcome"]["scene"]["fingers"]]
        assert tuple(names) == there.host.session.haptics.fingers
        felt = Haptics(tuple(names), np.arange(5) / 10, np.arange(5) / 100)
        there.host.session._nothing = felt
        last = there.host._sequence
        await visitor.until(lambda: visitor.scene > last + 2)
        np.testing.assert_allclose(visitor.felt[0], felt.brake, rtol=1e-6)
        np.testing.assert_allclose(visitor.felt[1], felt.vibration, rtol=1e-6)

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

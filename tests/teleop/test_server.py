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
from rig import Rig, perform
from visitors import FILES, Place, Visitor, in_place

from gym_grasp.errors import DependencyError, GymGraspError, UsageError
from gym_grasp.teleop.devices.operator import OperatorDevice
from gym_grasp.teleop.hand.input import Haptics
from gym_grasp.teleop.session.session import Session, State
from gym_grasp.teleop.web import connection, protocol
from gym_grasp.teleop.web.about import About
from gym_grasp.teleop.web.certificate import tls_context
from gym_grasp.teleop.web.host import MOST_CLIENTS
from gym_grasp.teleop.web.page import PageDevice
from gym_grasp.teleop.web.protocol import Close
from gym_grasp.teleop.web.server import TeleopServer
from gym_grasp.teleop.web.static import load_page

pytestmark = pytest.mark.realtime  # a late hand stops the robot


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
        assert await first.stays_engaged(lambda: second.send(flags=0))  # a watcher's hidden page
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


async def heard_out(visitor: Visitor) -> None:
    """Wait until the host has heard what a visitor said, and has gone on for some ticks."""
    await visitor.socket.send_json({"type": "ping", "time": 0.0})
    await visitor.until(lambda: "pong" in visitor.told)
    seen = visitor.scene
    await visitor.until(lambda: visitor.scene > seen + 3)


def test_who_drives_may_calibrate_and_everyone_reads_the_request(rig: Rig) -> None:
    async def visit(there: Place) -> None:
        driver, watcher = await there.enter(), await there.enter("watch")
        await watcher.socket.send_json({"type": "calibrate"})
        await heard_out(watcher)
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


def test_a_page_that_is_not_built_is_an_error_that_says_how(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What to do in a checkout, with npm and without it, and where there is no checkout."""
    dist, there = tmp_path / "dist", tmp_path / "npm"
    with pytest.raises(DependencyError, match="install it anew from a release's wheel"):
        load_page(dist)
    (tmp_path / "package.json").touch()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DependencyError, match=r"npm.* is not installed.*apt-get install npm"):
        load_page(dist)
    there.touch(0o755)
    with pytest.raises(DependencyError, match="not built; run: make client") as error:
        load_page(dist)
    assert "not installed" not in str(error.value)


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


def test_without_a_viewer_nothing_moves_where_it_is_there_to_be_seen(rig: Rig) -> None:
    async def visit(there: Place) -> None:
        ticks = []
        tick = there.host.session.tick
        there.host.session.tick = lambda now: (ticks.append(now), tick(now))
        await asyncio.sleep(0.1)
        assert not ticks
        assert there.host.clock.ticks > 0
        visitor = await there.enter("watch")
        await visitor.until(lambda: len(ticks) > 3)
        await visitor.socket.close()
        await asyncio.sleep(0.1)
        seen = len(ticks)
        await asyncio.sleep(0.1)
        assert len(ticks) == seen

    in_place(rig, visit, about=About(waits=True))


def test_who_drives_may_go_on_with_another_task(rig: Rig) -> None:
    sessions = []

    def begin(task: str) -> Session:
        if task == "broken":
            raise UsageError("There is no such robot.")
        sessions.append(task)
        rig.session.close()
        return Session(rig.env, rig.session.device, None)

    async def visit(there: Place) -> None:
        driver, watcher = await there.enter(), await there.enter()
        assert driver.told["status"]["tasks"] == tasks
        await watcher.socket.send_json({"type": "task", "task": "other"})  # not theirs to say
        await heard_out(watcher)
        assert not sessions
        for task in ("nonsense", "broken"):
            await driver.socket.send_json({"type": "task", "task": task})
        await driver.until(lambda: "no such robot" in driver.told["status"]["notice"])
        del watcher.told["welcome"]
        await driver.socket.send_json({"type": "task", "task": "other"})
        await watcher.until(lambda: "welcome" in watcher.told)
        await watcher.until(lambda: watcher.told["status"]["earlier"])
        assert sessions == ["other"]
        assert watcher.told["status"]["earlier"] == [
            {"task": "open-drawer", "kept": 0, "failed": 0}
        ]
        rig.session = there.host.session
        driver.session = there.host.session
        await driver.engage()

    tasks = {"other": "Do it.", "broken": "Do not."}
    in_place(rig, visit, about=About(tasks=tasks, begin=begin))


def test_a_second_visitor_asks_and_the_robot_stops_as_it_is_handed_over(rig: Rig) -> None:
    async def visit(there: Place) -> None:
        driver, other = await there.enter(name="a"), await there.enter(name="b")
        assert other.told["status"]["driver"] == "page"
        await driver.engage()
        await other.socket.send_json({"type": "drive"})
        await driver.until(lambda: driver.told["status"]["asked"])
        yes = {"type": "answer", "yes": True}
        assert await driver.stays_engaged(lambda: other.socket.send_json(yes))  # not theirs to say
        await driver.socket.send_json(yes)
        await other.until(lambda: other.told["role"]["role"] == "drive")
        assert rig.session.state is State.PAUSED
        await other.until(lambda: "another operator drives" in other.told["status"]["notice"])
        await driver.until(lambda: driver.told["role"]["role"] == "watch")
        await other.engage()
        other.socket._response.connection.transport.abort()  # as where a network is gone
        back = await there.enter(name="b")
        assert back.told["role"]["role"] == "drive"

    in_place(rig, visit)


def test_the_end_says_what_was_kept_and_what_to_do_with_it(make_rig) -> None:
    rig = make_rig(max_episode_steps=900)
    perform(rig, OperatorDevice)

    async def visit(there: Place) -> None:
        visitor = await there.enter("watch")
        there.host.stop()
        assert await visitor.until_closed() == Close.GOING_AWAY
        path = str(rig.recorder.writer.path)
        assert visitor.told["over"] == {
            "type": "over",
            "path": path,
            "kept": 1,
            "next": [
                f"gym-grasp demos info {path}",
                f"gym-grasp train open-drawer --demos {path}",
            ],
        }

    in_place(rig, visit)

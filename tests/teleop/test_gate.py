"""Who may connect, how many, for how long; every client here is a real socket."""

import asyncio
import logging
import os
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rig import Rig
from visitors import FILES, Place, Visitor, in_place

from gym_grasp.cli.serving import check_token
from gym_grasp.errors import GymGraspError, UsageError
from gym_grasp.teleop.session.session import Session
from gym_grasp.teleop.web import gate
from gym_grasp.teleop.web.certificate import tls_context
from gym_grasp.teleop.web.page import PageDevice
from gym_grasp.teleop.web.protocol import Close
from gym_grasp.teleop.web.server import TeleopServer
from gym_grasp.teleop.web.static import HEADERS

pytestmark = pytest.mark.realtime  # a late hand stops the robot

UPGRADE = (
    b"GET /socket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
SLOW = {
    "says nothing": b"",
    "stops within a header": b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ",
    "never sends what it announced": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n",
    "has its answer and stays": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "asks for a socket and says no hello": UPGRADE,
}
MALFORMED = {
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40) + b"\r\n\r\n",
    "no method": b"@@@ / HTTP/1.1\r\nHost: x\r\n\r\n",
    "no version": b"GET / HTTP/9.x\r\nHost: x\r\n\r\n",
    "a header without a name": b"GET / HTTP/1.1\r\n: x\r\n\r\n",
    "a header too long": b"GET / HTTP/1.1\r\nX: " + b"y" * 20_000 + b"\r\n\r\n",
    "a line too long": b"GET /" + b"y" * 20_000 + b" HTTP/1.1\r\n\r\n",
    "two lengths": b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "a length that is none": b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    "a chunk that is none": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
}


async def closed(reader: asyncio.StreamReader) -> bytes:
    """Everything that the host says before it hangs up."""
    try:
        return await asyncio.wait_for(reader.read(), 10)
    except ConnectionError:  # cut
        return b""


@pytest.fixture(autouse=True)
def fresh_filters() -> Iterator[None]:
    before = {name: list(logging.getLogger(name).filters) for name in gate.LOGGERS}
    yield
    for name, filters in before.items():
        assert logging.getLogger(name).filters == filters, name


def test_whoever_shows_no_token_is_cut_in_time_and_the_operator_goes_on(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "PATIENCE", 0.6)

    async def visit(there: Place) -> None:
        driver = await there.enter()
        await driver.engage()
        begun = time.perf_counter()
        waiting = []
        for what in SLOW.values():
            reader, writer = await asyncio.open_connection("127.0.0.1", there.host.port)
            writer.write(what)
            waiting.append((reader, writer))
        dripping = waiting[1][1]
        driving = asyncio.create_task(driver.drive(1.5))
        while not driving.done():
            if not dripping.is_closing():
                dripping.write(b"y")  # slow-loris
            await asyncio.sleep(0.05)
        await driving
        for reader, _ in waiting:
            await closed(reader)
        assert time.perf_counter() - begun < 4
        assert there.host._gate is not None
        assert [slot.deadline for slot in there.host._gate.slots] == [None]  # the operator's
        assert driver.told["status"]["state"] == "engaged"
        for _, writer in waiting:
            writer.close()

    in_place(rig, visit)


def test_a_silent_handshake_is_cut_too(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "PATIENCE", 0.4)
    tls = tls_context(tmp_path, ["192.0.2.7"])

    async def visit() -> None:
        page = PageDevice()
        host = TeleopServer(Session(rig.env, page), page, files=FILES, tls=tls)
        await host.start("127.0.0.1", 0)
        running = asyncio.create_task(host.run())
        for begin in (b"", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n"):
            reader, writer = await asyncio.open_connection("127.0.0.1", host.port)
            writer.write(begin)
            await closed(reader)
            writer.close()
        await asyncio.sleep(0.1)
        assert host._gate is not None
        assert not host._gate.slots
        host.stop()
        await running

    asyncio.run(visit())


@pytest.mark.parametrize("held", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_connections_that_are_held_neither_exhaust_the_host_nor_keep_the_operator_out(
    rig: Rig, held: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def visit(there: Place) -> None:
        assert there.host._gate is not None
        before = len(os.listdir("/proc/self/fd"))
        writers = []
        for number in range(held):
            _, writer = await asyncio.open_connection("127.0.0.1", there.host.port)
            writer.write(list(SLOW.values())[number % len(SLOW)])
            writers.append(writer)
        while there.host._gate.cut < held - gate.MOST_PER_ADDRESS:
            await asyncio.sleep(0.05)
        ours = len(os.listdir("/proc/self/fd")) - before - held
        assert ours <= gate.MOST_PER_ADDRESS + 1
        await (await there.enter()).engage()
        for writer in writers:
            writer.close()

    in_place(rig, visit)
    assert len(caplog.records) <= gate.LOG_LINES


def test_descriptors_are_kept_for_the_recording(rig: Rig, tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (taken + 2 * gate.RESERVE, limits[1]))

    async def visit(there: Place) -> None:
        assert there.host._gate is not None
        assert gate.FEWEST <= there.host._gate.places <= gate.RESERVE
        holder = await asyncio.create_subprocess_exec(
            sys.executable, "-c",
            "import resource, socket, sys, time\n"
            "most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n"
            "resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))\n"
            "held = [socket.create_connection(('127.0.0.1', int(sys.argv[1]))) for _ in range(60)]"
            "\nprint(flush=True)\ntime.sleep(60)",
            str(there.host.port), stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert holder.stdout is not None
        await holder.stdout.readline()
        await asyncio.sleep(1.0)
        files = [(tmp_path / str(number)).open("w") for number in range(gate.RESERVE // 2)]
        for file in files:
            file.close()
        await (await there.enter()).engage()
        holder.kill()
        await holder.wait()

    try:
        in_place(rig, visit)
        resource.setrlimit(resource.RLIMIT_NOFILE, (taken + gate.RESERVE, limits[1]))
        with pytest.raises(GymGraspError, match="ulimit -n"):
            in_place(rig, visit)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_what_is_no_http_is_answered_in_a_line_with_the_headers_and_not_logged(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    async def visit(there: Place) -> None:
        for what, data in MALFORMED.items():
            reader, writer = await asyncio.open_connection("127.0.0.1", there.host.port)
            writer.write(data)
            answer = (await closed(reader)).decode()
            assert " 400 Bad Request" in answer.splitlines()[0], (what, answer)
            for name, value in HEADERS.items():
                assert f"{name}: {value}" in answer, (what, name)
            assert answer.endswith("\r\n\r\nBad Request"), what
            writer.close()
        await (await there.enter()).engage()

    in_place(rig, visit)
    assert not caplog.records


def test_every_answer_has_the_headers(rig: Rig) -> None:
    async def visit(there: Place) -> None:
        for method, path, status in [
            ("GET", "/", 200),
            ("GET", "/nothing", 404),
            ("POST", "/", 405),
            ("DELETE", "/socket", 405),
            ("GET", "/socket", 400),
        ]:
            async with there.client.request(method, there.address + path) as response:
                assert response.status == status, (method, path)
                for name, value in HEADERS.items():
                    assert response.headers[name] == value, (method, path, name)

    in_place(rig, visit)


async def guess(there: Place, token: str) -> Visitor:
    visitor = await there.connect()
    await visitor.socket.send_json(there.hello(token=token))
    return visitor


def test_a_token_cannot_be_guessed(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    moment = [1000.0]
    monkeypatch.setattr(gate, "monotonic", lambda: moment[0])

    async def visit(there: Place) -> None:
        driver = await there.enter()
        for number in range(20):
            wrong = await guess(there, f"guess {number}")
            assert await wrong.until_closed() == Close.TOKEN
        right = await guess(there, there.host.token)  # as if it were wrong
        assert await right.until_closed() == Close.TOKEN
        await driver.engage()  # who is in stays in
        moment[0] += gate.GUESS_PERIOD / gate.GUESSES  # one guess is allowed again
        assert not there.host._guesses.blocked("127.0.0.1")
        assert not there.host._guesses.blocked("192.0.2.1")
        await there.enter("watch")

    in_place(rig, visit)


def test_few_lines_are_logged_whatever_comes() -> None:
    few = gate.FewLines()
    passed = sum(few.filter(logging.makeLogRecord({})) for _ in range(10_000))
    assert passed == gate.LOG_LINES


def test_many_addresses_take_no_more_memory() -> None:
    guesses = gate.Guesses()
    for number in range(gate.MOST_ADDRESSES + 100):
        guesses.wrong(str(number))
    assert len(guesses._buckets) == gate.MOST_ADDRESSES


def test_weak_tokens_are_refused_where_others_may_guess() -> None:
    for token in ("", "a b", "ü" * 20, "#" * 20):
        with pytest.raises(UsageError, match="it stands in an address"):
            check_token(token, False)
    for token in ("secret", "a" * 40, "abcdefg" * 4):
        check_token(token, False)
        with pytest.raises(UsageError, match="Leave it out for a random one"):
            check_token(token, True)
    check_token("0123456789abcdef", True)
    check_token(None, True)

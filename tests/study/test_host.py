"""The host: who may say what, and what each is told."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import aiohttp
import pytest
from study_fakes import SHORT, Person

from gym_grasp.study.conductor import Conductor
from gym_grasp.study.host import EXPERIMENTER, PARTICIPANT, REQUESTS, StudyHost
from gym_grasp.study.synthetic import write_input
from gym_grasp.teleop.web import protocol
from gym_grasp.teleop.web.page import PageDevice

FILES = {"/participant.html": (b"<!doctype html>", "text/html")}


class Client:
    """One connection."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.told: dict[str, dict] = {}

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(60):
            while not condition():
                message = await self.socket.receive()
                if message.type is aiohttp.WSMsgType.TEXT:
                    content = json.loads(message.data)
                    self.told[content["type"]] = content
                elif message.type is not aiohttp.WSMsgType.BINARY:
                    return

    async def say(self, kind: str, **values: object) -> None:
        await self.socket.send_json({"type": kind, **values})

    async def closed(self) -> int | None:
        await self.until(lambda: False)
        return self.socket.close_code


def visit(tmp_path, visitor: Callable[..., Awaitable[None]]) -> Person:
    """Let something happen at a running host."""
    person = Person(tmp_path / "study")
    person.conductor.close()
    page = PageDevice()
    conductor = Conductor(person.study, "P01", lambda env: page)
    person.conductor = conductor

    async def stay() -> None:
        host = StudyHost(conductor, page, files=FILES)
        await host.start("127.0.0.1", 0)
        running = asyncio.create_task(host.run())
        async with aiohttp.ClientSession(f"http://127.0.0.1:{host.port}") as session:

            async def connect(place: str, token: str | None = None, **headers: str) -> Client:
                socket = await session.ws_connect(
                    place, protocols=(protocol.SUBPROTOCOL,), headers=headers
                )
                client = Client(socket)
                shown = host.sockets[place] if token is None else token
                hello = {"version": protocol.VERSION, "token": shown, "role": "drive"}
                await client.say("hello", **hello, name="page")
                return client

            try:
                await visitor(host, session, connect)
            finally:
                host.stop()
                await asyncio.wait_for(running, 60)

    try:
        asyncio.run(stay())
    finally:
        conductor.close()
    return person


def test_each_has_a_page_and_a_token_of_its_own(tmp_path) -> None:
    async def visitor(host, session, connect) -> None:
        tokens = host.sockets
        assert tokens[PARTICIPANT] != tokens[EXPERIMENTER]
        assert min(map(len, tokens.values())) >= 24
        for place, other in ((PARTICIPANT, EXPERIMENTER), (EXPERIMENTER, PARTICIPANT)):
            client = await connect(place, tokens[other])
            assert await client.closed() == protocol.Close.TOKEN
        stranger = await connect(EXPERIMENTER, Origin="http://elsewhere.example")
        assert await stranger.closed() == protocol.Close.ORIGIN
        async with session.get("/participant.html") as answer:
            assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
        for path in (EXPERIMENTER, PARTICIPANT):
            async with session.get(path) as answer:
                assert answer.status == 400  # no page

    visit(tmp_path, visitor)


def test_a_participant_cannot_do_what_the_experimenter_may(tmp_path) -> None:
    async def visitor(host, session, connect) -> None:
        for request in set(REQUESTS[EXPERIMENTER]) - {"ping"}:
            client = await connect(PARTICIPANT)
            await client.until(lambda client=client: "study" in client.told.get("status", {}))
            assert "overview" not in client.told["status"]
            await client.say(request, text="no", paused=True)
            assert await client.closed() == protocol.Close.MALFORMED, request
        for request in ("choose", "confirm", "drive", "answer", "forget"):
            client = await connect(EXPERIMENTER)
            await client.say(request)
            assert await client.closed() == protocol.Close.MALFORMED, request

    person = visit(tmp_path, visitor)
    progress = person.conductor.progress
    assert progress.aborted is None
    assert not progress.notes
    assert not person.conductor.device.paused


def test_who_lost_the_connection_finds_the_seat_kept(tmp_path) -> None:
    async def visitor(host, session, connect) -> None:
        lost = await connect(PARTICIPANT)
        await lost.until(lambda: lost.told.get("role", {}).get("role") == "drive")
        leader = await connect(EXPERIMENTER)
        lost.socket._response.connection.transport.abort()  # as where a network is gone
        await leader.until(lambda: leader.told.get("status", {}).get("driver") == "kept")
        await asyncio.sleep(1.5)  # longer than a second, shorter than CUT
        assert host.seated(host.now())["driver"] == "kept"
        back = await connect(PARTICIPANT)
        await back.until(lambda: back.told.get("role", {}).get("role") == "drive")

    visit(tmp_path, visitor)


def test_a_session_over_the_wire(tmp_path) -> None:
    async def visitor(host, session, connect) -> None:
        guest, staff = await connect(PARTICIPANT), await connect(EXPERIMENTER)
        await guest.until(lambda: guest.told.get("role", {}).get("role") == "drive")
        await guest.until(lambda: "status" in guest.told)
        assert guest.told["status"]["study"]["kind"] == "consent"
        assert guest.told["status"]["session_time"] < 600  # since it began, not the machine
        await guest.say("confirm", step="consent")  # nothing is chosen yet
        await guest.say("choose", step="elsewhere", value=1)  # of a screen that is gone
        await guest.say("choose", step="consent", value=9)
        await guest.until(lambda: "refused" in guest.told)
        assert host.conductor.selected is None
        await guest.say("choose", step="consent", value=1)
        await guest.say("confirm", step="consent")
        await guest.until(lambda: guest.told["status"]["study"]["kind"] == "trial")
        await staff.say("pause", paused=True)
        await staff.until(lambda: staff.told.get("status", {}).get("overview", {}).get("paused"))
        await guest.until(lambda: guest.told["status"]["study"]["note"] == SHORT.texts["paused"])
        await staff.say("fail")
        await staff.until(lambda: "refused" in staff.told)
        assert "No trial is running" in staff.told["refused"]["reason"]
        await staff.say("note", text="  hello  ")
        await staff.until(lambda: staff.told["status"]["overview"]["notes"])
        assert staff.told["status"]["overview"]["notes"][0]["text"] == "hello"
        await staff.say("abort", text="")
        await staff.say("abort", text="fire alarm")
        await guest.until(lambda: guest.told["status"]["study"]["kind"] == "end")
        assert guest.told["status"]["study"]["text"] == SHORT.texts["aborted"]

    assert visit(tmp_path, visitor).conductor.progress.aborted == "fire alarm"


def test_input_is_as_the_page_writes_it() -> None:
    import numpy as np

    from gym_grasp.teleop.hand.input import HandInput

    hand = HandInput(
        time=1.0,
        wrist_position=np.array([0.3, -0.2, 0.4]),
        wrist_quaternion=np.array([0.5, -0.5, 0.5, -0.5]),
        flexion=np.array([1.0, 0.2, 0.3, 0.4, 0.5]),
        clutch=True,
    )
    page = PageDevice()
    page.receive(protocol.read_input(write_input(hand, 7, 3, 1, 1.0)), 1.0)
    found = page.latest()
    assert found is not None
    assert found.clutch
    assert found.valid()
    assert found.sequence == 7
    assert found.wrist_position == pytest.approx(hand.wrist_position, abs=1e-6)
    assert found.wrist_quaternion == pytest.approx(hand.wrist_quaternion, abs=1e-6)
    assert found.flexion == pytest.approx(hand.flexion, abs=1e-6)

"""A running host, and clients that speak for themselves."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import numpy as np
from rig import Rig
from test_protocol import message

from gym_grasp.teleop.session.session import Session, State
from gym_grasp.teleop.web import protocol
from gym_grasp.teleop.web.page import PageDevice
from gym_grasp.teleop.web.protocol import Flag
from gym_grasp.teleop.web.server import TeleopServer

FILES = {"/": (b"<!doctype html>", "text/html"), "/main.js": (b"1", "text/javascript")}


class Visitor:
    """A client that speaks for itself."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, session: Session) -> None:
        self.socket, self.session = socket, session
        self.told: dict[str, dict] = {}
        self.scene = 0
        self.felt = np.zeros((2, 0))
        """Brake and vibration, by the robot's fingers."""
        self.number = 0
        self.bytes = 0

    async def hear(self) -> None:
        received = await asyncio.wait_for(self.socket.receive(), 5)
        if received.type is aiohttp.WSMsgType.BINARY:
            header = np.frombuffer(received.data[: protocol.SCENE.itemsize], protocol.SCENE)[0]
            self.scene = int(header["sequence"])
            count = int(header["fingers"])
            felt = np.frombuffer(received.data, "<f4", 2 * count, protocol.SCENE.itemsize)
            self.felt = felt.reshape(2, count)
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
        capture = time.perf_counter() - age
        record = message(
            sequence=self.number, epoch=epoch, scene=self.scene, capture=capture, **fields
        )
        await self.socket.send_bytes(record.tobytes())

    async def engage(self, **fields: object) -> None:
        async with asyncio.timeout(10):
            while self.session.state is not State.ENGAGED:
                clutch = Flag.CLUTCH if self.number % 16 >= 8 else 0
                await self.send(flags=Flag.VISIBLE | clutch, **fields)
                await self.hear()

    async def drive(self, seconds: float, **fields: object) -> None:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            await self.send(**fields)
            await self.hear()

    async def stays_engaged(
        self, meanwhile: Callable[[], Awaitable[None]] | None = None, **fields: object
    ) -> bool:
        """Whether what happens `meanwhile` stops nobody.

        A machine too busy for the operator stops the robot too: of five tries one has to do.
        """
        for _ in range(5):
            await self.engage(**fields)
            if meanwhile is not None:
                await meanwhile()
            await self.drive(0.15, **fields)
            if self.session.state is State.ENGAGED:
                return True
        return False


class Place:
    """A running host, and the way to it."""

    def __init__(self, host: TeleopServer, client: aiohttp.ClientSession) -> None:
        self.host, self.client = host, client
        self.address = f"http://127.0.0.1:{host.port}"

    async def connect(self, **options: object) -> Visitor:
        options = {"protocols": (protocol.SUBPROTOCOL,), **options}
        socket = await self.client.ws_connect(self.address + "/socket", **options)
        return Visitor(socket, self.host.session)

    async def enter(self, role: str = "drive", name: str = "") -> Visitor:
        visitor = await self.connect()
        await visitor.socket.send_json(self.hello(role=role, name=name))
        await visitor.until(lambda: {"welcome", "role", "status"} <= set(visitor.told))
        return visitor

    def hello(self, **changes: object) -> dict:
        return {
            "type": "hello", "version": protocol.VERSION, "token": self.host.token, **changes
        }  # fmt: skip


@asynccontextmanager
async def place(rig: Rig, **options: object) -> AsyncIterator[Place]:
    page = PageDevice()
    rig.session = Session(rig.env, page, rig.recorder)
    host = TeleopServer(rig.session, page, files=FILES, **options)
    await host.start("127.0.0.1", 0)
    running = asyncio.create_task(host.run())
    async with aiohttp.ClientSession() as client:
        yield Place(host, client)
        host.stop()
        await asyncio.wait_for(running, 10)


def in_place(rig: Rig, visit: Callable[[Place], Awaitable[None]], **options: object) -> None:
    async def stay() -> None:
        async with place(rig, **options) as there:
            await visit(there)

    asyncio.run(stay())

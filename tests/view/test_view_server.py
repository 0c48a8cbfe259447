"""The host that shows, and clients that speak for themselves."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import numpy as np
import pytest

from gym_grasp.teleop.web import protocol
from gym_grasp.teleop.web.protocol import Close
from gym_grasp.view import wire
from gym_grasp.view.server import ViewServer

FILES = {"/": (b"<!doctype html>", "text/html")}


class Viewer:
    """One client, with what it was told."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.told: dict[str, dict] = {}
        self.opened: dict[int, dict] = {}
        self.rows: dict[int, np.ndarray] = {}
        self.index = -1
        self.sides: list[tuple[int, np.ndarray, np.ndarray]] = []
        self.bytes = 0

    async def hear(self) -> None:
        received = await asyncio.wait_for(self.socket.receive(), 20)
        if received.type is aiohttp.WSMsgType.TEXT:
            content = json.loads(received.data)
            self.told[content["type"]] = content
            self.bytes += len(received.data)
            if content["type"] == "opened":
                self.opened[content["side"]], self.index = content, -1
                self.rows.pop(content["side"], None)
        elif received.type is aiohttp.WSMsgType.BINARY:
            self.bytes += len(received.data)
            self._binary(received.data)

    def _binary(self, data: bytes) -> None:
        if data[0] == wire.CURVES_TYPE:
            head = np.frombuffer(data[: wire.CURVES.itemsize], wire.CURVES)[0]
            rows = np.frombuffer(data, "<f4", offset=wire.CURVES.itemsize)
            rows = rows.reshape(int(head["count"]), int(head["width"]))
            known = self.rows.get(int(head["side"]), rows[:0])[: int(head["first"])]
            assert len(known) == head["first"], "no row was left out"
            self.rows[int(head["side"])] = np.concatenate([known, rows])
            return
        head = np.frombuffer(data[: wire.MOMENT.itemsize], wire.MOMENT)[0]
        self.index, at, self.sides = int(head["index"]), wire.MOMENT.itemsize, []
        for _ in range(int(head["sides"])):
            side = np.frombuffer(data[at : at + wire.SIDE.itemsize], wire.SIDE)[0]
            bodies, contacts = int(side["bodies"]), int(side["contacts"])
            numbers = np.frombuffer(
                data, "<f4", 7 * bodies + 7 + 6 * contacts, at + wire.SIDE.itemsize
            )
            poses = numbers[: 7 * bodies].reshape(-1, 7)
            self.sides.append((int(side["index"]), poses, numbers[7 * bodies + 7 :]))
            at += wire.SIDE.itemsize + numbers.nbytes
        assert at == len(data)

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(60):
            while not condition():
                assert not self.socket.closed, self.socket.close_code
                await self.hear()

    async def ask(self, **message: object) -> None:
        await self.socket.send_json(message)

    async def closed(self) -> int | None:
        async with asyncio.timeout(20):
            while not self.socket.closed:
                await self.hear()
        return self.socket.close_code

    @property
    def status(self) -> dict:
        return self.told["status"]


class Place:
    """A running host, and the way to it."""

    def __init__(self, host: ViewServer, client: aiohttp.ClientSession) -> None:
        self.host, self.client = host, client
        self.address = f"http://127.0.0.1:{host.port}"

    async def enter(self, token: str | None = None, **options: object) -> Viewer:
        socket = await self.client.ws_connect(
            self.address + "/socket", protocols=(protocol.SUBPROTOCOL,), **options
        )
        hello = {"type": "hello", "version": protocol.VERSION, "token": token or self.host.token}
        await socket.send_json(hello)
        return Viewer(socket)


@asynccontextmanager
async def place(sides: list, **options: object) -> AsyncIterator[Place]:
    host = ViewServer(sides, files=FILES, **options)
    await host.start("127.0.0.1", 0)
    running = asyncio.create_task(host.run())
    async with aiohttp.ClientSession() as client:
        yield Place(host, client)
        host.stop()
        await asyncio.wait_for(running, 20)


def in_place(sides: list, visit: Callable[[Place], Awaitable[None]], **options: object) -> None:
    async def stay() -> None:
        async with place(sides, **options) as there:
            await visit(there)

    asyncio.run(stay())


def test_a_dataset_is_listed_shown_and_leafed_through(dataset, open_sides):
    async def visit(there: Place) -> None:
        viewer = await there.enter()
        await viewer.until(lambda: viewer.opened and viewer.index >= 0)
        welcome = viewer.told["welcome"]
        assert [one["success"] for one in welcome["episodes"]] == [True] * 3
        assert welcome["operator"] == "synthetic"
        await viewer.ask(type="play", on=False)
        await viewer.ask(type="open", episode=2, index=17)
        await viewer.until(lambda: viewer.opened[0]["episode"] == 2 and viewer.index == 17)
        steps = welcome["episodes"][2]["steps"]
        assert len(viewer.rows[0]) == steps + 1
        assert viewer.sides[0][1].shape == (len(viewer.opened[0]["scene"]["bodies"]), 7)
        await viewer.ask(type="seek", index=steps)
        await viewer.until(lambda: viewer.index == steps)
        await viewer.until(lambda: viewer.status["sides"][0]["outcome"] == "success")
        late = await there.enter()  # sees the same moment
        await late.until(lambda: late.index == steps and 0 in late.rows)
        np.testing.assert_array_equal(late.rows[0], viewer.rows[0])

    in_place(open_sides(dataset), visit)


def test_a_policy_plays_pauses_steps_and_begins_again(policies, open_sides):
    async def visit(there: Place) -> None:
        viewer = await there.enter()
        await viewer.until(lambda: viewer.index >= 5)
        await viewer.ask(type="play", on=False)
        await viewer.until(lambda: not viewer.status["playing"])
        at = viewer.status["index"]
        await viewer.ask(type="step", by=1)
        await viewer.until(lambda: viewer.index == at + 1)
        assert len(viewer.rows[0]) == at + 2
        await viewer.ask(type="speed", value=100.0)
        await viewer.until(lambda: viewer.status["speed"] == 8.0)
        seed = str(2**63 - 1)
        await viewer.ask(type="reset", seed=seed, index=6)
        await viewer.until(lambda: viewer.opened[0]["seed"] == seed and viewer.index == 6)
        first = viewer.sides[0][1]
        await viewer.ask(type="reset", seed="1")
        await viewer.until(lambda: viewer.opened[0]["seed"] == "1" and viewer.index == 0)
        await viewer.ask(type="reset", seed=seed, index=6)
        await viewer.until(lambda: viewer.opened[0]["seed"] == seed and viewer.index == 6)
        np.testing.assert_array_equal(viewer.sides[0][1], first)

    in_place(open_sides(policies[0]), visit, seed=5)


def test_nothing_moves_while_nobody_looks(policies, open_sides):
    async def visit(there: Place) -> None:
        await asyncio.sleep(0.3)
        assert there.host.player.index == 0
        viewer = await there.enter()
        await viewer.until(lambda: viewer.index >= 2)

    in_place(open_sides(policies[0]), visit)


def test_two_policies_go_in_step(policies, open_sides):
    async def visit(there: Place) -> None:
        viewer = await there.enter()
        await viewer.until(lambda: viewer.index >= 8)
        (one, first, _), (two, second, _) = viewer.sides
        assert one == two == viewer.index
        assert not np.array_equal(first, second)
        assert viewer.opened[0]["seed"] == viewer.opened[1]["seed"]

    in_place(open_sides(*policies), visit)


def test_an_episode_and_a_policy_begin_in_the_same_state(dataset, policies, open_sides):
    async def visit(there: Place) -> None:
        viewer = await there.enter()
        await viewer.ask(type="play", on=False)
        await viewer.ask(type="open", episode=1)
        await viewer.until(lambda: len(viewer.opened) == 2 and viewer.opened[0]["episode"] == 1)
        await viewer.ask(type="seek", index=0)
        await viewer.until(lambda: viewer.sides and viewer.index == 0)
        assert viewer.opened[0]["seed"] == viewer.opened[1]["seed"]
        np.testing.assert_allclose(viewer.sides[0][1], viewer.sides[1][1], atol=1e-6)

    in_place(open_sides(dataset, policies[0]), visit)


def test_a_body_is_pulled_while_someone_holds_it(open_sides):
    async def visit(there: Place) -> None:
        viewer = await there.enter()
        await viewer.ask(type="play", on=False)
        await viewer.until(lambda: viewer.index >= 0 and not viewer.status["playing"])
        palm = viewer.opened[0]["scene"]["bodies"].index("hand/palm")
        before, at = viewer.sides[0][1][palm, :3].copy(), viewer.index
        to = (before + [0, 0.3, 0]).tolist()
        await viewer.ask(type="drag", side=0, body=palm, point=[0, 0, 0], to=to)
        await viewer.until(lambda: viewer.index >= at + 15)
        assert viewer.sides[0][1][palm, 1] > before[1] + 0.01
        await viewer.until(lambda: viewer.status["sides"][0]["touched"])
        await viewer.ask(type="release")
        await viewer.until(lambda: not viewer.status["held"])
        stands = viewer.status["index"]
        await asyncio.sleep(0.2)
        assert there.host.player.index == stands

        await viewer.ask(type="seek", index=at + 3)  # and another future
        await viewer.until(lambda: viewer.index == at + 3)
        await viewer.ask(type="drag", side=0, body=palm, point=[0, 0, 0], to=before.tolist())
        await viewer.until(lambda: at + 6 <= viewer.index < at + 14)
        await viewer.ask(type="release")
        await viewer.until(lambda: not viewer.status["held"])
        await viewer.until(lambda: len(viewer.rows[0]) == viewer.status["sides"][0]["known"])
        np.testing.assert_array_equal(viewer.rows[0], np.stack(there.host.sides[0].track.rows))

    in_place(open_sides("open-drawer", acts="nobody"), visit)


def test_a_grip_is_released_when_its_page_goes(open_sides):
    async def visit(there: Place) -> None:
        viewer = await there.enter()
        await viewer.until(lambda: viewer.index >= 0)
        palm = viewer.opened[0]["scene"]["bodies"].index("hand/palm")
        await viewer.ask(type="drag", side=0, body=palm, point=[0, 0, 0], to=[0, 1, -1])
        await viewer.until(lambda: viewer.status["held"])
        await viewer.socket.close()
        async with asyncio.timeout(10):
            while there.host.player.grip is not None:
                await asyncio.sleep(0.02)

    in_place(open_sides("open-drawer", acts="nobody"), visit)


@pytest.mark.parametrize(
    "message",
    [
        {"type": "seek", "index": -1},
        {"type": "seek", "index": 1.5},
        {"type": "seek", "index": True},
        {"type": "seek"},
        {"type": "play", "on": 1},
        {"type": "speed", "value": "fast"},
        {"type": "reset", "seed": 5},
        {"type": "reset", "seed": "9" * 19},
        {"type": "reset", "seed": "-1"},
        {"type": "open", "episode": 0},
        {"type": "drag", "side": 3, "body": 0, "point": [0, 0, 0], "to": [0, 0, 0]},
        {"type": "drag", "side": 0, "body": 999, "point": [0, 0, 0], "to": [0, 0, 0]},
        {"type": "drag", "side": 0, "body": 0, "point": [0, 0], "to": [0, 0, 0]},
        {"type": "drag", "side": 0, "body": 0, "point": [0, 0, 0], "to": [0, 0, None]},
        {"type": "fly"},
    ],
)
def test_what_no_page_says_ends_the_connection(still, message):
    async def visit(there: Place) -> None:
        viewer = await there.enter()
        await viewer.ask(**message)
        assert await viewer.closed() == Close.MALFORMED
        other = await there.enter()
        await other.until(lambda: other.index >= 0)

    still(visit)


def test_numbers_that_are_none_end_the_connection(still):
    async def visit(there: Place) -> None:
        for text in ('{"type": "speed", "value": NaN}', '{"type": "speed", "value": 1e999}'):
            viewer = await there.enter()
            await viewer.socket.send_str(text)
            assert await viewer.closed() == Close.MALFORMED

    still(visit)


def test_without_the_token_or_from_another_page_there_is_not_a_byte(still):
    async def visit(there: Place) -> None:
        stranger = await there.enter(token="wrong")
        assert await stranger.closed() == Close.TOKEN
        foreign = await there.enter(headers={"Origin": "http://evil.example"})
        assert await foreign.closed() == Close.ORIGIN
        assert stranger.bytes == foreign.bytes == 0
        async with there.client.get(there.address + "/") as response:
            assert response.headers["Content-Security-Policy"].startswith("default-src 'self'")

    still(visit)


@pytest.fixture(scope="module")
def nobody():
    from gym_grasp.view.sources import find, sides_of

    sources = [find("open-drawer")]
    return sides_of(sources, sources[0].spec, "nobody")


@pytest.fixture
def still(nobody, monkeypatch):
    """Runs visits to one scene in which nobody acts, which stays open between them."""
    monkeypatch.setattr(type(nobody[0]), "close", lambda self: None)
    return lambda visit: in_place(nobody, visit)


def test_an_altered_episode_is_told_and_the_host_goes_on(dataset, tmp_path, open_sides):
    import h5py

    copy = tmp_path / "altered.hdf5"
    copy.write_bytes(dataset.read_bytes())
    with h5py.File(copy, "r+") as file:
        file["data/demo_1/dense_rewards"][3] += 1e-3

    async def visit(there: Place) -> None:
        viewer = await there.enter()
        await viewer.until(lambda: 0 in viewer.opened)
        await viewer.ask(type="open", episode=1)
        await viewer.until(lambda: "has changed" in viewer.status["notice"])
        await viewer.ask(type="open", episode=2)
        await viewer.until(lambda: viewer.opened[0]["episode"] == 2)

    in_place(open_sides(copy), visit)

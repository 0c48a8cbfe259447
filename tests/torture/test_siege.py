"""A host that many want something of, for long: its operator notices nothing."""

import asyncio
import time

import aiohttp
import pytest
from amounts import AMOUNT
from rig import Rig
from test_gate import MALFORMED, SLOW
from visitors import Place, in_place

from gym_grasp.teleop.session.session import State
from gym_grasp.teleop.web import gate
from gym_grasp.teleop.web.host import MOST_CLIENTS
from gym_grasp.teleop.web.protocol import Close

WATCHERS = 50
PERIOD = 0.05
"""Time between two hostile connections, in s."""


pytestmark = pytest.mark.realtime


@pytest.fixture
def rig(tmp_path):
    rig = Rig(tmp_path / "session.hdf5", max_episode_steps=10**6)
    yield rig
    rig.session.close()


def test_watchers_and_the_hostile_beside_one_operator(rig, tally, monkeypatch) -> None:
    seconds = AMOUNT.seconds
    tally("seconds of a host under siege", round(seconds))
    monkeypatch.setattr(gate, "PATIENCE", 2.0)
    monkeypatch.setattr(gate, "MOST_PER_ADDRESS", gate.MOST_CONNECTIONS)  # all from loopback

    async def watch(there: Place, end: float, admitted: list[int]) -> None:
        while time.perf_counter() < end:
            try:
                watcher = await there.connect()
                await watcher.socket.send_json(there.hello(role="watch"))
                while "status" not in watcher.told:
                    assert not watcher.socket.closed
                    await watcher.hear()
                admitted.append(1)
                await watcher.until(lambda: time.perf_counter() > end)
            except (AssertionError, aiohttp.ClientError, OSError):
                await asyncio.sleep(0.5)  # there are enough; try again

    async def attack(there: Place, end: float) -> None:
        number, held = 0, []
        while time.perf_counter() < end:
            await asyncio.sleep(PERIOD)
            data = [*SLOW.values(), *MALFORMED.values()][number % (len(SLOW) + len(MALFORMED))]
            number += 1
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", there.host.port)
                writer.write(data)
                held.append(writer)
            except OSError:
                continue
            if len(held) > gate.MOST_CONNECTIONS:
                held.pop(0).close()
        for writer in held:
            writer.close()

    async def visit(there: Place) -> None:
        driver = await there.enter()
        await driver.engage()
        end = time.perf_counter() + seconds
        admitted: list[int] = []
        others = [asyncio.create_task(watch(there, end, admitted)) for _ in range(WATCHERS)]
        others.append(asyncio.create_task(attack(there, end)))
        stops = 0
        while time.perf_counter() < end:
            await driver.drive(0.5)
            if rig.session.state is not State.ENGAGED:  # a machine too busy for the operator
                stops += 1
                await driver.engage()
        assert driver.told["role"]["role"] == "drive"
        assert len(admitted) >= MOST_CLIENTS - 1, f"{len(admitted)} watchers got in"
        assert there.host._gate is not None
        assert len(there.host._gate.slots) <= gate.MOST_CONNECTIONS
        assert set(there.host.rejected) <= {Close.FULL.name, Close.SILENT.name, Close.VERSION.name}
        assert stops <= 1 + seconds / 10, f"the operator was stopped {stops} times: a busy machine?"
        await asyncio.gather(*others)

    in_place(rig, visit)

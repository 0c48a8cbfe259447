"""Whatever goes wrong, the robot stops, everyone is told why, and nothing is lost."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable

import numpy as np
import pytest
from rig import Rig, perform
from test_protocol import message
from visitors import Place, Visitor, in_place

from gym_grasp.demos.reader import open_dataset
from gym_grasp.demos.replay import replay
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.teleop.devices.operator import OperatorDevice
from gym_grasp.teleop.session.session import State
from gym_grasp.teleop.web import protocol
from gym_grasp.teleop.web.protocol import Close, Flag, Kind

pytestmark = pytest.mark.realtime  # a late hand stops the robot


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


def lost_joints() -> dict[str, object]:
    """A right hand whose wrist is tracked, and none of the other joints."""
    record = message(Kind.HAND)
    record["hands"]["mask"] = 1
    return {"hands": record["hands"]}


def no_hand() -> dict[str, object]:
    return {"hands": message(Kind.NONE)["hands"]}


def no_number() -> dict[str, object]:
    hands = message(Kind.HAND)["hands"]
    hands["pose"] = np.nan
    return {"hands": hands}


async def repeat(visitor: Visitor, **fields: object) -> None:
    for _ in range(12):
        await visitor.send(**fields)
        await visitor.hear()


async def flood(visitor: Visitor) -> None:
    for _ in range(400):
        await visitor.send()


async def cut(visitor: Visitor) -> None:
    assert visitor.socket._response.connection is not None
    visitor.socket._response.connection.transport.abort()


FAULTS: list[tuple[str, Callable[[Visitor], Awaitable[object]], str, int | None]] = [
    ("tracking is lost", lambda one: repeat(one, **no_hand()), "tracking of the right hand", None),
    ("poses are no numbers", lambda one: repeat(one, **no_number()), "tracking of the", None),
    ("the page is hidden", lambda one: repeat(one, flags=0), "page is hidden", None),
    ("poses are stale", lambda one: repeat(one, age=0.15), "too old", None),
    ("the clock is nonsense", lambda one: repeat(one, age=1e300), "too old", None),
    ("nothing comes any more", lambda one: asyncio.sleep(0.2), "too old", None),
    ("the connection is cut", cut, "no operator", 1006),
    ("the page is closed", lambda one: one.socket.close(), "no operator", 1000),
    ("messages are too many", flood, "no operator", Close.RATE),
    ("one is too large", lambda one: one.socket.send_bytes(bytes(5000)), "no operator", 1009),
    ("one is nonsense", lambda one: one.socket.send_bytes(bytes(900)), "no operator", 4400),
    ("one is of another version", lambda one: one.send(version=9), "no operator", Close.VERSION),
]
"""What happens to the one who drives, what everyone is told, and how the connection ends."""


def test_every_fault_stops_the_robot_says_why_and_loses_nothing(make_rig) -> None:
    rig = make_rig(max_episode_steps=900)
    perform(rig, OperatorDevice)
    assert rig.recorder.counts == (1, 0)

    async def visit(there: Place) -> None:
        watcher = await there.enter("watch")
        driver = await there.enter()
        for fault, strike, notice, code in FAULTS:
            await driver.engage()
            await strike(driver)
            await watcher.until(lambda: rig.session.state is State.PAUSED)
            before, last = rig.qpos, there.host._sequence
            await watcher.until(lambda last=last: watcher.scene > last + 5)
            np.testing.assert_array_equal(rig.qpos, before, fault)
            told = watcher.told["status"]
            assert (told["state"], told["kept"]) == ("paused", 1), fault
            assert notice in told["notice"], fault
            json.dumps(told, allow_nan=False)  # else a browser could not read it
            if code is not None:
                assert await driver.until_closed() in (code, 1006), fault  # 1006: cut short
                driver = await there.enter()
            assert driver.told["role"]["role"] == "drive", fault
        assert await driver.stays_engaged(**lost_joints())  # unseen fingers stay as they were
        async with there.client.get(there.address) as response:
            assert response.status == 200

    in_place(rig, visit)
    rig.session.close()
    dataset = open_dataset(rig.recorder.writer.path)
    env = GraspVectorEnv(dataset.env_spec(), 1)
    report = replay(dataset, env)
    assert (report.reproduced, len(dataset)) == (1, 1)


def test_too_many_messages_end_the_connection_of_a_watcher_too(rig: Rig) -> None:
    async def visit(there: Place) -> None:
        driver, watcher = await there.enter(), await there.enter("watch")
        await driver.engage()
        await flood(watcher)
        assert await watcher.until_closed() == Close.RATE
        await driver.engage()

    in_place(rig, visit)


def test_ten_thousand_bad_messages_and_the_host_lives(rig: Rig) -> None:
    rng = np.random.default_rng(1)

    async def visit(there: Place) -> None:
        good = await there.enter("watch")
        for _ in range(200):
            bad = await there.connect()
            await bad.socket.send_json(there.hello(role="drive"))
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
        last = there.host._sequence
        await good.until(lambda: good.scene > last + 5)
        assert there.host.rejected["MALFORMED"] == 200
        assert good.told["status"]["state"] == "waiting"
        await (await there.enter()).engage()

    in_place(rig, visit)


def test_noise_in_the_right_form_breaks_nothing(rig: Rig) -> None:
    rng = np.random.default_rng(2)

    async def visit(there: Place) -> None:
        driver = await there.enter()
        await driver.engage()
        for number in range(180):  # within what may come at once
            noise = message()
            noise["hands"] = np.frombuffer(rng.bytes(noise["hands"].nbytes), protocol.HAND)
            noise["hands"]["kind"] = rng.integers(0, 4, 2)
            fields = {name: noise[name] for name in ("hands", "head")}
            fields["flags"] = int(rng.integers(2**16)) | Flag.VISIBLE
            age = 0.0 if number % 2 else float(np.frombuffer(rng.bytes(8))[0])
            await driver.send(age=age, **fields)
            await driver.hear()
            if status := driver.told.get("status"):
                json.dumps(status, allow_nan=False)
        assert np.isfinite(rig.qpos).all()
        await (await there.enter("watch")).until(lambda: there.host._sequence > 200)
        await asyncio.sleep(0.5)  # until a burst is allowed again
        await driver.engage()

    in_place(rig, visit)

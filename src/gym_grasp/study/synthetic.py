"""Synthetic participants: they try out a study, and say nothing about people.

One speaks to the host as the page does, over the same connection, in messages of the same form; it
sees the simulation itself, as no person does, and need not wait for the clock.
"""

import asyncio
import json
import random
from typing import Any

import aiohttp
import numpy as np

from gym_grasp.errors import GymGraspError
from gym_grasp.study.conductor import Conductor
from gym_grasp.study.host import PARTICIPANT, StudyHost
from gym_grasp.study.protocol import CONDITIONS, Protocol
from gym_grasp.teleop.devices.operator import OperatorDevice
from gym_grasp.teleop.hand import frames
from gym_grasp.teleop.hand.input import HandInput, Haptics
from gym_grasp.teleop.web import protocol
from gym_grasp.teleop.web.protocol import Flag, Kind

PRACTICE = 3.0
"""How long it practises, in s."""
PATIENCE = 120.0
"""How long it waits for the host, in s."""


def skill_of(seed: int, slot: int) -> float:
    """Return how skilled a participant is, from 0 to 1: spread evenly over those who come."""
    offset = random.Random(seed).random()
    return (offset + slot * 0.6180339887) % 1.0  # a low-discrepancy sequence


class Participant:
    """One synthetic participant.

    Args:
        host: where they take part; it has to run in lockstep.
        skill: from 0, a novice, to 1, an expert.
        seed: of their answers.
    """

    def __init__(self, host: StudyHost, skill: float, seed: int) -> None:
        self._host, self._skill = host, skill
        self._random = random.Random(seed)
        self._told: dict[str, Any] = {}
        self._device: OperatorDevice | None = None
        self._session: Any = None
        self._number = self._scene = 0
        self._time = 0.0
        self._epoch = 0

    async def take_part(self) -> None:
        """Do everything from consent to the end."""
        host = self._host
        address = f"http://127.0.0.1:{host.port}{PARTICIPANT}"
        async with (
            aiohttp.ClientSession() as client,
            client.ws_connect(address, protocols=(protocol.SUBPROTOCOL,)) as socket,
        ):
            token = host.sockets[PARTICIPANT]
            await socket.send_json(
                {"type": "hello", "version": protocol.VERSION, "token": token, "role": "drive"}
            )
            while "study" not in self._told or not self._epoch:
                await self._hear(socket)
            while self._told["study"]["kind"] != "end":
                await self._act(socket)

    async def _act(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        screen = self._told["study"]
        kind, step = screen["kind"], screen["step"]
        practised = kind == "practice" and self._told["time"] >= PRACTICE
        if kind in ("consent", "item") or practised:
            if not practised:
                value = 1 if kind == "consent" else self._choose(screen)
                await socket.send_json({"type": "choose", "step": step, "value": value})
            await socket.send_json({"type": "confirm", "step": step})
            while self._told["study"]["step"] == step:
                await self._hear(socket)
            return
        scene = self._scene
        await socket.send_bytes(self._hand())
        while self._scene == scene:
            await self._hear(socket)

    def _choose(self, screen: dict[str, Any]) -> int:
        """Answer at random, around the middle; what it says means nothing."""
        values = screen["values"]
        middle = (len(values) - 1) / 2
        return int(values[round(self._random.triangular(0, len(values) - 1, middle))])

    def _hand(self) -> bytes:
        """Return the INPUT message of the next tick."""
        conductor = self._host.conductor
        if conductor.session is not self._session:
            self._session = conductor.session
            self._device = operator(conductor, lambda: self._time, self._skill)
        assert self._device is not None
        self._time = self._host.ticked + 1.0 / self._session.rate
        self._number += 1
        return write_input(
            self._device.latest(), self._number, self._scene, self._epoch, self._time
        )

    async def _hear(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        message = await asyncio.wait_for(socket.receive(), PATIENCE)
        if message.type is aiohttp.WSMsgType.BINARY:
            header = np.frombuffer(message.data[: protocol.SCENE.itemsize], protocol.SCENE)[0]
            self._scene = int(header["sequence"])
            fingers = int(header["fingers"])
            felt = np.frombuffer(message.data, "<f4", 2 * fingers, protocol.SCENE.itemsize)
            if self._device is not None:
                names = tuple(one.name for one in self._session.env.robot.hand.fingers)
                self._device.feedback(Haptics(names, felt[:fingers], felt[fingers:]))
        elif message.type is aiohttp.WSMsgType.TEXT:
            content = json.loads(message.data)
            if content["type"] == "status":
                self._told = content
            elif content["type"] == "role":
                self._epoch = content["epoch"] if content["role"] == "drive" else 0
        else:
            raise GymGraspError(f"The host closed the connection: {socket.close_code}.")


def operator(conductor: Conductor, clock: Any, skill: float) -> OperatorDevice:
    """Return the hand of a synthetic participant for the conductor's present session.

    It has a sense of touch; without haptics there is nothing that it feels.
    """
    return OperatorDevice(conductor.session.env, clock, skill=skill, touch=True)


def write_input(hand: HandInput, sequence: int, scene: int, epoch: int, time: float) -> bytes:
    """Return an INPUT message as a page writes it, with this hand as the right one."""
    record = np.zeros((), protocol.INPUT)
    record["type"], record["version"] = protocol.INPUT_TYPE, protocol.VERSION
    record["flags"] = Flag.VISIBLE | (Flag.CLUTCH if hand.clutch else Flag(0))
    record["sequence"], record["scene"], record["epoch"] = sequence, scene, epoch
    record["capture"] = time
    right = record["hands"][1]
    right["kind"] = Kind.VIRTUAL
    right["pose"][:3] = frames.position_from_world(hand.wrist_position)
    right["pose"][3:] = frames.quaternion_from_world(hand.wrist_quaternion)
    right["values"] = hand.flexion
    return record.tobytes()


def dry_protocol(protocol: Protocol) -> Protocol:
    """Return a protocol for synthetic participants: practice is short, and all says so."""
    from dataclasses import replace

    assert set(protocol.conditions) <= set(CONDITIONS)
    return replace(protocol, synthetic=True, practice_seconds=PRACTICE + 2.0)

"""A long session over loopback: does the host keep its time, and its memory?

`python tests/teleop/soak.py --minutes 10` runs `gym-grasp teleop` in a process of its own and
drives it at 90 Hz, as a headset would, from this one. It prints one JSON object, and exits with 1
where a limit is not kept.
"""

import argparse
import asyncio
import json
import math
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
from teleop_browser import host

from gym_grasp.teleop.web import protocol

RATE = 90.0
MEMORY_SAMPLES = 60
WARM_UP = 0.25
"""Share of the run in which memory may still grow."""
LIMITS = {
    "on_time_percent": (99.5, math.inf),
    "input_to_state_p99_ms": (0.0, 25.0),
    "tick_jitter_p99_ms": (0.0, 3.0),
    "memory_growth_mb_per_minute": (-math.inf, 0.2),
}
"""Least and most of what has to hold."""


def resident(pid: int) -> float:
    """Resident memory of a process, in MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


class Operator:
    """Waves its hand, and presses the clutch whenever the robot is not engaged."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.state, self.epoch, self.scene = "", 0, 0
        self.sent: dict[int, float] = {}
        self.seen: list[float] = []

    async def listen(self) -> None:
        async for message in self.socket:
            if message.type is aiohttp.WSMsgType.BINARY:
                header = np.frombuffer(message.data[: protocol.SCENE.itemsize], protocol.SCENE)[0]
                self.scene = int(header["sequence"])
                if (begun := self.sent.pop(int(header["input"]), None)) is not None:
                    self.seen.append(time.perf_counter() - begun)
            else:
                told = json.loads(message.data)
                self.state = told.get("state", self.state)
                self.epoch = told.get("epoch", self.epoch)

    async def drive(self, end: float) -> None:
        start = time.perf_counter()
        for number in range(1, 10**9):
            await asyncio.sleep(max(0.0, start + number / RATE - time.perf_counter()))
            now = time.perf_counter()
            if now > end:
                return
            message = np.zeros((), protocol.INPUT)
            message["type"], message["version"] = protocol.INPUT_TYPE, protocol.VERSION
            flags = protocol.Flag.VISIBLE
            if self.state != "engaged" and number % 20 < 10:
                flags |= protocol.Flag.NEXT if self.state == "done" else protocol.Flag.CLUTCH
            message["flags"], message["sequence"] = flags, number
            message["epoch"], message["scene"], message["capture"] = self.epoch, self.scene, now
            right = message["hands"][1]
            right["kind"] = protocol.Kind.VIRTUAL
            swing = 0.06 * math.sin(2 * (now - start))
            right["pose"] = [swing, 1.0 + swing / 2, -0.6, 0, 0, 0, 1]
            right["values"] = [1.0, *[0.4 + 0.4 * math.sin(now - start)] * 4]
            self.sent = {k: v for k, v in self.sent.items() if k > number - 200}
            self.sent[number] = now
            await self.socket.send_bytes(message.tobytes())


def growth(minutes: list[float], megabytes: list[float]) -> float:
    """Slope of the memory after the warm-up, in MB a minute: a line fitted to the samples."""
    settled = [i for i, minute in enumerate(minutes) if minute >= WARM_UP * minutes[-1]]
    slope, _ = np.polyfit(np.array(minutes)[settled], np.array(megabytes)[settled], 1)
    return float(slope)


async def drive(url: str, pid: int, seconds: float) -> dict[str, object]:
    """Drive the host for so long; return what a client sees of it, and its memory."""
    address, token = url.replace("http", "ws", 1).split("/#token=")
    minutes: list[float] = []
    memory: list[float] = []
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(address + "/socket", protocols=(protocol.SUBPROTOCOL,)) as socket,
    ):
        await socket.send_json({"type": "hello", "version": protocol.VERSION, "token": token})
        operator = Operator(socket)
        start = time.perf_counter()
        listening = asyncio.create_task(operator.listen())
        driving = asyncio.create_task(operator.drive(start + seconds))
        while not driving.done():
            await asyncio.wait([driving], timeout=seconds / MEMORY_SAMPLES)
            minutes.append((time.perf_counter() - start) / 60)
            memory.append(resident(pid))
        listening.cancel()
    seen = np.array(operator.seen) * 1e3
    return {
        "inputs_acknowledged": len(seen),
        "input_to_acknowledgement_p99_ms": round(float(np.percentile(seen, 99)), 2),
        "memory_growth_mb_per_minute": round(growth(minutes, memory), 3),
        "memory_mb": [round(value, 1) for value in memory],
    }


def report(told: dict[str, Any], driven: dict[str, Any]) -> dict[str, Any]:
    """Join what the host says of itself with what its client saw."""
    clock, latency = told["clock"], told["latency"]
    result = {
        "ticks": clock["ticks"],
        "late": clock["late"],
        "skipped": clock["skipped"],
        "on_time_percent": round(100 * clock["on_time"], 3),
        "tick_jitter_p99_ms": clock["jitter_p99_ms"],
        "input_to_state_p99_ms": latency["input_to_state"]["p99_ms"],
        **driven,
        "attempts": told["kept"] + told["failed"],
        "latency": latency,
    }
    missed = [name for name, (least, most) in LIMITS.items() if not least <= result[name] <= most]
    return {**result, "limits_missed": missed}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", default="open-drawer")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--time-limit", default="10", help="of an episode, in s")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        arguments = (options.task, "--time-limit", options.time_limit)
        with host(*arguments, out=Path(folder) / "soak.hdf5") as running:
            driven = asyncio.run(drive(running.url, running.process.pid, 60 * options.minutes))
            result = report(running.stop(), driven)
    print(json.dumps(result))
    sys.exit(bool(result["limits_missed"]))


if __name__ == "__main__":
    main()

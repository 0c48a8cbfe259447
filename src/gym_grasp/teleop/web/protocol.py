"""What goes over the wire, byte by byte.

Little-endian binary for what streams, JSON for what does not. Poses are position [m] and
quaternion x y z w in the headset's frame (see `frames`); times are the host's, in [s].

Client to host: `hello` (JSON) first, then INPUT at every frame, and JSON messages `ping`,
`calibrate`, `task` (another task is wanted), `drive` (the client asks for the robot) and `answer`
(to another's asking). Host to client: `welcome` (JSON), then SCENE at every tick and JSON messages
`status`, `role`, `pong` and, before the host ends, `over`.
"""

import json
from enum import IntEnum, IntFlag
from typing import Any

import numpy as np

from gym_grasp.robots.base import HUMAN_FLEXIONS

VERSION = 2
SUBPROTOCOL = "gym-grasp.2"

MAX_MESSAGE = 4096
"""Largest message from a client, in bytes."""
MAX_RATE = 240.0
"""Most messages per second from a client; a headset sends at most 120."""

JOINTS = 25
INPUT_TYPE, SCENE_TYPE = 1, 2


class Flag(IntFlag):
    """What an input says besides poses."""

    VISIBLE = 1
    """The page is shown, so its poses are alive."""
    HEAD = 2
    """The head is tracked."""
    CLUTCH = 4
    RESET = 8
    DISCARD = 16
    NEXT = 32
    RECENTRED = 64
    """The headset's origin moved, and with it every pose."""


class Kind(IntEnum):
    """What holds or is a hand."""

    NONE = 0
    """Not tracked."""
    CONTROLLER = 1
    """`values`: trigger, squeeze, then unused; `buttons`: bit i is the gamepad's button i."""
    HAND = 2
    """`joints` that are in `mask`; `pose` is the wrist joint's."""
    VIRTUAL = 3
    """Moved by mouse and keyboard; `values`: the flexions, as the manifest names them."""


HAND = np.dtype(
    [
        ("kind", "u1"),
        ("buttons", "u1"),
        ("reserved", "<u2"),
        ("pose", "<f4", 7),
        ("values", "<f4", len(HUMAN_FLEXIONS)),
        ("mask", "<u4"),
        ("joints", "<f4", (JOINTS, 8)),  # position, quaternion, radius
    ]
)
INPUT = np.dtype(
    [
        ("type", "u1"),
        ("version", "u1"),
        ("flags", "<u2"),
        ("sequence", "<u4"),
        ("scene", "<u4"),  # the newest scene drawn in this frame
        ("epoch", "<u4"),  # as in `role`
        ("capture", "<f8"),  # when the frame began, on the host's clock
        ("head", "<f4", 7),
        ("hands", HAND, 2),  # left, right
    ]
)
SCENE = np.dtype(
    [
        ("type", "u1"),
        ("version", "u1"),
        ("bodies", "<u2"),  # B
        ("sequence", "<u4"),
        ("input", "<u4"),  # the newest input that it knows
        ("epoch", "<u4"),
        ("simulated", "<f8"),
        ("time", "<f8"),
        ("fingers", "<u2"),  # F
        ("reserved", "<u2"),
    ]
)
"""Begins a SCENE message; then come, all <f4: brake (F,) and vibration (F,) of the robot's fingers,
in the order of the manifest, and the poses (B, 7) of the bodies that move."""


class Close(IntEnum):
    """Why the host closes a connection: WebSocket close codes."""

    GOING_AWAY = 1001
    MALFORMED = 4400
    """A message that no client of this version sends."""
    TOKEN = 4401
    """No token, or a wrong one."""
    ORIGIN = 4403
    """The page is not the host's own."""
    VERSION = 4406
    """Page and host are of different versions: reload the page."""
    SILENT = 4408
    """No hello in time."""
    RATE = 4429
    """Too many messages."""
    FULL = 4430
    """Too many clients."""


class ProtocolError(Exception):
    """A message that has to end its connection."""

    def __init__(self, code: Close, reason: str) -> None:
        super().__init__(reason)
        self.code = code


def read_input(message: bytes) -> np.void:
    """Return an INPUT message as a record; its numbers may still be NaN.

    Raises:
        ProtocolError: it is none.
    """
    if len(message) != INPUT.itemsize or message[0] != INPUT_TYPE:
        raise ProtocolError(Close.MALFORMED, "not an input message")
    if message[1] != VERSION:
        raise ProtocolError(Close.VERSION, f"input of version {message[1]}, not {VERSION}")
    record = np.frombuffer(message, INPUT)[0]
    if record["hands"]["kind"].max() > max(Kind):
        raise ProtocolError(Close.MALFORMED, "unknown kind of hand")
    return record


def read_json(message: str, known: tuple[str, ...]) -> dict[str, Any]:
    """Return a JSON message, an object whose `type` is among the known ones.

    Raises:
        ProtocolError: it is none.
    """
    try:
        content = json.loads(message)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict) or content.get("type") not in known:
        raise ProtocolError(Close.MALFORMED, f"not one of the messages {', '.join(known)}")
    return content


def write_scene(
    poses: np.ndarray,
    *,
    sequence: int,
    input_sequence: int,
    epoch: int,
    simulated: float,
    time: float,
    brake: np.ndarray,
    vibration: np.ndarray,
) -> bytes:
    """Return a SCENE message.

    Args:
        poses: of the bodies that move, in the headset's frame. Shape (B, 7), float32.
        sequence: count of the scenes.
        input_sequence: of the newest input that it knows.
        epoch: who drives.
        simulated: time of the episode, in [s].
        time: of the host's clock, in [s].
        brake: of the robot's fingers, 0–1. Shape (F,).
        vibration: the same, 0–1. Shape (F,).
    """
    header = np.zeros((), SCENE)
    header["type"], header["version"], header["bodies"] = SCENE_TYPE, VERSION, len(poses)
    header["sequence"], header["input"], header["epoch"] = sequence, input_sequence, epoch
    header["simulated"], header["time"] = simulated, time
    header["fingers"] = len(brake)
    felt = np.concatenate([brake, vibration], dtype=np.float32)
    return header.tobytes() + felt.tobytes() + poses.tobytes()

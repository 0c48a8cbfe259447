"""What goes over the wire between the host that shows and its page, byte by byte.

As in teleoperation (`teleop.web.protocol`): little-endian binary for what streams, JSON for what
does not; `hello`, `ping` and `pong` are the same. Lengths are in [m], in the headset's frame.

Host to client, JSON: `welcome` (what is shown, the list of a dataset), `opened` (a side shows
another episode), `status`; binary: MOMENT and CURVES. Client to host: `REQUESTS`.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from gym_grasp.teleop.web.protocol import VERSION, Close, ProtocolError, read_json
from gym_grasp.view.look import Look

MOMENT_TYPE, CURVES_TYPE = 3, 4
REQUESTS = ("ping", "play", "seek", "step", "speed", "loop", "reset", "open", "drag", "release")
FARTHEST = 20.0
"""A place farther out than this is none, in [m]."""
MOST_STEPS = 1_000_000

MOMENT = np.dtype(
    [("type", "u1"), ("version", "u1"), ("sides", "<u2"), ("index", "<u4")],
)
"""Begins a MOMENT message; for each side follows a SIDE with its numbers, all <f4."""
SIDE = np.dtype([("index", "<u4"), ("bodies", "<u2"), ("contacts", "<u2")])
"""Begins a side: which of its own moments is shown. Then poses (B, 7), the desired wrist (7,), and
points and forces of contacts (C, 6)."""
CURVES = np.dtype(
    [
        ("type", "u1"),
        ("version", "u1"),
        ("side", "<u2"),
        ("first", "<u4"),
        ("count", "<u4"),
        ("width", "<u4"),
    ]
)
"""Begins a CURVES message: rows (count, width), <f4, of a side's moments from `first` on; what was
known of later ones is void."""


def write_moment(index: int, shown: Iterable[tuple[int, Look]]) -> bytes:
    """Return a MOMENT message.

    Args:
        index: of the moment.
        shown: of each side, the index of its own, and what there is to see in it.
    """
    shown = list(shown)
    parts = [np.array((MOMENT_TYPE, VERSION, len(shown), index), MOMENT).tobytes()]
    for own, look in shown:
        parts.append(np.array((own, len(look.poses), len(look.contacts)), SIDE).tobytes())
        parts += [one.astype("<f4").tobytes() for one in (look.poses, look.target, look.contacts)]
    return b"".join(parts)


def write_curves(side: int, first: int, rows: Sequence[np.ndarray]) -> bytes:
    """Return a CURVES message; rows are (V,), at least one."""
    values = np.stack(rows).astype("<f4")
    header = np.array((CURVES_TYPE, VERSION, side, first, *values.shape), CURVES)
    return header.tobytes() + values.tobytes()


def read_request(message: str) -> dict[str, Any]:
    """Return what a client asks for.

    Raises:
        ProtocolError: no page of this version asks for that.
    """
    return read_json(message, REQUESTS)


def whole(content: dict[str, Any], name: str, low: int, high: int) -> int:
    """Return a whole number of a request; raises ProtocolError where it is none within the range.

    >>> whole({"index": 3}, "index", 0, 9)
    3
    """
    value = content.get(name)
    if type(value) is not int or not low <= value <= high:
        raise ProtocolError(Close.MALFORMED, f"'{name}' has to be a whole number")
    return value


def number(content: dict[str, Any], name: str, low: float, high: float) -> float:
    """Return a number of a request, brought into a range; raises ProtocolError where it is none."""
    value = content.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ProtocolError(Close.MALFORMED, f"'{name}' has to be a number")
    return min(high, max(low, float(value)))


def flag(content: dict[str, Any], name: str) -> bool:
    """Return a truth value of a request; raises ProtocolError where it is none."""
    value = content.get(name)
    if not isinstance(value, bool):
        raise ProtocolError(Close.MALFORMED, f"'{name}' has to be true or false")
    return value


def place(content: dict[str, Any], name: str) -> np.ndarray:
    """Return a place of a request, (3,), in [m]; raises ProtocolError where it is none."""
    value = content.get(name)
    if not isinstance(value, list) or len(value) != 3:
        raise ProtocolError(Close.MALFORMED, f"'{name}' has to be three numbers")
    return np.array([number({name: one}, name, -FARTHEST, FARTHEST) for one in value])


def moment_of(content: dict[str, Any]) -> int:
    """Return which moment of an episode a request wants to see; by default the first."""
    return whole(content, "index", 0, MOST_STEPS) if "index" in content else 0


def read_seed(content: dict[str, Any]) -> int | None:
    """Return the seed of a request, which is a text: a page's numbers end at 2**53; None: none.

    Raises:
        ProtocolError: it is none.
    """
    value = content.get("seed")
    if value is None:
        return None
    if not isinstance(value, str) or not (value.isascii() and value.isdigit() and len(value) < 20):
        raise ProtocolError(Close.MALFORMED, "'seed' has to be a text of digits")
    if int(value) >= 2**63:
        raise ProtocolError(Close.MALFORMED, "a seed is below 2**63")
    return int(value)

"""What two descriptions differ in, a line for each value."""

from collections.abc import Iterable, Mapping
from typing import Any

NOT_BEHAVIOUR = ("max_episode_steps",)
"""Where an attempt ends, not how the environment behaves: demonstrations of people, who have more
time, and policies evaluated with more are of the same environment."""


def differences(
    first: Mapping[str, Any],
    second: Mapping[str, Any],
    names: tuple[str, str],
    ignore: Iterable[str] = NOT_BEHAVIOUR,
) -> list[str]:
    """Return a line for each value in which two specs, as `to_dict` gives them, differ.

    >>> differences({"control": {"interval": 6}}, {"control": {"interval": 3}}, ("file", "env"))
    ['control.interval: file 6, env 3']

    Args:
        first: one.
        second: the other.
        names: what to call them.
        ignore: top-level entries that may differ.
    """
    a, b = (_flat({k: v for k, v in one.items() if k not in ignore}) for one in (first, second))
    return [
        f"{key}: {names[0]} {_shown(a, key)}, {names[1]} {_shown(b, key)}"
        for key in dict.fromkeys((*a, *b))
        if a.get(key, _MISSING) != b.get(key, _MISSING)
    ]


_MISSING = object()


def _shown(values: Mapping[str, Any], key: str) -> str:
    return str(values[key]) if key in values else "has none"


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, Mapping):
            flat |= _flat(item, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = list(item) if isinstance(item, tuple) else item
    return flat

"""The state of an environment as one row of float64, for tools that know nothing else."""

from collections.abc import Mapping

import numpy as np


def flatten(state: Mapping[str, np.ndarray]) -> np.ndarray:
    """Put the parts of a state side by side, names sorted; `unflatten` undoes it bit by bit.

    Args:
        state: by name, each of shape (N, ...): reals, integers or bools.

    Returns:
        Shape (N, S), float64. An integer, of which float64 holds 53 bits, takes two places: its
        upper and its lower 32 bits.
    """
    columns = []
    for name in sorted(state):
        rows = state[name].reshape(len(state[name]), -1)
        if rows.dtype.kind == "f":
            columns.append(rows.astype(np.float64))
        else:
            halves = rows.astype(np.int64).view(np.uint32)  # each number's two, side by side
            columns.append(halves.astype(np.float64))
    return np.concatenate(columns, axis=1)


def unflatten(rows: np.ndarray, like: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Cut what `flatten` returned into the parts again.

    Args:
        rows: shape (N, S), float64.
        like: a state of the same environment, whose names, shapes and types the parts get.

    Raises:
        ValueError: the rows are not as wide as such a state.
    """
    state, at = {}, 0
    width = flatten(like).shape[1]
    if rows.ndim != 2 or rows.shape[1] != width:
        raise ValueError(f"states have shape {rows.shape}; expected (N, {width})")
    for name in sorted(like):
        part = like[name]
        size = int(np.prod(part.shape[1:], dtype=int))
        if part.dtype.kind == "f":
            values = rows[:, at : at + size]
        else:
            size *= 2
            halves = np.ascontiguousarray(rows[:, at : at + size]).astype(np.uint32)
            values = halves.view(np.int64)
        at += size
        state[name] = values.astype(part.dtype).reshape(len(rows), *part.shape[1:])
    return state

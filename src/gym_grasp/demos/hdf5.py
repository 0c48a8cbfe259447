"""The layout of an episode inside the HDF5 file, written and read here alone.

robomimic reads the file as it is (``obs``, ``next_obs``, ``actions``, ``rewards``, ``dones``,
``states``: T rows each). What robomimic has no place for stands beside it: the last row of the
states, integers that float64 would round, dense rewards, the operator's raw input and the seed.
"""

import json
from typing import Any, BinaryIO

import h5py
import numpy as np

from gym_grasp.demos.episode import Episode

FORMAT = "gym-grasp demonstrations"
FORMAT_VERSION = 1


def create(raw: BinaryIO) -> h5py.File:
    """Open a new HDF5 file in ``raw``: pinned format, so that same content gives same bytes.

    A Python file, since HDF5 itself reports a full disk only as an obscure error on closing.
    """
    return h5py.File(raw, "w", libver=("v108", "v110"))


def write_episode(group: h5py.Group, episode: Episode) -> None:
    """Write ``episode``, which has passed its check, into the empty ``group``."""
    steps = len(episode)
    group.attrs["num_samples"] = steps
    group.attrs["seed"] = np.int64(episode.seed)
    group.attrs["success"] = bool(episode.success)
    group.attrs["events"] = json.dumps(episode.events, sort_keys=True)
    group.attrs["sha256"] = episode.digest()
    _store(group, "actions", episode.actions)
    for key in sorted(episode.observations):
        _store(group, f"obs/{key}", episode.observations[key][:-1])
        _store(group, f"next_obs/{key}", episode.observations[key][1:])
    _store(group, "rewards", episode.rewards)
    _store(group, "dense_rewards", episode.dense_rewards)
    dones = np.zeros(steps, dtype=np.uint8)
    dones[-1] = 1
    _store(group, "dones", dones)
    reals, integers = _pack_states(episode.states, steps + 1)
    _store(group, "states", reals[:-1])
    _store(group, "final_state", reals[-1])
    _store(group, "integer_states", integers)
    group.attrs["state_layout"] = json.dumps(
        {key: [value.dtype.str, value.shape[1:]] for key, value in sorted(episode.states.items())}
    )
    for key in sorted(episode.operator_input):
        _store(group, f"operator_input/{key}", episode.operator_input[key])


def read_episode(group: h5py.Group, full: bool = True) -> Episode:
    """Read an episode bit for bit; without ``full`` it lacks its states and operator input.

    Raises:
        ValueError, KeyError, OSError: the group does not hold an intact episode.
    """
    steps = int(group.attrs["num_samples"])
    rows = {name: group[name][()] for name in ("actions", "rewards", "dense_rewards", "dones")}
    for name, value in rows.items():
        if len(value) != steps:
            raise ValueError(f"'{name}' has {len(value)} rows, but num_samples is {steps}")
    if rows["dones"][:-1].any() or not rows["dones"][-1:].all():
        raise ValueError("'dones' has to be 1 at the last step and nowhere else")
    return Episode(
        observations=_read_observations(group, steps),
        actions=rows["actions"],
        rewards=rows["rewards"],
        dense_rewards=rows["dense_rewards"],
        seed=int(group.attrs["seed"]),
        success=bool(group.attrs["success"]),
        states=_read_states(group) if full else {},
        operator_input=_read_all(group.get("operator_input", {})) if full else {},
        events=json.loads(group.attrs["events"]),
    )


def _read_all(group: Any) -> dict[str, np.ndarray]:
    return {key: dataset[()] for key, dataset in group.items()}


def _read_observations(group: h5py.Group, steps: int) -> dict[str, np.ndarray]:
    before, after = _read_all(group["obs"]), _read_all(group["next_obs"])
    if set(before) != set(after):
        raise ValueError(f"obs {sorted(before)} and next_obs {sorted(after)} differ")
    for key in before:
        if len(before[key]) != steps or before[key].shape != after[key].shape:
            raise ValueError(
                f"obs/{key} {before[key].shape} and next_obs/{key} {after[key].shape} "
                f"have to have {steps} rows"
            )
        if before[key][1:].tobytes() != after[key][:-1].tobytes():
            raise ValueError(f"next_obs/{key} is not obs/{key} one step later")
    return {key: np.concatenate([before[key], after[key][-1:]]) for key in sorted(before)}


def _read_states(group: h5py.Group) -> dict[str, np.ndarray]:
    layout = json.loads(group.attrs["state_layout"])
    reals = np.concatenate([group["states"][()], group["final_state"][()][None]])
    integers = group["integer_states"][()]
    states = {}
    used = {"f": 0, "i": 0}
    for key, (dtype, shape) in layout.items():
        kind, source = ("f", reals) if np.dtype(dtype).kind == "f" else ("i", integers)
        width = int(np.prod(shape, dtype=np.int64))
        columns = source[:, used[kind] : used[kind] + width]
        used[kind] += width
        states[key] = columns.astype(dtype).reshape(len(source), *shape)
    if (used["f"], used["i"]) != (reals.shape[1], integers.shape[1]):
        raise ValueError("the widths of the states do not add up to state_layout")
    return states


def _pack_states(states: dict[str, np.ndarray], rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the real states (T + 1, S) float64 and the integer ones (T + 1, K) int64.

    Both conversions are exact and undone by ``astype`` (uint64 wraps around and back).
    """
    reals, integers = [np.empty((rows, 0))], [np.empty((rows, 0), dtype=np.int64)]
    for _, value in sorted(states.items()):
        if value.dtype.kind == "f":
            reals.append(value.reshape(rows, -1).astype(np.float64))
        else:
            integers.append(value.reshape(rows, -1).astype(np.int64))
    return np.concatenate(reals, axis=1), np.concatenate(integers, axis=1)


def _store(group: h5py.Group, name: str, value: np.ndarray) -> None:
    if value.ndim < 2 or value.size == 0:
        group.create_dataset(name, data=value)
    else:
        group.create_dataset(name, data=value, chunks=value.shape, compression="gzip", shuffle=True)

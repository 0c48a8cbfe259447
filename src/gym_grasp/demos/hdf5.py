"""The layout of the HDF5 file, written and read here alone; `docs/datasets.md` describes it.

robomimic reads the file as it is (`obs`, `next_obs`, `actions`, `rewards`, `dones`, `states`: T
rows each). What robomimic has no place for stands beside it: the last row of the states, integers
that float64 would round, model fields, dense rewards, the operator's raw input and the seed.
"""

import dataclasses
import hashlib
import json
from collections.abc import Collection
from typing import Any, BinaryIO

import h5py
import numpy as np

from gym_grasp.demos.episode import Episode, Origin
from gym_grasp.demos.meta import DatasetMeta

FORMAT = "gym-grasp demonstrations"
FORMAT_VERSION = 2
CHUNK_BYTES = 1 << 20
"""Largest chunk of an array, where a row is not larger."""


def create(raw: BinaryIO) -> h5py.File:
    """Open a new HDF5 file in ``raw``: pinned format, so that same content gives same bytes.

    A Python file, since HDF5 itself reports a full disk only as an obscure error on closing.
    """
    return h5py.File(raw, "w", libver=("v108", "v110"))


def write_meta(file: h5py.File, meta: DatasetMeta) -> None:
    """Write what the file says about itself: the scene as a dataset, the rest as attributes."""
    file.attrs["format"] = FORMAT
    file.attrs["format_version"] = FORMAT_VERSION
    file.attrs["meta"] = dataclasses.replace(meta, scene="").to_json()
    file["scene"] = meta.scene
    file.create_group("data").attrs["env_args"] = meta.env_args()


def read_meta(file: h5py.File) -> DatasetMeta:
    """Read what `write_meta` wrote; raises ValueError or KeyError where it is damaged."""
    meta = DatasetMeta.from_json(file.attrs["meta"])
    return dataclasses.replace(meta, scene=file["scene"][()].decode())


def structure(file: h5py.File) -> str:
    """Return the SHA-256, in hex, of everything but the episodes' numbers.

    That is the name, attributes, shape and type of every group and dataset, and the content of
    those outside `data`. Its own attribute, `structure`, does not count.
    """
    digest = hashlib.sha256()
    # HDF5's own interface: h5py's takes twice the time over thousands of small objects.
    rest = [("", h5py.h5g.open(file.id, b"/"))]
    while rest:
        name, item = rest.pop()
        line: list[Any] = [name]
        if isinstance(item, h5py.h5g.GroupID):
            line += [key.decode() for key in sorted(item)]
            rest += [(f"{name}/{key.decode()}", h5py.h5o.open(item, key)) for key in sorted(item)]
        else:
            line += [item.shape, item.dtype.str]
            if not name.startswith("/data/"):
                line.append(str(file[name][()].tolist() if item.shape else file[name][()]))
        if h5py.h5a.get_num_attrs(item):
            attributes = dict(file[name or "/"].attrs)
            attributes.pop("structure", None)
            line.append(sorted((key, str(value)) for key, value in attributes.items()))
        digest.update(json.dumps(line).encode())
    return digest.hexdigest()


def write_episode(group: h5py.Group, episode: Episode) -> None:
    """Write an episode, which has passed its check, into the empty group."""
    steps = len(episode)
    group.attrs["num_samples"] = steps
    group.attrs["seed"] = np.int64(episode.seed)
    group.attrs["success"] = bool(episode.success)
    group.attrs["events"] = json.dumps(episode.events, sort_keys=True)
    if episode.origin is not None:
        group.attrs["origin"] = json.dumps(dataclasses.asdict(episode.origin), sort_keys=True)
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
    for key in sorted(episode.fields):
        _store(group, f"fields/{key}", episode.fields[key])
    for key in sorted(episode.operator_input):
        _store(group, f"operator_input/{key}", episode.operator_input[key])


def read_episode(group: h5py.Group, keys: Collection[str] | None = None) -> Episode:
    """Read an episode bit for bit.

    Args:
        group: where `write_episode` wrote it.
        keys: the only observations to read, without states and operator input; None reads all.

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
        observations=_read_observations(group, steps, keys),
        actions=rows["actions"],
        rewards=rows["rewards"],
        dense_rewards=rows["dense_rewards"],
        seed=int(group.attrs["seed"]),
        success=bool(group.attrs["success"]),
        states=_read_states(group) if keys is None else {},
        fields=_read_all(group.get("fields", {})),
        operator_input=_read_all(group.get("operator_input", {})) if keys is None else {},
        events=json.loads(group.attrs["events"]),
        origin=Origin(**json.loads(group.attrs["origin"])) if "origin" in group.attrs else None,
    )


def _read_all(group: Any) -> dict[str, np.ndarray]:
    return {key: dataset[()] for key, dataset in group.items()}


def _read_observations(
    group: h5py.Group, steps: int, keys: Collection[str] | None
) -> dict[str, np.ndarray]:
    names = set(group["obs"])
    if names != set(group["next_obs"]):
        raise ValueError(f"obs {sorted(names)} and next_obs {sorted(group['next_obs'])} differ")
    names = names if keys is None else names & set(keys)
    before, after = ({key: group[part][key][()] for key in names} for part in ("obs", "next_obs"))
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
        return
    rows = min(len(value), max(1, CHUNK_BYTES // value[0].nbytes))
    chunks = (rows, *value.shape[1:])
    group.create_dataset(name, data=value, chunks=chunks, compression="gzip", shuffle=True)

"""The layout of the HDF5 file, written and read here alone; `docs/datasets.md` describes it.

robomimic reads the file as it is (`obs`, `next_obs`, `actions`, `rewards`, `dones`, `states`: T
rows each). What robomimic has no place for stands beside it: the last row of the states, integers
that float64 would round, model fields, dense rewards, the operator's raw input and the seed.
"""

import dataclasses
import json
import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import h5py
import numpy as np

from gym_grasp.demos import tree
from gym_grasp.demos.episode import Episode, Origin, Scalar
from gym_grasp.demos.guard import Contents
from gym_grasp.demos.meta import DatasetMeta
from gym_grasp.demos.sink import Sink
from gym_grasp.errors import DatasetError

FORMAT = "gym-grasp demonstrations"
FORMAT_VERSION = 2
CHUNK_BYTES = 1 << 20
"""Largest chunk of an array, where a row is not larger."""
ROWS = ("actions", "rewards", "dense_rewards", "dones")
"""Arrays of an episode that have T rows, beside the observations."""

T = TypeVar("T")


def check_free(path: Path, overwrite: bool, source: Path | None = None) -> None:
    """Raise `DatasetError` where a dataset would replace another unasked, or what it is made of."""
    if not path.exists():
        return
    if not path.is_file():
        raise DatasetError(f"{path} exists and is no file. Choose another name.")
    if source is not None and path.samefile(source):
        raise DatasetError(f"{path} is what would be read, and lost. Choose another name.")
    if not overwrite:
        raise DatasetError(
            f"{path} exists already. Choose another name, or overwrite it (--overwrite)."
        )


def create(raw: BinaryIO | Sink) -> h5py.File:
    """Open a new HDF5 file in ``raw``: pinned format, so that same content gives same bytes.

    In memory, or a `sink`: HDF5 itself reports a full disk only as an obscure error on closing,
    and aborts the process where a file of Python raises one.
    """
    return h5py.File(raw, "w", libver=("v108", "v110"))


def write_meta(file: h5py.File, meta: DatasetMeta) -> None:
    """Write what the file says about itself: the scene as a dataset, the rest as attributes."""
    file.attrs["format"] = FORMAT
    file.attrs["format_version"] = FORMAT_VERSION
    file.attrs["meta"] = dataclasses.replace(meta, scene="").to_json()
    file["scene"] = meta.scene
    file.create_group("data").attrs["env_args"] = meta.env_args()


def read_meta(file: Contents) -> DatasetMeta:
    """Read what `write_meta` wrote; raises ValueError or KeyError where it is damaged."""
    meta = DatasetMeta.from_json(_attribute(file, "/", "meta", str))
    scene = file.texts("/scene")
    if not isinstance(scene, str):
        raise ValueError("'scene' has to be one text")
    return dataclasses.replace(meta, scene=scene)


def read_split(file: Contents) -> tuple[list[int], list[int]]:
    """Return the episodes to train with and to validate with, in the file's order."""
    train, valid = (
        [int(name.removeprefix("demo_")) for name in file.texts(f"/mask/{part}")]
        for part in ("train", "valid")
    )
    return train, valid


def structure(file: h5py.File) -> str:
    """Return the SHA-256, in hex, of everything but the episodes' numbers; see `tree.walk`."""
    return tree.walk(file)[1]


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


def read_episodes(
    file: Contents, groups: Iterable[str], keys: Collection[str] | None = None
) -> Iterator[Episode]:
    """Read episodes bit for bit, one after the other.

    Args:
        file: where `write_episode` wrote them.
        groups: their names there.
        keys: the only observations to read, without states and operator input; None reads all.

    Raises:
        ValueError, KeyError: the group does not hold an intact episode.
    """
    wanted = {group: file.below(group) for group in groups}
    if keys is not None:
        few = {*ROWS, *(f"{part}/{key}" for part in ("obs", "next_obs") for key in keys)}
        for group, names in wanted.items():
            wanted[group] = [one for one in names if one in few or one.startswith("fields/")]
    for group, arrays in file.read(wanted):
        yield _episode(file, group, arrays, keys is None)


def _episode(file: Contents, group: str, arrays: Mapping[str, np.ndarray], whole: bool) -> Episode:
    head = read_head(file, group)
    steps = head.steps
    for name in ROWS:
        if arrays[name].shape[:1] != (steps,):
            raise ValueError(f"'{name}' has shape {arrays[name].shape}, but num_samples is {steps}")
    if arrays["dones"][:-1].any() or not arrays["dones"][-1:].all():
        raise ValueError("'dones' has to be 1 at the last step and nowhere else")
    return Episode(
        observations=_observations(arrays, steps),
        actions=arrays["actions"],
        rewards=arrays["rewards"],
        dense_rewards=arrays["dense_rewards"],
        seed=head.seed,
        success=head.success,
        states=_states(file, group, arrays) if whole else {},
        fields=_part(arrays, "fields"),
        operator_input=_part(arrays, "operator_input") if whole else {},
        events=head.events,
        origin=head.origin,
    )


def episode_groups(file: Contents) -> list[str]:
    """Return the groups of all episodes, in order; raises ValueError where one is missing."""
    found = {name for name in file.nodes if name.count("/") == 2 and name[:6] == "/data/"}
    names = [f"/data/demo_{index}" for index in range(len(found))]
    if not names or set(names) != found:
        raise ValueError(f"it has to hold demo_0 to demo_N, but holds {sorted(found)[:5]}")
    return names


@dataclasses.dataclass(frozen=True)
class Head:
    """What a file says of an episode beside its arrays."""

    steps: int
    """Control steps T."""
    seed: int
    """Its seed, below 2**63."""
    success: bool
    """Whether the last step reached the goal."""
    events: dict[str, Scalar]
    """Scalars that describe it."""
    origin: Origin | None
    """How it came about; None: as its dataset says."""


def read_head(file: Contents, group: str) -> Head:
    """Read what stands beside an episode's arrays; raises as `read_episodes`."""
    origin = file.attributes(group).get("origin")
    return Head(
        steps=_attribute(file, group, "num_samples", int),
        seed=_attribute(file, group, "seed", int),
        success=_attribute(file, group, "success", bool),
        events=_object(file, group, "events"),
        origin=None if origin is None else Origin(**_object(file, group, "origin")),
    )


def read_digest(file: Contents, group: str) -> str:
    """Return what the digest of an episode was when it was recorded."""
    return _attribute(file, group, "sha256", str)


def read_total(file: Contents) -> int:
    """Return how many steps all episodes have."""
    return _attribute(file, "/data", "total", int)


def _attribute(file: Contents, path: str, name: str, kind: type[T]) -> T:
    value = file.attributes(path)[name]
    if type(value) is not kind:
        raise ValueError(f"the attribute '{name}' of '{path}' is {value!r}, no {kind.__name__}")
    return value


def _object(file: Contents, path: str, name: str) -> dict[str, Any]:
    value = json.loads(_attribute(file, path, name, str))
    if not isinstance(value, dict):
        raise ValueError(f"the attribute '{name}' of '{path}' is no JSON object")
    return value


def _part(arrays: Mapping[str, np.ndarray], group: str) -> dict[str, np.ndarray]:
    begin = f"{group}/"
    return {k.removeprefix(begin): v for k, v in arrays.items() if k.startswith(begin)}


def _observations(arrays: Mapping[str, np.ndarray], steps: int) -> dict[str, np.ndarray]:
    before, after = _part(arrays, "obs"), _part(arrays, "next_obs")
    if set(before) != set(after):
        raise ValueError(f"obs {sorted(before)} and next_obs {sorted(after)} differ")
    for key in before:
        if before[key].shape[:1] != (steps,) or before[key].shape != after[key].shape:
            raise ValueError(
                f"obs/{key} {before[key].shape} and next_obs/{key} {after[key].shape} "
                f"have to have {steps} rows"
            )
        if before[key][1:].tobytes() != after[key][:-1].tobytes():
            raise ValueError(f"next_obs/{key} is not obs/{key} one step later")
    return {key: np.concatenate([before[key], after[key][-1:]]) for key in sorted(before)}


def _states(file: Contents, group: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    layout = _object(file, group, "state_layout")
    reals = np.concatenate([arrays["states"], arrays["final_state"][None]])
    sources = {"f": reals, "i": arrays["integer_states"]}
    states = {}
    used = {"f": 0, "i": 0}
    for key, (dtype, shape) in layout.items():
        one = np.dtype(dtype)
        if one.kind not in "fiub" or one.itemsize > 8:  # a text may be as long as memory
            raise ValueError(f"state '{key}': cannot hold values of type {one}")
        kind = "f" if one.kind == "f" else "i"
        width = _width(shape)
        columns = sources[kind][:, used[kind] : used[kind] + width]
        used[kind] += width
        with np.errstate(invalid="ignore", over="ignore"):  # what does not fit changes the digest
            states[key] = columns.astype(one).reshape(len(columns), *shape)
    if any(source.shape[1:] != (used[kind],) for kind, source in sources.items()):
        raise ValueError("the widths of the states do not add up to state_layout")
    return states


def _width(shape: Iterable[Any]) -> int:
    if not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError(f"a state has the shape {shape!r}")
    return math.prod(shape)


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

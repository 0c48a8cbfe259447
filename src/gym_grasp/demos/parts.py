"""The folder of a recording that has not been closed, and the dataset that is made of it.

Every finished attempt is a file of its own, empty where it failed. Whoever goes on with the folder
need not have written it: what a process did not write itself is read as files of others are.
"""

import dataclasses
import filecmp
import hashlib
import io
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np

from gym_grasp.demos import guard, hdf5
from gym_grasp.demos.episode import Episode
from gym_grasp.demos.meta import DatasetMeta
from gym_grasp.demos.sink import sink
from gym_grasp.errors import DatasetError, reason
from gym_grasp.files import hold, read_json, replacing
from gym_grasp.typed import CRAFTED

VALID_FRACTION = 0.1  # the paper trains on 90 % of its episodes
ABOUT = "about.json"
"""In the parts folder: what the recording is, and what makes it one."""
KEPT, FAILED, DROPPED = ".hdf5", ".failed", ".dropped"
"""Suffixes of an attempt's file."""


def recover(path: str | Path, *, overwrite: bool = False) -> Path:
    """Make the file of a recording that was cut off from the episodes that it had finished.

    Raises:
        DatasetError: there is nothing to recover, the recording is still running, or another
            finished file is in the way.
    """
    path = Path(path)
    parts = parts_folder(path)
    if not (parts / ABOUT).exists() or not parts_of(parts, KEPT):
        raise DatasetError(f"Nothing to recover: {parts} holds no finished episode.")
    with reporting(path, f" The episodes are still in {parts}."), lock(parts):
        merge(parts, path, overwrite=overwrite)
        discard(parts)
    return path


def split(count: int, seed: int) -> tuple[list[int], list[int]]:
    """Return the sorted indices of training and validation episodes, the same for a same seed.

    A tenth validates, and at least one episode where there are two or more.
    """
    valid_count = max(1, round(VALID_FRACTION * count)) if count >= 2 else 0
    order = np.random.default_rng(seed).permutation(count).tolist()
    return sorted(order[valid_count:]), sorted(order[:valid_count])


def parts_folder(path: Path) -> Path:
    """Return where the episodes of a recording into ``path`` lie until it is closed."""
    return path.parent / f"{path.name}.parts"


def merge(parts: Path, path: Path, *, overwrite: bool, own: Collection[Path] = ()) -> None:
    """Make a dataset of all episodes in `parts`; only those in `own` are trusted."""
    files = parts_of(parts, KEPT)
    meta, failures = read_about(parts)[0], len(parts_of(parts, FAILED))
    meta = dataclasses.replace(meta, attempts=len(files) + failures, failures=failures)
    merged = parts / "merged.hdf5"
    with replacing(merged) as raw, sink(raw) as kept, hdf5.create(kept) as file:
        hdf5.write_meta(file, meta)
        data, total = file["data"], 0
        for index, part_path in enumerate(files):
            image = _read_part(part_path) if part_path in own else _read_foreign(part_path, meta)
            with h5py.File(image, "r") as part:
                part.copy("episode", data, name=f"demo_{index}")
                total += int(part["episode"].attrs["num_samples"])
            kept.check()
        data.attrs["total"] = total
        train, valid = split(len(files), meta.base_seed)
        for name, indices in {"train": train, "valid": valid}.items():
            keys = np.array([f"demo_{i}" for i in indices], dtype=np.bytes_)
            file.create_dataset(f"mask/{name}", data=keys)
        file.attrs["structure"] = hdf5.structure(file)
    # Killed between this and removing the parts, a process leaves an equal file.
    if path.exists() and not overwrite and not filecmp.cmp(merged, path, shallow=False):
        raise DatasetError(
            f"{path} exists already and differs from the recording in {parts}."
            " Move it away, or ask to overwrite it."
        )
    os.replace(merged, path)


def parts_of(parts: Path, *kinds: str) -> list[Path]:
    """Return the files of all attempts that ended in one of these ways, by their numbers."""
    return sorted(part for kind in kinds for part in parts.glob(f"episode_*{kind}"))


def number_of(part: Path) -> int:
    """Return which attempt a file is of."""
    try:
        return int(part.stem.split("_")[1])
    except ValueError as error:
        raise DatasetError(f"{part} is no episode's file. Move it away.") from error


def image_of(episode: Episode) -> io.BytesIO:
    """Return an episode's file, in memory."""
    image = io.BytesIO()
    with hdf5.create(image) as file:
        hdf5.write_episode(file.create_group("episode"), episode)
    return image


def digest_of(image: io.BytesIO | io.BufferedReader) -> str:
    """Return what the name of an episode's file ends in, of its bytes."""
    return hashlib.file_digest(image, "sha256").hexdigest()[:16]


def _require_digest(path: Path, image: io.BytesIO | io.BufferedReader) -> None:
    if digest_of(image) != path.stem.rpartition("_")[2]:
        raise _damaged(path, "its bytes have changed")


def _read_part(path: Path) -> io.BytesIO:
    """Return an episode's file, from memory; the HDF5 library is given no damaged one."""
    image = io.BytesIO(path.read_bytes())
    _require_digest(path, image)
    return image


def _read_foreign(path: Path, meta: DatasetMeta) -> io.BytesIO:
    """Return an episode's file written anew: what HDF5 copies could hang or crash it."""
    try:
        if not path.is_file():
            raise ValueError("it is no file")
        with open(path, "rb") as raw:
            _require_digest(path, raw)
        with guard.opened(path) as file:
            (episode,) = hdf5.read_episodes(file, ["/episode"])
            episode.check(meta.features, len(meta.action_names))
            if episode.digest() != hdf5.read_digest(file, "/episode"):
                raise ValueError("its numbers have changed")
        return image_of(episode)
    except CRAFTED as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, why: object) -> DatasetError:
    return DatasetError(
        f"{path} is damaged: {reason(why)}. Move it away, and the other episodes are left."
    )


def read_about(parts: Path) -> tuple[DatasetMeta, dict[str, Any]]:
    """Return what the recording is, and what else makes it one."""
    path = parts / ABOUT
    try:
        content = read_json(path)
        return DatasetMeta.from_json(content["meta"]), content["settings"]
    except CRAFTED as error:
        raise DatasetError(f"{path} is damaged: {reason(error)}.") from error


def lock(parts: Path) -> BinaryIO:
    """Hold the parts folder for this process."""
    busy = f"Another process is recording into {parts}. Let it end, or choose another name."
    return hold(parts / "lock", DatasetError(busy))


def discard(parts: Path) -> None:
    """Remove the folder, first what makes it a recording: half of one must not be recovered."""
    (parts / ABOUT).unlink(missing_ok=True)
    shutil.rmtree(parts)


@contextmanager
def reporting(path: Path, kept: str) -> Iterator[None]:
    """Turn a failing disk into one clear error."""
    try:
        yield
    except OSError as error:
        raise DatasetError(
            f"Cannot write {path}: {error.strerror or error}.{kept}"
            " Free space, or choose a folder that can be written."
        ) from error

"""Recording into a file such that a killed process loses at most the episode in hand.

While a recording runs, ``drawer.hdf5`` does not exist: every finished attempt lies as a file of
its own in ``drawer.hdf5.parts``, empty where it failed, set aside where a success was dropped
again, and there is no other record of them. :meth:`DatasetWriter.close` merges the episodes.
"""

import dataclasses
import filecmp
import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Self

import h5py
import numpy as np

from gym_grasp.demos import hdf5
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


class DatasetWriter:
    """Collects successful episodes on disk and makes one dataset file of them.

    Used as a context manager it closes, that is merges, on a normal exit; on an exception the
    finished episodes stay in the parts folder for :func:`recover`, or to go on with ``resume``.

    Args:
        path: the file to be made.
        meta: what it says about itself; attempts and failures are counted here.
        overwrite: replace a finished file (not before closing) and, without `resume`, drop an
            unfinished recording.
        resume: go on with an unfinished recording of the same ``meta`` and ``settings`` if there is
            one.
        settings: what else decides which episodes come, as JSON takes it.

    Raises:
        DatasetError: the file exists, an unfinished recording is in the way, another process is
            recording into it, or the folder cannot be written.
    """

    def __init__(
        self,
        path: str | Path,
        meta: DatasetMeta,
        *,
        overwrite: bool = False,
        resume: bool = False,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.path = Path(path)
        self.parts = parts_folder(self.path)
        self.meta = meta
        self._settings = dict(settings or {})
        self._overwrite = overwrite
        self._kept: list[int] = []
        self._failed: list[int] = []
        self._dropped: list[int] = []
        hdf5.check_free(self.path, overwrite)
        with self._reporting():
            self.parts.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(self.parts)
        try:
            with self._reporting():
                self._begin(overwrite, resume)
        except BaseException:
            self._lock.close()
            raise

    def _begin(self, overwrite: bool, resume: bool) -> None:
        about = self.parts / ABOUT
        if overwrite and not resume:
            about.unlink(missing_ok=True)
        if not about.exists():
            for part in _parts(self.parts, KEPT, FAILED, DROPPED):
                part.unlink()
            content = json.dumps({"meta": self.meta.to_json(), "settings": self._settings})
            with replacing(about) as raw:
                raw.write(content.encode())
            return
        self._kept = [_number(part) for part in _parts(self.parts, KEPT)]
        self._failed = [_number(part) for part in _parts(self.parts, FAILED)]
        self._dropped = [_number(part) for part in _parts(self.parts, DROPPED)]
        if not resume:
            raise DatasetError(
                f"{self.parts} holds {len(self)} episodes of an unfinished recording. Go on with"
                f" it (--resume), make a dataset of them (`gym-grasp demos recover {self.path}`),"
                " or drop them (--overwrite)."
            )
        meta, settings = _read_about(self.parts)
        if not meta.same_recording(self.meta) or settings != self._settings:
            raise DatasetError(
                f"The unfinished recording in {self.parts} was made with other settings or"
                f" versions. Make a dataset of it first (`gym-grasp demos recover {self.path}`)"
                " and move that away, or ask for what it was made with."
            )

    def __len__(self) -> int:
        """Return the number of episodes kept so far."""
        return len(self._kept)

    @property
    def kept(self) -> list[int]:
        """Numbers of the attempts whose episodes are kept, sorted."""
        return sorted(self._kept)

    @property
    def finished(self) -> set[int]:
        """Numbers of all attempts that are on disk."""
        return {*self._kept, *self._failed, *self._dropped}

    @property
    def failures(self) -> int:
        """Attempts that failed so far."""
        return len(self._failed)

    @property
    def dropped(self) -> int:
        """Successes that were kept and dropped again: neither kept nor failures."""
        return len(self._dropped)

    @property
    def attempts(self) -> int:
        """Attempts that count so far: episodes kept and failures, not what was dropped."""
        return len(self._kept) + len(self._failed)

    def add(self, episode: Episode, attempt: int | None = None) -> bool:
        """Keep a successful episode safely on disk; only count a failed one.

        Args:
            episode: what happened.
            attempt: its number, which decides its place in the file; None: the next one.

        Returns:
            Whether the episode was kept.

        Raises:
            DatasetError: the episode breaks a rule, or it could not be written. Everything added
                before is safe, and the call may be tried again.
        """
        if not episode.success:
            self.count_failure(attempt)
            return False
        try:
            episode.check(self.meta.features, len(self.meta.action_names))
        except ValueError as error:
            raise DatasetError(f"Episode of seed {episode.seed} not recorded: {error}.") from error
        image = io.BytesIO()
        with hdf5.create(image) as file:
            hdf5.write_episode(file.create_group("episode"), episode)
        number = self._next() if attempt is None else attempt
        digest = hashlib.sha256(image.getbuffer()).hexdigest()
        part = self.parts / f"episode_{number:06d}_{digest[:16]}{KEPT}"
        with self._reporting(), replacing(part) as raw:
            raw.write(image.getbuffer())
        self._kept.append(number)
        return True

    def count_failure(self, attempt: int | None = None) -> None:
        """Count an attempt that failed and is not kept; by default the next one."""
        number = self._next() if attempt is None else attempt
        with self._reporting(), replacing(self.parts / f"episode_{number:06d}{FAILED}"):
            pass
        self._failed.append(number)

    def drop_last(self) -> None:
        """Remove the episode kept last, no failure; raises `DatasetError` where none is left."""
        if not self._kept:
            raise DatasetError("There is no kept episode that could be dropped.")
        with self._reporting():
            part = _parts(self.parts, KEPT)[-1]
            part.rename(self.parts / f"episode_{_number(part):06d}{DROPPED}")
        self._kept.remove(_number(part))
        self._dropped.append(_number(part))

    def keep_first(self, count: int) -> None:
        """Remove all attempts after the one that made the kept episodes so many."""
        last = self.kept[count - 1]
        with self._reporting():
            for part in _parts(self.parts, KEPT, FAILED, DROPPED):
                if _number(part) > last:
                    part.unlink()
        self._kept = [number for number in self._kept if number <= last]
        self._failed = [number for number in self._failed if number <= last]
        self._dropped = [number for number in self._dropped if number <= last]

    def close(self) -> Path | None:
        """Merge all episodes into the file and remove the parts folder.

        Returns:
            The path of the file, or None where no episode was kept and no file was made.

        Raises:
            DatasetError: the file could not be written; the parts are still there.
        """
        if not self._lock.closed:
            with self._reporting():
                if self._kept:
                    _merge(self.parts, self.path, overwrite=self._overwrite)
                _discard(self.parts)
                self._lock.close()
        return self.path if self._kept else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.close()
            elif not self.finished:
                shutil.rmtree(self.parts, ignore_errors=True)  # nothing to go on with
        finally:
            self._lock.close()

    def _next(self) -> int:
        return max(self.finished, default=-1) + 1

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        kept = f" The {len(self)} episodes so far are safe in {self.parts}." if self._kept else ""
        with _reporting(self.path, kept):
            yield


def recover(path: str | Path, *, overwrite: bool = False) -> Path:
    """Make the file of a recording that was cut off from the episodes that it had finished.

    Raises:
        DatasetError: there is nothing to recover, the recording is still running, or another
            finished file is in the way.
    """
    path = Path(path)
    parts = parts_folder(path)
    if not (parts / ABOUT).exists() or not _parts(parts, KEPT):
        raise DatasetError(f"Nothing to recover: {parts} holds no finished episode.")
    with _reporting(path, f" The episodes are still in {parts}."), _lock(parts):
        _merge(parts, path, overwrite=overwrite)
        _discard(parts)
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


def _merge(parts: Path, path: Path, *, overwrite: bool) -> None:
    files = _parts(parts, KEPT)
    meta, failures = _read_about(parts)[0], len(_parts(parts, FAILED))
    meta = dataclasses.replace(meta, attempts=len(files) + failures, failures=failures)
    merged = parts / "merged.hdf5"
    with replacing(merged) as raw, sink(raw) as kept, hdf5.create(kept) as file:
        hdf5.write_meta(file, meta)
        data, total = file["data"], 0
        for index, part_path in enumerate(files):
            with h5py.File(_read_part(part_path), "r") as part:
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


def _parts(parts: Path, *kinds: str) -> list[Path]:
    """Return the files of all attempts that ended in one of these ways, by their numbers."""
    return sorted(part for kind in kinds for part in parts.glob(f"episode_*{kind}"))


def _number(part: Path) -> int:
    return int(part.stem.split("_")[1])


def _read_part(path: Path) -> io.BytesIO:
    """Return an episode's file, from memory; the HDF5 library is given no damaged one."""
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest()[:16] != path.stem.rpartition("_")[2]:
        raise DatasetError(f"{path} is damaged. Move it away, and the other episodes are left.")
    return io.BytesIO(data)


def _read_about(parts: Path) -> tuple[DatasetMeta, dict[str, Any]]:
    path = parts / ABOUT
    try:
        content = read_json(path)
        return DatasetMeta.from_json(content["meta"]), content["settings"]
    except CRAFTED as error:
        raise DatasetError(f"{path} is damaged: {reason(error)}.") from error


def _lock(parts: Path) -> BinaryIO:
    """Hold the parts folder for this process."""
    busy = f"Another process is recording into {parts}. Let it end, or choose another name."
    return hold(parts / "lock", DatasetError(busy))


def _discard(parts: Path) -> None:
    """Remove the folder, first what makes it a recording: half of one must not be recovered."""
    (parts / ABOUT).unlink(missing_ok=True)
    shutil.rmtree(parts)


@contextmanager
def _reporting(path: Path, kept: str) -> Iterator[None]:
    """Turn a failing disk into one clear error."""
    try:
        yield
    except OSError as error:
        raise DatasetError(
            f"Cannot write {path}: {error.strerror or error}.{kept}"
            " Free space, or choose a folder that can be written."
        ) from error

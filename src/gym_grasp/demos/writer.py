"""Recording into a file such that a killed process loses at most the episode in hand.

While a recording runs, ``drawer.hdf5`` does not exist: every finished episode lies as a file of
its own in ``drawer.hdf5.parts``. :meth:`DatasetWriter.close` merges them into the final file.
"""

import dataclasses
import filecmp
import io
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import h5py
import numpy as np

from gym_grasp.demos import hdf5
from gym_grasp.demos.episode import Episode
from gym_grasp.demos.meta import DatasetMeta
from gym_grasp.errors import DatasetError
from gym_grasp.files import hold, replacing

VALID_FRACTION = 0.1  # the paper trains on 90 % of its episodes


class DatasetWriter:
    """Collects successful episodes on disk and makes one dataset file of them.

    Used as a context manager it closes, that is merges, on a normal exit; on an exception the
    finished episodes stay in the parts folder for :func:`recover`, or to go on with ``resume``.

    Args:
        path: the file to be made.
        meta: what it says about itself; attempts and failures are counted here.
        overwrite: replace a finished file (not before closing) and drop an unfinished recording.
        resume: go on with an unfinished recording of the same ``meta`` if there is one.

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
    ) -> None:
        self.path = Path(path)
        self.parts = parts_folder(self.path)
        self.meta = meta
        self._overwrite = overwrite
        self._count = self._failures = 0
        if self.path.exists() and not overwrite:
            raise DatasetError(
                f"{self.path} exists already. Choose another name, or ask to overwrite it."
            )
        with self._reporting():
            self.parts.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(self.parts)
        try:
            self._begin(overwrite, resume)
        except BaseException:
            self._lock.close()
            raise

    def _begin(self, overwrite: bool, resume: bool) -> None:
        with self._reporting():
            if overwrite and not resume:
                (self.parts / "meta.json").unlink(missing_ok=True)
            if (self.parts / "meta.json").exists():
                if not resume:
                    raise DatasetError(
                        f"{self.parts} holds {len(_part_files(self.parts))} episodes of an"
                        " unfinished recording. Recover them, resume it, or ask to overwrite it."
                    )
                before = _read_meta(self.parts)
                if not before.same_recording(self.meta):
                    raise DatasetError(
                        f"The unfinished recording in {self.parts} was made with other settings or"
                        " versions. Recover it into a file of its own first."
                    )
                self._count, self._failures = len(_part_files(self.parts)), before.failures
            else:
                for part in _part_files(self.parts):
                    part.unlink()
            self._save_counts()

    def __len__(self) -> int:
        """Return the number of episodes kept so far."""
        return self._count

    @property
    def failures(self) -> int:
        """Attempts that failed so far."""
        return self._failures

    @property
    def attempts(self) -> int:
        """All attempts so far: episodes kept and failures."""
        return self._count + self._failures

    def add(self, episode: Episode) -> bool:
        """Keep a successful episode safely on disk; only count a failed one.

        Returns:
            Whether the episode was kept.

        Raises:
            DatasetError: the episode breaks a rule, or it could not be written. Everything added
                before is safe, and the call may be tried again.
        """
        if not episode.success:
            self.count_failure()
            return False
        try:
            episode.check(self.meta.features, len(self.meta.action_names))
        except ValueError as error:
            raise DatasetError(f"Episode of seed {episode.seed} not recorded: {error}.") from error
        image = io.BytesIO()
        with hdf5.create(image) as file:
            hdf5.write_episode(file.create_group("episode"), episode)
        with self._reporting():
            target = self.parts / f"episode_{self._count:06d}.hdf5"
            with replacing(target) as raw:
                raw.write(image.getbuffer())
        self._count += 1
        return True

    def count_failure(self) -> None:
        """Count an attempt that failed and is not kept."""
        self._failures += 1
        try:
            with self._reporting():
                self._save_counts()
        except DatasetError:
            self._failures -= 1  # not counted, so that it may be tried again
            raise

    def drop_last(self) -> None:
        """Remove the episode that was kept last, and count it as a failure instead."""
        if self._count == 0:
            raise DatasetError("There is no kept episode that could be dropped.")
        self.count_failure()  # first, since it is what a full disk prevents
        with self._reporting():
            (self.parts / f"episode_{self._count - 1:06d}.hdf5").unlink()
        self._count -= 1

    def close(self) -> Path | None:
        """Merge all episodes into the file and remove the parts folder.

        Returns:
            The path of the file, or None where no episode was kept and no file was made.

        Raises:
            DatasetError: the file could not be written; the parts are still there.
        """
        if self._lock.closed:
            return self.path if self._count else None
        with self._reporting():
            self._save_counts()
            if self._count:
                _merge(self.parts, self.path, overwrite=self._overwrite)
            _discard(self.parts)
            self._lock.close()
        return self.path if self._count else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self.close()
        finally:
            self._lock.close()

    def _save_counts(self) -> None:
        meta = dataclasses.replace(self.meta, failures=self._failures)
        text = meta.to_json().encode()
        with replacing(self.parts / "meta.json") as raw:
            raw.write(text)

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        kept = (
            f" The {self._count} episodes so far are safe in {self.parts}." if self._count else ""
        )
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
    if not (parts / "meta.json").exists() or not _part_files(parts):
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
    return path.with_name(path.name + ".parts")


def _merge(parts: Path, path: Path, *, overwrite: bool) -> None:
    files = _part_files(parts)
    meta = _read_meta(parts)
    meta = dataclasses.replace(meta, attempts=len(files) + meta.failures)

    merged = parts / "merged.hdf5"
    with replacing(merged) as raw, hdf5.create(raw) as file:
        hdf5.write_meta(file, meta)
        data, total = file["data"], 0
        for index, part_path in enumerate(files):
            with h5py.File(part_path, "r") as part:
                part.copy("episode", data, name=f"demo_{index}")
                total += int(part["episode"].attrs["num_samples"])
        data.attrs["total"] = total
        for name, indices in zip(
            ("train", "valid"), split(len(files), meta.base_seed), strict=True
        ):
            keys = np.array([f"demo_{i}" for i in indices], dtype=np.bytes_)
            file.create_dataset(f"mask/{name}", data=keys)
        file.attrs["structure"] = hdf5.structure(file)
    # A process killed between this and removing the parts leaves an equal file: no conflict.
    if path.exists() and not overwrite and not filecmp.cmp(merged, path, shallow=False):
        raise DatasetError(
            f"{path} exists already and differs from the recording in {parts}."
            " Move it away, or ask to overwrite it."
        )
    os.replace(merged, path)


def _part_files(parts: Path) -> list[Path]:
    return sorted(parts.glob("episode_*.hdf5"))


def _read_meta(parts: Path) -> DatasetMeta:
    try:
        return DatasetMeta.from_json((parts / "meta.json").read_text())
    except ValueError as error:
        raise DatasetError(f"{parts / 'meta.json'} is damaged: {error}.") from error


def _lock(parts: Path) -> BinaryIO:
    """Hold the parts folder for this process."""
    busy = f"Another process is recording into {parts}. Let it end, or choose another name."
    return hold(parts / "lock", DatasetError(busy))


def _discard(parts: Path) -> None:
    """Remove the folder, first what makes it a recording: half of one must not be recovered."""
    (parts / "meta.json").unlink(missing_ok=True)
    shutil.rmtree(parts)


@contextmanager
def _reporting(path: Path, kept: str) -> Iterator[None]:
    """Turn a failing disk into one clear error."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise DatasetError(
            f"Cannot write {path}: {reason}.{kept}"
            " Free space, or choose a folder that can be written."
        ) from error

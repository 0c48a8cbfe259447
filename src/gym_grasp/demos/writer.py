"""Recording into a file such that a killed process loses at most the episode in hand.

While a recording runs, ``drawer.hdf5`` does not exist: every finished attempt lies as a file of
its own in ``drawer.hdf5.parts``, empty where it failed, set aside where a success was dropped
again, and there is no other record of them. :meth:`DatasetWriter.close` merges the episodes.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from gym_grasp.demos import hdf5
from gym_grasp.demos.episode import Episode
from gym_grasp.demos.meta import DatasetMeta
from gym_grasp.demos.parts import (
    ABOUT,
    DROPPED,
    FAILED,
    KEPT,
    digest_of,
    discard,
    image_of,
    lock,
    merge,
    number_of,
    parts_folder,
    parts_of,
    read_about,
    reporting,
)
from gym_grasp.errors import DatasetError
from gym_grasp.files import replacing


class DatasetWriter:
    """Collects successful episodes on disk and makes one dataset file of them.

    Used as a context manager it closes, that is merges, on a normal exit; on an exception the
    finished episodes stay in the parts folder for `parts.recover`, or to go on with ``resume``.

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
        self._own: set[Path] = set()  # files of episodes that this very writer wrote
        hdf5.check_free(self.path, overwrite)
        with self._reporting():
            self.parts.mkdir(parents=True, exist_ok=True)
            self._lock = lock(self.parts)
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
            for part in parts_of(self.parts, KEPT, FAILED, DROPPED):
                part.unlink()
            content = json.dumps({"meta": self.meta.to_json(), "settings": self._settings})
            with replacing(about) as raw:
                raw.write(content.encode())
            return
        self._kept = [number_of(part) for part in parts_of(self.parts, KEPT)]
        self._failed = [number_of(part) for part in parts_of(self.parts, FAILED)]
        self._dropped = [number_of(part) for part in parts_of(self.parts, DROPPED)]
        if not resume:
            raise DatasetError(
                f"{self.parts} holds {len(self)} episodes of an unfinished recording. Go on with"
                f" it (--resume), make a dataset of them (`gym-grasp demos recover {self.path}`),"
                " or drop them (--overwrite)."
            )
        meta, settings = read_about(self.parts)
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
        image = image_of(episode)
        number = self._next() if attempt is None else attempt
        part = self.parts / f"episode_{number:06d}_{digest_of(image)}{KEPT}"
        with self._reporting(), replacing(part) as raw:
            raw.write(image.getbuffer())
        self._kept.append(number)
        self._own.add(part)
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
            part = parts_of(self.parts, KEPT)[-1]
            part.rename(self.parts / f"episode_{number_of(part):06d}{DROPPED}")
        self._kept.remove(number_of(part))
        self._dropped.append(number_of(part))

    def keep_first(self, count: int) -> None:
        """Remove all attempts after the one that made the kept episodes so many."""
        last = self.kept[count - 1]
        with self._reporting():
            for part in parts_of(self.parts, KEPT, FAILED, DROPPED):
                if number_of(part) > last:
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
                    merge(self.parts, self.path, overwrite=self._overwrite, own=self._own)
                discard(self.parts)
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
        with reporting(self.path, kept):
            yield

"""Writing files so that a crash or a full disk leaves the previous ones whole."""

import contextlib
import fcntl
import io
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from gym_grasp.errors import GymGraspError, UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_JSON = 2**27
"""Bytes that are read of a file of JSON."""


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that takes the place of `path` at the end, whole or not at all."""
    unfinished = path.parent / f"{path.name}.unfinished"
    try:
        with open(unfinished, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except BaseException:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an `OSError` while writing under `path` into a clear error."""
    try:
        yield
    except OSError as error:
        why = error.strerror or error
        if isinstance(error, (FileExistsError, NotADirectoryError)):
            why = "a file stands where its folder would be"
        raise GymGraspError(
            f"Cannot write {path}: {why}. What was saved before is intact; "
            "free some space or choose a writable folder, then try again (a training run that has "
            "a checkpoint goes on with `gym-grasp resume`)."
        ) from error


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file by `data` at once: readers see the old content or the new, never half."""
    write_together({path: data})


def write_together(files: Mapping[Path, bytes]) -> None:
    """Replace several files by new contents, in this order, once all of them are on the disk.

    A full disk leaves the old ones; only a process that is killed between two renames, which take
    microseconds, leaves some old and some new.
    """
    with contextlib.ExitStack() as stack:
        for path, data in reversed(list(files.items())):  # the last one opened is renamed first
            stack.enter_context(writing(path))
            path.parent.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(replacing(path))
            file.write(data)
            file.flush()
            os.fsync(file.fileno())


def check_suffix(path: Path | None, suffix: str) -> None:
    """Raise `UsageError` where the name of a file to be written, if any, ends otherwise.

    So no file of another kind, a dataset for instance, is replaced by mistake.
    """
    if path is not None and path.suffix.lower() != suffix:
        raise UsageError(
            f"What is written to {path} is {suffix[1:].upper()}; let its name end in {suffix}."
        )


def write_figure(path: Path, figure: "Figure", dpi: int = 120) -> None:
    """Write a figure of matplotlib as PNG, atomically, under this very name.

    Raises:
        GymGraspError: it cannot be written.
        UsageError: the name does not end in .png.
    """
    check_suffix(path, ".png")
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=dpi)
    write_atomically(path, image.getvalue())


def to_json(value: Any) -> bytes:
    """Return JSON for a file."""
    return (json.dumps(value, indent=1) + "\n").encode()


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically."""
    write_atomically(path, to_json(value))


def read_json(path: Path) -> Any:
    """Return what a file of JSON holds.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no JSON, or takes more than `MOST_JSON`.
    """
    if path.exists() and not path.is_file():  # such as a pipe, which would be waited for
        raise OSError(f"{path} is no file")
    try:
        if path.stat().st_size > MOST_JSON:
            raise ValueError(f"it takes more than {MOST_JSON >> 20} MiB")
        return json.loads(path.read_bytes())
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def hold(path: Path, busy: Exception, *, wait: bool = False) -> BinaryIO:
    """Open a lock file and hold it until it is closed; the system lets go when the process dies.

    Args:
        path: of the lock file.
        busy: what is raised where another process holds it.
        wait: wait for that process instead.

    Raises:
        OSError: it cannot be opened.
    """
    file = open(path, "wb", opener=_at_once)  # noqa: SIM115 - the caller closes it
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError as error:
        file.close()
        raise busy from error
    return file


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK, 0o666)  # a pipe would wait for a reader


@contextlib.contextmanager
def locked(path: Path, busy: str, *, wait: bool = False) -> Iterator[None]:
    """Hold a lock file, whose folder is made if there is none; see `hold`.

    Raises:
        GymGraspError: another process holds it, or it cannot be written.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = hold(path, GymGraspError(busy), wait=wait)
    with file:
        yield

"""Writing files so that a crash or a full disk leaves the previous ones whole."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from gym_grasp.errors import GymGraspError


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that takes the place of `path` at the end, whole or not at all."""
    unfinished = path.with_name(f"{path.name}.unfinished")
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
        raise GymGraspError(
            f"Cannot write {path}: {error.strerror or error}. What was saved before is intact; "
            "free some space or choose a writable folder, then try again (a training run goes on "
            "with `gym-grasp resume`)."
        ) from error


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file by `data` at once: readers see the old content or the new, never half."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            file.write(data)


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically."""
    write_atomically(path, (json.dumps(value, indent=1) + "\n").encode())

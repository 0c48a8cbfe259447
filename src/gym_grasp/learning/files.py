"""Writing files so that a crash or a full disk leaves the previous ones whole."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gym_grasp.errors import GymGraspError


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an `OSError` while writing under `path` into a clear error."""
    try:
        yield
    except OSError as error:
        raise GymGraspError(
            f"Cannot write {path}: {error.strerror or error}. What was saved before is intact; "
            "free some space or choose a writable folder, then continue with --resume."
        ) from error


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file by `data` at once: readers see the old content or the new, never half."""
    temporary = path.with_name(f".{path.name}.tmp")
    with writing(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically."""
    write_atomically(path, (json.dumps(value, indent=1) + "\n").encode())

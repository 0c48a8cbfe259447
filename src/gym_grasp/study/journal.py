"""An append-only journal: what was written is on the disk, whatever happens next.

One JSON object a line, numbered. A line counts once it is whole; a torn last one, of a process that
was killed while writing, is cut off when the journal is opened to go on.
"""

import errno
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from gym_grasp.closing import Closing
from gym_grasp.errors import GymGraspError
from gym_grasp.files import hold, writing

Event = dict[str, Any]


class Journal(Closing):
    """The events of one participant, held by this process until it is closed.

    Args:
        path: of the file, whose folder exists.

    Raises:
        GymGraspError: another process holds it, it is damaged, or it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        busy = f"Another process is running {path.parent.name}; let it end, or choose another one."
        with writing(path):
            self._lock: BinaryIO = hold(path.with_suffix(".lock"), GymGraspError(busy))
        try:
            self.events, self._end = _read(path)
            """What happened so far."""
            with writing(path):
                self._file = open(path, "ab", buffering=0)  # noqa: SIM115 - `close` closes it
                self._file.truncate(self._end)
        except BaseException:
            self._lock.close()
            raise

    def add(self, event: str, **values: Any) -> Event:
        """Append an event; it is on the disk when this returns.

        Raises:
            GymGraspError: it could not be written, and did not happen.
        """
        entry = {"n": len(self.events), "event": event, **values}
        data = (json.dumps(entry) + "\n").encode()
        with writing(self.path):
            try:
                written = os.write(self._file.fileno(), data)
                if written < len(data):  # a full disk
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(self._file.fileno())
            except OSError:
                self._file.truncate(self._end)
                raise
        self._end += len(data)
        self.events.append(entry)
        return entry

    def close(self) -> None:
        """Let another process go on."""
        self._file.close()
        self._lock.close()


def read_journal(path: Path) -> list[Event]:
    """Return the events of a journal, which another process may be writing.

    Raises:
        GymGraspError: it cannot be read, or is damaged.
    """
    return _read(path)[0]


def _read(path: Path) -> tuple[list[Event], int]:
    """Return the events, and up to which byte the file is whole."""
    try:
        data = path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise GymGraspError(f"{path} cannot be read: {error.strerror}.") from error
    lines = data.split(b"\n")
    torn = lines.pop()
    events: list[Event] = []
    for line in lines:
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            event = None
        if not isinstance(event, Mapping) or event.get("n") != len(events) or "event" not in event:
            raise GymGraspError(
                f"{path} is damaged in line {len(events) + 1}. Restore it from a copy; the trials "
                "beside it are whole."
            )
        events.append(dict(event))
    return events, len(data) - len(torn)

"""A file that the HDF5 library writes into and that never fails it.

The library ends the process (`abort`) where a write fails while it copies a group. So it is told
that all went well; what could not be written is kept in memory, which is little as long as `check`
is called now and then.
"""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO


class Sink(io.RawIOBase):
    """Reads and writes a file, and remembers the first failure; made by `sink`."""

    def __init__(self, raw: BinaryIO) -> None:
        self._descriptor = raw.fileno()
        self._at = self._size = 0
        self._error: OSError | None = None
        self._late: list[tuple[int, bytes]] = []
        """What came since the failure, and where it belongs, in order."""

    def check(self) -> None:
        """Raise the first failure, if there was one."""
        if self._error is not None:
            raise self._error

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def write(self, data: Any) -> int:
        rest = memoryview(data).cast("B")
        end = self._at + len(rest)
        while rest and self._error is None:
            try:
                rest = rest[os.pwrite(self._descriptor, rest, end - len(rest)) :]
            except OSError as error:
                self._error = error
        if rest:
            self._late.append((end - len(rest), bytes(rest)))
        written, self._at = end - self._at, end
        self._size = max(self._size, end)
        return written

    def readinto(self, buffer: Any) -> int:
        whole = memoryview(buffer).cast("B")
        view = whole[: max(0, self._size - self._at)]
        found = os.preadv(self._descriptor, [view], self._at) if view else 0
        view[found:] = bytes(len(view) - found)
        for start, data in self._late:
            first, last = max(start, self._at), min(start + len(data), self._at + len(view))
            if first < last:
                view[first - self._at : last - self._at] = data[first - start : last - start]
        self._at += len(view)
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        self._size = self._at if size is None else size
        try:
            os.ftruncate(self._descriptor, self._size)
        except OSError as error:
            self._error = self._error or error
        return self._size


@contextmanager
def sink(raw: BinaryIO) -> Iterator[Sink]:
    """Give HDF5 a file to write into, opened and empty.

    Raises:
        OSError: at the end, if anything could not be written.
    """
    kept = Sink(raw)
    yield kept
    kept.check()

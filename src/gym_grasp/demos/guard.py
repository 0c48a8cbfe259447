"""Reading HDF5 files of others: processes of their own do it, see `demos.tree`, never this one."""

import atexit
import functools
import json
import math
import os
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from gym_grasp.demos import tree

_QUIET = {
    "OPENBLAS_NUM_THREADS": "1",  # threads that it would not use take memory
    "HDF5_PLUGIN_PRELOAD": "::",  # load no filters from elsewhere
}


class Contents:
    """What an HDF5 file holds; made by `opened`.

    Attributes:
        nodes: every group and dataset, by its path: `/data/demo_0`.
        structure: see `tree.walk`.
    """

    def __init__(self, pipe: socket.socket, answers: BufferedReader, size: int) -> None:
        self._pipe, self._answers = pipe, answers
        self._most = tree.most_bytes(size)
        self.structure, nodes = json.loads(self._line())
        self.nodes: Mapping[str, tree.Node] = nodes
        self._below: dict[str, list[str]] = {}
        for path, (_, shape, _, _) in self.nodes.items():
            depth = 3 if path.startswith("/data/") else 2
            if shape is not None and path.count("/") >= depth:
                *group, name = path.split("/", depth)
                self._below.setdefault("/".join(group), []).append(name)

    def attributes(self, path: str) -> dict[str, Any]:
        """Return the attributes of a group or dataset; raise KeyError where there is none."""
        return self.nodes[path][0]

    def texts(self, path: str) -> Any:
        """Return the texts that a dataset outside `tree.NUMBERS` holds."""
        return self.nodes[path][3]

    def below(self, group: str) -> list[str]:
        """Return the names, from there, of all datasets in an episode's group."""
        return self._below.get(group, [])

    def read(
        self, wanted: Mapping[str, Sequence[str]]
    ) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
        """Read datasets of groups, by their names from there, group by group.

        Raises:
            ValueError: they are damaged.
        """
        paths = [f"{group}/{name}" for group, names in wanted.items() for name in names]
        try:
            self._pipe.sendall(json.dumps(paths).encode() + b"\n")
        except (BrokenPipeError, ConnectionResetError):
            self._fail()
        for group, names in wanted.items():
            values = {}
            for name in names:
                _, shape, dtype, _ = self.nodes[f"{group}/{name}"]
                size = math.prod(shape) * np.dtype(dtype).itemsize
                assert size <= self._most
                self._take()
                data = np.empty(size, np.uint8)
                if self._answers.readinto(data.data) != size:
                    self._fail()
                values[name] = data.view(dtype).reshape(shape)
            yield group, values

    def _take(self) -> None:
        """Take what stands before an answer."""
        mark = self._answers.read(1)
        if mark == b"-":
            raise ValueError(json.loads(self._answers.readline()))
        if mark != b"+":
            self._fail()

    def _line(self) -> bytes:
        self._take()
        line = self._answers.readline()
        if not line.endswith(b"\n"):
            self._fail()
        return line

    @staticmethod
    def _fail() -> NoReturn:
        raise ValueError("reading it takes too long, or crashes the HDF5 library")


@contextmanager
def opened(path: Path) -> Iterator[Contents]:
    """Open an HDF5 file that may be damaged or made to do harm.

    Whatever it does, it does to a process with little memory and little time.

    Raises:
        ValueError: the file is damaged, or holds what no dataset of ours does.
    """
    with _ask_for(os.fsencode(path.absolute())) as pipe, pipe.makefile("rb") as answers:
        yield Contents(pipe, answers, path.stat().st_size)


def _ask_for(path: bytes) -> socket.socket:
    """Return a socket to a process that answers for a file."""
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            socket.send_fds(_reader(), [path], [theirs.fileno()])
        except (BrokenPipeError, ConnectionResetError):  # someone ended it
            _reader.cache_clear()
            socket.send_fds(_reader(), [path], [theirs.fileno()])
    return ours


@functools.cache
def _reader() -> socket.socket:
    """Start the program that forks a process for each file; it ends with this process."""
    ours, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
    atexit.register(ours.close)
    with theirs:
        os.posix_spawn(
            sys.executable,
            [sys.executable, "-P", tree.__file__],
            {**os.environ, **_QUIET},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, theirs.fileno(), 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
        )
    return ours

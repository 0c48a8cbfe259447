"""Reading HDF5 files of others: a process of its own does it, see `demos.tree`, never this one."""

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

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

    def __init__(self, child: subprocess.Popen[bytes], size: int) -> None:
        self._child = child
        self._most = tree.most_bytes(size)
        self._take()
        assert child.stdout is not None
        line = child.stdout.readline()
        if not line.endswith(b"\n"):
            self._fail()
        self.structure, nodes = json.loads(line)
        self.nodes: Mapping[str, tree.Node] = nodes
        self._below: dict[str, list[str]] = {}
        for path, (_, shape, _, _) in self.nodes.items():
            if path.count("/") >= 3 and shape is not None:
                _, data, episode, name = path.split("/", 3)
                self._below.setdefault(f"/{data}/{episode}", []).append(name)

    def attributes(self, path: str) -> dict[str, Any]:
        """Return the attributes of a group or dataset; raise KeyError where there is none."""
        return self.nodes[path][0]

    def texts(self, path: str) -> Any:
        """Return the texts that a dataset outside `data` holds."""
        return self.nodes[path][3]

    def below(self, group: str) -> list[str]:
        """Return the names, from there, of all datasets in an episode's group `/data/…`."""
        return self._below.get(group, [])

    def read(
        self, wanted: Mapping[str, Sequence[str]]
    ) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
        """Read datasets of groups, by their names from there, group by group.

        Raises:
            ValueError: they are damaged.
        """
        stdin, stdout = self._child.stdin, self._child.stdout
        assert stdin is not None
        assert stdout is not None
        paths = [f"{group}/{name}" for group, names in wanted.items() for name in names]
        try:
            stdin.write(json.dumps(paths).encode() + b"\n")
            stdin.flush()
        except BrokenPipeError:
            self._fail()
        for group, names in wanted.items():
            values = {}
            for name in names:
                _, shape, dtype, _ = self.nodes[f"{group}/{name}"]
                size = math.prod(shape) * np.dtype(dtype).itemsize
                assert size <= self._most
                self._take()
                data = np.empty(size, np.uint8)
                if stdout.readinto(data.data) != size:  # type: ignore[attr-defined]
                    self._fail()
                values[name] = data.view(dtype).reshape(shape)
            yield group, values

    def _take(self) -> None:
        """Take what stands before an answer."""
        assert self._child.stdout is not None
        mark = self._child.stdout.read(1)
        if mark == b"-":
            raise ValueError(json.loads(self._child.stdout.readline()))
        if mark != b"+":
            self._fail()

    def _fail(self) -> None:
        if self._child.wait() == -signal.SIGPROF:
            raise ValueError("reading it takes too long")
        raise ValueError("reading it ended in a crash of the HDF5 library")


@contextmanager
def opened(path: Path) -> Iterator[Contents]:
    """Open an HDF5 file that may be damaged or made to do harm.

    Whatever it does, it does to a process with little memory and little time.

    Raises:
        ValueError: the file is damaged, or holds what no dataset of ours does.
    """
    command = [sys.executable, "-P", tree.__file__, os.fspath(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env={**os.environ, **_QUIET}, **pipes) as child:  # type: ignore[call-overload]
        try:
            yield Contents(child, path.stat().st_size)
        finally:
            child.kill()
            with suppress(BrokenPipeError):
                child.stdin.close()

"""Work that a GPU repeats: compiled, and captured as a CUDA graph, so that launching it is free."""

import gc
import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar, cast

import torch

Function = TypeVar("Function", bound=Callable[..., object])

WARM_UP = 3
"""Calls before the capture: libraries allocate their workspaces in them."""


@contextmanager
def no_garbage() -> Iterator[None]:
    """Keep Python from collecting garbage during a capture: to free GPU memory would end it."""
    gc.collect()
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def can_compile(device: torch.device) -> bool:
    """Return whether `torch.compile` finds what it needs to write code for a device."""
    if device.type == "cpu":
        return _finds("CXX", "g++", "clang++")
    return _finds("CC", "gcc", "clang") and importlib.util.find_spec("triton") is not None


def needed_to_compile(device: torch.device) -> str:
    """Return in words what `can_compile` looks for."""
    return "g++ or clang++" if device.type == "cpu" else "gcc or clang, and Triton"


def _finds(variable: str, *names: str) -> bool:
    given = os.environ.get(variable)
    return any(map(shutil.which, [given] if given else names))


def compiled(function: Function) -> Function:
    """Return a function, compiled for the shapes of its first call."""
    # Each environment that a process makes is another compilation of the same methods.
    dynamo = torch._dynamo.config
    dynamo.recompile_limit = max(dynamo.recompile_limit, 64)
    # Tensor cores want sizes that are multiples of 8, which actions and values are not.
    return cast(Function, torch.compile(function, dynamic=False, options={"force_shape_pad": True}))


def side_by_side(
    first: Callable[[], None], second: Callable[[], None], device: torch.device
) -> None:
    """Do two works that write nothing that the other reads; a GPU may do them at the same time."""
    if device.type != "cuda":
        first()
        second()
        return
    current, side = torch.cuda.current_stream(device), torch.cuda.Stream(device)
    side.wait_stream(current)
    with torch.cuda.stream(side):
        second()
    first()
    current.wait_stream(side)


class Captured:
    """Calls a function that reads and writes the same tensors every time.

    On the CPU it is called as it is. On a GPU its first calls are too (they are real work, not
    rehearsals, so that a run does not depend on them), then it is captured and replayed.
    """

    def __init__(self, function: Callable[[], None], device: torch.device) -> None:
        self._function = function
        self._device = device
        self._graph: torch.cuda.CUDAGraph | None = None
        self._calls = 0

    def __call__(self) -> None:
        """Do the work, on the current stream."""
        if self._device.type != "cuda":
            self._function()
        elif self._calls < WARM_UP:
            self._calls += 1
            self._warm_up()
        else:
            if self._graph is None:
                self._graph = torch.cuda.CUDAGraph()
                with no_garbage(), torch.cuda.graph(self._graph):
                    self._function()
            self._graph.replay()

    def reset(self) -> None:
        """Forget the capture, after a tensor has been replaced by another."""
        self._graph, self._calls = None, 0

    def _warm_up(self) -> None:
        # Not on the default stream, to which autograd would tie what it keeps.
        current = torch.cuda.current_stream(self._device)
        stream = torch.cuda.Stream(self._device)
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            self._function()
        current.wait_stream(stream)

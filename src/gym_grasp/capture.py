"""Work that a GPU repeats, captured once as a CUDA graph so that launching it costs nothing."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

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

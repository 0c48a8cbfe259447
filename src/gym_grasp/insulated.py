"""Calls whose results do not depend on how the caller has set torch up."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import wraps
from typing import Any, TypeVar, cast

import torch

Function = TypeVar("Function", bound=Callable[..., Any])

_within = threading.local()
_NOTHING = nullcontext()


def _modes_left() -> AbstractContextManager[Any]:
    """Leave inference mode and autocast, where the caller is in one of them."""
    casts = [device for device in ("cpu", "cuda") if torch.is_autocast_enabled(device)]
    if not (casts or torch.is_inference_mode_enabled()):
        return _NOTHING
    stack = ExitStack()
    stack.enter_context(torch.inference_mode(False))
    for device in casts:
        stack.enter_context(torch.autocast(device, enabled=False))
    return stack


def insulated(function: Function) -> Function:
    """Return a function that runs on torch's own settings, and leaves the caller's as they are.

    Neither gradients nor inference mode: what is written in place here lives on, and a graph or an
    inference tensor in it would make every later step fail. No autocast, and float32 where nothing
    is said. One thread: tensors are small here, and the cores belong to the physics; handing an
    operation of 1,024 rows to a second thread costs more than it saves, and while the other cores
    are busy it can cost a hundred times more.
    """

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if getattr(_within, "active", False):
            return function(*args, **kwargs)
        threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
        _within.active = True
        try:
            if threads != 1:
                torch.set_num_threads(1)
            if dtype != torch.float32:
                torch.set_default_dtype(torch.float32)
            with _modes_left(), torch.no_grad():
                return function(*args, **kwargs)
        finally:
            _within.active = False
            if threads != 1:
                torch.set_num_threads(threads)
            if dtype != torch.float32:
                torch.set_default_dtype(dtype)

    return cast(Function, call)

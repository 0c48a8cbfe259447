"""How many threads torch uses."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread: tensors are small here, and the cores belong to the physics.

    Handing an operation of 1,024 rows to a second thread costs more than it saves, and while the
    other cores are busy it can cost a hundred times more.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)

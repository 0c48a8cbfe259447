"""Several processes that train one policy: each has environments of its own, all share the rest.

Started by `torchrun`, one process a GPU. Without it everything here is for one process, and free.
"""

import contextlib
import os
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from gym_grasp.errors import GymGraspError, UsageError
from gym_grasp.learning.heart import Heart

TIMEOUT = timedelta(minutes=10)
"""Longest wait for processes that live: one may write a large checkpoint meanwhile."""

_control: dist.ProcessGroup | None = None
"""For messages between the hosts' memories, whatever the devices are."""
_heart: Heart | None = None
"""Tells the others that this process lives, and hears who does not."""


@contextlib.contextmanager
def joined(device: str) -> Iterator[str]:
    """Join the processes that `torchrun` started, if it did.

    Args:
        device: cpu or cuda; with several processes a host, each takes the GPU of its local rank.

    Yields:
        The device of this process.

    Raises:
        UsageError: One certain GPU is asked for, or the host has fewer GPUs than processes.
    """
    global _control, _heart
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        yield device
        return
    backend, own = "gloo", device
    if device.startswith("cuda"):
        local = int(os.environ["LOCAL_RANK"])
        if device != "cuda":
            raise UsageError(
                f"Device is '{device}' and there are several processes, which take a GPU each; "
                "give --device cuda."
            )
        if local >= torch.cuda.device_count():
            raise UsageError(
                f"Process {local} of this host finds {torch.cuda.device_count()} GPUs; start at "
                "most as many processes (--nproc-per-node)."
            )
        backend, own = "nccl", f"cuda:{local}"
        torch.cuda.set_device(local)
    store, rank, size = next(rendezvous("env://"))
    _heart = Heart(store.clone(), rank, size)
    try:
        dist.init_process_group(backend, timeout=TIMEOUT, store=store, rank=rank, world_size=size)
        _control = dist.new_group(backend="gloo", timeout=TIMEOUT)
        yield own
        _heart.leave()
        dist.destroy_process_group()
    except BaseException:
        _heart.stop()  # the group is not left in order: the others may not answer
        raise
    finally:
        _control = _heart = None


def rank() -> int:
    """Return this process' number; 0 writes files and reports."""
    return dist.get_rank() if dist.is_initialized() else 0


def size() -> int:
    """Return the number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def own_seed(seed: int) -> int:
    """Return a seed for what each process draws for itself, `seed` in the first."""
    return (seed + rank() * 0x9E3779B1) % 2**32  # torch's CPU generator takes 32 bits


def threads() -> int:
    """Return this process' share of the host's cores; 0, all of them, where it is alone."""
    if not dist.is_initialized():
        return 0
    return max(1, len(os.sched_getaffinity(0)) // int(os.environ["LOCAL_WORLD_SIZE"]))


def average(tensor: Tensor) -> Tensor:
    """Replace a tensor by its mean over the processes, in place; returns it."""
    if dist.is_initialized():
        dist.all_reduce(tensor)
        tensor.div_(size())
    return tensor


def average_number(value: float) -> float:
    """Return the mean of a number of the host over the processes, the same on each."""
    if not dist.is_initialized():
        return value
    numbers = torch.tensor([value], dtype=torch.float64)
    dist.all_reduce(numbers, group=_control)
    return float(numbers) / size()


def most(number: int) -> int:
    """Return the largest of the processes' numbers of the host, the same on each."""
    if not dist.is_initialized():
        return number
    numbers = torch.tensor([number])
    dist.all_reduce(numbers, dist.ReduceOp.MAX, group=_control)
    return int(numbers)


def moments(batch: Tensor) -> tuple[Tensor, Tensor, int]:
    """Return mean (D,), variance (D,) and number of all processes' rows of (..., D) together.

    Every process has to bring as many rows.
    """
    rows = batch.reshape(-1, batch.shape[-1])
    var, mean = torch.var_mean(rows, dim=0, correction=0)
    if not dist.is_initialized():
        return mean, var, len(rows)
    own = torch.stack((mean, var))
    everyone = [torch.empty_like(own) for _ in range(size())]
    dist.all_gather(everyone, own)
    means, variances = torch.stack(everyone).unbind(1)
    mean, between = means.mean(0), means.var(0, correction=0)
    return mean, variances.mean(0) + between, len(rows) * size()


def gather(value: Any) -> list[Any]:
    """Return what each process brought, in their order, to process 0; to the others nothing."""
    if not dist.is_initialized():
        return [value]
    values: list[Any] = [None] * size()
    dist.gather_object(value, values if rank() == 0 else None, group=_control)
    return values if rank() == 0 else []


@contextlib.contextmanager
def naming_the_dead() -> Iterator[None]:
    """Turn the failure of talking to the others into an error that names who is gone."""
    try:
        yield
    except RuntimeError as error:
        if _heart is None:
            raise
        gone = _heart.silent()
        if not gone:
            raise
        raise GymGraspError(_heart.blame(gone)) from error

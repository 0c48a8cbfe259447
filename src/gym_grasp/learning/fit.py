"""Whether what a checkpoint holds can take the place of what a learner has."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


def check_fit(found: Any, own: Any, name: str) -> None:
    """Raise `ValueError` unless a value has the form of our own, and its numbers are finite.

    Torch checks little of it: its fused optimisers, for one, read and write beyond tensors that
    are too small.

    Args:
        found: what a file holds: a tensor, None, or nested dictionaries of them.
        own: of the same names, shapes and types.
        name: what to call it.
    """
    if isinstance(own, Mapping):
        if not isinstance(found, Mapping) or found.keys() != own.keys():
            has = f"has {[*found]}" if isinstance(found, Mapping) else f"is {found!r}"
            raise ValueError(f"{name} {has}, but has to have {[*own]}")
        for key, value in own.items():
            check_fit(found[key], value, f"{name}.{key}")
    elif isinstance(own, Tensor):
        wanted = f"{own.dtype} of shape {tuple(own.shape)}"
        if not isinstance(found, Tensor):
            raise ValueError(f"{name} is a {type(found).__name__}, but has to be {wanted}")
        plain = found.layout == torch.strided and found.is_contiguous()
        if not plain or (found.dtype, found.shape) != (own.dtype, own.shape):
            kind = f"{found.dtype} of shape {tuple(found.shape)}{'' if plain else ', not dense'}"
            raise ValueError(f"{name} is {kind}, but has to be {wanted}")
        if not found.isfinite().all():
            raise ValueError(f"{name} holds NaN or infinity")
    elif type(found) is not type(own):
        raise ValueError(f"{name} is {found!r}, but has to be {own!r}")


def check_learner(state: Any, own: Mapping[str, Any], parameters: Sequence[Tensor]) -> None:
    """Raise `ValueError` unless a learner can go on from a state; `own` is what it has itself.

    The optimiser's settings are not looked at: they are those of the run, and the file's not taken.
    """
    for name in ("model", "learning_rate"):
        check_fit(state[name], own[name], name)
    if moments := state["optimizer"]["state"]:  # none before the first update
        one = torch.zeros(())
        wanted = [{"step": one, "exp_avg": p, "exp_avg_sq": p} for p in parameters]
        check_fit(moments, dict(enumerate(wanted)), "optimizer")


def check_random(state: Any, own: Mapping[str, Any]) -> None:
    """Raise `ValueError` unless random numbers can go on from a state; the sampler checks its."""
    for name in own.keys() - {"sampler"}:
        if name != "cuda_rng" or own[name] is not None:  # else none is put back
            check_fit(state[name], own[name], name)

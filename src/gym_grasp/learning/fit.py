"""Whether what a checkpoint holds can take the place of what a learner has."""

from collections.abc import Mapping
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

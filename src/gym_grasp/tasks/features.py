"""Observations as features: what each holds, and the one place that packs them into a vector."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from math import prod
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from gym_grasp.errors import UsageError

POLICY = "policy"
"""The group of features that policies act on."""

Array = TypeVar("Array", Tensor, np.ndarray)


@dataclass(frozen=True)
class Feature:
    """One observed quantity of a simulation."""

    description: str
    """What it is, with its frame."""
    unit: str
    """Such as `m` or `rad`; `1` for none; `m, 1` of a pose: see `units`."""
    components: tuple[str, ...]
    """Names of its values along the last axis."""
    shape: tuple[int, ...] = ()
    """Of one simulation's value; by default one axis of the components."""
    dtype: str = "float32"
    groups: tuple[str, ...] = (POLICY,)
    """Who gets it: `policy`, `critic`, or any other name."""

    def __post_init__(self) -> None:
        """Derive the shape, and raise `UsageError` unless it has as many components."""
        for name in ("components", "groups", "shape"):
            value = getattr(self, name)
            if not isinstance(value, tuple) or not (value or name == "shape"):
                raise UsageError(f"{name} of a feature is {value!r}; expected a tuple, not empty.")
        if not self.shape:
            object.__setattr__(self, "shape", (len(self.components),))
        if self.shape[-1] != len(self.components):
            raise UsageError(
                f"A feature of shape {self.shape} has {len(self.components)} components: "
                f"{', '.join(self.components)}; expected {self.shape[-1]}, the last axis."
            )
        try:
            np.dtype(self.dtype)
        except TypeError as error:
            raise UsageError(f"dtype of a feature is {self.dtype!r}, which NumPy lacks.") from error

    @property
    def units(self) -> tuple[str, ...]:
        """Unit of each component: `unit`, or in a pose the second one for the rotation's."""
        position, _, rotation = self.unit.partition(", ")
        return tuple(
            rotation if rotation and name.startswith("rotation ") else position
            for name in self.components
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; `from_dict` takes them back."""
        return {
            "description": self.description,
            "unit": self.unit,
            "components": list(self.components),
            "shape": list(self.shape),
            "dtype": self.dtype,
            "groups": list(self.groups),
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> "Feature":
        """Return the feature that `to_dict` described.

        Raises:
            KeyError: `components`, `shape` or `groups` is missing.
            TypeError: it is no mapping, or another name is missing or unknown.
            UsageError: a value does not fit the others.
        """
        lists = {key: tuple(value[key]) for key in ("components", "shape", "groups")}
        return cls(**{**value, **lists})


def scalar(description: str, unit: str) -> Feature:
    """Return a feature of one value."""
    return Feature(description, unit, ("value",))


def pose(what: str) -> Feature:
    """Return the feature of a pose, as `Task.pose_of_body` gives it: 9 values."""
    columns = [f"rotation {axis}{column}" for column in "xy" for axis in "xyz"]
    return Feature(
        f"{what}: position [m] and first two columns of the rotation matrix, world",
        "m, 1",
        ("x", "y", "z", *columns),
    )


class Packer:
    """Packs the features of one group side by side, keys sorted; works on tensors and arrays.

    Args:
        features: all features of an environment, by key.
        group: which of them.

    Raises:
        UsageError: a feature of the group is not float32 with one axis.
    """

    def __init__(self, features: Mapping[str, Feature], group: str = POLICY) -> None:
        chosen = {key: features[key] for key in sorted(features) if group in features[key].groups}
        for key, feature in chosen.items():
            if feature.dtype != "float32" or len(feature.shape) != 1:
                raise UsageError(
                    f"The feature '{key}' is {feature.dtype} of shape {feature.shape}; in the "
                    f"group '{group}' features are packed into one vector: float32 with one axis."
                )
        self.group = group
        """Which features it packs."""
        self.layout = {key: prod(feature.shape) for key, feature in chosen.items()}
        """Width of each feature, in the order in which they stand side by side."""
        self.size = sum(self.layout.values())
        """Number of values."""
        self.names = tuple(
            key if feature.components == ("value",) else f"{key}.{component}"
            for key, feature in chosen.items()
            for component in feature.components
        )
        """Name of each value."""
        self.units = tuple(unit for feature in chosen.values() for unit in feature.units)
        """Unit of each value."""

    def pack(self, entries: Mapping[str, Array]) -> Array:
        """Put entries (..., D) side by side: (..., size).

        Raises:
            UsageError: the group is empty.
        """
        if not self.layout:
            raise UsageError(f"No feature is of the group '{self.group}'.")
        values = [entries[key] for key in self.layout]
        if isinstance(values[0], Tensor):
            return torch.cat(values, dim=-1)
        return np.concatenate(values, axis=-1)

    def unpack(self, flat: Array) -> dict[str, Array]:
        """Cut (..., size) into entries (..., D) by key.

        Raises:
            ValueError: the last axis has another size.
        """
        if flat.shape[-1] != self.size:
            raise ValueError(
                f"observations are {flat.shape[-1]} wide, but the layout adds up to {self.size}"
            )
        ends = list(accumulate(self.layout.values()))
        return {
            key: flat[..., end - width : end]
            for (key, width), end in zip(self.layout.items(), ends, strict=True)
        }

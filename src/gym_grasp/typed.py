"""Values from files, checked against the types that dataclasses declare."""

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar, get_type_hints

from typeguard import CollectionCheckStrategy, TypeCheckError, check_type

T = TypeVar("T")

CRAFTED = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What the content of a file raises that has other types or shapes than ours."""


def check_types(instance: Any) -> None:
    """Raise `TypeError` for the first field of a dataclass that is not of its declared type."""
    hints = get_type_hints(type(instance))
    for one in dataclasses.fields(instance):
        value = getattr(instance, one.name)
        try:
            check_type(
                value, hints[one.name], collection_check_strategy=CollectionCheckStrategy.ALL_ITEMS
            )
        except TypeCheckError as error:
            raise TypeError(f"{one.name} is {value!r}: {error}") from error


def construct(kind: type[T], values: Any) -> T:
    """Return a dataclass of values that a file holds.

    Raises:
        TypeError: they are no mapping, a name is unknown or missing, or a value of another type;
            further what the dataclass itself raises.
    """
    if not isinstance(values, Mapping) or not all(isinstance(name, str) for name in values):
        raise TypeError(f"{kind.__name__} is {values!r}, but has to be names with values")
    instance = kind(**values)
    check_types(instance)
    return instance

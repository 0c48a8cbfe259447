"""Registries: names of tasks, operators, robots and devices, and where their code lives.

A package enters its own by an entry point of the group `gym_grasp`, which names a module that
calls `register_task` and its like when it is imported:

    [project.entry-points.gym_grasp]
    my_package = "my_package"

It is imported when a name is looked up that is not known yet, or when all names are asked for.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from gym_grasp.errors import UsageError, unknown

log = logging.getLogger(__name__)

GROUP = "gym_grasp"
"""Group of the entry points."""


@dataclass
class Registry:
    """Names of one kind, each with `module:attribute`, which is imported when it is asked for."""

    kind: str
    """What it registers, for messages: "task", "robot", …"""
    targets: dict[str, str] = field(default_factory=dict)
    """Where each lives, in the order of registration."""

    def register(self, name: str, target: str) -> None:
        """Enter a name; entering the same again changes nothing.

        Raises:
            UsageError: the name is taken by another, or the target is no `module:attribute`.
        """
        if not isinstance(name, str) or not name:
            raise UsageError(f"A {self.kind} is registered as {name!r}; expected a name.")
        if not isinstance(target, str) or not all(target.partition(":")):
            raise UsageError(
                f"The {self.kind} '{name}' is registered as '{target}'; expected "
                "'module:attribute'."
            )
        taken = self.targets.setdefault(name, target)
        if taken != target:
            raise UsageError(
                f"The {self.kind} '{name}' is registered already, as {taken}; choose another name "
                f"for {target}."
            )

    def load(self, name: str) -> Any:
        """Import and return what is registered under a name.

        Raises:
            UsageError: nothing is, or what is registered does not exist; what its own module raises
                as it is imported comes as it is.
        """
        if name not in self:
            raise unknown(self.kind, name, self)
        module, _, attribute = self.targets[name].partition(":")
        try:
            return getattr(import_module(module), attribute)
        except (ModuleNotFoundError, AttributeError) as error:
            if isinstance(error, ModuleNotFoundError) and not f"{module}.".startswith(
                f"{error.name}."
            ):
                raise
            raise UsageError(
                f"The {self.kind} '{name}' is registered as {self.targets[name]}, which does not "
                "exist; mend the registration."
            ) from error

    def __contains__(self, name: object) -> bool:
        """Whether the name is registered, here or by an installed package."""
        if not isinstance(name, str):
            return False
        if name not in self.targets:
            load_plugins()
        return name in self.targets

    def __iter__(self) -> Iterator[str]:
        """All names, those of installed packages too."""
        load_plugins()
        return iter(list(self.targets))

    def __len__(self) -> int:
        """Return the number of names."""
        load_plugins()
        return len(self.targets)


@cache
def load_plugins() -> None:
    """Import what installed packages enter, once; one that fails is left out with a warning."""
    for point in entry_points(group=GROUP):
        try:
            point.load()
        except Exception as error:
            log.warning(
                "The package behind the entry point '%s' (%s) is left out: %s: %s",
                point.name,
                point.value,
                type(error).__name__,
                error,
            )

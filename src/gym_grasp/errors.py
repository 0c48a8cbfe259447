"""Errors that a user can act on; the command line prints them in one line."""

import difflib
from collections.abc import Iterable


class GymGraspError(Exception):
    """Something is wrong that the user can mend; the message says what and how."""

    exit_code = 1


class UsageError(GymGraspError):
    """The request itself is wrong: an unknown name, a value out of range."""

    exit_code = 2


class DatasetError(GymGraspError):
    """A demonstration file is missing, damaged, or made for something else."""


class CheckpointError(GymGraspError):
    """A run or checkpoint is missing, damaged, or made by another version."""


class DependencyError(GymGraspError):
    """A system package or an optional extra is missing; the message names it."""

    exit_code = 2


def unknown(kind: str, name: object, known: Iterable[str]) -> UsageError:
    """Return the error for a name that is not among the known ones, or no name at all.

    >>> str(unknown("task", "open-drawr", ["open-door", "open-drawer"]))
    "Unknown task 'open-drawr'. Did you mean 'open-drawer'? Known: open-door, open-drawer."
    """
    known = sorted(known)
    name = name if isinstance(name, str) else repr(name)
    close = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    return UsageError(f"Unknown {kind} '{name}'.{hint} Known: {', '.join(known)}.")

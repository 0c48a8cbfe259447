"""Errors that a user can act on; the command line prints them in one line."""

import difflib
import sys
from collections.abc import Iterable
from types import TracebackType


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


def reason(error: object, most: int = 300) -> str:
    """Return what an error says in one printable line, for a message of our own.

    >>> reason(ValueError("bad\\nvalue: \\x00."))
    'bad value: \\\\x00'
    """
    if isinstance(error, KeyError) and error.args:
        error = f"{error.args[0]!r} is missing"
    words = " ".join(str(error).split()).rstrip(".")
    text = "".join(one if one.isprintable() else repr(one)[1:-1] for one in words)
    return text if len(text) <= most else f"{text[:most]}…"


def unknown(kind: str, name: object, known: Iterable[str]) -> UsageError:
    """Return the error for a name that is not among the known ones, or no name at all.

    >>> str(unknown("task", "open-drawr", ["open-door", "open-drawer"]))
    "Unknown task 'open-drawr'. Did you mean 'open-drawer'? Known: open-door, open-drawer."
    """
    known = sorted(known)
    name = reason(name if isinstance(name, str) else repr(name))
    close = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    return UsageError(f"Unknown {kind} '{name}'.{hint} Known: {', '.join(known)}.")


def end_in_a_line() -> None:
    """Let errors of ours end a process that `python -m` began as they do on the command line.

    For packages with modules that are run so: Python imports them before what it is to run.
    """
    if sys.argv[:1] != ["-m"]:
        return
    before = sys.excepthook

    def told(
        kind: type[BaseException], error: BaseException, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, GymGraspError):
            print(f"gym-grasp: error: {error}", file=sys.stderr)
        else:
            before(kind, error, traceback)

    sys.excepthook = told

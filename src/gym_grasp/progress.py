"""How far something is: a bar on standard error where that is a terminal, and nothing elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Tell = Callable[[float], None]
"""Takes how much is done."""

_shown: list[Progress] = []


@contextmanager
def bar(what: str, total: float, unit: str = "episodes") -> Iterator[Tell]:
    """Show a bar while something goes on; what is printed meanwhile appears above it.

    Within one that is shown already there is no second one.

    Args:
        what: what goes on, such as "recording".
        total: how much there is to do.
        unit: what is counted.

    Yields:
        A function that takes how much is done.
    """
    console = Console(file=sys.stderr)
    if not console.is_terminal or _shown:
        yield lambda done: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f} {task.fields[unit]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, redirect_stdout=False) as shown:
        task = shown.add_task(what, total=total, unit=unit)
        _shown.append(shown)
        try:
            yield lambda done: shown.update(task, completed=min(done, total))
        finally:
            _shown.remove(shown)


def is_shown() -> bool:
    """Whether a bar is being shown, so that no other may be."""
    return bool(_shown)

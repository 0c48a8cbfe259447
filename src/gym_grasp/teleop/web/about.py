"""What a host offers besides its session."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gym_grasp.teleop.session.session import Session


@dataclass(frozen=True)
class About:
    """What the page has to know of the host."""

    moved_by: str = "human"
    """Whose movements drive; see `devices.base.Moved`."""
    controls: Mapping[str, str] | None = None
    """What the device's own controls for clutch, next, reset and discard are called; None: it has
    none, or the page drives, which knows its own."""
    waits: bool = False
    """Whether the session stands still while nobody watches."""
    tasks: Mapping[str, str] = field(default_factory=dict)
    """Tasks that the operator may go on with, and what each is about; empty: there is no choice."""
    begin: Callable[[str], Session] | None = None
    """Ends the present session and returns one of another task; called in a thread of its own.
    Raises `GymGraspError`, and the present session goes on."""

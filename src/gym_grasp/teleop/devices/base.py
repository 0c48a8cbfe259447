"""What a device is to `gym-grasp teleop`: options on the command line, and how they open it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.teleop.hand.input import Device
from gym_grasp.teleop.web.page import PageDevice

Moved = Literal["human", "synthetic", "playback"]
"""Whose movements a dataset holds."""


@dataclass(frozen=True)
class DeviceContext:
    """What a device may need to know of the session that it drives."""

    env: GraspVectorEnv
    """The session's environment, of one simulation."""
    operator: str
    """Name of the person, whose calibration is used."""
    say: Callable[[str], None]
    """Tells the person something, before the session begins."""


@dataclass(frozen=True)
class OpenedDevice:
    """A device that is ready, and what the session has to know of it."""

    device: Device
    moved_by: Moved = "human"
    """Who is recorded as the operator."""
    first_seed: int | None = None
    """Seed of the first episode, where it has to be a certain one."""
    page: PageDevice | None = None
    """The same device, where a browser's page drives; None: every page only watches."""
    browse: bool = False
    """Whether to open the page in this machine's browser."""
    shown: bool = False
    """Whether it is there to be looked at: nothing is written unless asked for, and without
    anybody who watches it stands still, unless it writes."""
    controls: Mapping[str, str] | None = None
    """What its controls for `clutch`, `next`, `reset` and `discard` are called, such as "left
    trigger"; None: it has none, or is the page."""


class DeviceOptions(Protocol):
    """What `register_device` takes: a frozen dataclass, each of whose fields becomes a flag.

    A field's docstring becomes the flag's help; a field without a default has to be given.
    """

    __dataclass_fields__: ClassVar[dict[str, object]]

    def open(self, context: DeviceContext) -> OpenedDevice:
        """Connect to the device.

        Raises:
            GymGraspError: it is not there; the message says what to start or install. Nothing
                stays open.
        """
        ...

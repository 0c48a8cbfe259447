"""Robots: an arm and a hand each; their MJCF, names, limits, couplings, and every number's source.

A new hand is a Python file, its MJCF and a line in `HANDS` here, or `register_hand` in a package
of its own; likewise an arm. Any arm with any hand makes a robot, named ARM-HAND.
"""

from functools import cache
from typing import TYPE_CHECKING, Any

from gym_grasp.errors import UsageError, unknown
from gym_grasp.registry import Registry

if TYPE_CHECKING:
    from gym_grasp.robots.base import Part
    from gym_grasp.robots.robot import Robot

DEFAULT_ROBOT = "ur5-sih"

ARMS = Registry("arm", {"ur5": "gym_grasp.robots.ur5:UR5", "panda": "gym_grasp.robots.panda:PANDA"})
HANDS = Registry(
    "hand",
    {
        "sih": "gym_grasp.robots.sih:SIH",
        "leap": "gym_grasp.robots.leap:LEAP",
        "allegro": "gym_grasp.robots.allegro:ALLEGRO",
        "shadow": "gym_grasp.robots.shadow:SHADOW",
    },
)


def register_arm(name: str, target: str) -> None:
    """Enter an arm of another package; `target` is `module:attribute` of an `Arm`."""
    ARMS.register(name, target)


def register_hand(name: str, target: str) -> None:
    """Enter a hand of another package; `target` is `module:attribute` of a `Hand`."""
    HANDS.register(name, target)


@cache
def load_robot(name: str) -> "Robot":
    """Return the robot of a name such as `ur5-sih`.

    Raises:
        UsageError: arm or hand is unknown, or what is registered is none of that name.
    """
    from gym_grasp.robots.base import Arm, Hand
    from gym_grasp.robots.robot import Robot

    for cut in (index for index, letter in enumerate(name) if letter == "-"):
        arm, hand = name[:cut], name[cut + 1 :]
        if arm in ARMS and hand in HANDS:
            return Robot(_load(ARMS, arm, Arm), _load(HANDS, hand, Hand))
    raise unknown("robot", name, robot_names())


def _load(registry: Registry, name: str, kind: "type[Part]") -> Any:
    part = registry.load(name)
    if not isinstance(part, kind) or part.name != name:
        what = f"{type(part).__name__} '{getattr(part, 'name', '')}'"
        raise UsageError(
            f"The {registry.kind} '{name}' is registered as {registry.targets[name]}, which is a "
            f"{what}; expected {kind.__name__} '{name}'."
        )
    return part


def robot_names() -> list[str]:
    """Return the names of all robots: each arm with each hand."""
    return [f"{arm}-{hand}" for arm in ARMS for hand in HANDS]

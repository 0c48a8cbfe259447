"""What a robot is made of: an arm and a hand, as data. `robots.robot` joins them.

Frames: the arm's MJCF says where it stands in the world, whose origin is in the middle of the
table's front edge, x away from the robot, z up. Its flange site has z out of the flange; a hand's
`mount` says where its palm frame is in it. The palm frame has z along
the fingers, y out of the palm and x across it, from index to little finger; its site is `wrist`.

In a compiled scene the elements of the arm are named `arm/…`, those of the hand `hand/…`, and the
robot's joints, actuators and couplings come before all others.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from gym_grasp.errors import UsageError
from gym_grasp.robots.grasps import GRASPS, Grasp, Grasps

MOUNT_BODY: Final = "robot"
"""Body of every scene (see `physics.xml`) that carries the robot; the first one."""
ARM, HAND = "arm/", "hand/"
"""Prefixes of the names of their elements in a scene."""

HUMAN_FLEXIONS: Final = ("thumb_rotation", "thumb", "index", "middle", "ring")
"""What is known of a person's hand, each from 0, open (thumb beside the palm), to 1, closed (thumb
opposed); the little finger goes with the ring finger."""
HUMAN_FINGERS: Final = ("thumb", "index", "middle", "ring", "little")
"""What a finger of a hand may stand for."""

_PER_JOINT = (
    "limits",
    "speeds",
    "torques",
    "drive_of_joint",
    "open",
    "closed",
)


@dataclass(frozen=True, eq=False)
class Part:
    """What an arm and a hand have in common: joints, and position servos named after theirs."""

    name: str
    mjcf: Path
    """Its model; joints and actuators stand in the order of `joints`. An arm has an actuator for
    each joint, a hand for each that is `actuated`."""
    joints: tuple[str, ...]
    """Their names, in order."""
    limits: tuple[tuple[float, float], ...]
    """Joint ranges, in rad."""
    speeds: tuple[float, ...]
    """Highest joint speeds, in rad/s."""
    torques: tuple[float, ...]
    """Highest joint torques, in N·m. Of joints that share a servo each has its part of it."""

    def __post_init__(self) -> None:
        """Raise `UsageError` unless what each joint has is there for each joint."""
        for name in _PER_JOINT:
            count = len(getattr(self, name, self.joints))
            if count != len(self.joints):
                raise UsageError(
                    f"'{self.name}' has {len(self.joints)} joints, but {count} {name}; each joint "
                    "has one."
                )


@dataclass(frozen=True)
class Reach:
    """Where an arm moves well: in one configuration, away from singularities.

    The wrist centre is a point fixed to the flange that the last joints turn the hand about.
    """

    wrist_centre: tuple[float, float, float]
    """The wrist centre in the flange frame, in m."""
    shoulder: tuple[float, float, float]
    """Point that the wrist centre's distance is measured from, world, in m."""
    nearest: float
    """Least distance of the wrist centre from the shoulder, in m."""
    farthest: float
    """Most distance of the wrist centre from the shoulder, in m."""
    clearance: float
    """Least distance of the wrist centre from the vertical axis through the shoulder, in m."""
    lowest: float
    """Least height of the wrist centre above the table, in m: its housings clear it."""
    comfort: tuple[tuple[float, float], ...]
    """Range of each joint that it is kept in, in rad: beyond it the arm changes its
    configuration or turns too far. Within `margin` of its ends a joint is held back."""
    margin: float
    """Width of the zone before the ends of `comfort`, in rad."""
    bent: tuple[str, ...]
    """Joints whose sine is small where the arm is singular, such as elbow and wrist."""


@dataclass(frozen=True, eq=False)
class Arm(Part):
    """An arm: a serial chain of hinges."""

    home: tuple[float, ...]
    """Joint angles of the start pose, in rad: palm down, fingers along x. It returns to this
    posture where the task leaves it free."""
    reach: Reach
    """Where it moves well."""
    payload: float = math.inf
    """Heaviest hand that it carries, in kg."""
    flange: str = "flange"
    """Site to which a hand is mounted."""


@dataclass(frozen=True, eq=False)
class Finger:
    """A finger with a fingertip that feels."""

    name: str
    """The human finger that it stands for, of `HUMAN_FINGERS`; no two of a hand are the same."""
    tip: str
    """Site on the pad of its tip."""
    pads: tuple[str, ...]
    """Geoms whose contacts it feels."""
    drive: str
    """The drive that closes it, and whose motion its brake resists."""


@dataclass(frozen=True, eq=False)
class Hand(Part):
    """A hand: joints that follow fewer drives. A drive runs from 0, open, to 1, closed."""

    drives: tuple[str, ...]
    """What is commanded."""
    drive_of_joint: tuple[str, ...]
    """Which drive moves each joint."""
    closed: tuple[float, ...]
    """Angle of each joint where its drive is 1, in rad."""
    fingers: tuple[Finger, ...]
    """Thumb first."""
    home: tuple[float, ...]
    """Drives of the start pose: open, the thumb opposed to the fingers."""
    flexion_to_drives: tuple[tuple[float, ...], ...]
    """Retargeting: how much of each of `HUMAN_FLEXIONS` goes into each drive. One row a drive."""
    mount_position: tuple[float, float, float]
    """Its palm frame in the arm's flange frame, in m."""
    mount_quaternion: tuple[float, float, float, float]
    """The same, w x y z."""
    flexion_offset: tuple[float, ...] = ()
    """What is added to each drive: its value where the person's hand is open; by default 0."""
    open: tuple[float, ...] = ()
    """Angle of each joint where its drive is 0, in rad; by default 0."""
    actuated: tuple[str, ...] = ()
    """Joints with a servo, among them the first of each drive; by default all. `Robot.attach`
    couples the others to the first of their drive: they open and close together."""
    grasps: Grasps = field(default_factory=dict)
    """How operators' scripts hold things with it: without a kind they do not; none: `GRASPS`."""
    wrist: str = "wrist"
    """Site of the palm frame, which is controlled."""
    palm: str = "palm"
    """Site on the palm's surface."""

    def __post_init__(self) -> None:
        """Fill in what was left out; raise `UsageError` for the first rule that the data break."""
        if not self.open:
            object.__setattr__(self, "open", (0.0,) * len(self.joints))
        if not self.flexion_offset:
            object.__setattr__(self, "flexion_offset", (0.0,) * len(self.drives))
        if not self.actuated:
            object.__setattr__(self, "actuated", self.joints)
        super().__post_init__()
        drives, names = set(self.drives), [finger.name for finger in self.fingers]
        rows = [len(row) for row in self.flexion_to_drives]
        first = [self.joints[self.drive_of_joint.index(d)] for d in drives & {*self.drive_of_joint}]
        still = [one for one in self.joints if self.angles(one)[0] == self.angles(one)[1]]
        for good, rule in (
            (set(self.drive_of_joint) == drives, "drive_of_joint names every drive and no other"),
            ({finger.drive for finger in self.fingers} <= drives, "a finger's drive is of drives"),
            (set(names) <= set(HUMAN_FINGERS), f"fingers are of {', '.join(HUMAN_FINGERS)}"),
            (len(set(names)) == len(names), "no two fingers have one name"),
            (names[:1] == ["thumb"] and len(names) > 1, "fingers are the thumb, then others"),
            (
                rows == [len(HUMAN_FLEXIONS)] * len(drives),
                f"flexion_to_drives has a row for each drive, of {len(HUMAN_FLEXIONS)} values",
            ),
            (
                len(self.flexion_offset) == len(drives),
                "flexion_offset has a value for each drive",
            ),
            (len(self.home) == len(drives), "home has a value for each drive"),
            (all(0 <= value <= 1 for value in self.home), "home is within [0, 1]"),
            (not still, "each joint moves: its open and closed angles differ"),
            (
                self.actuated == tuple(name for name in self.joints if name in self.actuated),
                "actuated names joints, in their order",
            ),
            (set(first) <= set(self.actuated), "the first joint of each drive is actuated"),
            (set(self.grasps) <= set(GRASPS), f"grasps are of {', '.join(GRASPS)}"),
        ):
            if not good:
                raise UsageError(f"The hand '{self.name}' is not well described: {rule}.")

    def grasps_of(self, kind: str) -> Mapping[str, Grasp]:
        """Return the grasps of a kind of thing, such as `bar`, by strategy.

        Raises:
            UsageError: it brings grasps, but none of this kind.
        """
        grasps = self.grasps or GRASPS
        if kind not in grasps:
            raise UsageError(
                f"The hand '{self.name}' has no grasp of a {kind}, which operators of this task "
                f"need; it has those of {', '.join(grasps)}. Add one to its `grasps`, or record "
                "with `gym-grasp teleop`."
            )
        return grasps[kind]

    def angles(self, joint: str) -> tuple[float, float]:
        """Return the open and the closed angle of a joint, in rad."""
        index = self.joints.index(joint)
        return self.open[index], self.closed[index]

    @cached_property
    def drive_speeds(self) -> tuple[float, ...]:
        """How fast each drive may move for none of its joints to exceed its speed, in ranges/s."""
        travel = zip(self.drive_of_joint, self.open, self.closed, self.speeds, strict=True)
        fastest = [(drive, speed / abs(end - start)) for drive, start, end, speed in travel]
        return tuple(min(speed for name, speed in fastest if name == one) for one in self.drives)

    @cached_property
    def couplings(self) -> tuple[tuple[str, str, float, float], ...]:
        """Joints without a servo: their name, the one they follow, offset in rad and multiplier."""
        found = []
        for joint, drive in enumerate(self.drive_of_joint):
            if self.joints[joint] not in self.actuated:
                first = self.drive_of_joint.index(drive)
                span = self.closed[joint] - self.open[joint]
                times = span / (self.closed[first] - self.open[first])
                offset = self.open[joint] - times * self.open[first]
                found.append((self.joints[joint], self.joints[first], offset, times))
        return tuple(found)

    def joint_targets(self, drives: Tensor) -> Tensor:
        """Return the joint angles that the drives ask for.

        Args:
            drives: Shape (..., D), from 0 (open) to 1 (closed).

        Returns:
            In the order of `joints`. Shape (..., J), in rad.
        """
        drive, opened, closed, _ = _coupling(self, drives.device, drives.dtype)
        # Gathered, not multiplied by a matrix: exact even where matrix products run in TF32.
        return opened + drives[..., drive] * (closed - opened)

    def drive_positions(self, joints: Tensor) -> Tensor:
        """Return the drives that the joints show, read from the first joint of each.

        Args:
            joints: In the order of `joints`. Shape (..., J), in rad.

        Returns:
            Shape (..., D), within [0, 1].
        """
        _, opened, closed, first = _coupling(self, joints.device, joints.dtype)
        moved = (joints[..., first] - opened[first]) / (closed[first] - opened[first])
        return moved.clamp(0.0, 1.0)

    def drives_from_flexion(self, flexion: Tensor) -> Tensor:
        """Return the drives that imitate a person's hand.

        Args:
            flexion: as in `HUMAN_FLEXIONS`. Shape (..., 5).

        Returns:
            Shape (..., D), within [0, 1].
        """
        weights, offset = _retargeting(self, flexion.device, flexion.dtype)
        return ((flexion[..., None, :] * weights).sum(-1) + offset).clamp(0.0, 1.0)


@cache
def _coupling(
    hand: Hand, device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return each joint's drive, open and closed angle (J,), and each drive's first joint (D,)."""
    drive = [hand.drives.index(name) for name in hand.drive_of_joint]
    first = [hand.drive_of_joint.index(name) for name in hand.drives]
    return (
        torch.tensor(drive, device=device),
        torch.tensor(hand.open, device=device, dtype=dtype),
        torch.tensor(hand.closed, device=device, dtype=dtype),
        torch.tensor(first, device=device),
    )


@cache
def _retargeting(hand: Hand, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return `flexion_to_drives` (D, 5) and `flexion_offset` (D,)."""
    return (
        torch.tensor(hand.flexion_to_drives, device=device, dtype=dtype),
        torch.tensor(hand.flexion_offset, device=device, dtype=dtype),
    )

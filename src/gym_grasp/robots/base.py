"""What a robot is: an arm, a hand, and how the model joins them.

Frames: the arm's base stands at the world's origin, x away from it, z up. Its flange site has z
out of the flange; a hand's `mount` says where its palm frame is in it. The palm frame has z along
the fingers, y out of the palm and x across it, from index to little finger; its site is `wrist`.

In a compiled scene the elements of the arm are named `arm/…`, those of the hand `hand/…`, and the
robot's joints and actuators come before all others.
"""

from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Final

import mujoco
import torch
from torch import Tensor

from gym_grasp.errors import UsageError
from gym_grasp.robots.checks import check_joints, check_there

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
    "transpose_damping",
    "drive_of_joint",
    "open",
    "closed",
)


@dataclass(frozen=True, eq=False)
class Part:
    """What an arm and a hand have in common: joints, each with a position servo of its name."""

    name: str
    mjcf: Path
    """Its model; joints and actuators stand in the order of `joints`."""
    joints: tuple[str, ...]
    limits: tuple[tuple[float, float], ...]
    """Joint ranges, in rad."""
    speeds: tuple[float, ...]
    """Highest joint speeds, in rad/s."""
    torques: tuple[float, ...]
    """Highest joint torques, in N·m."""

    def __post_init__(self) -> None:
        """Raise `UsageError` unless what each joint has is there for each joint."""
        for name in _PER_JOINT:
            count = len(getattr(self, name, self.joints))
            if count != len(self.joints):
                raise UsageError(
                    f"'{self.name}' has {len(self.joints)} joints, but {count} {name}; each joint "
                    "has one."
                )


@dataclass(frozen=True, eq=False)
class Arm(Part):
    """An arm: a serial chain of hinges."""

    home: tuple[float, ...]
    """Joint angles of the start pose, in rad: palm down, fingers along x."""
    transpose_damping: tuple[float, ...]
    """Damping of the servos that the Jacobian transpose needs, in N·m·s/rad."""
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
    open: tuple[float, ...] = ()
    """Angle of each joint where its drive is 0, in rad; by default 0."""
    wrist: str = "wrist"
    """Site of the palm frame, which is controlled."""
    palm: str = "palm"
    """Site on the palm's surface."""

    def __post_init__(self) -> None:
        """Fill in the open posture, and check the sizes."""
        if not self.open:
            object.__setattr__(self, "open", (0.0,) * len(self.joints))
        super().__post_init__()
        drives, names = set(self.drives), [finger.name for finger in self.fingers]
        rows = [len(row) for row in self.flexion_to_drives]
        first = [self.joints[self.drive_of_joint.index(d)] for d in drives & {*self.drive_of_joint}]
        still = [name for name in first if self.angles(name)[0] == self.angles(name)[1]]
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
            (len(self.home) == len(drives), "home has a value for each drive"),
            (all(0 <= value <= 1 for value in self.home), "home is within [0, 1]"),
            (not still, "each drive's first joint moves: its open and closed angles differ"),
        ):
            if not good:
                raise UsageError(f"The hand '{self.name}' is not well described: {rule}.")

    def angles(self, joint: str) -> tuple[float, float]:
        """Return the open and the closed angle of a joint, in rad."""
        index = self.joints.index(joint)
        return self.open[index], self.closed[index]

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
        weights = _retargeting(self, flexion.device, flexion.dtype)
        return (flexion[..., None, :] * weights).sum(-1).clamp(0.0, 1.0)


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
def _retargeting(hand: Hand, device: torch.device, dtype: torch.dtype) -> Tensor:
    return torch.tensor(hand.flexion_to_drives, device=device, dtype=dtype)


@dataclass(frozen=True, eq=False)
class Robot:
    """An arm with a hand: every size and name that the rest of the package knows of a robot."""

    arm: Arm
    hand: Hand

    @cached_property
    def name(self) -> str:
        """As `load_robot` knows it."""
        return f"{self.arm.name}-{self.hand.name}"

    @cached_property
    def joints(self) -> tuple[str, ...]:
        """Names of all joints in a scene, in the order of its positions and of its actuators."""
        arm, hand = self.arm.joints, self.hand.joints
        return (*(ARM + name for name in arm), *(HAND + name for name in hand))

    @cached_property
    def limits(self) -> tuple[tuple[float, float], ...]:
        """Joint ranges, in rad."""
        return self.arm.limits + self.hand.limits

    @cached_property
    def wrist(self) -> str:
        """Site of the palm frame in a scene."""
        return HAND + self.hand.wrist

    @cached_property
    def palm(self) -> str:
        """Site on the palm's surface in a scene."""
        return HAND + self.hand.palm

    @cached_property
    def fingertips(self) -> tuple[str, ...]:
        """Sites of the fingertips in a scene, the thumb's first."""
        return tuple(HAND + finger.tip for finger in self.hand.fingers)

    @cached_property
    def action_names(self) -> tuple[str, ...]:
        """What each action moves, in order."""
        return (
            *(f"wrist translation {axis}" for axis in "xyz"),
            *(f"wrist rotation about {axis}" for axis in "xyz"),
            *(f"drive {name}" for name in self.hand.drives),
        )

    @cached_property
    def action_size(self) -> int:
        """Wrist translation (3), wrist rotation (3), and the drives of the hand."""
        return 6 + len(self.hand.drives)

    def attach(self, scene: mujoco.MjSpec) -> None:
        """Put the robot on the scene's body `robot`, in place.

        Raises:
            UsageError: an MJCF cannot be read, or the arm's has no flange.
        """
        arm, hand = _read(self.arm), _read(self.hand)
        scene.attach(arm, prefix=ARM, frame=scene.body(MOUNT_BODY).add_frame())
        flange = scene.site(ARM + self.arm.flange)
        if flange is None:
            raise UsageError(f"{self.arm.mjcf} has no site '{self.arm.flange}', the flange.")
        frame = flange.parent.add_frame(pos=flange.pos, quat=flange.quat)
        mount = flange.parent.add_frame(
            pos=self.hand.mount_position, quat=self.hand.mount_quaternion
        )
        mount.set_frame(frame)
        scene.attach(hand, prefix=HAND, frame=mount)

    def indices(self, model: mujoco.MjModel) -> "Indices":
        """Return where its elements stand in a compiled scene."""
        return Indices(self, model)


def _read(part: Part) -> mujoco.MjSpec:
    """Read the MJCF of an arm or a hand."""
    try:
        return mujoco.MjSpec.from_file(str(part.mjcf))
    except ValueError as error:
        raise UsageError(f"MuJoCo cannot read {part.mjcf} of '{part.name}': {error}") from error


class Indices:
    """Where a robot's elements stand in a compiled scene.

    Args:
        robot: the robot.
        model: a scene that it is attached to.

    Raises:
        UsageError: the robot's MJCF lacks what its data name, or has it in another order.
    """

    def __init__(self, robot: Robot, model: mujoco.MjModel) -> None:
        count, arm = len(robot.joints), len(robot.arm.joints)
        pads = [HAND + pad for finger in robot.hand.fingers for pad in finger.pads]
        check_joints(model, robot.name, robot.joints, robot.limits)
        check_there(model, robot.name, "site", (robot.wrist, robot.palm, *robot.fingertips))
        check_there(model, robot.name, "geom", pads)
        self.arm = slice(0, arm)
        """The arm in positions, velocities, joints and actuators."""
        self.hand = slice(arm, count)
        """The hand in the same."""
        self.robot = slice(0, count)
        """Both."""
        self.wrist = model.site(robot.wrist).id
        """Site."""
        self.palm = model.site(robot.palm).id
        """Site."""
        self.fingertips = [model.site(name).id for name in robot.fingertips]
        """Sites, the thumb's first."""
        site = model.site(robot.wrist)
        # So that the body's quaternion is the wrist's.
        if site.quat.tolist() != [1.0, 0.0, 0.0, 0.0] or site.pos.any():
            raise UsageError(
                f"The site '{robot.wrist}' of {robot.name} is not its body's frame; give it "
                "neither pos nor quat."
            )
        self.wrist_body = int(site.bodyid[0])
        """Body whose frame is the palm frame."""

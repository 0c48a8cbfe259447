"""What a robot is: an arm, a hand, and how the model joins them.

Frames: the arm's base stands at the world's origin, x away from it, z up. Its flange site has z
out of the flange; a hand's `mount` says where its palm frame is in it. The palm frame has z along
the fingers, y out of the palm and x across it, from index to little finger; its site is `wrist`.

In a compiled scene the elements of the arm are named `arm/…`, those of the hand `hand/…`, and the
robot's joints, actuators and couplings come before all others.
"""

from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Final

import mujoco
import numpy as np
import torch
from torch import Tensor

MOUNT_BODY: Final = "robot"
"""Body of every scene (see `physics.xml`) that carries the robot; the first one."""
ARM, HAND = "arm/", "hand/"
"""Prefixes of the names of their elements in a scene."""

HUMAN_FLEXIONS: Final = ("thumb_rotation", "thumb", "index", "middle", "ring")
"""What is known of a person's hand, each from 0, open (thumb beside the palm), to 1, closed (thumb
opposed); the little finger goes with the ring finger."""
HUMAN_FINGERS: Final = ("thumb", "index", "middle", "ring", "little")
"""What a finger of a hand may stand for."""

COUPLING_SOLREF: Final = (0.0222, 1.0)
COUPLING_SOLIMP: Final = (0.99, 0.999, 0.001, 0.5, 2.0)
"""Of joints that follow others: as stiff as two time steps of 1/90 s allow; measured 0.3° apart."""


@dataclass(frozen=True, eq=False)
class Part:
    """What an arm and a hand have in common: joints, and position servos named after theirs."""

    name: str
    mjcf: Path
    """Its model; joints and actuators stand in the order of `joints`. An arm has an actuator for
    each joint, a hand for each that is `actuated`."""
    joints: tuple[str, ...]
    limits: tuple[tuple[float, float], ...]
    """Joint ranges, in rad."""
    speeds: tuple[float, ...]
    """Highest joint speeds, in rad/s."""
    torques: tuple[float, ...]
    """Highest joint torques, in N·m."""


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
    actuated: tuple[str, ...] = ()
    """Joints with a servo, among them the first of each drive; by default all. `Robot.attach`
    couples the others to the first of their drive: they open and close together."""
    wrist: str = "wrist"
    """Site of the palm frame, which is controlled."""
    palm: str = "palm"
    """Site on the palm's surface."""

    def __post_init__(self) -> None:
        """Fill in what was left out, and check the sizes."""
        if not self.open:
            object.__setattr__(self, "open", (0.0,) * len(self.joints))
        if not self.actuated:
            object.__setattr__(self, "actuated", self.joints)
        per_joint = (self.limits, self.speeds, self.torques, self.drive_of_joint, self.closed)
        assert {len(values) for values in (*per_joint, self.open)} == {len(self.joints)}, self.name
        assert set(self.drive_of_joint) == set(self.drives), self.name
        in_order = tuple(name for name in self.joints if name in self.actuated)
        assert self.actuated == in_order, self.name
        first = {self.joints[self.drive_of_joint.index(drive)] for drive in self.drives}
        assert first <= set(self.actuated), self.name
        assert {finger.drive for finger in self.fingers} <= set(self.drives), self.name
        names = [finger.name for finger in self.fingers]
        assert set(names) <= set(HUMAN_FINGERS), self.name
        assert len(set(names)) == len(names), self.name
        shape = (len(self.drives), len(HUMAN_FLEXIONS))
        assert np.shape(self.flexion_to_drives) == shape, self.name
        assert len(self.home) == len(self.drives), self.name

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


def _couple(spec: mujoco.MjSpec, hand: Hand) -> None:
    """Let each joint without a servo follow the one that drives it, in place."""
    for joint, leader, offset, times in hand.couplings:
        equality = spec.add_equality(
            type=mujoco.mjtEq.mjEQ_JOINT,
            objtype=mujoco.mjtObj.mjOBJ_JOINT,
            name=joint,
            name1=joint,
            name2=leader,
            solref=COUPLING_SOLREF,
            solimp=COUPLING_SOLIMP,
        )
        equality.data[:] = 0.0
        equality.data[:2] = offset, times


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
        """Names of all joints in a scene, in the order of its positions."""
        arm, hand = self.arm.joints, self.hand.joints
        return (*(ARM + name for name in arm), *(HAND + name for name in hand))

    @cached_property
    def actuators(self) -> tuple[str, ...]:
        """Names of all actuators in a scene, each that of its joint, in the order of the joints."""
        hand = self.hand.actuated
        return (*(ARM + name for name in self.arm.joints), *(HAND + name for name in hand))

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
        """Put the robot on the scene's body `robot`, in place."""
        arm = mujoco.MjSpec.from_file(str(self.arm.mjcf))
        hand = mujoco.MjSpec.from_file(str(self.hand.mjcf))
        _couple(hand, self.hand)
        scene.attach(arm, prefix=ARM, frame=scene.body(MOUNT_BODY).add_frame())
        flange = scene.site(ARM + self.arm.flange)
        frame = flange.parent.add_frame(pos=flange.pos, quat=flange.quat)
        mount = flange.parent.add_frame(
            pos=self.hand.mount_position, quat=self.hand.mount_quaternion
        )
        mount.set_frame(frame)
        scene.attach(hand, prefix=HAND, frame=mount)

    def indices(self, model: mujoco.MjModel) -> "Indices":
        """Return where its elements stand in a compiled scene."""
        return Indices(self, model)


class Indices:
    """Where a robot's elements stand in a compiled scene.

    Args:
        robot: the robot.
        model: a scene that it is attached to.
    """

    def __init__(self, robot: Robot, model: mujoco.MjModel) -> None:
        count, arm = len(robot.joints), len(robot.arm.joints)
        for kind, expected in (("joint", robot.joints), ("actuator", robot.actuators)):
            names = [getattr(model, kind)(index).name for index in range(len(expected))]
            assert names == list(expected), f"{robot.name}: {kind}s are {names}"
        self.arm = slice(0, arm)
        """The arm in positions, velocities, joints and actuators."""
        self.hand = slice(arm, count)
        """The hand in positions, velocities and joints."""
        self.robot = slice(0, count)
        """Both in the same."""
        self.actuated = [robot.joints.index(name) for name in robot.actuators]
        """Joints with an actuator, in the order of the actuators."""
        self.wrist = model.site(robot.wrist).id
        """Site."""
        self.palm = model.site(robot.palm).id
        """Site."""
        self.fingertips = [model.site(name).id for name in robot.fingertips]
        """Sites, the thumb's first."""
        site = model.site(robot.wrist)
        # The wrist site is its body's frame, so the body's quaternion is the wrist's.
        assert site.quat.tolist() == [1.0, 0.0, 0.0, 0.0]
        assert not site.pos.any()
        self.wrist_body = int(site.bodyid[0])
        """Body whose frame is the palm frame."""

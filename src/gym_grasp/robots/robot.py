"""A robot: an arm with a hand, joined when a scene is compiled."""

import math
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Final

import mujoco

from gym_grasp.errors import UsageError
from gym_grasp.robots.base import ARM, HAND, MOUNT_BODY, Arm, Hand, Part
from gym_grasp.robots.checks import check_joints, check_there

COUPLING_SOLREF: Final = (0.0222, 1.0)
COUPLING_SOLIMP: Final = (0.99, 0.999, 0.001, 0.5, 2.0)
"""Of joints that follow others: as stiff as two time steps of 1/90 s allow; measured 0.3° apart."""


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
        """Names of its joints in a scene, where they come first, in the order of the positions."""
        arm, hand = self.arm.joints, self.hand.joints
        return (*(ARM + name for name in arm), *(HAND + name for name in hand))

    @cached_property
    def actuators(self) -> tuple[str, ...]:
        """Names of its actuators in a scene, each that of its joint, in the order of the joints."""
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
        """Put the robot on the scene's body `robot`, in place.

        Raises:
            UsageError: an MJCF cannot be read, the arm's has no flange, or the hand is heavier than
                the arm's payload.
        """
        self.check_payload()
        arm, hand = read_mjcf(self.arm), read_mjcf(self.hand)
        _couple(hand, self.hand)
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

    def check_payload(self) -> None:
        """Raise `UsageError` where the hand is heavier than what the arm carries."""
        most = self.arm.payload
        if most < math.inf and (mass := _mass(self.hand)) > most:
            raise UsageError(
                f"The hand '{self.hand.name}' weighs {mass:.2f} kg; the arm '{self.arm.name}' "
                f"carries {most:g} kg. Choose a lighter hand or a stronger arm."
            )

    def indices(self, model: mujoco.MjModel) -> "Indices":
        """Return where its elements stand in a compiled scene."""
        return Indices(self, model)


@cache
def _mass(hand: Hand) -> float:
    """Mass of a hand as its MJCF has it, in kg."""
    return float(read_mjcf(hand).compile().body_mass.sum())


def read_mjcf(part: Part) -> mujoco.MjSpec:
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
        UsageError: the robot's MJCF lacks what its data name, has it in another order or range, or
            its palm frame is not that of a body.
    """

    def __init__(self, robot: Robot, model: mujoco.MjModel) -> None:
        count, arm = len(robot.joints), len(robot.arm.joints)
        pads = [HAND + pad for finger in robot.hand.fingers for pad in finger.pads]
        check_joints(model, robot.name, robot.joints, robot.actuators, robot.limits)
        check_there(model, robot.name, "site", (robot.wrist, robot.palm, *robot.fingertips))
        check_there(model, robot.name, "geom", pads)
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
        # So that the body's quaternion is the wrist's.
        if site.quat.tolist() != [1.0, 0.0, 0.0, 0.0] or site.pos.any():
            raise UsageError(
                f"The site '{robot.wrist}' of {robot.name} is not its body's frame; give it "
                "neither pos nor quat."
            )
        self.wrist_body = int(site.bodyid[0])
        """Body whose frame is the palm frame."""

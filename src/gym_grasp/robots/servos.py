"""Hands with a servo, and a drive over the whole range, for nearly every joint: a row each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gym_grasp.robots.base import HUMAN_FLEXIONS, Finger, Hand


@dataclass(frozen=True)
class Servo:
    """A joint and how a person's hand turns it."""

    limits: tuple[float, float]
    """Its range, in rad."""
    torque: float
    """Highest torque, in N·m."""
    speed: float
    """Highest speed, in rad/s."""
    by: str = ""
    """Which of `HUMAN_FLEXIONS` turns it; none: it stays where it is."""
    gain: float = 0.0
    """How far it turns from flexion 0 to 1, in rad."""
    still: float = 0.0
    """Its angle at flexion 0, in rad."""
    follows: str = ""
    """Joint whose servo drives it, too; none: its own."""
    times: float = 0.0
    """How far it turns where the joint that it follows turns by 1; both are straight at 0."""

    def share(self, angle: float) -> float:
        """Return an angle, or a way, as a share of the joint's whole range."""
        return angle / (self.limits[1] - self.limits[0])


def finger(name: str, bent_by: str = "proximal") -> Finger:
    """Return a finger that feels with its distal segment and that the drive `bent_by` closes."""
    return Finger(name, f"{name}_tip", (f"{name}_distal_collision",), f"{name}_{bent_by}")


def hand_of_servos(joints: Mapping[str, Servo], **fields: Any) -> Hand:
    """Return a hand whose drives are 0 and 1 at the ends of the ranges of joints with a servo.

    Its home is a person's hand that is open, the thumb opposed to the fingers.

    Args:
        joints: in the order of the MJCF, by name.
        fields: what a `Hand` has besides.
    """
    own = {name: joint for name, joint in joints.items() if not joint.follows}
    ends = [
        tuple(joint.times * end for end in joints[joint.follows].limits)
        if joint.follows
        else joint.limits
        for joint in joints.values()
    ]
    rows = tuple(
        tuple(joint.share(joint.gain) * (joint.by == name) for name in HUMAN_FLEXIONS)
        for joint in own.values()
    )
    offset = tuple(joint.share(joint.still - joint.limits[0]) for joint in own.values())
    opposed = HUMAN_FLEXIONS.index("thumb_rotation")
    return Hand(
        joints=tuple(joints),
        limits=tuple(joint.limits for joint in joints.values()),
        speeds=tuple(joint.speed for joint in joints.values()),
        torques=tuple(joint.torque for joint in joints.values()),
        drives=tuple(own),
        drive_of_joint=tuple(joint.follows or name for name, joint in joints.items()),
        actuated=tuple(own),
        open=tuple(low for low, _ in ends),
        closed=tuple(high for _, high in ends),
        home=tuple(still + row[opposed] for still, row in zip(offset, rows, strict=True)),
        flexion_to_drives=rows,
        flexion_offset=offset,
        **fields,
    )

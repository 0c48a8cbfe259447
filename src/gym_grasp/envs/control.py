"""The hand's controller: relative actions to joint targets.

An action moves a *desired* wrist pose and the drives of the hand; the arm follows the desired
pose by inverse differential kinematics. The desired pose is kept on a leash from the measured one,
so that pressing on something neither winds up nor lets the hand slide away, and in the arm's reach.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from numbers import Real
from typing import Final, get_args

import torch
from torch import Tensor

from gym_grasp.envs.kinematics import InverseKinematics, Method
from gym_grasp.errors import UsageError, unknown
from gym_grasp.math.rotations import (
    limit_norm,
    quat_conjugate,
    quat_from_rotvec,
    quat_multiply,
    quat_rotate,
    rotvec_from_quat,
)
from gym_grasp.physics.base import Physics
from gym_grasp.robots.base import Hand
from gym_grasp.robots.robot import Robot

MOST_SUBSTEPS = 90
"""Largest interval of control: one action a second."""


@dataclass(frozen=True)
class ControlConfig:
    """How actions become joint targets."""

    interval: int = 3
    """Physics steps per action, the paper's c: 90 Hz / 3 = 30 Hz."""
    method: Method = "damped-least-squares"
    """Inverse kinematics of the arm; `jacobian-transpose` is the paper's."""
    linear_speed: float = 0.6
    """Speed of the desired wrist position at a full action, along an axis or between, in m/s."""
    angular_speed: float = 3.0
    """Speed of the desired wrist orientation at a full action, per axis, in rad/s. An arm that its
    joints' speeds hold back follows as fast as it can, and the leash keeps the two together."""
    finger_speed: float = 3.0
    """Speed of a drive of the hand at a full action, in ranges of motion per second; drives whose
    joints may not turn as fast are as fast as these allow, see `drive_speeds`."""
    position_leash: float = 0.04
    """Largest distance by which actions lead the desired from the measured wrist position, per
    axis, in m; only at the border of its reach, where the way back counts, it may be longer."""
    rotation_leash: float = 0.3
    """Largest angle of the desired from the measured wrist orientation, in rad."""
    workspace_low: tuple[float, float, float] = (0.20, -0.60, 0.03)
    """Lower corner of the box that holds the desired wrist position, world, in m. Within it the
    wrist stays where the arm reaches well, see `robots.base.Reach`."""
    workspace_high: tuple[float, float, float] = (0.90, 0.60, 0.75)
    """Upper corner of that box, world, in m."""

    def __post_init__(self) -> None:
        """Raise `UsageError` for the first value out of range."""
        if self.method not in get_args(Method):
            raise unknown("method of inverse kinematics", self.method, get_args(Method))
        if isinstance(self.interval, bool) or not isinstance(self.interval, int):
            raise UsageError(f"control.interval is {self.interval!r}; it must be a whole number.")
        if not 1 <= self.interval <= MOST_SUBSTEPS:
            raise UsageError(
                f"control.interval is {self.interval}; it must be within [1, {MOST_SUBSTEPS}]."
            )
        for setting in fields(self):
            if setting.type is float:
                value = getattr(self, setting.name)
                if not _is_number(value) or not 0 < value < math.inf:
                    raise UsageError(
                        f"control.{setting.name} is {value!r}; it must be positive and finite."
                    )
                object.__setattr__(self, setting.name, float(value))
        low, high = self.workspace_low, self.workspace_high
        if not all(
            isinstance(corner, Sequence) and len(corner) == 3 and all(map(_is_number, corner))
            for corner in (low, high)
        ) or not all(-math.inf < a < b < math.inf for a, b in zip(low, high, strict=True)):
            raise UsageError(
                f"control.workspace_low is {low} and workspace_high {high}; they must be corners "
                "of a box, three finite numbers each, low below high."
            )
        object.__setattr__(self, "workspace_low", tuple(map(float, low)))
        object.__setattr__(self, "workspace_high", tuple(map(float, high)))


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


@dataclass
class Targets:
    """What the controller steers to: `flat` and `arm` are its whole state."""

    position: Tensor
    """Desired wrist position, world, in m. Shape (N, 3)."""
    orientation: Tensor
    """Desired wrist orientation, world. Shape (N, 4)."""
    fingers: Tensor
    """Drives of the hand, 0 open to 1 closed. Shape (N, D)."""
    arm: Tensor
    """Joint angles that the arm was commanded last, in rad. Shape (N, joints)."""

    def flat(self) -> Tensor:
        """Pack pose and drives into one tensor, for saving. Shape (N, 7 + D)."""
        return torch.cat([self.position, self.orientation, self.fingers], dim=-1)

    def load(self, flat: Tensor, arm: Tensor) -> None:
        """Take over what `flat` packed, and `arm`."""
        self.arm.copy_(arm)
        self.position.copy_(flat[:, :3])
        self.orientation.copy_(flat[:, 3:7])
        self.fingers.copy_(flat[:, 7:])


FRICTION: Final = 0.5
"""Of desired positions on the border of the workspace: they slide along it where they would move by
more than this share of what the border takes from them, else they stay."""
HELD_LEASH: Final = 0.05
"""Rotation leash of a hand whose arm is held back by a joint, in rad."""


def drive_speeds(config: ControlConfig, hand: Hand) -> tuple[float, ...]:
    """Speed of each drive of a hand at a full action, in ranges of motion per second."""
    return tuple(min(config.finger_speed, fastest) for fastest in hand.drive_speeds)


def _length(vector: Tensor) -> Tensor:
    """Return the length of vectors, never 0. (N, D) to (N, 1)."""
    return vector.square().sum(-1, keepdim=True).clamp_min(1e-18).sqrt()


class Controller:
    """Turns actions into joint targets for a batch of simulations.

    Args:
        physics: the simulations.
        config: rates, limits and method.
        robot: the robot in them.
    """

    def __init__(self, physics: Physics, config: ControlConfig, robot: Robot) -> None:
        self.config = config
        self.robot = robot
        indices = self._indices = robot.indices(physics.model)
        self.period = config.interval * physics.timestep
        device = physics.device
        self._low = torch.tensor(config.workspace_low, device=device)
        self._high = torch.tensor(config.workspace_high, device=device)
        self._kinematics = InverseKinematics(physics, robot, config.method, self.period)
        speeds = torch.tensor(drive_speeds(config, robot.hand), device=device)
        self._drive_step = speeds * self.period
        servos = indices.actuated[indices.arm.stop :]
        self._servos = torch.tensor([joint - indices.hand.start for joint in servos], device=device)
        self._qpos = physics.bind("qpos")
        self._site_xpos = physics.bind("site_xpos")
        self._xquat = physics.bind("xquat")
        self._wrist, self._wrist_body = indices.wrist, indices.wrist_body
        reach, hand = robot.arm.reach, robot.hand
        self._shoulder = torch.tensor(reach.shoulder, device=device)
        mount = torch.tensor(hand.mount_quaternion, device=device)
        centre = torch.tensor(hand.mount_position) - torch.tensor(reach.wrist_centre)
        self._to_centre = quat_rotate(quat_conjugate(mount), -centre.to(device))
        self.at_limit = torch.zeros(physics.num_envs, dtype=torch.bool, device=device)
        """Whether the workspace or a joint of the arm held the last action back. Shape (N,)."""
        self.targets = Targets(
            torch.zeros(physics.num_envs, 3, device=device),
            torch.zeros(physics.num_envs, 4, device=device),
            torch.zeros(physics.num_envs, len(robot.hand.drives), device=device),
            torch.zeros(physics.num_envs, len(robot.arm.joints), device=device),
        )
        self._pose: tuple[Tensor, Tensor] | None = None
        self.reset(torch.ones(physics.num_envs, dtype=torch.bool, device=device))

    def wrist_pose(self) -> tuple[Tensor, Tensor]:
        """Measured wrist position (N, 3) in m and orientation (N, 4), world."""
        return self._site_xpos[:, self._wrist], self._xquat[:, self._wrist_body]

    def reset(self, mask: Tensor) -> None:
        """Let the targets of the environments in `mask` (N,) be where their hands are."""
        position, orientation = self.wrist_pose()
        fingers = self.robot.hand.drive_positions(self._qpos[:, self._indices.hand])
        targets, chosen = self.targets, mask[:, None]
        targets.position.copy_(torch.where(chosen, position, targets.position))
        targets.orientation.copy_(torch.where(chosen, orientation, targets.orientation))
        targets.fingers.copy_(torch.where(chosen, fingers, targets.fingers))
        self.at_limit.logical_and_(~mask)
        arm = self._qpos[:, self._indices.arm]
        targets.arm.copy_(torch.where(chosen, arm, targets.arm))

    def apply(self, action: Tensor) -> None:
        """Move the targets by one action within leash, workspace and the drives' range.

        Args:
            action: in [−1, 1]: wrist translation (3; one longer than 1 is shortened) and rotation
                (3) in world axes, drives of the hand (D). Shape (N, 6 + D).
        """
        config, targets = self.config, self.targets
        position, orientation = self._pose = self.wrist_pose()
        held = self._kinematics.strained()[:, None]
        turn = quat_from_rotvec(action[:, 3:6] * (config.angular_speed * self.period))
        self._turn(turn, orientation, held)
        moved = self._move(limit_norm(action[:, :3], 1.0), position, held)
        self.at_limit.copy_((moved | held)[:, 0])
        step = action[:, 6:] * self._drive_step
        targets.fingers.copy_((targets.fingers + step).clamp(0.0, 1.0))

    def _turn(self, turn: Tensor, orientation: Tensor, held: Tensor) -> None:
        """Turn the desired orientation, within its leash from the measured one (N, 4)."""
        desired = self.targets.orientation
        back = quat_conjugate(orientation)
        before = rotvec_from_quat(quat_multiply(desired, back))
        error = rotvec_from_quat(quat_multiply(quat_multiply(turn, desired), back))
        # A held hand turns no further, lest the arm gives way elsewhere.
        leash = _length(before).clamp_min(HELD_LEASH)
        leash = torch.where(held, leash, self.config.rotation_leash)
        error = limit_norm(error, leash.clamp_max(self.config.rotation_leash))
        desired.copy_(quat_multiply(quat_from_rotvec(error), orientation))

    def _move(self, action: Tensor, position: Tensor, held: Tensor) -> Tensor:
        """Move the desired position; return where the workspace takes from it. Shape (N, 1)."""
        config, desired = self.config, self.targets.position
        asked = desired + action * (config.linear_speed * self.period)
        # Per axis: shortening the whole vector would let a hand that presses down slide sideways.
        leashed = (asked - position).clamp(-config.position_leash, config.position_leash) + position
        reached = self._reachable(leashed)
        taken = torch.where(held, asked, leashed) - reached
        size, moved = _length(taken), reached - desired
        normal = taken / size
        along = (moved * normal).sum(-1, keepdim=True) * normal
        across = moved - along
        # Else it would creep along the border for many seconds.
        stays = _length(across) < FRICTION * size
        desired.copy_(torch.where(stays, desired + along, reached))
        return size > 1e-3

    def _reachable(self, position: Tensor) -> Tensor:
        """Return wrist positions (N, 3) moved to where the wrist centre is in reach."""
        reach = self.robot.arm.reach
        arm = quat_rotate(self.targets.orientation, self._to_centre) - self._shoulder
        centre = position + arm
        level, height = centre[:, :2], centre[:, 2:]
        level = level * (reach.clearance / _length(level)).clamp_min(1.0)
        centre = torch.cat([level, height], dim=-1)
        distance = _length(centre)
        centre = centre * (distance.clamp(reach.nearest, reach.farthest) / distance)
        height = centre[:, 2:].clamp_min(reach.lowest - reach.shoulder[2])
        centre = torch.cat([centre[:, :2], height], dim=-1)
        return (centre - arm).clamp(self._low, self._high)

    def joint_targets(self) -> Tensor:
        """Actuator commands that lead the wrist to its target, in rad. Shape (N, nu)."""
        self.steer()
        return self.holding()

    def steer(self) -> None:
        """Let the arm's targets lead the wrist to its own."""
        # What `apply` has just measured still holds, once.
        position, orientation = self._pose or self.wrist_pose()
        self._pose = None
        turn = quat_multiply(self.targets.orientation, quat_conjugate(orientation))
        error = torch.cat([self.targets.position - position, rotvec_from_quat(turn)], dim=-1)
        arm = self.targets.arm
        arm.copy_(self._kinematics.joint_targets(error, position, arm))

    def holding(self) -> Tensor:
        """Actuator commands given last, at rest those that hold the robot, in rad. (N, nu)."""
        fingers = self.robot.hand.joint_targets(self.targets.fingers)
        return torch.cat([self.targets.arm, fingers[:, self._servos]], dim=-1)

    def retarget(self, position: Tensor, orientation: Tensor, flexion: Tensor) -> Tensor:
        """Return the actions that move the targets towards an operator's hand, in [−1, 1].

        The one way from a hand to actions, for people and synthetic operators alike.

        Args:
            position: where the wrist should be, world, in m. Shape (N, 3).
            orientation: how it should be turned, world. Shape (N, 4).
            flexion: of the person's fingers, as in `robots.base.HUMAN_FLEXIONS`. Shape (N, 5).
        """
        return self.approach(position, orientation, self.robot.hand.drives_from_flexion(flexion))

    def approach(self, position: Tensor, orientation: Tensor, drives: Tensor) -> Tensor:
        """Return the actions that move the targets towards these, in [−1, 1].

        Args:
            position: where the wrist should be, world, in m. Shape (N, 3).
            orientation: how it should be turned, world. Shape (N, 4).
            drives: of the hand, 0 open to 1 closed. Shape (N, D).
        """
        config, targets = self.config, self.targets
        turn = quat_multiply(orientation, quat_conjugate(targets.orientation))
        action = torch.cat(
            [
                (position - targets.position) / (config.linear_speed * self.period),
                rotvec_from_quat(turn) / (config.angular_speed * self.period),
                (drives - targets.fingers) / self._drive_step,
            ],
            dim=-1,
        )
        return action.clamp(-1.0, 1.0)

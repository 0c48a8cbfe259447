"""Inverse differential kinematics: from the error of the wrist's pose to joint targets of the arm.

Damped least squares or the Jacobian transpose say where the joints go. Three things hold them
back: zones before the ends of their ranges, what stands in their way, and the force with which
they would press. None of these has a memory, and none jumps: an arm at its limit stands still.
"""

import math
from collections.abc import Iterator
from functools import partial
from typing import Final, Literal

import mujoco
import numpy as np
import torch
from torch import Tensor

from gym_grasp.envs.obstacles import Obstacles
from gym_grasp.math.linear import damped_least_squares, total
from gym_grasp.physics.base import Physics
from gym_grasp.robots.robot import Indices, Robot

Method = Literal["damped-least-squares", "jacobian-transpose"]

DAMPING: Final = 0.05
"""λ of damped least squares far from singularities; a softer joint has less, as it gives way."""
SINGULAR_DAMPING: Final = 0.3
"""λ where the arm is singular; the squares are added."""
BENT: Final = 0.3
"""Sine of the joints `Reach.bent` below which the damping grows."""
POSTURE: Final = 0.02
"""Share of the way to the home posture that a step goes where the task leaves it free."""
FREE_POSTURE: Final = 0.1
"""The same within the null space of an arm with more joints than the hand's pose needs. Policies do
not see the elbow, so it comes back soon."""
FREE_DAMPING: Final = 0.2
"""Damping of the projection to the null space, beside that of the step, 1: what it leaves of the
hand's motion pulls at the hand's pose."""
BARRIER: Final = 3.0
"""Stiffness at the ends of `Reach.comfort`, beside that of errors of the wrist's pose, 1."""
STRAINED: Final = 0.02
"""How deep in the zone before such an end a joint counts as held back, in rad."""
TRANSPOSE_GAINS: Final = (8.0, 8.0, 8.0, 0.7, 0.7, 0.7)
"""Of the Jacobian transpose, in rad/m² and 1/rad; found stable at 90 Hz."""

TOUCH_SPEED, ARM_TOUCH_SPEED = 0.1, 0.04
"""Speeds at which the hand and the arm come to what stands there, in m/s. With 0 an arm that has
come too close would stay there: hardly a step brings none of its points closer."""
TOUCH_FORCE: Final = 40.0
"""Most force with which a point of the robot presses on what it touches, in N."""
BLOW_FORCE: Final = 75.0
"""Most force with which it presses while it comes to rest there, in N."""
GIVE: Final = 1e5
"""How much more per square of the distance, in N/m²."""
STIFFEST: Final = 4e5
"""Most stiffness with which it counts, in N/m: with short levers it hardly moves."""
STUCK_FORCE: Final = 60.0
"""Most force with which a point that friction may hold presses, in N."""
STUCK_GIVE: Final = 1e6
"""How much more per square of the distance, in N/m²."""
AWAY: Final = 0.3
"""What the way of joints that lead a point of the arm away counts where others bring it closer:
they do not keep in step. The less it is, the longer an arm takes to come to rest."""
APPROACH: Final = 3.0
"""How much faster they come per distance, in 1/s."""
APPROACH_TIME: Final = 0.055
"""Offset of a joint target over the speed that comes of it: the servos' lag and half a step, s."""

FORCE: Final = 100.0
"""Most force with which the hand goes on pressing, in N."""
START_FORCE: Final = 700.0
"""Most force to set it in motion: more than the servos have in most postures, in N."""
FREE_LOAD, PRESSING_LOAD = 40.0, 90.0
"""Between these loads the bound falls from the latter to the former, in N."""
HAND_LENGTH: Final = 0.15
"""By which a turn of the wrist counts as a way of the fingertips, in m."""
PADDING, ARM_PADDING = 0.003, 0.03
"""By which a geom of the hand, whose pads are soft, and of the arm counts as thicker, in m."""
TOUCHING: Final = 0.003
"""Distance at which a point counts as touching, in m."""
SPACING: Final = 0.14
"""Most distance of the points of a geom that are kept from striking, in m."""


class InverseKinematics:
    """Joint targets of the arm for a batch of simulations.

    Args:
        physics: the simulations; gains, damping and torque limits of the servos are its model's.
        robot: the robot in them.
        method: where the joints go.
        period: of control, in s.
    """

    def __init__(self, physics: Physics, robot: Robot, method: Method, period: float) -> None:
        arm, device = robot.arm, physics.device
        model, indices = physics.model, robot.indices(physics.model)
        column = partial(_column, device=device)
        self._method = method
        self._joints = indices.arm
        self._qpos, self._qvel = physics.bind("qpos"), physics.bind("qvel")
        self._axis, self._anchor = physics.bind("xaxis"), physics.bind("xanchor")
        stiffness, servo_damping = model.actuator_gainprm[:, 0], -model.actuator_biasprm[:, 2]
        self._stiffness = column(stiffness[indices.arm])
        self._compliance = self._stiffness.max() / self._stiffness
        self._servo_damping = column(servo_damping[indices.arm])
        self._joint_damping = column(model.dof_damping[indices.arm])
        self._lag = (self._servo_damping + self._joint_damping) / self._stiffness
        self._torque = column(model.actuator_forcerange[indices.arm, 1])
        # A joint at its highest speed goes no farther in a control step.
        self._farthest = column(arm.speeds) * period
        self._home = column(arm.home)
        self._low, self._high = map(column, zip(*arm.reach.comfort, strict=True))
        self._margin = arm.reach.margin
        bent = [arm.joints.index(name) for name in arm.reach.bent]
        self._bent = torch.tensor(bent, device=device)
        self._gains = column(TRANSPOSE_GAINS)
        self._obstacles = Obstacles(physics, indices)
        self._set_feelers(physics, indices, len(arm.joints))

    def _set_feelers(self, physics: Physics, indices: Indices, joints: int) -> None:
        """Choose the points that come gently: along the solid geoms of the arm from its third joint
        on, of the palm and of the last segments of fingers."""
        model, device = physics.model, physics.device
        points = list(_feelers(model, joints, model.site_bodyid[indices.fingertips]))
        geoms, moved, places, radii = zip(*points, strict=True)
        hand = model.geom_bodyid[list(geoms)] >= indices.wrist_body
        self._geoms = torch.tensor(geoms, device=device)
        self._geom_xpos, self._geom_xmat = physics.bind("geom_xpos"), physics.bind("geom_xmat")
        self._places = torch.tensor(np.array(places), dtype=torch.float32, device=device)
        """The points in their geoms' frames. Shape (P, 3)."""
        last = torch.tensor(moved, device=device)
        self._moved_by = (torch.arange(joints, device=device)[:, None] <= last).float()
        """Whether a joint moves a point. Shape (joints, P)."""
        self._radius = _column(np.array(radii) + np.where(hand, PADDING, ARM_PADDING), device)
        self._of_hand = torch.tensor(hand, device=device)[:, None]
        self._touch = _column(np.where(hand, TOUCH_SPEED, ARM_TOUCH_SPEED), device)

    def strained(self) -> Tensor:
        """Return whether a joint is held back at the end of its range. Shape (N,), bool."""
        return self._inside().abs().amax(0) > STRAINED

    def joint_targets(self, error: Tensor, position: Tensor, commanded: Tensor) -> Tensor:
        """Return the joint angles to command, in rad. Shape (N, joints).

        Args:
            error: of the wrist's position, world, in m, and orientation, in rad. Shape (N, 6).
            position: the measured one, world, in m. Shape (N, 3).
            commanded: what was returned last, or where the joints are at rest. Shape (N, joints).
        """
        q = self._qpos[:, self._joints].T.contiguous()
        axis = self._axis[:, self._joints].permute(1, 2, 0).contiguous()
        lever = (position[:, None] - self._anchor[:, self._joints]).permute(1, 2, 0)
        # Row j is joint j's column of the geometric Jacobian. Shape (joints, 6, N)
        jacobian_t = torch.cat([torch.linalg.cross(axis, lever, dim=1), axis], dim=1)
        step = self._step(q, jacobian_t, error.T)
        step = self._soften(step, jacobian_t, commanded.T.contiguous() - q)
        if len(self._obstacles):
            step = self._landing(step)
        # All joints alike, so that the wrist keeps its direction.
        step = step / (step.abs() / self._farthest).amax(0).clamp_min(1.0)
        return (q + step).clamp(self._low, self._high).T

    def _inside(self) -> Tensor:
        """How far joints are in the zones before the ends of their ranges; the way out is positive
        at the lower end. Shape (joints, N), in rad."""
        q, margin = self._qpos[:, self._joints].T.contiguous(), self._margin
        return (self._low + margin - q).clamp_min(0.0) - (q - self._high + margin).clamp_min(0.0)

    def _step(self, q: Tensor, jacobian_t: Tensor, error: Tensor) -> Tensor:
        """Step down the hill of ½|error|² and of what the joints would rather do.

        A Gauss-Newton step, which ends where both are in balance. (joints, N)
        """
        bent = q[self._bent].sin().abs().amin(0)
        damping = DAMPING**2 + (SINGULAR_DAMPING * (1.0 - bent / BENT).clamp_min(0.0)) ** 2
        weight = damping / self._compliance
        inside, barrier = self._inside(), BARRIER / self._margin
        pull = weight * POSTURE * (self._home - q) + barrier * inside * inside.abs()
        if self._method == "jacobian-transpose":
            return total((jacobian_t * (self._gains * error)).unbind(1)) + pull
        soft = 1.0 / (weight + 2.0 * barrier * inside.abs())
        pull = soft * pull
        rest = error - total(jacobian_t * pull[:, None])
        root = soft.sqrt()
        step = pull + root * damped_least_squares(jacobian_t * root[:, None], rest, 1.0)
        if len(q) == len(error):
            return step
        free = soft * weight * FREE_POSTURE * (self._home - q)
        return step + free - _hand_part(free, jacobian_t, soft)

    def _soften(self, step: Tensor, jacobian_t: Tensor, stretch: Tensor) -> Tensor:
        """Shorten what a step adds to the present motion where the hand would press too hard.

        What would hold the hand against the servos follows from virtual work: torque times step
        over the way of the hand. A hand that presses already gets less than one that starts.
        """
        velocity = self._qvel[:, self._joints].T.contiguous()
        torque = self._stiffness * stretch - self._servo_damping * velocity
        torque = torque.clamp(-self._torque, self._torque) - self._joint_damping * velocity
        coasting = self._lag * velocity  # what damping takes of a target
        added = step - coasting
        squares = total(jacobian_t * added[:, None]).square()
        way = total(squares[:3]).sqrt() + HAND_LENGTH * total(squares[3:]).sqrt() + 1e-9
        pushing = _hand_part(added, jacobian_t, self._compliance / DAMPING**2)
        force = total(self._stiffness * pushing.square()) / way + 1e-9
        load = total(torque * pushing) / way
        less = ((load - FREE_LOAD) / (PRESSING_LOAD - FREE_LOAD)).clamp(0.0, 1.0)
        most = START_FORCE - less * (START_FORCE - FORCE)
        most = torch.where(total(added * velocity) < 0.0, math.inf, most)  # it brakes
        return coasting + added * (most / force).clamp_max(1.0)

    def _landing(self, step: Tensor) -> Tensor:
        """Shorten a step that would bring a point too fast or too hard to what is nearest to it.

        First what the step adds to the present motion, then the whole. Force is what the servos'
        compliance in that direction makes of a way that is barred. (joints, N)
        """
        axis = self._axis[:, self._joints].permute(2, 1, 0)  # (3, joints, N)
        anchor = self._anchor[:, self._joints].permute(2, 1, 0)
        turn = self._geom_xmat[:, self._geoms].unflatten(-1, (3, 3))
        points = self._geom_xpos[:, self._geoms] + total((turn * self._places[:, None]).unbind(-1))
        points = points.permute(2, 1, 0).contiguous()
        distance, towards = self._obstacles.nearest(points)
        room = (distance - self._radius).clamp_min(0.0)
        levers = points[:, None] - anchor[:, :, None]
        moves = torch.linalg.cross(axis[:, :, None], levers, dim=0) * self._moved_by[..., None]
        ways = total(moves * towards[:, None])  # (joints, P, N)
        compliance = total(ways.square() / self._stiffness[..., None]).clamp_min(1.0 / STIFFEST)

        def share(closer: Tensor, allowed: Tensor) -> Tensor:
            return (allowed / closer.clamp_min(1e-9)).amin(0).clamp_max(1.0)

        give = GIVE * room.square()
        # Held at several places, an arm presses with short levers; a hand takes hold with many.
        touching = (room < TOUCHING).sum(0).clamp_min(1)
        parts = torch.where(self._of_hand, 1, touching)
        coasting = self._lag * self._qvel[:, self._joints].T
        added = step - coasting
        most = compliance * (TOUCH_FORCE / parts + give)
        step = coasting + added * share(total(ways * added[:, None]), most)
        slow = APPROACH_TIME * (self._touch + APPROACH * room)
        most = torch.minimum(slow, compliance * (BLOW_FORCE / parts + give))
        step = step * share(total(ways * step[:, None]), most)
        stuck = self._stuck(moves.transpose(0, 1), towards)
        force = total(stuck * step[:, None])
        step = step * share(force, STUCK_FORCE + STUCK_GIVE * room.square())
        moved = ways * step[:, None]
        closer = total(moved.clamp_min(0.0)) + AWAY * total(moved.clamp_max(0.0))
        return step * share(closer, torch.where(self._of_hand, math.inf, slow))

    def _stuck(self, moves: Tensor, towards: Tensor) -> Tensor:
        """Force with which points press that friction holds in all directions, per joint step.

        A point that may slide gives way to the side, so it presses less than one that may not.

        Args:
            moves: columns of the points' Jacobians. Shape (joints, 3, P, N).
            towards: what is nearest, unit vectors. Shape (3, P, N).

        Returns:
            nᵀ(J K⁻¹ Jᵀ)⁻¹ J in N/rad, K the servos' stiffness. Shape (joints, P, N).
        """
        root = self._stiffness.sqrt()[..., None]
        columns = (moves / root[:, None]).flatten(2)
        stuck = damped_least_squares(columns, towards.flatten(1), STIFFEST**-0.5)
        return root * stuck.view(len(moves), *towards.shape[1:])


def _hand_part(motion: Tensor, jacobian_t: Tensor, soft: Tensor) -> Tensor:
    """What moves the hand of a motion of the joints; the rest is in the null space. (joints, N)

    All of it for an arm of six joints. Joints share it by their softness, `soft`.
    """
    if len(motion) == jacobian_t.shape[1]:
        return motion
    root, moved = soft.sqrt(), total(jacobian_t * motion[:, None])
    return root * damped_least_squares(jacobian_t * root[:, None], moved, FREE_DAMPING)


def _column(values: object, device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=torch.float32, device=device)[:, None]


def _feelers(
    model: mujoco.MjModel, joints: int, fingers: np.ndarray
) -> Iterator[tuple[int, int, np.ndarray, float]]:
    """Yield points along the solid geoms of an arm, of what it carries, and of bodies of fingers.

    Each with its geom, the last joint of the arm that moves it, its place in the geom's frame and
    its radius, in m; a geom counts as the capsule along the longest side of its box.
    """
    solid = (model.geom_contype | model.geom_conaffinity) != 0
    for geom in np.flatnonzero(solid).tolist():
        own = body = model.geom_bodyid[geom]
        while body and not model.body_jntnum[body]:
            body = model.body_parentid[body]
        last = int(model.body_jntadr[body]) if body else -1
        if own in fingers:
            last = joints - 1
        elif not 2 <= last < joints:
            continue
        middle, half = model.geom_aabb[geom, :3], model.geom_aabb[geom, 3:]
        axis, radius = int(half.argmax()), float(np.sort(half)[1])
        length = half[axis] - radius
        for share in np.linspace(-1.0, 1.0, 1 + math.ceil(2.0 * length / SPACING)):
            place = middle.copy()
            place[axis] += share * length
            yield geom, last, place, radius

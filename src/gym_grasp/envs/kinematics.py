"""Inverse differential kinematics: from the error of the wrist's pose to a step of the arm's joints.

The step is that of an arm whose joints are springs, as its servos are: a wrench on the wrist
stretches them, and the wrench that closes the error is found first and bounded. So the arm never
pushes harder than the bound, whichever way its joints are placed.
"""

import math
from typing import Final

import torch
from torch import Tensor

from gym_grasp.math.linear import damped_least_squares
from gym_grasp.physics.base import Physics
from gym_grasp.robots.robot import Robot

BURST, LIGHT, HEAVY = 700.0, 40.0, 90.0
HAND: Final = 0.15
FORCE: Final = 100.0
"""Most force that the arm exerts beyond what its own motion needs, in N."""
TORQUE: Final = 12.0
"""The same of its torque, in N·m."""
DAMPING: Final = 0.05
"""λ of damped least squares where the arm is far from singularities."""
SINGULAR_DAMPING: Final = 0.3
"""What is added to it, in squares, where the arm is singular."""
BENT: Final = 0.3
"""Sine of the joints `Reach.bent` below which the damping grows."""
POSTURE: Final = 0.02
"""Share of the way to the home posture that a step goes where the task leaves it free."""
BARRIER: Final = 3.0
"""Stiffness of the zone before the ends of joints' ranges of comfort, beside errors of 1 rad."""


class InverseKinematics:
    def __init__(self, physics: Physics, robot: Robot, period: float) -> None:
        arm, reach, device = robot.arm, robot.arm.reach, physics.device
        model, indices = physics.model, robot.indices(physics.model)

        def column(values: object) -> Tensor:
            return torch.tensor(values, dtype=torch.float32, device=device)[:, None]

        self._arm = indices.arm
        self._qpos, self._qvel = physics.bind("qpos"), physics.bind("qvel")
        self._axis, self._anchor = physics.bind("xaxis"), physics.bind("xanchor")
        stiffness = model.actuator_gainprm[indices.arm, 0]
        damping = model.dof_damping[indices.arm] - model.actuator_biasprm[indices.arm, 2]
        self._servo = column(stiffness), column(-model.actuator_biasprm[indices.arm, 2])
        self._drag = column(model.dof_damping[indices.arm])
        self._torque = column(model.actuator_forcerange[indices.arm, 1])
        self._ctrl = physics.bind("ctrl")
        self._stiffness = float(stiffness.max())
        self._compliance = column(self._stiffness / stiffness)
        self._lag = column(damping / stiffness)
        self._farthest = column(arm.speeds) * period
        self._home = column(arm.home)
        low, high = zip(*reach.comfort, strict=True)
        self._low, self._high = column(low) + reach.margin, column(high) - reach.margin
        self._least, self._most = column(low), column(high)
        self._margin = reach.margin
        self._bent = [arm.joints.index(name) for name in reach.bent]

    def strained(self) -> Tensor:
        """Whether a joint is held back, or the arm near a singularity. Shape (N,), bool."""
        q = self._qpos[:, self._arm].T
        inside = torch.maximum(self._low - q, q - self._high).amax(0)
        return inside > 0.02

    def step(self, error: Tensor, position: Tensor) -> Tensor:
        q = self._qpos[:, self._arm].T
        axis = self._axis[:, self._arm].permute(1, 2, 0).contiguous()
        lever = (position[:, None] - self._anchor[:, self._arm]).permute(1, 2, 0)
        # Row j is joint j's column of the geometric Jacobian. Shape (joints, 6, N)
        jacobian_t = torch.cat([torch.linalg.cross(axis, lever, dim=1), axis], dim=1)
        bent = q[self._bent].sin().abs().amin(0)
        straight = (1.0 - bent / BENT).clamp(0.0, 1.0)
        damping = DAMPING**2 + (SINGULAR_DAMPING * straight) ** 2
        inside = (self._low - q).clamp_min(0.0) - (q - self._high).clamp_min(0.0)
        self.inside = inside
        self.straight = straight
        # Of U = damping · POSTURE / 2 · |q − home|² + BARRIER / (3 margin) · Σ |inside|³
        weight = damping / self._compliance
        pull = weight * POSTURE * (self._home - q)
        pull = pull + (BARRIER / self._margin) * inside * inside.abs()
        weight = weight + (2 * BARRIER / self._margin) * inside.abs()
        soft = 1.0 / weight
        scaled = jacobian_t * soft.sqrt()[:, None]
        stray = (jacobian_t * (soft * pull)[:, None]).sum(0)
        step = soft.sqrt() * damped_least_squares(scaled, error - stray, 1.0) + soft * pull
        step = self._gentle(step, jacobian_t, q)
        # All joints alike, so that the wrist keeps its direction.
        step = step / (step.abs() / self._farthest).amax(0).clamp_min(1.0)
        return torch.maximum(torch.minimum(q + step, self._most), self._least).T

    def _gentle(self, step: Tensor, jacobian_t: Tensor, q: Tensor) -> Tensor:
        """Shorten what of a step the motion does not need, where it would press too hard."""
        velocity = self._qvel[:, self._arm].T
        stiffness, servo_damping = self._servo
        load = stiffness * (self._ctrl[:, self._arm].T - q) - servo_damping * velocity
        load = load.clamp(-self._torque, self._torque) - self._drag * velocity
        coasting = self._lag * velocity
        net = step - coasting
        moved = (jacobian_t * net[:, None]).sum(0)
        way = moved[:3].norm(dim=0) + HAND * moved[3:].norm(dim=0)
        way = way.clamp_min(1e-9)
        # By virtual work: what would hold the hand against these torques.
        force = (stiffness * net * net).sum(0) / way
        load = (load * net).sum(0) / way
        most = (BURST - (load - LIGHT) * ((BURST - FORCE) / (HEAVY - LIGHT))).clamp(FORCE, BURST)
        most = torch.where((net * velocity).sum(0) < 0.0, math.inf, most)  # it brakes
        return coasting + net * (most / force.clamp_min(1e-9)).clamp_max(1.0)

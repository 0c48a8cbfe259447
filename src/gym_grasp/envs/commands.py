"""What the servos are told, and when: at once, or some physics steps later."""

from collections.abc import Callable

import torch
from torch import Tensor

from gym_grasp.capture import Captured, can_compile, compiled, needed_to_compile
from gym_grasp.envs.control import Controller
from gym_grasp.envs.perturber import Perturber
from gym_grasp.errors import DependencyError
from gym_grasp.physics.base import Physics


class Commands:
    """From actions to commands to the servos of a batch, and these on their way into the physics.

    Written in place: a GPU replays captured functions on the very tensors of the capture.

    Args:
        physics: the simulations.
        controller: turns actions into commands.
        perturber: says by how many physics steps commands come late in an episode.
    """

    def __init__(self, physics: Physics, controller: Controller, perturber: Perturber) -> None:
        self._physics, self._controller, self._perturber = physics, controller, perturber
        count, device = physics.num_envs, physics.device
        self._actions = torch.zeros(count, controller.robot.action_size, device=device)
        self.nan_count = torch.zeros((), dtype=torch.int64, device=device)
        """Actions with NaN so far, a scalar. These act as 0."""
        self._steer: Callable[[], None] = self._steer_arm
        self._command = Captured(self._give_next, device)
        self.diverged = torch.zeros(count, dtype=torch.bool, device=device)
        """Simulations that broke since `begin`. Shape (N,)."""
        self._present = torch.zeros(count, physics.model.nu, device=device)
        self._former = torch.zeros_like(self._present)
        self._delay = torch.zeros(count, dtype=torch.int64, device=device)
        self._step = 0

    @property
    def state(self) -> Tensor | None:
        """What the next step depends on: the last command, where commands come late. (N, nu)."""
        return self._present if self._perturber.late else None

    def compile(self) -> None:
        """Let `torch.compile` fuse what steers the arm, see `GraspVectorEnv.compile`."""
        device = self._actions.device
        if not can_compile(device):
            raise DependencyError(
                f"torch.compile needs {needed_to_compile(device)} to write code for '{device}', "
                "and they were not found (where set, CXX and CC name the compiler). Install them, "
                "or leave compile() out: steps do the same without it."
            )
        self._steer = compiled(self._steer_arm)
        self._command.reset()

    def begin(self, actions: Tensor) -> None:
        """Begin a control step with actions (N, A), clipped to [−1, 1]."""
        self._actions.copy_(actions)
        self._command()
        self._step = 0
        self.diverged.zero_()

    def renew(self) -> None:
        """Let the commands follow where the robot has come in the meantime."""
        self._give(self._controller.joint_targets())

    def _give_next(self) -> None:
        self._steer()
        self._give(self._controller.holding())

    def _steer_arm(self) -> None:
        actions = self._actions
        if actions.device.type != "cpu":  # where NaN has not been refused
            nan = actions.isnan()
            self.nan_count += nan.any(dim=1).sum()
            actions = torch.where(nan, 0.0, actions)
        self._controller.apply(actions.clamp(-1.0, 1.0))
        self._controller.steer()

    def _give(self, command: Tensor) -> None:
        self._former.copy_(self._present)
        self._present.copy_(command)

    def advance(self, substeps: int) -> None:
        """Advance the physics under what has arrived."""
        if not self._perturber.late:
            self._physics.step(self._present, substeps)
            self.diverged |= self._physics.diverged
            return
        for _ in range(substeps):
            due = (self._step >= self._delay)[:, None]
            self._physics.step(torch.where(due, self._present, self._former), 1)
            self.diverged |= self._physics.diverged
            self._step += 1

    def enter(
        self,
        seeds: Tensor,
        mask: Tensor | None = None,
        holding: Callable[[], Tensor] | None = None,
    ) -> None:
        """Begin or go on with the episodes of these seeds.

        Args:
            seeds: of all present episodes. Shape (N,), int64.
            mask: which of them begin. Shape (N,), bool.
            holding: returns the commands that hold a robot still. Shape (N, nu).
        """
        if not self._perturber.late:
            return
        self._delay.copy_(self._perturber.delay(seeds))
        if mask is not None and holding is not None:
            self._present.copy_(torch.where(mask[:, None], holding(), self._present))

"""A batch of hands that follow demonstrations in moved frames, closed-loop."""

import math

import numpy as np
import torch
from torch import Tensor

from gym_grasp.demos.multiply import WANDER
from gym_grasp.demos.multiply.frames import LOOSE, Motion, motion_between, turned, yaw_of
from gym_grasp.demos.multiply.plan import Plans
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.math.rotations import (
    quat_conjugate,
    quat_from_rotvec,
    quat_multiply,
    quat_turned,
    rotvec_from_quat,
)
from gym_grasp.tasks.random import normal, uniform

WANDER_TIME, WANDER_LAG = 0.35, 0.06
"""Time in which it is corrected, and in which the hand takes up a correction, in s."""
WANDER_TURN, WANDER_CLOSE = 6.0, 5.0
"""Turning, in rad/m, and closing of drives, in 1/m, that go with it."""
TEMPO = (0.9, 1.15)
"""Between which an attempt's own tempo lies, as a share of its source's."""
STRETCH = (0.5, 1.1)
"""Between which moments pass slower or faster where the way has become longer or shorter."""
BEHIND = (0.02, 0.06)
"""Distances by which the hand is behind its way between which it waits, in m."""
WAITS = 0.25
"""At what share of its tempo it goes on then."""
IN_HAND, IN_HAND_TIME = 0.03, 0.3
"""Largest correction for a thing that lies otherwise in the hand, in m, and its time, in s."""
TURNING = 0.8
"""Mean speed of turning in a reach, in rad/s."""
SIDEWAYS = 0.4
"""How far a hand that holds what is hinged turns about the vertical from where its demonstration
began, in rad, or as far as that: a wrist turned further runs out of its way."""
SHORTEST = 0.4
"""Shortest reach, in s."""
BEYOND = 1.0
"""How long the last movement goes on beyond the end of the demonstration, in s."""
PATIENCE = 0.5
"""How long the hand waits then for the task to be done, in s."""
STUCK = 1.5
"""How long the hand may be more than `BEHIND` behind, in s, before it gives up."""
_STREAM = 2_000
"""Stream of random numbers that no task draws from."""


class Follower:
    """One hand per environment; each follows a demonstration.

    Args:
        env: the environments, just reset.
        plans: the demonstrations.
        chosen: which of them each follows, int64. Shape (N,).
        turns: that look the same, by thing. Shape (things, S, 4).
        wander: deviation of the hands' wandering, in m.
    """

    def __init__(
        self,
        env: GraspVectorEnv,
        plans: Plans,
        chosen: Tensor,
        turns: Tensor,
        wander: float = WANDER,
    ) -> None:
        count, device = env.num_envs, env.device
        self._env, self._plans, self._chosen, self._turns = env, plans, chosen, turns
        self._bodies = torch.tensor(env.task.thing_bodies, device=device)
        model = env.task.model
        loose = {int(model.jnt_bodyid[n]) for n in np.flatnonzero(np.isin(model.jnt_type, LOOSE))}
        self._hinged = torch.tensor(
            [body not in loose for body in self._bodies.tolist()], device=device
        )
        heading, _ = yaw_of(plans.aimed[..., 3:7], plans.aimed[:, :1, 3:7])
        self._most = torch.stack(
            [heading.amin(1).clamp_max(-SIDEWAYS), heading.amax(1).clamp_min(SIDEWAYS)]
        )[:, chosen]
        self._rate = env.control_rate
        self._rows = torch.arange(count, device=device)
        self._wander = wander
        zeros = torch.zeros(count, device=device)
        low, high = (torch.full((1,), value, device=device) for value in TEMPO)
        self._tempo = uniform(env.episode_seed, low, high, _STREAM)[:, 0]
        self._segment = torch.zeros(count, dtype=torch.int64, device=device)
        self._stuck = zeros.clone()
        self._moment = zeros.clone()
        self._share, self._duration = zeros.clone(), torch.ones_like(zeros)
        self._reaching = torch.zeros(count, dtype=torch.bool, device=device)
        self._stretch = torch.ones_like(zeros)
        self._before = Motion(zeros.clone(), torch.zeros(count, 3, device=device))
        self._motion = Motion(zeros.clone(), torch.zeros(count, 3, device=device))
        self._off = torch.zeros(count, 3, device=device)
        self._drift = torch.zeros(3, count, 6 + plans.aimed.shape[-1] - 7, device=device)
        self._from = env.controller.targets.flat()
        self._step = torch.zeros(count, dtype=torch.int64, device=device)
        self.turn, self.shift = zeros.clone(), zeros.clone()
        """How far the first frame was turned, in rad, and shifted, in m. Shape (N,)."""
        self._begin(torch.ones(count, dtype=torch.bool, device=device))
        first = plans.reference[chosen, 0, :3]
        self.turn.copy_(self._motion.yaw)
        moved = self._motion.place(first, plans.reference[chosen, 0, 3:])[0]
        self.shift.copy_((moved - first).norm(dim=1))

    @property
    def done(self) -> Tensor:
        """Whose demonstration is over, or out of reach. Shape (N,), bool."""
        end = self._of(self._plans.end)
        over = self._moment > end + (BEYOND + PATIENCE) * self._rate
        return over | (self._stuck > STUCK * self._rate)

    def act(self) -> tuple[Tensor, dict[str, np.ndarray]]:
        """Advance every hand by one control step.

        Returns:
            The actions, shape (N, A), and what the hands sent: `wrist_position` (N, 3) in m,
            `wrist_quaternion` (N, 4), `drives` (N, D), float32.
        """
        plans, chosen = self._plans, self._chosen
        self._step += 1
        self._advance()
        last = self._segment + 1 >= plans.count[chosen]
        over = ~self._reaching & ~last & (self._moment >= self._of(plans.end))
        if bool(over.any()):
            self._segment += over
            self._begin(over)
        self._correct()
        position, orientation, drives = self._way()
        wandering = self._wandering()
        position = position + wandering[:, :3]
        orientation = quat_multiply(quat_from_rotvec(wandering[:, 3:6] * WANDER_TURN), orientation)
        drives = (drives + wandering[:, 6:] * WANDER_CLOSE).clamp(0.0, 1.0)
        actions = self._env.controller.approach(position, orientation, drives)
        return actions, {
            "wrist_position": position.cpu().numpy(),
            "wrist_quaternion": orientation.cpu().numpy(),
            "drives": drives.cpu().numpy(),
        }

    # Where a hand is in its demonstration -----------------------------------------------------

    def _of(self, table: Tensor) -> Tensor:
        """Return a table's (S, K, …) values of the present segments. Shape (N, …)."""
        return table[self._chosen, self._segment]

    def _at(self, rows: Tensor) -> Tensor:
        """Return values (S, R, …) at the present moments, between two rows. Shape (N, …)."""
        moment = self._moment.clamp(0.0, rows.shape[1] - 1.0)
        low = moment.floor().long()
        high = (low + 1).clamp_max(rows.shape[1] - 1)
        share = (moment - low).view(-1, *[1] * (rows.ndim - 2))
        return rows[self._chosen, low] * (1 - share) + rows[self._chosen, high] * share

    def _advance(self) -> None:
        behind = self._behind()
        wait = 1 - (1 - WAITS) * ((behind - BEHIND[0]) / (BEHIND[1] - BEHIND[0])).clamp(0.0, 1.0)
        self._stuck.copy_(torch.where(behind > BEHIND[1], self._stuck + 1.0, 0.0))
        blend = self._at(self._plans.blend)
        changing = (blend > 0.0) & (blend < 1.0)
        stretch = torch.where(changing, self._stretch, 1.0)
        rate = self._tempo * wait * self._at(self._plans.rate) * stretch
        self._share += torch.where(self._reaching, self._tempo * wait / self._duration, 0.0)
        self._moment += torch.where(self._reaching, 0.0, rate)
        self._reaching &= self._share < 1.0

    def _behind(self) -> Tensor:
        """Return how far the hands are from where they were in the demonstration, in m. (N,)."""
        expected, _ = self._place(self._at(self._plans.wrist), self._at(self._plans.aimed)[:, 3:7])
        gap = (expected + self._off - self._env.controller.wrist_pose()[0]).norm(dim=1)
        beyond = self._moment > self._of(self._plans.end)
        return torch.where(self._reaching | beyond, 0.0, gap)

    def _begin(self, mask: Tensor) -> None:
        """Look at the frames of the segments that begin in a mask (N,), and reach for them."""
        plans, begun = self._plans, mask.nonzero()[:, 0]
        chosen, segment = self._chosen[begun], self._segment[begun]
        frame = plans.frame[chosen, segment]
        reference = plans.reference[chosen, segment]
        position, orientation = self._things()
        seen = frame.clamp_min(0)
        now = position[begun, seen], orientation[begun, seen]
        motion, _ = motion_between((reference[:, :3], reference[:, 3:]), now, self._turns[seen])
        world = frame < 0
        motion.yaw.masked_fill_(world, 0.0)
        motion.shift.masked_fill_(world[:, None], 0.0)
        anew = plans.anew[chosen, segment]
        looked, own = begun[anew], Motion(motion.yaw[anew], motion.shift[anew])
        self._before.yaw[looked] = self._motion.yaw[looked]
        self._before.shift[looked] = self._motion.shift[looked]
        self._motion.yaw[looked] = own.yaw
        self._motion.shift[looked] = own.shift
        begin, end = plans.begin[chosen, segment], plans.release[chosen, segment]
        joined = plans.joined[chosen, segment]
        reach = begun[joined]
        self._moment[reach] = begin[joined].float()
        self._reaching[reach], self._share[reach] = True, 0.0
        self._from[reach] = self._env.controller.targets.flat()[reach]
        self._before.yaw[reach] = self._motion.yaw[reach]
        self._before.shift[reach] = self._motion.shift[reach]
        # Ways that became longer take longer.
        first, goal = plans.wrist[chosen, begin], plans.wrist[chosen, end]
        there = turned(goal, self._motion.yaw[begun]) + self._motion.shift[begun]
        here = turned(first, self._before.yaw[begun]) + self._before.shift[begun]
        was, now_is = ((b - a).norm(dim=1) for a, b in ((first, goal), (here, there)))
        self._stretch[begun] = (was / now_is.clamp_min(1e-3)).clamp(*STRETCH)
        target, turn, _ = self._followed()
        gap = (target - self._from[:, :3]).norm(dim=1)
        angle = rotvec_from_quat(quat_multiply(turn, quat_conjugate(self._from[:, 3:7]))).norm(
            dim=1
        )
        seconds = torch.maximum(gap / plans.pace[self._chosen], angle / TURNING)
        self._duration[reach] = (seconds.clamp_min(SHORTEST) * self._rate)[reach]

    def _things(self) -> tuple[Tensor, Tensor]:
        """Return the things' positions (N, things, 3) and orientations (N, things, 4), world."""
        physics = self._env.physics
        return physics.bind("xpos")[:, self._bodies], physics.bind("xquat")[:, self._bodies]

    # Where a hand is led --------------------------------------------------------------------

    def _way(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the poses that the hands are led to, and their drives."""
        position, orientation, drives = self._followed()
        ahead = self._ahead()
        u, begun = self._share.clamp(0.0, 1.0), self._from
        blend = u**3 * (10 - 15 * u + 6 * u * u)
        arrive = (-4 * u**3 + 7 * u**4 - 3 * u**5) * self._duration
        blend, arrive = blend[:, None], arrive[:, None]
        path = begun[:, :3] + blend * (position - begun[:, :3]) + arrive * ahead
        turn = rotvec_from_quat(quat_multiply(orientation, quat_conjugate(begun[:, 3:7])))
        spun = quat_multiply(quat_from_rotvec(blend * turn), begun[:, 3:7])
        closing = begun[:, 7:] + blend * (drives - begun[:, 7:])
        reaching = self._reaching[:, None]
        return (
            torch.where(reaching, path, position),
            torch.where(reaching, spun, orientation),
            torch.where(reaching, closing, drives),
        )

    def _followed(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return where the demonstrations lead the hands at their moments."""
        plans = self._plans
        aimed = self._at(plans.aimed)
        orientation = torch.nn.functional.normalize(aimed[:, 3:7], dim=1)
        position, orientation = self._place(aimed[:, :3], orientation)
        frame = self._of(plans.frame)
        heading, _ = yaw_of(orientation, plans.aimed[self._chosen, 0, 3:7])
        excess = heading - heading.clamp(self._most[0], self._most[1])
        hinged = (frame >= 0) & self._hinged[frame.clamp_min(0)]
        orientation = quat_turned(orientation, torch.where(hinged, -excess, 0.0))
        beyond = (self._moment - self._of(plans.end)).clamp(0.0, BEYOND * self._rate)
        last = self._segment + 1 >= plans.count[self._chosen]
        further = turned(plans.last_velocity[self._chosen], self._motion.yaw)
        further = further * torch.where(last, beyond, 0.0)[:, None]
        return position + self._off + further, orientation, aimed[:, 7:]

    def _place(self, position: Tensor, orientation: Tensor) -> tuple[Tensor, Tensor]:
        """Move poses of demonstrations to where the frames are now."""
        blend = self._at(self._plans.blend)
        before, after = self._before, self._motion
        p0, _ = before.place(position, orientation)
        p1, _ = after.place(position, orientation)
        difference = after.yaw - before.yaw
        difference = torch.atan2(torch.sin(difference), torch.cos(difference))
        between = Motion(before.yaw + blend * difference, after.shift)
        _, turn = between.place(position, orientation)
        return p0 + blend[:, None] * (p1 - p0), turn

    def _ahead(self) -> Tensor:
        """Return the velocity with which demonstrations go on, in m per moment. Shape (N, 3)."""
        rows = self._plans.aimed
        low = self._moment.long().clamp(0, rows.shape[1] - 2)
        step = rows[self._chosen, low + 1, :3] - rows[self._chosen, low, :3]
        return turned(step, self._motion.yaw)

    def _correct(self) -> None:
        """Correct the way for a thing that lies otherwise in the hand than in the demonstration."""
        plans = self._plans
        thing = self._of(plans.holds)
        wrist, held = self._at(plans.wrist), self._at(plans.held)
        one = torch.zeros_like(self._at(plans.aimed)[:, 3:7])
        one[:, 0] = 1.0
        expected = self._place(held, one)[0] - self._place(wrist, one)[0]
        position, _ = self._things()
        found = position[self._rows, thing.clamp_min(0)] - self._env.controller.wrist_pose()[0]
        off = (expected - found).clamp(-IN_HAND, IN_HAND)
        wanted = self._at(plans.blend)[:, None] * off
        keep = 1 - 1 / (IN_HAND_TIME * self._rate)
        holding = ((thing >= 0) & (self._moment < self._of(plans.release)))[:, None]
        wanted = torch.where(holding, wanted, 0.0)
        mended = keep * self._off + (1 - keep) * wanted
        released = (thing >= 0)[:, None] & ~holding  # what stands is left alone
        self._off.copy_(torch.where(released, self._off, mended))

    def _wandering(self) -> Tensor:
        """Return how far each hand wanders off: wrist, its turn and drives, in m. (N, 6 + D)."""
        period = 1 / self._rate
        keep = math.exp(-period / WANDER_TIME)
        lag = 1 - math.exp(-period / WANDER_LAG)
        gain = math.sqrt((1 - keep**2) * (WANDER_TIME + 2 * WANDER_LAG) / WANDER_TIME)
        drift = self._drift
        noise = normal(self._env.episode_seed, self._step, drift.shape[-1])
        drift[0] = keep * drift[0] + gain * self._wander * noise
        drift[1] += lag * (drift[0] - drift[1])
        drift[2] += lag * (drift[1] - drift[2])
        free = torch.where(self._reaching, 1.0, self._at(self._plans.free))
        return drift[2] * free[:, None]

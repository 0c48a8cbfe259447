"""Episodes that begin within demonstrations, ever farther from their ends."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from gym_grasp.envs.control import Controller
from gym_grasp.tasks.base import Task
from gym_grasp.tasks.random import uniform

SHARE = 0.75
"""Share of the episodes that begin within a demonstration; the others begin as the task does."""
FIRST, GROWTH = 0.08, 0.04
"""The window: share of a demonstration, from its end, in which episodes begin; and by how much it
grows."""
ENOUGH = 0.7
"""Share of the episodes begun within demonstrations whose success makes the window grow."""
COUNTED = 300
"""Episodes that are counted for that; with more environments, one of each."""
SLOWER, SPARE = 2.0, 1.0
"""Time limit: so many times what is left of the demonstration, and so many seconds more."""
_STREAM = 3_000
"""Stream of random numbers that no task draws from."""
WINDOW, SINCE = "demo window", "demo since"
"""Names in a state: the window, and what was counted since it last grew."""


@dataclass(frozen=True)
class DemoStates:
    """Where M moments of demonstrations lie, one demonstration after the other."""

    qpos: Tensor
    """Positions. Shape (M, nq)."""
    targets: Tensor
    """What the controller steers to: `Targets.flat`. Shape (M, 7 + D)."""
    commanded: Tensor
    """Joint angles that the arm was commanded last, in rad. Shape (M, joints)."""
    memory: Tensor
    """What the task remembers. Shape (M, memory_size)."""
    first: Tensor
    """First row of each demonstration, int64. Shape (E,)."""
    length: Tensor
    """Control steps of each. Shape (E,)."""
    seed: Tensor
    """Its episode's seed, int64, from which its model fields follow. Shape (E,)."""


class DemoStarts:
    """A backward curriculum over demonstrations, after Salimans & Chen (2018).

    Three in four episodes begin at rest at a moment drawn evenly from the last part of a
    demonstration, the window; it grows while enough of them succeed. All of it is done in place.

    Args:
        states: of the demonstrations, on the environments' device.
        num_envs: N.
        rate: control steps per second, in Hz.
        limit: steps after which the task's own episodes are truncated.
    """

    def __init__(self, states: DemoStates, num_envs: int, rate: float, limit: int) -> None:
        device = states.qpos.device
        self._states, self._rate, self._limit = states, rate, limit
        self._counted = max(COUNTED, num_envs)
        self.row = torch.zeros(num_envs, dtype=torch.int64, device=device)
        """Moment in which each episode began; -1: where the task begins. Shape (N,)."""
        self.row.fill_(-1)
        self._left = torch.zeros_like(self.row)
        self.window = torch.full((), FIRST, device=device)
        """Share of the demonstrations, from their ends, in which episodes begin."""
        self._since = torch.zeros(2, device=device)  # episodes, and successes of them
        self._unit = torch.ones(3, device=device)

    def choose(self, mask: Tensor, seeds: Tensor) -> Tensor:
        """Choose, in a mask (N,), where episodes of these seeds (N,) begin; return their seeds."""
        states = self._states
        share, which, when = uniform(seeds, 0 * self._unit, self._unit, _STREAM).unbind(-1)
        count = len(states.first)
        demo = (which * count).long().clamp_max(count - 1)
        length = states.length[demo]
        left = 1 + (when * self.window * length).long()
        left = torch.minimum(left, length)
        within = mask & (share < SHARE)
        row = states.first[demo] + length - left
        self.row.copy_(torch.where(mask, torch.where(within, row, -1), self.row))
        self._left.copy_(torch.where(within, left, self._left))
        return torch.where(within, states.seed[demo], seeds)

    def forget(self, mask: Tensor) -> None:
        """Let the episodes in a mask (N,) begin where the task does."""
        self.row.masked_fill_(mask, -1)

    def start(self, start: Tensor) -> Tensor:
        """Return start positions (N, nq), the demonstrations' where episodes begin in them."""
        return torch.where(self.within[:, None], self._states.qpos[self.row.clamp_min(0)], start)

    @property
    def within(self) -> Tensor:
        """Which episodes began within a demonstration. Shape (N,), bool."""
        return self.row >= 0

    def enter(self, mask: Tensor, controller: Controller, task: Task, elapsed: Tensor) -> None:
        """Let hands in a mask (N,) go on as the demonstrations' did, with a time limit of theirs.

        Args:
            mask: episodes that have just begun.
            controller: whose targets become the demonstrations'.
            task: whose memory does.
            elapsed: steps of the episodes (N,), of which the rest of the limit is left.
        """
        states, targets = self._states, controller.targets
        chosen, row = mask & self.within, self.row.clamp_min(0)
        flat = torch.where(chosen[:, None], states.targets[row], targets.flat())
        arm = torch.where(chosen[:, None], states.commanded[row], targets.arm)
        targets.load(flat, arm)
        if task.memory_size:
            task.memory.copy_(torch.where(chosen[:, None], states.memory[row], task.memory))
        allowed = (SLOWER * self._left + SPARE * self._rate).long().clamp_max(self._limit)
        elapsed.copy_(torch.where(chosen, self._limit - allowed, elapsed))

    def count(self, ended: Tensor, success: Tensor) -> None:
        """Count episodes that ended, (N,) bool, and let the window grow where enough succeeded."""
        own = ended & self.within
        self._since += torch.stack([own.sum(), (own & success).sum()]).to(self._since)
        full = self._since[0] >= self._counted
        good = self._since[1] > ENOUGH * self._since[0]
        self.window.copy_(
            torch.where(full & good, (self.window + GROWTH).clamp_max(1.0), self.window)
        )
        self._since.copy_(torch.where(full, 0.0, self._since))

    def get_state(self) -> dict[str, Tensor]:
        """Return what the next episodes depend on, each (N, …)."""
        count = len(self.row)
        return {
            "demo start": self.row + 1,  # 0: none, as counts are never negative
            "demo left": self._left.clone(),
            WINDOW: self.window.repeat(count),
            SINCE: self._since.repeat(count, 1),
        }

    def set_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `get_state` returned."""
        self.row.copy_(state["demo start"] - 1)
        self._left.copy_(state["demo left"])
        self.window.copy_(state[WINDOW][0])
        self._since.copy_(state[SINCE][0])

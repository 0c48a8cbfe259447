"""Which episode each environment is in: its seed, its start, and how far it has come."""

import torch
from torch import Tensor

from gym_grasp.envs.control import Controller
from gym_grasp.envs.demo_starts import DemoStarts
from gym_grasp.envs.perturber import Perturber
from gym_grasp.errors import UsageError
from gym_grasp.tasks.base import Task
from gym_grasp.tasks.random import episode_seeds, uniform

_STAGGER = 1_000
"""Stream of random numbers that no task draws from."""


class Episodes:
    """Seeds, start states and counters of a batch of environments.

    Everything is written in place: a GPU replays captured functions on the very tensors that they
    were captured with.

    Args:
        task: draws start states from the seeds.
        worlds: draws model fields from the seeds.
        num_envs: N.
        first_env: number of the first environment, from which the seeds follow.
    """

    def __init__(self, task: Task, worlds: Perturber, num_envs: int, first_env: int) -> None:
        device = task.device
        self._task, self._worlds = task, worlds
        self._env_index = first_env + torch.arange(num_envs, device=device)
        self._base = torch.zeros((), dtype=torch.int64, device=device)
        self.base_seed: int | None = None
        """Seed of the batch, None until one has been chosen."""
        self.seed = torch.zeros(num_envs, dtype=torch.int64, device=device)
        """Seed of each environment's present episode. Shape (N,)."""
        self.count = torch.zeros_like(self.seed)
        """Episodes begun. Shape (N,)."""
        self.elapsed = torch.zeros_like(self.seed)
        """Steps of the present episode. Shape (N,)."""
        self.total = torch.zeros(num_envs, device=device)
        """Sum of the present episode's rewards. Shape (N,)."""
        self.mask = torch.zeros(num_envs, dtype=torch.bool, device=device)
        """Which environments begin an episode. Shape (N,)."""
        self.start = torch.zeros(num_envs, task.model.nq, device=device)
        """Where these episodes begin. Shape (N, nq)."""
        self.fields = {name: v.clone() for name, v in worlds.randomise(self.seed).items()}
        """Their model fields, each (N, …)."""
        constants = worlds.constants(self.seed)
        self.constants = constants and {name: v.clone() for name, v in constants.items()}
        """What follows from these, each (N, …); None: the engine derives it."""
        self.demos: DemoStarts | None = None
        """Where in demonstrations episodes begin; None: nowhere."""

    def restart(self, base_seed: int) -> None:
        """Let the sequence of episodes begin anew, with another seed of the batch."""
        self.base_seed = base_seed
        self._base.fill_(base_seed)
        self.count.zero_()

    def draw_next(self) -> None:
        """Draw the next episode of the environments in `mask`."""
        seeds = episode_seeds(self._base, self._env_index, self.count)
        self.count += self.mask
        if self.demos is not None:
            seeds = self.demos.choose(self.mask, seeds)
        self.seed.copy_(torch.where(self.mask, seeds, self.seed))
        self._draw()

    def draw(self, seeds: Tensor) -> None:
        """Draw the episodes of these seeds (N,) in all environments.

        Raises:
            UsageError: there is not one for each environment, they are no whole numbers or, on the
                CPU, one is negative.
        """
        if not isinstance(seeds, Tensor):
            raise UsageError(f"Episode seeds are {seeds!r}; expected a tensor, torch.int64.")
        if seeds.shape != self.seed.shape or seeds.dtype != torch.int64:
            raise UsageError(
                f"Episode seeds have shape {tuple(seeds.shape)} and {seeds.dtype}; expected one "
                f"for each environment: {tuple(self.seed.shape)}, torch.int64."
            )
        if seeds.device.type == "cpu" and (seeds < 0).any():  # a GPU would have to be waited for
            raise UsageError(f"An episode seed is {int(seeds.min())}; expected 0 to 2**63 - 1.")
        self.mask.fill_(True)
        self.seed.copy_(seeds)
        if self.demos is not None:
            self.demos.forget(self.mask)
        self._draw()

    def draw_given(self, seeds: Tensor, given: Tensor) -> None:
        """Draw, in `mask`, the episodes of seeds (N,) where one is given (N,), else the next."""
        chosen = self.mask & given
        self.mask &= ~given
        self.draw_next()
        self.mask |= chosen
        if self.demos is not None:
            self.demos.forget(chosen)
        self.seed.copy_(torch.where(chosen, seeds, self.seed))
        self._draw()

    def _draw(self) -> None:
        start = self._task.start(self.seed)
        self.start.copy_(start if self.demos is None else self.demos.start(start))
        for name, values in self._worlds.randomise(self.seed).items():
            self.fields[name].copy_(values)
        for name, values in (self._worlds.constants(self.seed) or {}).items():
            assert self.constants is not None
            self.constants[name].copy_(values)

    def enter(self, controller: Controller) -> None:
        """Reset counters and memory in `mask`; where a demonstration goes on, take up its own."""
        self.elapsed.masked_fill_(self.mask, 0)
        self.total.masked_fill_(self.mask, 0.0)
        self._task.memory.masked_fill_(self.mask[:, None], 0.0)
        if self.demos is not None:
            self.demos.enter(self.mask, controller, self._task, self.elapsed)

    def stagger(self, limit: int) -> None:
        """Let a random part of the time limit, in steps, be over in the environments in `mask`."""
        high = torch.full((1,), float(limit), device=self.start.device)
        elapsed = uniform(self.seed, 0 * high, high, stream=_STAGGER)[:, 0].long()
        late = self.mask if self.demos is None else self.mask & ~self.demos.within
        self.elapsed.copy_(torch.where(late, elapsed, self.elapsed))

    def get_state(self) -> dict[str, Tensor]:
        """Return a copy of what the next episodes depend on, each (N,)."""
        return {
            "elapsed": self.elapsed.clone(),
            "episode": self.count.clone(),
            "episode_seed": self.seed.clone(),
            "base_seed": torch.full_like(self.count, self.base_seed or 0),
            "return": self.total.clone(),
            **(self.demos.get_state() if self.demos is not None else {}),
        }

    def set_state(self, state: dict[str, Tensor]) -> None:
        """Restore what `get_state` returned."""
        self.elapsed.copy_(state["elapsed"])
        self.count.copy_(state["episode"])
        self.seed.copy_(state["episode_seed"])
        self.base_seed = int(state["base_seed"][0])
        self._base.fill_(self.base_seed)
        self.total.copy_(state["return"])
        if self.demos is not None:
            self.demos.set_state(state)

"""Replaying recorded actions: does every episode succeed again, at the same step?"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
import torch

from gym_grasp.demos.episode import Episode
from gym_grasp.demos.reader import Dataset
from gym_grasp.envs.state import FIELD


class ReplayEnv(Protocol):
    """What replay needs of a vectorised environment with autoreset."""

    num_envs: int
    device: torch.device

    def reset_to(self, seeds: torch.Tensor) -> torch.Tensor:
        """Begin in every environment the episode of its seed, (N,) int64; return (N, O)."""
        ...

    def get_state(self) -> dict[str, torch.Tensor]:
        """Return the state; entries that begin with `field ` are the model fields drawn."""
        ...

    def step(
        self, action: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, dict[str, Any]]:
        """Return observation, reward, terminated, truncated and info after one control step."""
        ...


@dataclass(frozen=True)
class EpisodeReplay:
    """How the replay of one episode went."""

    index: int
    """Which episode of the dataset."""
    seed: int
    """Its seed."""
    steps: int
    """Control steps recorded; the last one succeeded."""
    success_step: int | None
    """Control steps after which the replay succeeded; None: not within the recorded ones."""
    max_deviation: float
    """Largest absolute difference of anything a policy observes while both were running."""
    bit_exact: bool
    """Whether all that a policy observes and all model fields were as recorded, bit for bit."""
    other_fields: tuple[str, ...] = ()
    """Model fields that came out otherwise than recorded, or were drawn in one case alone."""

    @property
    def reproduced(self) -> bool:
        """Whether the replay succeeded at the very step that the recording did."""
        return self.success_step == self.steps


@dataclass(frozen=True)
class ReplayReport:
    """How the replays of several episodes went."""

    episodes: tuple[EpisodeReplay, ...]

    @property
    def reproduced(self) -> int:
        """Number of episodes whose success was reproduced."""
        return sum(episode.reproduced for episode in self.episodes)

    @property
    def bit_exact(self) -> int:
        """Number of episodes that are so."""
        return sum(episode.bit_exact for episode in self.episodes)

    @property
    def max_deviation(self) -> float:
        """Largest deviation of all episodes, in the observations' units."""
        return max((episode.max_deviation for episode in self.episodes), default=0.0)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; the episodes that were not reproduced one by one."""
        return {
            "episodes": len(self.episodes),
            "reproduced": self.reproduced,
            "bit_exact": self.bit_exact,
            "max_deviation": self.max_deviation,
            "not_reproduced": [asdict(one) for one in self.episodes if not one.reproduced],
            "other_fields": sorted({name for one in self.episodes for name in one.other_fields}),
        }


def replay(
    dataset: Dataset,
    env: ReplayEnv,
    indices: Sequence[int] | None = None,
    progress: Callable[[int], None] | None = None,
) -> ReplayReport:
    """Replay episodes, as many at once as the environment has rows.

    Args:
        dataset: where the actions come from.
        env: an environment of the dataset's `env_spec()`, with autoreset.
        indices: which episodes; None takes all.
        progress: called with the number of episodes done after every batch of them.
    """
    indices = range(len(dataset)) if indices is None else indices
    done: list[EpisodeReplay] = []
    for begin in range(0, len(indices), env.num_envs):
        done += _replay_batch(dataset, env, indices[begin : begin + env.num_envs])
        if progress is not None:
            progress(len(done))
    return ReplayReport(tuple(done))


def _replay_batch(dataset: Dataset, env: ReplayEnv, indices: Sequence[int]) -> list[EpisodeReplay]:
    episodes = [dataset.summaries[index] for index in indices]
    count = len(episodes)
    steps = torch.tensor([len(episode) for episode in episodes])
    longest = int(steps.max())
    packer = dataset.meta.packer
    # Rows beyond the batch's episodes repeat the last seed and do nothing.
    seeds = torch.tensor([episode.seed for episode in episodes], dtype=torch.int64)
    seeds = torch.cat([seeds, seeds[-1:].expand(env.num_envs - count)])
    actions = torch.zeros(longest, env.num_envs, len(dataset.meta.action_names))
    recorded = torch.zeros(longest + 1, count, packer.size)
    for row, episode in enumerate(episodes):
        actions[: len(episode), row] = torch.from_numpy(episode.actions)
        recorded[: len(episode) + 1, row] = torch.from_numpy(episode.flat_observations(packer))

    running = torch.ones(count, dtype=torch.bool)
    exact = torch.ones(count, dtype=torch.bool)
    deviation = torch.zeros(count)
    success_step = torch.full((count,), -1)

    def compare(observation: torch.Tensor, expected: torch.Tensor) -> None:
        found = observation[:count].cpu()
        same = (found.view(torch.int32) == expected.view(torch.int32)).all(dim=1)
        exact.logical_and_(same | ~running)
        difference = (found - expected).abs().amax(dim=1)
        deviation[running] = torch.maximum(deviation, difference)[running]

    compare(env.reset_to(seeds.to(env.device)), recorded[0])
    others = _other_fields(env, episodes)
    for step in range(longest):
        _, _, terminated, truncated, info = env.step(actions[step].to(env.device))
        compare(info["final_obs"], recorded[step + 1])
        success = info["success"][:count].cpu()
        success_step[running & success] = step + 1
        # What follows an episode's end, its own or the recorded one, is not compared.
        running &= ~(terminated | truncated)[:count].cpu() & (step + 1 < steps)
    # Otherwise the replay ended early or went on: it is another episode.
    exact &= success_step == steps
    return [
        EpisodeReplay(
            index=index,
            seed=episode.seed,
            steps=len(episode),
            success_step=int(success_step[row]) if success_step[row] >= 0 else None,
            max_deviation=float(deviation[row]),
            bit_exact=bool(exact[row]) and not others[row],
            other_fields=others[row],
        )
        for row, (index, episode) in enumerate(zip(indices, episodes, strict=True))
    ]


def _other_fields(env: ReplayEnv, episodes: Sequence[Episode]) -> list[tuple[str, ...]]:
    """Return, for each episode, the model fields that were drawn otherwise than recorded."""
    drawn = {
        name.removeprefix(FIELD): values.cpu().numpy()
        for name, values in env.get_state().items()
        if name.startswith(FIELD)
    }
    return [
        tuple(
            name
            for name in sorted({*drawn, *episode.fields})
            if name not in drawn
            or name not in episode.fields
            or not np.array_equal(drawn[name][row], episode.fields[name])
        )
        for row, episode in enumerate(episodes)
    ]

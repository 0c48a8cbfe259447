"""Attempts: which start states come, which source each follows, and what is kept."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gym_grasp.demos.episode import Episode, Origin
from gym_grasp.demos.meta import DatasetMeta
from gym_grasp.demos.multiply.follow import Follower
from gym_grasp.demos.multiply.frames import motion_between, symmetries
from gym_grasp.demos.multiply.plan import Plans, make_plans
from gym_grasp.demos.multiply.report import APART, Report, SourceReport
from gym_grasp.demos.multiply.segments import Segment
from gym_grasp.demos.multiply.source import Source
from gym_grasp.demos.reader import Dataset
from gym_grasp.demos.record import describe
from gym_grasp.demos.recorder import EpisodeRecorder
from gym_grasp.demos.writer import DatasetWriter
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import GymGraspError
from gym_grasp.noise import deviations
from gym_grasp.tasks.random import episode_seeds, uniform

TRIALS = 16
"""Attempts with each source before any is kept."""
MOST_TURN = np.radians(45.0)
"""How far a frame may be turned from its source's, in rad."""
MOST_TILT = np.radians(20.0)
"""How far it may be tilted, in rad: it is not tilted with it."""
TURNED = 0.25
"""Turn of a frame at which a source fits 1/e as well, in rad."""
LAYOUT = 0.06
"""Change of the distance between two things at which a source fits 1/e as well, in m."""
AT_ONCE = 256
"""Attempts at once on a CPU, at most."""
AT_ONCE_GPU = 2_048
MEMORY = 3e8
"""What the states of attempts at once may take, in bytes."""
MOST_ATTEMPTS = 6
"""Attempts for each episode asked for, after which no more batches are begun (but for two)."""
_CHOICE = 2_001
"""Stream of random numbers that chooses among sources."""


class Multiplier:
    """The environments, the sources, and which start states have come."""

    def __init__(
        self,
        dataset: Dataset,
        sources: Sequence[Source],
        segments: Sequence[Sequence[Segment]],
        to: int,
        seed: int,
        wander: float,
        device: str,
        num_threads: int,
    ) -> None:
        spec = dataset.env_spec()
        longest = max(map(len, sources))
        most = AT_ONCE if device == "cpu" else AT_ONCE_GPU
        width = sum(value[0].nbytes for value in dataset.episode(0).states.values())
        count = int(min(most, max(16, MEMORY / (2 * longest * width)), max(TRIALS, 1.1 * to)))
        self.env = GraspVectorEnv(
            spec, count, device=device, num_threads=num_threads, autoreset=False
        )
        env = self.env
        self.dataset, self.sources, self.segments = dataset, sources, segments
        self.to, self.seed, self.wander = to, seed, wander
        self.plans: Plans = make_plans(sources, segments, env.device)
        self.turns = _padded(
            [symmetries(env.task.model, body) for body in env.task.thing_bodies], env.device
        )
        scale = deviations((1.0, 0.1), env.observation_units)
        self.scale = np.array([one or 0.1 for one in scale], dtype=np.float32)
        self.starts = [one.start * self.scale for one in sources]
        self.near, self.unfit, self.drawn = 0, 0, 0

    def draw(self, base: int) -> tuple[Tensor, np.ndarray, Tensor]:
        """Draw a batch of start states.

        Returns:
            Their seeds (N,), observations (N, O), scaled, and how well each source fits (N, S):
            0 where not at all.
        """
        env = self.env
        rows = self.drawn + torch.arange(env.num_envs, device=env.device)
        self.drawn += env.num_envs
        seeds = episode_seeds(base, rows, torch.zeros_like(rows))
        seen = env.reset_to(seeds).cpu().numpy() * self.scale
        return seeds, seen, self.fits()

    def fits(self) -> Tensor:
        """Return how well each source fits the present start states, 0 to 1. Shape (N, S)."""
        plans, env = self.plans, self.env
        position = env.physics.bind("xpos")[:, env.task.thing_bodies]
        orientation = env.physics.bind("xquat")[:, env.task.thing_bodies]
        columns = []
        for source in range(len(self.sources)):
            worst = torch.zeros(env.num_envs, device=env.device)
            fits = torch.ones_like(worst)
            shifts = []
            for segment in range(int(plans.count[source])):
                thing = int(plans.frame[source, segment])
                if thing < 0:
                    continue
                pose = plans.start[source, segment].expand(env.num_envs, 7)
                motion, tilt = motion_between(
                    (pose[:, :3], pose[:, 3:]),
                    (position[:, thing], orientation[:, thing]),
                    self.turns[thing].expand(env.num_envs, -1, -1),
                )
                fits *= (motion.yaw.abs() <= MOST_TURN) & (tilt <= MOST_TILT)
                fits *= torch.exp(-((motion.yaw / TURNED) ** 2))
                shifts.append(position[:, thing] - pose[:, :3])
            for shift in shifts[1:]:
                worst = torch.maximum(worst, (shift - shifts[0]).norm(dim=1))
            alike = torch.exp(-((worst / LAYOUT) ** 2)).clamp_min(1e-2)
            columns.append(fits.clamp_min(1e-4) * (fits > 0) * alike)
        return torch.stack(columns, 1)

    def attempt(self, seeds: Tensor, sources: Tensor) -> list[Episode]:
        """Follow sources (N,) from start states (N,); return the episodes in that order."""
        env = self.env
        env.reset_to(seeds)
        follower = Follower(env, self.plans, sources, self.turns, self.wander)
        turn, shift = follower.turn.tolist(), follower.shift.tolist()
        recorder = EpisodeRecorder(env)
        while recorder.running.any():
            actions, sent = follower.act()
            *_, info = env.step(actions)
            recorder.add(actions, info, sent)
            if not (recorder.running & ~follower.done.cpu().numpy()).any():
                break
        return [
            recorder.episode(
                row,
                {
                    "source": self.sources[source].index,
                    "turn": round(turn[row], 6),
                    "shift": round(shift[row], 6),
                },
            )
            for row, source in enumerate(sources.tolist())
        ]

    def try_sources(self) -> list[SourceReport]:
        """Try every source from start states that fit it, and return what came of it."""
        env, count = self.env, len(self.sources)
        wanted = np.repeat(np.arange(count), TRIALS)
        trials, successes = np.zeros(count, int), np.zeros(count, int)
        base = int(np.random.SeedSequence([self.seed, 1]).generate_state(1)[0])
        for begin in range(0, len(wanted), env.num_envs):
            batch = wanted[begin : begin + env.num_envs]
            seeds, free = torch.zeros(env.num_envs, dtype=torch.int64), np.ones(len(batch), bool)
            for _ in range(8):
                drawn, _, fits = self.draw(base)
                for row, fit in enumerate(fits.cpu().numpy()):
                    match = np.flatnonzero(free & (fit[batch] > 0))
                    if len(match):
                        best = match[0]
                        seeds[best], free[best] = drawn[row].item(), False
                if not free.any():
                    break
            rows = np.flatnonzero(~free)
            if not len(rows):
                continue
            padded = np.resize(rows, env.num_envs)
            episodes = self.attempt(
                seeds[padded].to(env.device), torch.tensor(batch[padded], device=env.device)
            )
            for source, episode in zip(batch[rows], episodes, strict=False):
                trials[source] += 1
                successes[source] += episode.success
        return [
            SourceReport(one.index, tuple(self.segments[n]), int(trials[n]), int(successes[n]))
            for n, one in enumerate(self.sources)
        ]

    def choose(
        self, weights: Tensor, limit: int, spare: list[tuple[int, int]]
    ) -> tuple[Tensor, Tensor] | None:
        """Return start states apart from all others, and a source for each, by its weight.

        None: no more were found.

        Args:
            weights: of the sources. Shape (S,).
            limit: how many are wanted at most.
            spare: chosen before and not used yet; what is left over is put there.
        """
        env = self.env
        for _ in range(40):
            if len(spare) >= limit:
                break
            seeds, seen, fits = self.draw(self.seed)
            share = fits * weights
            total = share.cumsum(1)
            zero = torch.zeros(1, device=env.device)
            point = uniform(seeds, zero, zero + 1.0, _CHOICE) * total[:, -1:]
            choice = (total < point).sum(1).clamp_max(len(self.sources) - 1)
            gaps = np.linalg.norm(np.array(self.starts)[:, None] - seen, axis=2).min(axis=0)
            for row in range(env.num_envs):
                if total[row, -1] < 1e-6:
                    self.unfit += 1
                    continue
                if gaps[row] < APART:
                    self.near += 1
                    continue
                gaps = np.minimum(gaps, np.linalg.norm(seen - seen[row], axis=1))
                self.starts.append(seen[row])
                spare.append((int(seeds[row]), int(choice[row])))
        taken = spare[:limit]
        del spare[:limit]
        if not taken:
            return None
        padded = [taken[row % len(taken)] for row in range(env.num_envs)]
        seeds, sources = torch.tensor(padded, device=env.device).T.contiguous()
        return seeds, sources

    def make(
        self,
        path: Path,
        reports: list[SourceReport],
        overwrite: bool,
        began: float,
        on_episode: Callable[[int, int], None],
    ) -> Report:
        """Attempt until enough has succeeded, and write it."""
        env, sources = self.env, [one for one in reports if one.used]
        weights = torch.tensor(
            [one.share * one.used for one in reports], dtype=torch.float32, device=env.device
        )
        meta = describe_multiplied(self.dataset, env, self.seed, len(sources))
        kept: list[Episode] = []
        seeds: set[int] = set()
        counts = dict.fromkeys(range(len(self.dataset)), 0)
        started, tried, spare = time.perf_counter(), 0, list[tuple[int, int]]()
        with DatasetWriter(path, meta, overwrite=overwrite) as writer:
            while len(writer) < self.to:
                chosen = self.choose(weights, env.num_envs, spare)
                if chosen is None or tried > MOST_ATTEMPTS * self.to + 2 * env.num_envs:
                    why = (
                        "no more start states lie apart and fit"
                        if chosen is None
                        else "too few succeed"
                    )
                    raise GymGraspError(
                        f"Only {len(writer)} of {tried} attempts succeeded and {why}; {self.to} "
                        "episodes were asked for. Ask for fewer, or give more sources."
                    )
                for episode in self.attempt(*chosen):
                    if len(writer) >= self.to:
                        break
                    if episode.seed in seeds:
                        continue
                    tried += 1
                    if writer.add(episode):
                        counts[int(episode.events["source"])] += 1
                        kept.append(_start_of(episode))
                        seeds.add(episode.seed)
                    on_episode(len(writer), tried)
            acting = time.perf_counter() - started
        packer = self.dataset.meta.packer
        starts = np.array([one.flat_observations(packer)[0] for one in kept])
        return Report(
            path=str(path),
            episodes=len(kept),
            attempts=tried,
            share=len(kept) / tried,
            near=self.near,
            unfit=self.unfit,
            apart=APART,
            spread=tuple(starts.std(0).round(4).tolist()),
            seconds=round(time.perf_counter() - began, 1),
            per_minute=round(60 * tried / acting),
            sources=tuple(dataclasses.replace(one, kept=counts[one.episode]) for one in reports),
        )


def describe_multiplied(
    dataset: Dataset, env: GraspVectorEnv, seed: int, count: int
) -> DatasetMeta:
    """Return what a dataset made of `count` demonstrations of another one says about itself."""
    many = "1 demonstration" if count == 1 else f"{count} demonstrations"
    origin = Origin("multiplied", (f"{many} of {dataset.fingerprint}",))
    meta = describe(env, operator=dataset.meta.operator, base_seed=seed, origin=origin)
    return dataclasses.replace(meta, licence=dataset.meta.licence)


def _start_of(episode: Episode) -> Episode:
    """Return what is still wanted of an episode that is written: its start."""
    first = {key: value[:1] for key, value in episode.observations.items()}
    return dataclasses.replace(episode, observations=first, states={}, operator_input={})


def _padded(turns: Sequence[np.ndarray], device: torch.device) -> Tensor:
    most = max(map(len, turns))
    rows = [np.concatenate([one, np.repeat(one[:1], most - len(one), axis=0)]) for one in turns]
    return torch.tensor(np.stack(rows), dtype=torch.float32, device=device)

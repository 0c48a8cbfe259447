"""Where episodes can begin within demonstrations."""

import numpy as np
import torch

from gym_grasp.demos.reader import Dataset
from gym_grasp.envs.demo_starts import DemoStarts, DemoStates
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import DatasetError, UsageError


def begin_within(env: GraspVectorEnv, dataset: Dataset) -> None:
    """Let episodes that `reset` and autoreset begin be of a backward curriculum: see `DemoStarts`.

    Episodes of seeds that are given begin where the task does.

    Raises:
        UsageError: the environment was reset before.
        DatasetError: see `demo_states`.
    """
    if env.seeded:
        raise UsageError("begin_within() came after the first reset(); call it before.")
    states = demo_states(dataset, env)
    env.episodes.demos = DemoStarts(states, env.num_envs, env.control_rate, env.max_episode_steps)


def demo_states(dataset: Dataset, env: GraspVectorEnv) -> DemoStates:
    """Return the states of a dataset's training episodes, before each of their steps.

    They are positions and what the hand was led to; on either engine episodes begin there at rest.

    Args:
        dataset: of demonstrations recorded on a CPU.
        env: where episodes are to begin so.

    Raises:
        DatasetError: the file holds a GPU's states, or other model fields than the seeds make.
    """
    dataset.require_cpu_states("no episode can begin in")
    parts = dict(dataset.meta.states["physics"])
    begin = sum(width for name, width in _before(dataset, "qpos"))
    columns = slice(begin, begin + parts["qpos"])
    rows: dict[str, list[np.ndarray]] = {
        name: [] for name in ("qpos", "targets", "commanded", "memory")
    }
    lengths, seeds = [], []
    for index, episode in zip(
        dataset.train_indices, dataset.episodes(dataset.train_indices), strict=True
    ):
        states, count = episode.states, len(episode)
        rows["qpos"].append(states["physics"][:count, columns])
        rows["targets"].append(states["targets"][:count])
        rows["commanded"].append(states["commanded"][:count])
        rows["memory"].append(states.get("memory", np.zeros((count + 1, 0)))[:count])
        lengths.append(count)
        seeds.append(episode.seed)
        drawn = env.task.randomise(torch.tensor([episode.seed], device=env.device))
        for name, values in drawn.items():
            own = episode.fields.get(name)
            if own is None or not np.allclose(values[0].cpu().numpy(), own, atol=1e-4):
                raise DatasetError(
                    f"{dataset.path}: '{name}' of episode {index} does not follow from its seed; "
                    "record it again."
                )

    def joined(name: str) -> torch.Tensor:
        return torch.tensor(np.concatenate(rows[name]), dtype=torch.float32, device=env.device)

    steps = torch.tensor(lengths, device=env.device)
    return DemoStates(
        qpos=joined("qpos"),
        targets=joined("targets"),
        commanded=joined("commanded"),
        memory=joined("memory"),
        first=steps.cumsum(0) - steps,
        length=steps,
        seed=torch.tensor(seeds, dtype=torch.int64, device=env.device),
    )


def _before(dataset: Dataset, part: str) -> list[tuple[str, int]]:
    """Return the parts of the physics' state that stand before one of them."""
    names = [name for name, _ in dataset.meta.states["physics"]]
    return list(dataset.meta.states["physics"][: names.index(part)])

"""robomimic's HDF5: what its readers and rollouts use, and nothing else."""

import json
from pathlib import Path

import h5py
import numpy as np

from gym_grasp.demos.episode import Episode
from gym_grasp.demos.reader import Dataset
from gym_grasp.envs.flat import flatten
from gym_grasp.envs.state import FIELD


def write(dataset: Dataset, path: Path) -> str:
    """Write the file; return how to use it.

    `obs` and `next_obs` hold the features that policies act on, under their names; `states` the
    whole state of the environment before each step, as `integrations.robomimic` takes it back.
    """
    keys = dataset.meta.packer.layout
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        version = {"env_version": dataset.meta.versions["gym-grasp"]}
        data.attrs["env_args"] = json.dumps(json.loads(dataset.meta.env_args()) | version)
        data.attrs["total"] = sum(len(episode) for episode in dataset.summaries)
        for index, episode in enumerate(dataset.episodes()):
            group = data.create_group(f"demo_{index}")
            group.attrs["num_samples"] = len(episode)
            group.attrs["seed"] = np.int64(episode.seed)
            arrays = {
                "actions": episode.actions,
                "rewards": episode.rewards,
                "dones": np.arange(len(episode)) == len(episode) - 1,
                "states": flatten(whole_states(episode))[:-1],
                **{f"obs/{key}": episode.observations[key][:-1] for key in keys},
                **{f"next_obs/{key}": episode.observations[key][1:] for key in keys},
            }
            arrays["dones"] = arrays["dones"].astype(np.uint8)
            for name, value in arrays.items():
                packed = {"compression": "gzip", "shuffle": True} if value.ndim > 1 else {}
                group.create_dataset(name, data=value, **packed)
        for name in ("train", "valid"):
            chosen = [f"demo_{index}" for index in getattr(dataset, f"{name}_indices")]
            file[f"mask/{name}"] = np.array(chosen, dtype="S")
    return "python -m gym_grasp.integrations.robomimic train --config CONFIG --dataset {path}"


def whole_states(episode: Episode) -> dict[str, np.ndarray]:
    """Return everything that `GraspVectorEnv.set_state` takes, each of shape (T + 1, ...)."""
    moments = len(episode) + 1
    fields = {
        f"{FIELD}{name}": np.broadcast_to(value, (moments, *value.shape))
        for name, value in episode.fields.items()
    }
    return {**episode.states, **fields}

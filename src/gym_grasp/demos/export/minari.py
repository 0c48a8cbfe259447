"""Minari's dataset, written by Minari itself."""

import json
from pathlib import Path

import numpy as np
from gymnasium.envs.registration import EnvSpec as GymnasiumSpec
from gymnasium.spaces import Box
from minari import __version__ as minari_version
from minari.data_collector.episode_buffer import EpisodeBuffer
from minari.dataset.minari_storage import MinariStorage

from gym_grasp.demos.episode import Episode
from gym_grasp.demos.reader import Dataset
from gym_grasp.tasks.features import Packer


def write(dataset: Dataset, path: Path) -> str:
    """Write the folder, a root of datasets, with one dataset in it; return how to load it."""
    meta = dataset.meta
    identity = f"gym-grasp/{meta.task}/{meta.operator}-v0"
    path = path.absolute()  # Minari's measuring of a relative one joins it twice
    folder = path / identity
    folder.mkdir(parents=True)
    (path / "gym-grasp" / "namespace_metadata.json").write_text(
        json.dumps({"description": "Demonstrations of dexterous manipulation."})
    )
    spec = GymnasiumSpec(
        id=meta.env_name,
        entry_point="gym_grasp.envs.single:GraspEnv",
        kwargs={"task": dict(meta.spec)},
        max_episode_steps=dataset.env_spec().max_episode_steps,
    )
    storage = MinariStorage.new(
        folder / "data",
        observation_space=Box(-np.inf, np.inf, (meta.packer.size,), np.float32),
        action_space=Box(-1.0, 1.0, (len(meta.action_names),), np.float32),
        env_spec=spec,
        data_format="hdf5",
    )
    storage.update_metadata(
        {
            "dataset_id": identity,
            "algorithm_name": meta.operator,
            "author": {"gym-grasp"},
            "description": meta.description or f"Demonstrations of {meta.task} by {meta.robot}.",
            "requirements": [f"{name}=={number}" for name, number in meta.versions.items()],
            "minari_version": minari_version,
            "observation_names": list(meta.packer.names),
            "observation_units": list(meta.packer.units),
            "action_names": list(meta.action_names),
            "control_rate": meta.control_rate,
            "licence": meta.licence,
        }
    )
    packer = dataset.meta.packer
    storage.update_episodes(_buffer(*one, packer) for one in enumerate(dataset.episodes()))
    return f"MINARI_DATASETS_PATH={{path}}, minari.load_dataset('{identity}')"


def _buffer(index: int, episode: Episode, packer: Packer) -> EpisodeBuffer:
    ended = np.arange(len(episode)) == len(episode) - 1
    return EpisodeBuffer(
        id=index,
        seed=episode.seed,
        observations=episode.flat_observations(packer),
        actions=episode.actions,
        rewards=episode.rewards,
        terminations=ended & episode.success,
        truncations=ended & (not episode.success),
        infos={"success": np.concatenate([[False], ended & episode.success])},
    )

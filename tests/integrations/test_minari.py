"""The environment that Minari recovers is the one of the recording."""

import numpy as np
import pytest
import torch

from gym_grasp.demos.export import export
from gym_grasp.demos.reader import open_dataset
from gym_grasp.demos.record import record

minari = pytest.importorskip("minari")


def test_demonstrations_succeed_again_in_the_recovered_environment(tmp_path, monkeypatch):
    record("open-drawer", tmp_path / "drawer.hdf5", episodes=2, seed=1)
    export(open_dataset(tmp_path / "drawer.hdf5"), "minari", tmp_path / "root")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "root"))
    assert list(minari.list_local_datasets()) == ["gym-grasp/open-drawer/synthetic-v0"]
    dataset = minari.load_dataset("gym-grasp/open-drawer/synthetic-v0")
    env = dataset.recover_environment()
    metadata = dataset.storage.get_episode_metadata(dataset.episode_indices)
    for episode, about in zip(dataset.iterate_episodes(), metadata, strict=True):
        observation, _ = env.reset(seed=about["seed"])
        if not np.array_equal(observation, episode.observations[0]):  # it takes other seeds
            behind = env.unwrapped._env
            observation = behind.reset_to(torch.tensor([about["seed"]]))[0].numpy()
        for step, action in enumerate(episode.actions):
            assert observation.tobytes() == episode.observations[step].tobytes()
            observation, reward, terminated, truncated, _ = env.step(action)
            assert reward == episode.rewards[step]
            assert terminated == episode.terminations[step]
            assert not truncated
    env.close()

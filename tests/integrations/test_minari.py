"""The environment that Minari recovers is the one of the recording."""

import pytest

from foreign import exported

minari = pytest.importorskip("minari")


def test_demonstrations_succeed_again_in_the_recovered_environment(tmp_path, monkeypatch):
    ours, root = exported("minari", tmp_path, 2)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(root))
    assert list(minari.list_local_datasets()) == ["gym-grasp/open-drawer/synthetic-v0"]
    dataset = minari.load_dataset("gym-grasp/open-drawer/synthetic-v0")
    assert (dataset.total_episodes, dataset.total_steps) == (2, sum(map(len, ours.summaries)))
    for theirs, known in zip(dataset.iterate_episodes(), ours.summaries, strict=True):
        assert theirs.actions.tobytes() == known.actions.tobytes()
    env = dataset.recover_environment()
    metadata = dataset.storage.get_episode_metadata(dataset.episode_indices)
    for episode, about in zip(dataset.iterate_episodes(), metadata, strict=True):
        observation, _ = env.reset(seed=about["seed"])
        for step, action in enumerate(episode.actions):
            assert observation.tobytes() == episode.observations[step].tobytes()
            observation, reward, terminated, truncated, _ = env.step(action)
            assert reward == episode.rewards[step]
            assert terminated == episode.terminations[step]
            assert not truncated
    env.close()

import json

import imageio.v3 as imageio
import numpy as np
import pytest

from gym_grasp.demos.card import dataset_card, plot_summary, summarise
from gym_grasp.demos.episode import split_observations
from gym_grasp.demos.meta import DatasetMeta
from gym_grasp.demos.reader import open_dataset
from gym_grasp.demos.writer import DatasetWriter


@pytest.fixture
def known(tmp_path, make_episode, make_meta):
    """Return a dataset of 3 episodes of 3, 4 and 8 steps, whose numbers are known by hand."""
    meta = make_meta(description="Drawers are opened.")
    with DatasetWriter(tmp_path / "a.hdf5", meta) as writer:
        for seed, steps in enumerate([3, 4, 8]):
            actions = np.zeros((steps, 11), dtype=np.float32)
            actions[:, 0] = [1, -1, 0.5, 0, 0, 0, 0, 0][:steps]
            events = {"mistakes": 2 * seed}
            writer.add(make_episode(seed, steps=steps, actions=actions, events=events))
        writer.count_failure()
    return open_dataset(tmp_path / "a.hdf5")


def test_summary(known):
    summary = summarise(known)
    assert (summary.episodes, summary.steps, summary.train, summary.valid) == (3, 15, 2, 1)
    assert (summary.attempts, summary.failures, summary.success_rate) == (4, 1, 0.75)
    assert (summary.mistakes, summary.episodes_with_mistakes) == (6, 2)
    steps, seconds = summary.length_steps, summary.length_seconds
    assert (steps.min, steps.median, steps.max) == (3, 4, 8)
    assert (seconds.min, seconds.median, seconds.max) == pytest.approx((0.1, 4 / 30, 8 / 30))
    first = summary.actions[0]
    assert (first.mean, first.min, first.max) == (pytest.approx(0.1), -1, 1)
    assert first.std == pytest.approx(((6 * 1 + 3 * 0.25) / 15 - 0.1**2) ** 0.5)
    assert first.saturated == pytest.approx(6 / 15)
    assert len(summary.actions) == 11
    assert summary.actions[4].std == 0
    assert json.loads(json.dumps(summary.to_dict()))["length_steps"]["max"] == 8


def test_card_names_everything(known):
    card = dataset_card(known)
    for text in (
        "# open-drawer v0: 3 demonstrations",
        "Drawers are opened.",
        "- Operator: synthetic (a program, not a person)",
        "- Attempts: 4, 1 of them failed and are left out (75.0 % succeeded)",
        "- Length: 0.1 to 0.3 s, median 0.1 s (3 to 8 steps at 30 Hz)",
        "- Licence: Apache-2.0",
        known.fingerprint,
        "| `obs/drawer_opening` | (T, 1) float32 | observation before the step | m |",
        "| `operator_input/wrist_pose` | (T, 7) float64 |",
        "| `operator_input/time` | (T,) float64 |",
        "| 0 | wrist translation x | 0.100 |",
        "`gym_grasp/OpenDrawer-v0`",
        "mujoco 3.17",
    ):
        assert text in card
    assert card == dataset_card(open_dataset(known.path))


def test_plot_is_a_picture_with_something_in_it(known, tmp_path):
    plot_summary(known, tmp_path / "a.png")
    picture = imageio.imread(tmp_path / "a.png")
    assert picture.shape[:2] == (432, 1440)
    assert 0.02 < (picture[..., :3].min(axis=2) < 250).mean() < 0.5


def test_split_observations():
    flat = np.arange(12.0).reshape(2, 6)
    parts = split_observations(flat, {"c": 1, "a": 3, "b": 2})
    assert list(parts) == ["a", "b", "c"]
    assert parts["b"].tolist() == [[3, 4], [9, 10]]
    with pytest.raises(ValueError, match="6 wide, but the layout adds up to 4"):
        split_observations(flat, {"a": 4})


def test_meta_survives_json(make_meta):
    meta = make_meta(env_kwargs={"max_episode_steps": 300, "reward": "dense"})
    assert DatasetMeta.from_json(meta.to_json()) == meta
    assert meta.versions.keys() == {"gym-grasp", "mujoco", "numpy"}
    with pytest.raises(ValueError, match="bad name or width"):
        make_meta(observation_layout={"a/b": 1})

"""From steps to episodes: any feature, model fields, memory, and where each row belongs."""

import dataclasses

import numpy as np
import pytest
import torch

from gym_grasp.demos.episode import sparse_rewards
from gym_grasp.demos.reader import check, open_dataset
from gym_grasp.demos.record import describe
from gym_grasp.demos.recorder import EpisodeRecorder
from gym_grasp.demos.replay import replay
from gym_grasp.demos.writer import DatasetWriter
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.tasks import register_task
from gym_grasp.tasks.features import Feature
from gym_grasp.tasks.open_drawer import OpenDrawer
from gym_grasp.tasks.random import uniform
from gym_grasp.tasks.scene import SCENES

ENVS = 3
GOALS = (2.0, 3.0, 5.0)
"""Steps after which each environment has won."""


class CountSteps(OpenDrawer):
    """Won after some steps; damping is drawn, and there is a camera."""

    name = "count-steps"
    title = "CountSteps"
    memory_size = 1

    @classmethod
    def scene(cls):
        return SCENES / "open_drawer.xml"

    def randomise(self, seeds):
        damping = torch.tensor(self.model.dof_damping, dtype=torch.float32).repeat(len(seeds), 1)
        damping[:, -1] = uniform(seeds, torch.tensor([1.0]), torch.tensor([9.0]), stream=9)[:, 0]
        return {"dof_damping": damping}

    def remember(self, physics):
        return self.memory + 1

    def success(self, physics):
        return self.memory[:, 0] >= torch.tensor(GOALS)

    @classmethod
    def scene_features(cls, options):
        image = Feature("camera", "1", tuple("rgb"), (8, 8, 3), "uint8", ("camera",))
        count = Feature("steps", "1", ("value",), dtype="int64", groups=("critic",))
        return {**super().scene_features(options), "image": image, "count": count}

    def observe_scene(self, physics):
        count = self.memory.long()
        self.image = getattr(self, "image", torch.zeros(ENVS, 8, 8, 3, dtype=torch.uint8))
        self.image[:] = count[:, :, None, None].to(torch.uint8)  # in place: it is live
        return {**super().observe_scene(physics), "image": self.image, "count": count}


register_task("count-steps", f"{__name__}:CountSteps", version=CountSteps.version)


@pytest.fixture(scope="module")
def recorded():
    """Return the meta of a recording, its episodes, and what the environment said meanwhile."""
    env = GraspVectorEnv("count-steps", ENVS, num_threads=1, autoreset=False, max_episode_steps=4)
    env.reset(seed=0)
    recorder = EpisodeRecorder(env)
    generator = torch.Generator().manual_seed(0)
    actions, said, running = [], [env.observation().clone()], []
    for _ in range(6):  # beyond all ends: what comes after them is not recorded
        actions.append(2 * torch.rand(ENVS, env.action_size, generator=generator) - 1)
        info = env.step(actions[-1])[-1]
        recorder.add(actions[-1], info, {"sent": np.full((ENVS, 2), len(actions))})
        said.append(info["final_obs"])
        running.append(recorder.running.tolist())
    meta = describe(env, "synthetic", 0)
    episodes = [recorder.episode(index, {"index": index}) for index in range(ENVS)]
    return meta, episodes, torch.stack(actions), torch.stack(said), running


def test_episodes_end_each_at_its_own_step(recorded):
    _, episodes, actions, _, running = recorded
    assert [len(episode) for episode in episodes] == [2, 3, 4]
    assert [episode.success for episode in episodes] == [True, True, False]  # 4 is the limit
    assert running == [[True] * 3, [False, True, True], [False, False, True], *[[False] * 3] * 3]
    assert [episode.rewards.tolist() for episode in episodes] == [
        [-1, 0],
        [-1, -1, 0],
        [-1, -1, -1, -1],
    ]
    for index, episode in enumerate(episodes):
        end = len(episode)
        np.testing.assert_array_equal(episode.actions, actions[:end, index])
        assert episode.operator_input["sent"][:, 0].tolist() == list(range(1, end + 1))
        assert episode.events == {"index": index}


def test_every_feature_has_the_row_of_its_moment(recorded):
    meta, episodes, _, said, _ = recorded
    for index, episode in enumerate(episodes):
        moments = list(range(len(episode) + 1))
        np.testing.assert_array_equal(
            episode.flat_observations(meta.packer), said[: len(episode) + 1, index]
        )
        assert episode.observations["count"][:, 0].tolist() == moments
        assert episode.observations["count"].dtype == np.int64
        assert episode.observations["image"].dtype == np.uint8
        assert episode.observations["image"][:, 7, 7, 2].tolist() == moments
        assert episode.states["memory"][:, 0].tolist() == moments
        assert episode.states["elapsed"].tolist() == moments


def test_model_fields_are_kept_once_an_episode(recorded):
    _, episodes, *_ = recorded
    drawn = [episode.fields["dof_damping"][-1] for episode in episodes]
    assert len(set(drawn)) == ENVS
    assert all(1 < value < 9 for value in drawn)
    assert not any("field" in name for name in episodes[0].states)


def test_recording_replays_with_its_fields(recorded, tmp_path, monkeypatch):
    meta, episodes, *_ = recorded
    with DatasetWriter(tmp_path / "a.hdf5", meta) as writer:
        for episode in episodes:
            end = len(episode)
            writer.add(
                dataclasses.replace(episode, success=True, rewards=sparse_rewards(end, True))
            )
    dataset = open_dataset(tmp_path / "a.hdf5")
    check(dataset)
    assert dataset.episode(1).digest() == episodes[1].digest()
    report = replay(dataset, GraspVectorEnv(dataset.env_spec(), ENVS, num_threads=1))
    assert [one.bit_exact for one in report.episodes] == [True, True, False]  # the third lost
    assert report.to_dict()["other_fields"] == []
    # A field that was drawn otherwise is noticed.
    drawn = CountSteps.randomise

    def stiffer(self, seeds):
        return {name: 1.01 * values for name, values in drawn(self, seeds).items()}

    monkeypatch.setattr(CountSteps, "randomise", stiffer)
    report = replay(dataset, GraspVectorEnv(dataset.env_spec(), ENVS, num_threads=1))
    assert [one.other_fields for one in report.episodes] == [("dof_damping",)] * ENVS
    assert report.bit_exact == 0

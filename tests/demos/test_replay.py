import dataclasses

import numpy as np
import pytest
import torch

from gym_grasp.demos.reader import open_dataset
from gym_grasp.demos.replay import replay
from gym_grasp.demos.writer import DatasetWriter
from gym_grasp.tasks.features import Feature, Packer, scalar

FEATURES = {"position": Feature("of the point", "m", ("x", "y")), "seed": scalar("its seed", "1")}


class PointEnv:
    """A point (x, y) that actions 0 and 1 push; x > 1 succeeds, 12 steps are the limit."""

    device = torch.device("cpu")

    def __init__(self, num_envs, push=0.25):
        self.num_envs, self.push = num_envs, push
        self.resets = []

    def reset_to(self, seeds):
        assert seeds.shape == (self.num_envs,)
        assert seeds.dtype == torch.int64
        self.resets.append(seeds.tolist())
        self.seeds = seeds.clone()
        self.position = torch.stack([seeds * 0.01, torch.zeros(self.num_envs)], dim=1).float()
        self.count = torch.zeros(self.num_envs)
        return self.observe()

    def observe(self):
        return torch.cat([self.position, self.seeds[:, None].float()], dim=1)

    def get_state(self):
        """Friction is drawn from the seed; anything else is no model field."""
        friction = 0.5 + 0.1 * self.seeds[:, None].float()
        return {"field geom_friction": friction, "elapsed": self.count}

    def step(self, action):
        assert action.shape == (self.num_envs, 11)
        self.position = self.position + self.push * action[:, :2]
        self.count += 1
        success = self.position[:, 0] > 1
        truncated = (self.count == 12) & ~success
        info = {"final_obs": self.observe(), "success": success}
        done = success | truncated
        self.position[done] = 0.0  # the next episode begins within the same step
        self.count[done] = 0
        return self.observe(), torch.where(success, 0.0, -1.0), success, truncated, info


def demonstrate(env, seed, speed, make_episode):
    """Push along x until the point is there."""
    observations, actions = [env.reset_to(torch.tensor([seed]))], []
    success = False
    while not success:
        action = torch.zeros(1, 11)
        action[0, :2] = torch.tensor([speed, 0.3])
        _, _, success, _, info = env.step(action)
        actions.append(action)
        observations.append(info["final_obs"])
    flat = torch.cat(observations).numpy()
    return make_episode(
        seed,
        steps=len(actions),
        observations=Packer(FEATURES).unpack(flat),
        fields={"geom_friction": np.array([0.5 + 0.1 * seed], np.float32)},
        actions=torch.cat(actions).numpy(),
    )


@pytest.fixture
def points(tmp_path, make_episode, make_meta):
    """Return a dataset of 7 episodes of various lengths."""
    env = PointEnv(1)
    with DatasetWriter(tmp_path / "p.hdf5", make_meta(features=FEATURES)) as writer:
        for seed in range(7):
            writer.add(demonstrate(env, seed, 0.4 + 0.1 * (seed % 4), make_episode))
    return open_dataset(tmp_path / "p.hdf5")


@pytest.mark.parametrize("num_envs", [1, 3, 7, 10])
def test_every_episode_is_reproduced_bit_for_bit(points, num_envs):
    assert len({len(episode) for episode in points.summaries}) > 2
    env = PointEnv(num_envs)
    done = []
    report = replay(points, env, progress=done.append)
    assert [episode.index for episode in report.episodes] == list(range(7))
    assert [episode.seed for episode in report.episodes] == list(range(7))
    assert [episode.success_step for episode in report.episodes] == list(map(len, points.summaries))
    assert (report.reproduced, report.bit_exact, report.max_deviation) == (7, 7, 0.0)
    assert done[-1] == 7
    assert len(env.resets) == len(done) == -(-7 // num_envs)
    assert env.resets[-1][-1] == 6
    assert report.to_dict() == {
        "episodes": 7,
        "reproduced": 7,
        "bit_exact": 7,
        "max_deviation": 0.0,
        "not_reproduced": [],
        "other_fields": [],
    }


def test_some_episodes(points):
    report = replay(points, PointEnv(2), indices=[5, 0, 3])
    assert [episode.index for episode in report.episodes] == [5, 0, 3]
    assert report.reproduced == 3


def test_weaker_push_fails_and_deviates(points):
    report = replay(points, PointEnv(4, push=0.2))
    assert (report.reproduced, report.bit_exact) == (0, 0)
    for one, episode in zip(report.episodes, points.summaries, strict=True):
        assert one.success_step is None
        # Every step falls short by a fifth of the recorded 0.25 * speed.
        short = len(episode) * 0.05 * float(episode.actions[0, 0])
        assert one.max_deviation == pytest.approx(short, rel=1e-4)
    assert len(report.to_dict()["not_reproduced"]) == 7


def test_stronger_push_succeeds_too_early_and_does_not_count(points):
    report = replay(points, PointEnv(7, push=0.5))
    assert report.reproduced == 0
    assert all(one.success_step < one.steps for one in report.episodes)


def test_one_bit_is_seen(points, tmp_path, make_meta):
    episode = points.episode(0)
    position = episode.observations["position"].copy()
    position[2, 0] = np.nextafter(position[2, 0], np.float32(9))
    changed = dataclasses.replace(
        episode, observations=episode.observations | {"position": position}
    )
    with DatasetWriter(tmp_path / "q.hdf5", make_meta(features=FEATURES)) as writer:
        writer.add(changed)
    report = replay(open_dataset(tmp_path / "q.hdf5"), PointEnv(1))
    assert (report.reproduced, report.bit_exact) == (1, 0)
    assert 0 < report.max_deviation < 1e-6


@pytest.mark.parametrize(
    "fields",
    [
        {"geom_friction": np.array([0.5000001], np.float32)},
        {},
        {
            "geom_friction": np.array([0.5], np.float32),
            "body_mass": np.array([1.0], np.float32),
        },
    ],
)
def test_model_fields_that_are_drawn_otherwise_are_seen(points, tmp_path, make_meta, fields):
    with DatasetWriter(tmp_path / "q.hdf5", make_meta(features=FEATURES)) as writer:
        writer.add(dataclasses.replace(points.episode(0), fields=fields))
        writer.add(points.episode(1))
    report = replay(open_dataset(tmp_path / "q.hdf5"), PointEnv(2))
    (name,) = report.episodes[0].other_fields
    assert name == ("body_mass" if "body_mass" in fields else "geom_friction")
    assert report.episodes[1].other_fields == ()
    assert (report.reproduced, report.bit_exact) == (2, 1)
    assert report.to_dict()["other_fields"] == [name]

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from gym_grasp.errors import DatasetError
from gym_grasp.learning.demonstrations import Demonstrations, DemonstrationSampler


def episode(length, start):
    observations = start + np.arange(length + 1, dtype=np.float64)[:, None]
    return observations, 10 * observations[:-1]


def test_the_last_observation_has_no_action():
    demos = Demonstrations.from_episodes([episode(3, 0), episode(2, 100)], [episode(1, 7)], "x")
    assert demos.observations.flatten().tolist() == [0, 1, 2, 100, 101]
    assert demos.actions.flatten().tolist() == [0, 10, 20, 1000, 1010]
    assert demos.valid_observations.tolist() == [[7.0]]
    assert demos.observations.dtype == torch.float32


def test_a_dataset_keeps_its_held_out_episodes_apart():
    dataset = SimpleNamespace(
        fingerprint="abc",
        train_indices=[0, 2],
        valid_indices=[1],
        flat=lambda indices: [episode(2, 100 * index) for index in indices],
    )
    demos = Demonstrations.from_dataset(dataset)
    assert demos.observations.flatten().tolist() == [0, 1, 200, 201]
    assert demos.valid_observations.flatten().tolist() == [100, 101]
    assert demos.fingerprint == "abc"
    few = Demonstrations.from_dataset(dataset, chosen=[2])
    assert few.observations.flatten().tolist() == [200, 201]
    assert few.valid_observations.flatten().tolist() == [100, 101]
    assert few.fingerprint == "abc[2]"


def test_none_held_out():
    assert Demonstrations.from_episodes([episode(3, 0)], [], "x").valid_actions.shape == (0, 1)


def test_bad_episodes_are_refused():
    with pytest.raises(DatasetError, match="no training episodes"):
        Demonstrations.from_episodes([], [], "x")
    with pytest.raises(DatasetError, match="one observation more"):
        Demonstrations.from_episodes([(np.zeros((3, 1)), np.zeros((3, 1)))], [], "x")
    with pytest.raises(DatasetError, match="NaN"):
        Demonstrations.from_episodes([(np.full((3, 1), np.nan), np.zeros((2, 1)))], [], "x")
    good = torch.zeros(4, 2)
    with pytest.raises(DatasetError, match="valid_observations"):
        Demonstrations(good, good, torch.zeros(4, 3), good, "x")


def test_each_pass_sees_every_pair_once():
    demos = Demonstrations.from_episodes([episode(12, 0)], [], "x")
    sampler = DemonstrationSampler(demos, batch_size=4, seed=0)
    assert sampler.batches_per_pass == 3
    for _ in range(2):
        drawn = [sampler.draw() for _ in range(3)]
        assert sorted(torch.cat(drawn).tolist()) == list(range(12))


def test_sampler_continues_where_it_was():
    demos = Demonstrations.from_episodes([episode(12, 0)], [], "x")
    sampler = DemonstrationSampler(demos, batch_size=4, seed=0)
    sampler.draw()
    other = DemonstrationSampler(demos, batch_size=4, seed=9)
    other.load_state_dict(sampler.state_dict())
    for _ in range(5):
        assert torch.equal(sampler.draw(), other.draw())

"""The batch with NumPy arrays, under Gymnasium's own wrappers."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers import vector as wrappers

from gym_grasp.envs.arrays import ArrayVectorEnv
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import UsageError
from gym_grasp.tasks import gym_id

DRAWER = gym_id("open-drawer")


def make(count=2, **kwargs):
    make = {"num_threads": 1, "max_episode_steps": 3, **kwargs}
    return gymnasium.make_vec(DRAWER, num_envs=count, backend="numpy", **make)


def still(env):
    return np.zeros(env.action_space.shape, np.float32)


def test_the_step_after_an_end_begins_the_next_episode():
    env = make()
    twin = GraspVectorEnv("open-drawer", 2, num_threads=1, max_episode_steps=3, autoreset=False)
    assert env.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    assert env.spec.max_episode_steps == 3
    first, info = env.reset(seed=5)
    expected, _ = twin.reset(seed=5)
    np.testing.assert_array_equal(first, expected)
    env.reset(seed=5, options={"reset_mask": np.array([True, True])})
    for step in (1, 2, 3):
        observation, reward, terminated, truncated, info = env.step(still(env))
        expected, *_ = twin.step(torch.zeros(2, 11))
        np.testing.assert_array_equal(observation, expected)
        assert truncated.tolist() == [step == 3] * 2
        assert reward.tolist() == [-1.0, -1.0]
    assert "final_obs" not in info
    assert env.unwrapped.episode_seed.tolist() == twin.episode_seed.tolist()
    observation, reward, terminated, truncated, info = env.step(still(env))
    expected, _ = twin.reset()
    np.testing.assert_array_equal(observation, expected)
    assert reward.tolist() == [0.0, 0.0]
    assert not (terminated | truncated).any()
    assert info["episode_length"].tolist() == [0, 0]
    env.step(still(env))
    assert env.unwrapped.elapsed.tolist() == [1, 1]
    env.close()


def test_a_reset_by_hand_leaves_nothing_to_be_reset():
    env = make(max_episode_steps=1, autoreset_mode="NextStep")
    env.reset(seed=0)
    env.step(still(env))
    env.reset(options={"reset_mask": np.array([True, False])})
    seeds = env.unwrapped.episode_seed.tolist()
    _, reward, *_ = env.step(still(env))
    assert reward.tolist() == [-1.0, 0.0]
    assert [a == b for a, b in zip(seeds, env.unwrapped.episode_seed, strict=True)] == [True, False]


def test_same_step_shows_the_last_observation_as_gymnasium_does():
    env = make(autoreset_mode=AutoresetMode.SAME_STEP, max_episode_steps=2)
    env.reset(seed=0)
    assert "final_obs" not in env.step(still(env))[4]
    *_, truncated, info = env.step(still(env))
    assert truncated.all()
    assert info["final_obs"].dtype == object
    assert info["final_obs"][1].shape == (21,)
    assert info["_final_obs"].tolist() == [True, True]


def test_gymnasiums_wrappers():
    env = wrappers.RecordEpisodeStatistics(make())
    env = wrappers.NormalizeReward(wrappers.NormalizeObservation(env))
    env = wrappers.ClipReward(env, -1, 1)
    env.reset(seed=0)
    found = [env.step(still(env)) for _ in range(8)]
    for step, (observation, reward, *_, info) in enumerate(found, 1):
        assert observation.shape == (2, 21)
        assert np.isfinite(observation).all()
        assert (np.abs(reward) <= 1).all()
        assert ("episode" in info) == (step in (3, 7))  # the step between begins the next episode
    assert found[2][4]["episode"]["r"].tolist() == [-3.0, -3.0]
    assert found[6][4]["episode"]["l"].tolist() == [3, 3]
    env.close()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"backend": "jax"}, "Unknown backend 'jax'"),
        ({"autoreset": True}, "autoreset_mode"),
        ({"autoreset_mode": "never"}, "Unknown autoreset_mode 'never'"),
        ({"render_mode": "human"}, "Unknown render_mode 'human'"),
    ],
)
def test_what_cannot_be_is_refused(arguments, message):
    with pytest.raises(UsageError, match=message):
        gymnasium.make_vec(DRAWER, num_envs=1, **{"backend": "numpy", **arguments})


def test_every_environment_is_drawn():
    env = make(render_mode="rgb_array")
    env.reset(seed=0)
    first, second = env.render()
    assert first.shape == second.shape == (480, 640, 3)
    assert (first != second).any()
    assert env.render_mode in env.metadata["render_modes"]
    env.close()
    env = ArrayVectorEnv("open-drawer", 1, num_threads=1)
    assert env.render() is None
    env.close()


def test_a_batch_of_tensors_promises_no_pictures():
    env = GraspVectorEnv("open-drawer", 1, num_threads=1)
    assert env.metadata["render_modes"] == []
    assert env.render_mode is None
    with pytest.raises(UsageError, match="backend='numpy'"):
        env.render()
    env.close()

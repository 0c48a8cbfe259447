import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.tasks import gym_id

DRAWER = gym_id("open-drawer")


@pytest.mark.filterwarnings("ignore:.*space m.* value is.*infinity")
def test_gymnasium_accepts_it():
    env = gymnasium.make(DRAWER).unwrapped
    check_env(env, skip_render_check=True)
    env.close()


def test_it_is_the_vector_environment_with_one_row():
    env = gymnasium.make(DRAWER)
    vector = GraspVectorEnv("open-drawer", 1)
    observation, _ = env.reset(seed=7)
    batch, _ = vector.reset(seed=7)
    np.testing.assert_array_equal(observation, batch[0])
    action = np.linspace(-1, 1, 11, dtype=np.float32)
    observation, reward, terminated, truncated, info = env.step(action)
    batch, rewards, *_ = vector.step(torch.from_numpy(action)[None])
    np.testing.assert_array_equal(observation, batch[0])
    assert reward == float(rewards[0]) == -1.0
    assert (terminated, truncated, info["success"]) == (False, False, False)
    env.close()


def test_time_limit_shows_the_last_observation():
    env = gymnasium.make(DRAWER, max_episode_steps=2)
    env.reset(seed=0)
    env.step(np.zeros(11, np.float32))
    *_, terminated, truncated, _ = env.step(np.zeros(11, np.float32))
    assert truncated
    assert not terminated
    env.close()


def test_picture_shows_the_arm():
    env = gymnasium.make(DRAWER, render_mode="rgb_array")
    env.reset(seed=0)
    frame = env.render()
    env.close()
    assert frame.shape == (480, 640, 3)
    blue = (frame[..., 2].astype(int) - frame[..., 0] > 60).mean()
    assert blue > 0.002  # the joint caps

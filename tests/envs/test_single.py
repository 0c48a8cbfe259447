import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

from gym_grasp.envs.single import GraspEnv
from gym_grasp.envs.spec import EnvSpec
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import UsageError
from gym_grasp.tasks import TASKS, gym_id

DRAWER = gym_id("open-drawer")
OWN = [name for name, target in TASKS.targets.items() if target.startswith("gym_grasp.")]


@pytest.mark.filterwarnings("ignore:.*space m.* value is.*infinity")
def test_gymnasium_accepts_it():
    env = gymnasium.make(DRAWER).unwrapped
    check_env(env, skip_render_check=True)
    env.close()


def test_it_is_the_vector_environment_with_one_row():
    env = gymnasium.make(DRAWER)
    vector = GraspVectorEnv("open-drawer", 1)
    observation, _ = env.reset(seed=7)
    batch, _ = vector.reset(seed=[7])
    np.testing.assert_array_equal(observation, batch[0])
    action = np.linspace(-1, 1, 11, dtype=np.float32)
    observation, reward, terminated, truncated, info = env.step(action)
    batch, rewards, *_ = vector.step(torch.from_numpy(action)[None])
    np.testing.assert_array_equal(observation, batch[0])
    assert reward == float(rewards[0]) == -1.0
    assert (terminated, truncated, info["success"]) == (False, False, False)
    env.close()


def test_the_seed_of_a_demonstration_begins_it():
    """Alone, or in any row of a batch: the same start; the episodes after it repeat too."""
    env = gymnasium.make(DRAWER).unwrapped
    alone, info = env.reset(seed=np.int64(2**62 + 1))
    later = env.reset()[0]
    assert info == {"episode_seed": 2**62 + 1}
    assert env.episode_seed != 2**62 + 1
    batch = GraspVectorEnv("open-drawer", 2, num_threads=1)
    for seeds in ([5, 2**62 + 1], np.array([5, 2**62 + 1]), [None, 2**62 + 1]):
        np.testing.assert_array_equal(batch.reset(seed=seeds)[0][1], alone)
    np.testing.assert_array_equal(env.reset(seed=2**62 + 1)[0], alone)
    np.testing.assert_array_equal(env.reset()[0], later)
    env.close()


def steps_until_truncated(env, most=1000) -> int:
    env.reset(seed=0)
    for step in range(1, most + 1):
        if env.step(np.zeros(11, np.float32))[3]:
            return step
    return 0


def test_time_limit_is_gymnasiums():
    """Shorter or longer than the task's own, and what the spec says."""
    for limit in (2, 620):
        env = gymnasium.make(DRAWER, max_episode_steps=limit)
        assert env.spec.max_episode_steps == limit
        assert steps_until_truncated(env) == limit
        env.close()
    env = GraspEnv("open-drawer", max_episode_steps=np.int64(3))
    assert steps_until_truncated(env) == 3
    env.close()
    env = gymnasium.make_vec(DRAWER, num_envs=1, max_episode_steps=700)
    assert env.spec.max_episode_steps == env.max_episode_steps == 700


@pytest.mark.parametrize("task", OWN)
def test_gymnasium_knows_the_time_limit_of_each_task(task):
    assert gymnasium.spec(gym_id(task)).max_episode_steps == EnvSpec(task).max_episode_steps


def test_what_is_behind_it_can_be_seen_and_put_back():
    env = gymnasium.make(DRAWER).unwrapped
    env.reset(seed=1)
    for _ in range(3):
        *_, info = env.step(np.full(11, 0.5, np.float32))
    assert info["dense_reward"] < 0
    assert info.keys() == {"success", "diverged", "at_limit", "progress", "dense_reward"}
    state = env.get_state()
    qpos = env.vector.physics.bind("qpos")[0]
    np.testing.assert_allclose(env.data.qpos, qpos, atol=1e-6)
    assert env.data.time == pytest.approx(0.1)
    assert env.model.nu == 11
    ahead = env.step(np.zeros(11, np.float32))[0]
    env.set_state(state)
    np.testing.assert_array_equal(env.step(np.zeros(11, np.float32))[0], ahead)
    for wrong in (np.zeros(10), [0.0] * 12, None):
        with pytest.raises(UsageError, match=r"\(1, 11\)"):
            env.step(wrong)
    env.close()


def test_picture_shows_the_arm():
    env = gymnasium.make(DRAWER, render_mode="rgb_array")
    env.reset(seed=0)
    frame = env.render()
    env.close()
    assert frame.shape == (480, 640, 3)
    blue = (frame[..., 2].astype(int) - frame[..., 0] > 60).mean()
    assert blue > 0.002  # the joint caps

import numpy as np
import pytest

from gym_grasp.envs.single import GraspEnv
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import UsageError

pytest.importorskip("stable_baselines3")
from gym_grasp.integrations.sb3 import SB3VecEnv

MAKE = {"num_threads": 1, "max_episode_steps": 3}


def test_it_is_a_dummy_vec_env_but_faster():
    """The same episodes, observations, rewards, ends and statistics, bit by bit."""
    from stable_baselines3.common.monitor import Monitor
    from stable_baselines3.common.vec_env import DummyVecEnv

    def one():
        return Monitor(GraspEnv("open-drawer", max_episode_steps=3), info_keywords=("success",))

    dummy, batch = DummyVecEnv([one, one]), SB3VecEnv(GraspVectorEnv("open-drawer", 2, **MAKE))
    dummy.seed(5)
    batch.seed(5)
    np.testing.assert_array_equal(batch.reset(), dummy.reset())
    action = np.full((2, 11), 0.5, np.float32)
    for step in (1, 2, 3):
        expected, rewards, dones, infos = dummy.step(action)
        observation, reward, done, info = batch.step(action)
        np.testing.assert_array_equal(reward, rewards)
        np.testing.assert_array_equal(done, dones)
        if step < 3:
            np.testing.assert_array_equal(observation, expected)
            assert info == [{}, {}]
    for found, wanted in zip(info, infos, strict=True):
        np.testing.assert_array_equal(found["terminal_observation"], wanted["terminal_observation"])
        assert found["TimeLimit.truncated"] is wanted["TimeLimit.truncated"] is True
        assert found["episode"]["r"] == wanted["episode"]["r"] == -3.0
        assert found["episode"]["l"] == wanted["episode"]["l"] == 3
        assert found["episode"]["t"] > 0
        assert found["is_success"] is wanted["success"] is False
    assert (observation != batch.env.observation().numpy()).sum() == 0
    dummy.close()
    batch.close()


def test_a_whole_batch_has_one_set_of_attributes():
    from stable_baselines3.common.vec_env import VecNormalize

    env = SB3VecEnv(GraspVectorEnv("open-drawer", 3, **MAKE))
    assert env.get_attr("task_name", [0, 2]) == ["open-drawer"] * 2
    assert env.env_method("counters")[0]["diverged"] == 0
    with pytest.raises(UsageError, match="whole batch"):
        env.set_attr("autoreset", False, [1])
    wrapped = VecNormalize(env)
    wrapped.reset()
    for _ in range(3):
        *_, infos = wrapped.step(np.zeros((3, 11), np.float32))
    assert infos[0]["episode"]["l"] == 3
    wrapped.close()
    with pytest.raises(UsageError, match="no autoreset"):
        SB3VecEnv(GraspVectorEnv("open-drawer", 1, autoreset=False, num_threads=1))

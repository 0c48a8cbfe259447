import pytest
import torch

from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import UsageError


def test_environments_without_autoreset_are_refused():
    pytest.importorskip("rsl_rl")
    from gym_grasp.integrations.rsl_rl import RslRlEnv

    with pytest.raises(UsageError, match="no autoreset"):
        RslRlEnv(GraspVectorEnv("open-drawer", 1, autoreset=False, num_threads=1))


def test_runners_see_the_same_steps_and_may_stagger_episodes():
    pytest.importorskip("rsl_rl")
    from gym_grasp.integrations.rsl_rl import OBSERVATION, RslRlEnv

    make = {"task": "open-drawer", "num_envs": 2, "num_threads": 1, "max_episode_steps": 5}
    adapter, env = RslRlEnv(GraspVectorEnv(**make), seed=3), GraspVectorEnv(**make)
    observation, _ = env.reset(seed=3)
    assert torch.equal(adapter.get_observations()[OBSERVATION], observation)
    adapter.episode_length_buf = env.elapsed + torch.tensor([0, 3])
    for step in range(1, 6):
        action = torch.full((2, 11), 0.5)
        observation, reward, done, extras = adapter.step(action)
        expected, reward_expected, *_ = env.step(action)
        assert torch.equal(reward, reward_expected)
        assert done.tolist() == [step == 5, step == 2]
        assert torch.equal(extras["time_outs"], done)
        assert extras["log"]["success"] == 0.0
        if step < 2:
            assert torch.equal(observation[OBSERVATION], expected)

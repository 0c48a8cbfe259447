"""TorchRL's and skrl's adapters beside the environment itself."""

import pytest
import torch

from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import UsageError
from gym_grasp.integrations.outcomes import Outcomes

MAKE = {"task": "open-drawer", "num_envs": 2, "num_threads": 1, "max_episode_steps": 3}


def test_outcomes_are_of_last_episodes():
    outcomes = Outcomes(3, torch.device("cpu"))

    def update(done: list[int], success: list[int]) -> float:
        return outcomes.update(torch.tensor(done).bool(), torch.tensor(success).bool()).item()

    assert update([0, 0, 0], [0, 0, 0]) == 0
    assert update([1, 0, 0], [1, 0, 0]) == 1
    assert update([0, 1, 0], [0, 0, 1]) == 0.5
    assert update([1, 1, 1], [0, 1, 1]) == pytest.approx(2 / 3)


@pytest.mark.filterwarnings("ignore")
def test_torchrl():
    pytest.importorskip("torchrl")
    from torchrl.envs.utils import check_env_specs

    from gym_grasp.integrations.torchrl import TorchRLEnv

    with pytest.raises(UsageError, match="autoreset=False"):
        TorchRLEnv(GraspVectorEnv(**MAKE))
    env, twin = TorchRLEnv(GraspVectorEnv(**MAKE, autoreset=False), seed=3), GraspVectorEnv(**MAKE)
    first, _ = twin.reset(seed=3)
    found = env.rollout(8, break_when_any_done=False)
    assert torch.equal(found["observation"][:, 0], first)
    for step in range(8):
        observation, reward, _, truncated, info = twin.step(found["action"][:, step])
        assert torch.equal(found["next", "reward"][:, step, 0], reward)
        assert torch.equal(found["next", "truncated"][:, step, 0], truncated)
        last = torch.where(truncated[:, None], info["final_obs"], observation)
        assert torch.equal(found["next", "observation"][:, step], last)
        if step < 7:
            assert torch.equal(found["observation"][:, step + 1], observation)
    check_env_specs(env)
    env.close()


@pytest.mark.filterwarnings("ignore")
def test_torchrls_own_wrapper():
    pytest.importorskip("torchrl")
    from torchrl.envs import GymWrapper

    found = GymWrapper(GraspVectorEnv(**MAKE)).rollout(7, break_when_any_done=False)
    assert found["next", "done"][0, :, 0].tolist() == [False, False, True] * 2 + [False]


def test_skrl():
    pytest.importorskip("skrl")
    from gym_grasp.integrations.skrl import SkrlEnv

    env, twin = SkrlEnv(GraspVectorEnv(**MAKE), seed=3), GraspVectorEnv(**MAKE)
    expected, _ = twin.reset(seed=3)
    assert torch.equal(env.reset()[0], expected)
    for _ in range(4):
        action = torch.full((2, 11), 0.5)
        observation, reward, terminated, truncated, info = env.step(action)
        expected, wanted, *_, cut, _ = twin.step(action)
        assert torch.equal(observation, expected)
        assert torch.equal(reward[:, 0], wanted)
        assert torch.equal(truncated[:, 0], cut)
        assert terminated.shape == (2, 1)
    assert info["episode"]["success"] == 0.0
    assert torch.equal(env.reset()[0], expected)
    env.close()

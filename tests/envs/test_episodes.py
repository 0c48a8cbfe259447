"""Seeds and counters of each environment's episodes, and how a step is judged."""

from types import SimpleNamespace

import torch

from gym_grasp.envs.judge import judge
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.tasks.random import episode_seeds

STILL = torch.zeros(2, 11)


def test_an_environment_counts_only_its_own_episodes():
    env = GraspVectorEnv("open-drawer", 2, num_threads=1)
    env.reset(seed=5)
    env.reset(options={"reset_mask": torch.tensor([True, False])})
    env.reset()
    count = torch.tensor([2, 1])
    assert torch.equal(env.episode_seed, episode_seeds(5, torch.arange(2), count))


def test_each_episode_sums_up_its_own_rewards():
    env = GraspVectorEnv("open-drawer", 2, num_threads=1, max_episode_steps=3)
    env.reset(seed=0)
    returns = [env.step(STILL)[-1]["episode_return"].tolist() for _ in range(6)]
    assert returns == [[-1.0] * 2, [-2.0] * 2, [-3.0] * 2] * 2


def test_a_restored_state_goes_on_in_its_own_sequence_of_episodes():
    first, second = (GraspVectorEnv("open-drawer", 2, num_threads=1) for _ in range(2))
    first.reset(seed=1)
    second.reset(seed=2)
    second.set_state(first.get_state())
    first.reset()
    second.reset()
    assert torch.equal(first.episode_seed, second.episode_seed)


def test_a_step_is_judged_at_its_end():
    task = SimpleNamespace(
        memory_size=0,
        success=lambda physics: torch.tensor([True, True, False]),
        progress=lambda physics: torch.tensor([0.3, 0.4, 0.5]),
        reward_terms=lambda physics, progress: {"progress": 2 * (progress - 1)},
    )
    diverged = torch.tensor([False, True, False])
    for kind, reward in (("dense", [0.0, -1.0, -1.0]), ("sparse", [0.0, -1.0, -1.0])):
        counters = {"elapsed": torch.tensor([0, 3, 4]), "total": torch.zeros(3)}
        episodes = SimpleNamespace(**counters, demos=None)
        found = judge(task, None, episodes, diverged, kind, 5)
        torch.testing.assert_close(found["progress"], torch.tensor([1.0, 0.4, 0.5]))
        assert found["reward"].tolist() == found["episode_return"].tolist() == reward
        assert found["dense_reward"].tolist() == [0.0, -1.0, -1.0]
        assert found["terminated"].tolist() == [True, False, False]
        assert found["truncated"].tolist() == [False, True, True]
        assert found["episode_length"].tolist() == [1, 4, 5]

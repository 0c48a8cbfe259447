import pytest
import torch

from gym_grasp.errors import UsageError
from gym_grasp.learning.config import FIRST_SEED
from gym_grasp.learning.evaluate import evaluate


def to_target(observation):
    step = (observation[:, 2:] - observation[:, :2]) / 0.1
    return step / step.norm(dim=-1, keepdim=True).clamp(min=1)


def test_one_episode_each(reach):
    result = evaluate(to_target, reach(num_envs=40, reward_kind="sparse"), episodes=40)
    assert (result.episodes, result.successes, result.success_rate) == (40, 40, 1.0)
    assert result.seed == FIRST_SEED
    # The target is 1 m away, a step 0.1 m long, the tolerance 0.1 m.
    assert set(result.lengths) <= {9, 10}
    assert list(result.returns) == [1.0 - length for length in result.lengths]


def test_failures_count_once(reach):
    result = evaluate(lambda obs: torch.zeros(len(obs), 2), reach(num_envs=10), episodes=10)
    assert result.successes == 0
    assert result.lengths == (25,) * 10


def test_some_fail_and_are_told_apart(reach):
    def lazy(observation):
        return to_target(observation) * (observation[:, 2:3] > observation[:, :1])

    env = reach(num_envs=50)
    observation, _ = env.reset(seed=FIRST_SEED)
    able = observation[:, 2] > observation[:, 0]
    result = evaluate(lazy, env, episodes=50)
    assert list(result.success) == able.tolist()


def test_diverged_episodes_are_counted_and_only_first_ones(reach):
    env = reach(num_envs=10)
    step, calls = env.step, iter(range(1, 100))

    def breaking(action):
        """Environment 3 breaks in its first step, environment 4 succeeds in it, and fails later."""
        observation, reward, terminated, truncated, info = step(action)
        first = next(calls) == 1
        truncated[3] |= first
        info["diverged"][3] = first
        terminated[4] = info["success"][4] = first
        return observation, reward, terminated, truncated, info

    env.step = breaking
    result = evaluate(lambda obs: torch.zeros(len(obs), 2), env, episodes=10)
    assert result.diverged == 1
    assert list(result.success) == [index == 4 for index in range(10)]
    assert result.lengths == (25,) * 3 + (1, 1) + (25,) * 5


def test_rounds_when_environments_are_few(reach):
    result = evaluate(to_target, reach(num_envs=16), episodes=40)
    assert result.episodes == 40
    first = evaluate(to_target, reach(num_envs=16), episodes=16)
    assert result.returns[:16] == first.returns
    assert result.returns[16:32] != first.returns


def test_training_seeds_are_refused(reach):
    with pytest.raises(UsageError, match="at least 2147483648"):
        evaluate(to_target, reach(), seed=5)
    with pytest.raises(UsageError, match="episodes is 0"):
        evaluate(to_target, reach(), episodes=0)

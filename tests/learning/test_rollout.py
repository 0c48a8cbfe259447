import pytest
import torch

from gym_grasp.learning.networks import ActorCritic
from gym_grasp.learning.rollout import Rollout, advantages, collect, next_values, values_of


def test_advantages_by_hand():
    """Three environments, γ = 0.5, λ = 0.5, so γλ = 0.25; all values written out."""
    rewards = torch.tensor([[1.0, 1.0, 1.0], [2.0, 2.0, 2.0], [3.0, 3.0, 3.0]])
    values = torch.tensor([[10.0, 10.0, 10.0], [20.0, 20.0, 20.0], [30.0, 30.0, 30.0]])
    # env 0 goes on; env 1 terminates at t = 1; env 2 times out at t = 1 in a state worth 8.
    following = torch.tensor([[20.0, 20.0, 20.0], [30.0, 0.0, 8.0], [40.0, 40.0, 40.0]])
    done = torch.tensor([[False] * 3, [False, True, True], [False] * 3])
    # δ₂ = 3 + 0.5·40 − 30 = −7; δ₁ = 2 + 0.5·(30, 0, 8) − 20 = (−3, −18, −14);
    # δ₀ = 1 + 0.5·20 − 10 = 1.
    # A₂ = −7; A₁ = (−3 + 0.25·−7, −18, −14); A₀ = 1 + 0.25·A₁.
    expected = torch.tensor(
        [[1 - 0.25 * 4.75, 1 - 0.25 * 18, 1 - 0.25 * 14], [-4.75, -18, -14], [-7, -7, -7]]
    )
    result = advantages(rewards, values, following, done, discount=0.5, gae_lambda=0.5)
    torch.testing.assert_close(result, expected)


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = ActorCritic(4, 2, (8,), initial_std=0.5)
    model.value_normalizer.merge(torch.tensor([-30.0]), torch.tensor([100.0]), 10)
    return model


def test_bootstraps_where_and_only_where_it_should(reach, model):
    env = reach(num_envs=3)
    env.reset(seed=0)
    rollout = Rollout.allocate(env, horizon=3)
    rollout.observations.normal_()
    rollout.final_observations.normal_()
    rollout.terminated[1, 1] = True
    rollout.truncated[0, 0] = rollout.truncated[2, 2] = True
    rollout.terminated[0, 2] = rollout.truncated[0, 2] = True  # success in the last step wins
    last = torch.randn(3, 4)
    values = model.denormalize_value(values_of(model, rollout.observations, rollout.privileged))

    following = next_values(model, rollout, values, last)

    expected = torch.cat(
        (values[1:], model.denormalize_value(values_of(model, last, rollout.last_privileged))[None])
    )
    seen = rollout.final_observations, rollout.final_privileged
    final = model.denormalize_value(values_of(model, *seen))
    expected[1, 1] = expected[0, 2] = 0.0
    expected[0, 0], expected[2, 2] = final[0, 0], final[2, 2]
    torch.testing.assert_close(following, expected)
    assert following.min() < -20  # in units of the return, not normalised


def test_collect_records_what_happened(reach, model):
    env = reach(num_envs=8, reward_kind="sparse", tolerance=0.8)
    observation, _ = env.reset(seed=3)
    rollout = Rollout.allocate(env, horizon=60)
    generator = torch.Generator().manual_seed(0)
    last = collect(env, model, observation, rollout, generator)

    done = rollout.terminated | rollout.truncated
    episodes, successes, return_sum, length_sum, diverged = rollout.statistics.tolist()
    assert rollout.truncated.any()
    assert rollout.terminated.any()
    assert (episodes, successes) == (done.sum(), rollout.terminated.sum())
    # −1 per step, 0 in the successful one, over the episodes that ended.
    assert return_sum == successes - length_sum
    assert diverged == 0
    assert rollout.reward_terms == {}  # the toy task tells none
    following = torch.cat((rollout.observations[1:], last[None]))
    torch.testing.assert_close(rollout.final_observations[~done], following[~done])
    assert not torch.isclose(rollout.final_observations[done], following[done]).all(-1).any()
    torch.testing.assert_close(
        rollout.means.flatten(0, 1), model.policy.mean(rollout.observations.flatten(0, 1))
    )
    noise = (rollout.actions - rollout.means) / 0.5
    assert noise.mean().abs() < 0.1
    assert noise.std() == pytest.approx(1, abs=0.1)


def test_terms_of_the_reward_are_averaged_over_all_steps(reach, model):
    env = reach(num_envs=2)
    step, count = env.step, iter(range(100))

    def told(action):
        *outcome, info = step(action)
        return *outcome, info | {"reward/near": torch.tensor([1.0, 3.0]) * next(count)}

    env.step = told
    observation, _ = env.reset(seed=0)
    rollout = Rollout.allocate(env, horizon=4)
    generator = torch.Generator().manual_seed(0)
    for expected in (3.0, 11.0):  # 2 · mean(0 … 3), 2 · mean(4 … 7)
        observation = collect(env, model, observation, rollout, generator)
        assert {n: float(v) for n, v in rollout.reward_terms.items()} == {"reward/near": expected}

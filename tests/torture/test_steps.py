"""What holds in every step of every task, whatever the actions are."""

import numpy as np
import pytest
import torch
from amounts import AMOUNT

from building import SHIPPED
from gym_grasp.envs.vector import GraspVectorEnv

CHUNK = 100_000
"""Steps of one test, so that a run that was cut off goes on near to where it was."""
HABIT = 20
"""Steps for which an environment's actions are of one kind."""
COMPARED = 40
"""Steps that are done again, from a stored state and in a smaller batch."""
CHUNKS = max(1, AMOUNT.steps // CHUNK)


def adversary(rng: np.random.Generator, count: int, size: int, step: int, kinds: np.ndarray):
    """Actions (N, A): random, extreme, jerking, huge, pressing on, next to nothing."""
    flip = 1.0 if step % 2 else -1.0
    push = np.sign(np.sin(np.arange(count * size).reshape(count, size) + step // HABIT))
    choices = [
        rng.uniform(-1, 1, (count, size)),
        rng.choice([-1.0, 0.0, 1.0], (count, size)),
        np.full((count, size), flip),
        rng.choice([-1e30, 1e30, np.inf, -np.inf], (count, size)),
        push,
        rng.normal(0, 1e-30, (count, size)),
    ]
    actions = np.stack(choices)[kinds % len(choices), np.arange(count)]
    return torch.from_numpy(actions.astype(np.float32))


@pytest.mark.parametrize("chunk", range(CHUNKS))
@pytest.mark.parametrize("task", SHIPPED)
def test_every_step_keeps_the_promises_of_an_environment(task, chunk, amount, tally):
    steps = min(CHUNK, amount.steps) // amount.envs
    tally(f"steps of {task}", steps * amount.envs)
    rng = np.random.default_rng(chunk)
    count = amount.envs
    # episodes that end now and then, and at the task's own limit in the full run
    env = GraspVectorEnv(task, count, num_threads=0, max_episode_steps=60 + 13 * chunk)
    space = env.single_observation_space
    low, high = torch.from_numpy(space.low), torch.from_numpy(space.high)
    observation, _ = env.reset(seed=chunk)
    seeds = env.episode_seed.clone()
    length = torch.zeros(count, dtype=torch.int64)
    total = torch.zeros(count)
    first: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
    alive = torch.ones(count, dtype=torch.bool)
    kinds = rng.integers(0, 6, count)
    for step in range(steps):
        if step % HABIT == 0:
            kinds = rng.integers(0, 6, count)
        actions = adversary(rng, count, env.action_size, step, kinds)
        observation, reward, terminated, truncated, info = env.step(actions)
        ended = terminated | truncated
        length += 1
        total += reward
        for seen in (observation, info["final_obs"]):
            assert seen.shape == (count, env.observation_size)
            assert seen.isfinite().all()
            assert ((seen >= low) & (seen <= high)).all(), "outside its space"
        assert (~info["success"] | terminated).all(), "success without an end"
        assert torch.equal(reward, info["success"].float() - 1)
        assert not (terminated & truncated & ~info["diverged"]).any()
        assert torch.equal(info["_final_obs"], ended)
        assert torch.equal(info["episode_length"][ended], length[ended])
        torch.testing.assert_close(info["episode_return"][ended], total[ended])
        assert (length <= env.max_episode_steps).all()
        assert (truncated | ~(length == env.max_episode_steps) | terminated).all()
        assert info["progress"].isfinite().all()
        assert info["dense_reward"].isfinite().all()
        length[ended], total[ended] = 0, 0.0
        assert torch.equal(env.elapsed, length)
        if len(first) < COMPARED:
            first.append((actions, info["final_obs"], alive.clone()))
            alive &= ~ended
    again_from_a_state(env, rng)
    in_a_smaller_batch(task, env, seeds, first, rng)
    env.close()


def again_from_a_state(env: GraspVectorEnv, rng: np.random.Generator) -> None:
    """The same actions from a stored state lead to the same bits."""
    state = {name: value.clone() for name, value in env.get_state().items()}
    kinds = rng.integers(0, 6, env.num_envs)
    plan = [adversary(rng, env.num_envs, env.action_size, k, kinds) for k in range(COMPARED)]
    once = [env.step(actions)[:4] for actions in plan]
    env.set_state(state)
    for actions, expected in zip(plan, once, strict=True):
        for found, wanted in zip(env.step(actions)[:4], expected, strict=True):
            assert torch.equal(found, wanted)


def in_a_smaller_batch(task, env, seeds, first, rng) -> None:
    """Some of the episodes alone, by their seeds, are the same to the last bit."""
    rows = torch.from_numpy(rng.choice(env.num_envs, 3, replace=False))
    limit = env.max_episode_steps
    few = GraspVectorEnv(task, 3, num_threads=1, autoreset=False, max_episode_steps=limit)
    few.reset_to(seeds[rows])
    for actions, expected, alive in first:
        observation = few.step(actions[rows])[0]
        for one, row in enumerate(rows.tolist()):
            if alive[row]:
                assert torch.equal(observation[one], expected[row])
    few.close()

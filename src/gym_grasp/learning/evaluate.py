"""Evaluation: the deterministic policy, one episode per environment, apart from training."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gym_grasp.errors import UsageError
from gym_grasp.learning.config import FIRST_SEED
from gym_grasp.learning.env import Environment


@dataclass(frozen=True)
class Evaluation:
    """Outcome of each episode, in the order of the environments."""

    seed: int
    """Seed of the start states."""
    success: tuple[bool, ...]
    """Whether the episode ended with success."""
    lengths: tuple[int, ...]
    """Steps of each episode."""
    returns: tuple[float, ...]
    """Sum of the rewards of each episode."""
    diverged: int
    """Episodes that a diverged simulation cut off; they count as failures."""

    @property
    def episodes(self) -> int:
        """Number of episodes."""
        return len(self.success)

    @property
    def successes(self) -> int:
        """Number of successful episodes."""
        return sum(self.success)

    @property
    def success_rate(self) -> float:
        """Share of successful episodes."""
        return self.successes / self.episodes


@torch.no_grad()
def evaluate(
    policy: Callable[[Tensor], Tensor],
    env: Environment,
    episodes: int = 100,
    seed: int = FIRST_SEED,
    tell: Callable[[float], None] = lambda done: None,
) -> Evaluation:
    """Run a policy for a number of episodes, the first one of each environment.

    The start states depend on the seed and on the number of environments alone, so methods that
    are evaluated with the same of both meet the same ones. An episode that ended is not counted
    again, whatever its environment does next. With fewer environments than
    episodes, further rounds begin with the following seeds.

    Args:
        policy: Observations (N, O) in, actions (N, A) in [−1, 1] out.
        env: The environments; `episodes` of them are the fastest.
        episodes: Number of episodes.
        seed: Seed of the first round, at least 2³¹.
        tell: Called after every step with the number of episodes that have ended.

    Raises:
        UsageError: If the seed is one of training's, or there are no episodes.
    """
    if seed < FIRST_SEED:
        raise UsageError(f"Evaluation seed is {seed}; it must be at least {FIRST_SEED} (2³¹).")
    if episodes < 1:
        raise UsageError(f"Number of episodes is {episodes}; it must be at least 1.")
    rounds = [
        _first_episodes(policy, env, seed + index, start, tell)[: episodes - start]
        for index, start in enumerate(range(0, episodes, env.num_envs))
    ]
    success, lengths, returns, diverged = torch.cat(rounds).double().cpu().T
    return Evaluation(
        seed=seed,
        success=tuple(bool(value) for value in success.tolist()),
        lengths=tuple(int(value) for value in lengths.tolist()),
        returns=tuple(returns.tolist()),
        diverged=int(diverged.sum()),
    )


def _first_episodes(
    policy: Callable[[Tensor], Tensor],
    env: Environment,
    seed: int,
    before: int,
    tell: Callable[[float], None],
) -> Tensor:
    """Return success, length, return and divergence of each environment's first episode (N, 4)."""
    observation, _ = env.reset(seed=seed)
    result = torch.zeros((env.num_envs, 4), device=env.device)
    running = torch.ones(env.num_envs, dtype=torch.bool, device=env.device)
    for _ in range(env.max_episode_steps):
        observation, _, terminated, truncated, info = env.step(policy(observation))
        ended = running & (terminated | truncated)
        outcome = torch.stack(
            (
                info["success"].float(),
                info["episode_length"].float(),
                info["episode_return"].float(),
                info["diverged"].float(),
            ),
            dim=-1,
        )
        result = torch.where(ended[:, None], outcome, result)
        running = running & ~ended
        left = int(running.sum())
        tell(before + env.num_envs - left)
        if not left:
            break
    return result

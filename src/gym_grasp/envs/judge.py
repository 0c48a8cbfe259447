"""The end of a step: success, rewards, and whether an episode is over."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from gym_grasp.envs.episodes import Episodes
from gym_grasp.physics.base import MAX_SPEED, Physics
from gym_grasp.tasks.base import Task

RewardKind = Literal["sparse", "dense"]
REWARDS = ("sparse", "dense")
DIVERGED_REWARD = -1.0
"""Reward of a step in which the simulation broke: that of a step without success."""


def diverged_text(envs: Sequence[int], seeds: Sequence[int]) -> str:
    """Return what to say of simulations that broke: which, why, and what to do.

    Args:
        envs: their numbers.
        seeds: of their episodes.
    """
    named = [f"{one} (seed {seed})" for one, seed in zip(envs, seeds, strict=True)]
    return f"{_broke(named)} env.reset_to(seeds) begins the same episodes."


def divergences_text(counts: Sequence[int]) -> str:
    """Return what to say at the end of simulations that broke unseen, most often first.

    Args:
        counts: how often that of each environment broke.
    """
    worst = sorted((env for env, count in enumerate(counts) if count), key=lambda env: -counts[env])
    return _broke([f"{env} ({counts[env]} times)" for env in worst])


def _broke(environments: Sequence[str]) -> str:
    most = 5
    more = f" and {len(environments) - most} more" if len(environments) > most else ""
    return (
        f"Simulations of environments {', '.join(environments[:most])}{more} diverged (a velocity "
        f"beyond {MAX_SPEED:g} rad/s or m/s, or a state that is not finite); their episodes end as "
        "failures and they begin anew. If this is frequent, check the masses, contacts and "
        "actuators of the scene."
    )


def judge(
    task: Task,
    physics: Physics,
    episodes: Episodes,
    diverged: Tensor,
    reward_kind: RewardKind,
    limit: int,
) -> dict[str, Tensor]:
    """Judge the state that a step ended in, and count the step.

    Args:
        task: what is asked for; its memory is brought up to date first.
        physics: the simulations.
        episodes: whose counters go on.
        diverged: simulations that broke in this step. Shape (N,), bool.
        reward_kind: `sparse`, 0 on success and −1 otherwise, or `dense`, the task's own.
        limit: steps after which an episode is truncated.

    Returns:
        What `GraspVectorEnv.step` says about rewards and ends, each (N,).
    """
    if task.memory_size:
        task.memory.copy_(task.remember(physics))
    success = task.success(physics) & ~diverged
    progress = task.progress(physics)
    progress = torch.where(success, progress.clamp_min(1.0), progress)
    terms = task.reward_terms(physics, progress)
    dense = torch.where(diverged, DIVERGED_REWARD, sum(terms.values(), torch.zeros_like(progress)))
    reward = dense if reward_kind == "dense" else success.float() - 1.0
    episodes.elapsed += 1
    episodes.total += reward
    truncated = ~success & ((episodes.elapsed >= limit) | diverged)
    if episodes.demos is not None:
        episodes.demos.count(success | truncated, success)
    return {
        "reward": reward,
        "terminated": success,
        "truncated": truncated,
        "success": success,
        "diverged": diverged,
        "progress": progress,
        "dense_reward": dense,
        **{f"reward/{name}": term.masked_fill(diverged, 0.0) for name, term in terms.items()},
        "_final_obs": success | truncated,
        "episode_return": episodes.total.clone(),
        "episode_length": episodes.elapsed.clone(),
    }

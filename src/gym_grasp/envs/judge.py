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
    most = 5
    listed = ", ".join(
        f"{one} (seed {seed})" for one, seed in zip(envs[:most], seeds, strict=False)
    )
    more = f" and {len(envs) - most} more" if len(envs) > most else ""
    return (
        f"Simulations of environments {listed}{more} diverged (a velocity beyond {MAX_SPEED:g} "
        "rad/s or m/s, or a state that is not finite); their episodes end as failures and they "
        "begin anew. If this is frequent, check the masses, contacts and actuators of the scene; "
        "env.reset_to(seeds) begins the same episodes."
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
    dense = task.dense_reward(physics, progress)
    dense = torch.where(diverged, DIVERGED_REWARD, dense)
    reward = dense if reward_kind == "dense" else success.float() - 1.0
    episodes.elapsed += 1
    episodes.total += reward
    truncated = ~success & ((episodes.elapsed >= limit) | diverged)
    return {
        "reward": reward,
        "terminated": success,
        "truncated": truncated,
        "success": success,
        "diverged": diverged,
        "progress": progress,
        "dense_reward": dense,
        "_final_obs": success | truncated,
        "episode_return": episodes.total.clone(),
        "episode_length": episodes.elapsed.clone(),
    }

"""Recording what a synthetic operator does, many episodes at once."""

import dataclasses
from collections.abc import Callable
from math import ceil
from pathlib import Path

import numpy as np
import torch

from gym_grasp.demos.episode import Episode, split_observations
from gym_grasp.demos.meta import DatasetMeta
from gym_grasp.demos.operators.operator import SyntheticOperator
from gym_grasp.demos.writer import DatasetWriter
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import GymGraspError

SPARE = 0.15
"""Attempts beyond the episodes asked for, as a share of these, to make up for failures."""
MOST_BATCHES = 5

UNITS = {
    "actions": "1",
    "rewards": "1",
    "dense_rewards": "1",
    "operator_input/wrist_position": "m, world",
    "operator_input/wrist_quaternion": "w x y z, world",
    "operator_input/finger_flexion": "0 open to 1 closed",
}


def record(
    task: str,
    path: Path,
    episodes: int = 200,
    seed: int = 0,
    *,
    overwrite: bool = False,
    num_threads: int = 0,
    on_batch: Callable[[int, int], None] = lambda kept, attempts: None,
) -> DatasetMeta:
    """Let the synthetic operator perform a task until enough attempts have succeeded.

    The file depends on the arguments alone: the same call writes the same bytes.

    Args:
        task: name of the task.
        path: the dataset to write.
        episodes: successful episodes to keep; failed attempts are counted and left out.
        seed: of start states and operators.
        overwrite: replace an existing file.
        num_threads: of the physics; 0 takes every core.
        on_batch: called with the episodes kept and the attempts made so far.

    Returns:
        What the file says about itself, with the counts.

    Raises:
        GymGraspError: hardly any attempt succeeds; nothing is written.
    """
    env = GraspVectorEnv(
        task, ceil(episodes * (1 + SPARE)), num_threads=num_threads, autoreset=False
    )
    meta = describe(env, operator="synthetic", base_seed=seed)
    env.reset(seed=seed)
    with DatasetWriter(path, meta, overwrite=overwrite) as writer:
        for _ in range(MOST_BATCHES):
            for episode in perform(env):
                if len(writer) < episodes:
                    writer.add(episode)
            on_batch(len(writer), writer.attempts)
            if len(writer) == episodes:
                break
            env.reset()
        else:
            raise GymGraspError(
                f"Only {len(writer)} of {writer.attempts} attempts at '{task}' succeeded; "
                f"{episodes} episodes were asked for. Check the operator or the scene."
            )
        counts = writer.attempts, writer.failures
    env.close()
    return dataclasses.replace(meta, attempts=counts[0], failures=counts[1])


def describe(env: GraspVectorEnv, operator: str, base_seed: int) -> DatasetMeta:
    """Return what a dataset recorded in this environment says about itself."""
    return DatasetMeta(
        task=env.task_name,
        task_version=env.task_version,
        observation_layout=env.observation_layout,
        control_rate=round(env.control_rate, 6),
        operator=operator,
        base_seed=base_seed,
        description=env.task.summary,
        env_kwargs={"max_episode_steps": env.max_episode_steps},
        units={
            **UNITS,
            **{f"obs/{key}": text for key, text in env.task.observation_units().items()},
        },
    )


def perform(env: GraspVectorEnv) -> list[Episode]:
    """Let synthetic operators act in every environment until its episode ends.

    Args:
        env: just reset, without autoreset.

    Returns:
        One episode per environment, failures included, in the order of the environments.
    """
    operator = SyntheticOperator(env)
    running = torch.ones(env.num_envs, dtype=torch.bool, device=env.device)
    length = torch.zeros(env.num_envs, dtype=torch.int64, device=env.device)
    success = torch.zeros_like(running)
    seeds = env.episode_seed.clone()
    steps: dict[str, list[np.ndarray]] = {"observation": [_host(env.observation())]}
    states: dict[str, list[np.ndarray]] = {key: [_host(v)] for key, v in env.get_state().items()}
    while running.any():
        actions, sent = operator.act()
        _, _, terminated, truncated, info = env.step(actions)
        row = {"action": actions, "dense": info["dense_reward"], "observation": info["final_obs"]}
        for key, value in [*row.items(), *sent.items()]:
            steps.setdefault(key, []).append(_host(value))
        for key, value in env.get_state().items():
            states[key].append(_host(value))
        length += running
        success |= running & info["success"]
        running &= ~(terminated | truncated)
        operator.rest(~running)
    stacked = {key: np.stack(rows) for key, rows in steps.items()}
    stacked_states = {key: np.stack(rows) for key, rows in states.items()}
    episodes = []
    for index, end in enumerate(length.tolist()):
        rewards = np.full(end, -1.0, dtype=np.float32)
        rewards[-1] += float(success[index])
        observations = split_observations(
            stacked["observation"][: end + 1, index], env.observation_layout
        )
        episodes.append(
            Episode(
                observations=observations,
                actions=stacked["action"][:end, index],
                rewards=rewards,
                dense_rewards=stacked["dense"][:end, index],
                seed=int(seeds[index]),
                success=bool(success[index]),
                states={key: rows[: end + 1, index] for key, rows in stacked_states.items()},
                operator_input={key: stacked[key][:end, index] for key in sent},
                events={"mistakes": operator.humans[index].mistakes},
            )
        )
    return episodes


def _host(value: torch.Tensor | np.ndarray) -> np.ndarray:
    return value.cpu().numpy() if isinstance(value, torch.Tensor) else value

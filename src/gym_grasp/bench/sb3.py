"""Stable-Baselines3's PPO on two vector environments: `python -m gym_grasp.bench.sb3 TASK`.

`DummyVecEnv` with single environments beside the adapter with a batch, in turn in one process,
with the same network, samples an epoch, minibatches and passes.
"""

import json
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
import tyro

from gym_grasp.bench.throughput import now
from gym_grasp.envs.single import GraspEnv
from gym_grasp.envs.vector import GraspVectorEnv


def compare(
    task: tyro.conf.Positional[str],
    /,
    *,
    singles: int = 16,
    num_envs: int = 256,
    samples: int = 4096,
    batch_size: int = 1024,
    rounds: int = 3,
) -> dict[str, Any]:
    """Time training with both.

    Args:
        task: which task.
        singles: environments in `DummyVecEnv`.
        num_envs: environments behind the adapter.
        samples: control steps an epoch, of each.
        batch_size: samples a gradient step; each sample is used 4 times.
        rounds: epochs of each; medians are reported.
    """
    from gym_grasp.integrations.sb3 import SB3VecEnv  # isort: skip - says what is missing
    from stable_baselines3 import PPO
    from stable_baselines3.common.logger import Logger
    from stable_baselines3.common.vec_env import DummyVecEnv

    one: Callable[[], GraspEnv] = lambda: GraspEnv(task, reward="dense")  # noqa: E731
    places = {
        "dummy_vec_env": DummyVecEnv([one] * singles),
        "adapter": SB3VecEnv(GraspVectorEnv(task, num_envs, reward="dense")),
    }
    settings: dict[str, Any] = {"batch_size": batch_size, "n_epochs": 4, "device": "cpu"}
    times: dict[str, list[float]] = {name: [] for name in places}
    agents = {
        name: PPO("MlpPolicy", place, n_steps=samples // place.num_envs, **settings)
        for name, place in places.items()
    }
    for agent in agents.values():
        agent.set_logger(Logger(None, []))  # its own makes a folder in /tmp
    for index in range(rounds + 1):
        for name, agent in agents.items():
            begun = now(torch.device("cpu"))
            agent.learn(samples, reset_num_timesteps=index == 0)
            times[name].append(now(torch.device("cpu")) - begun)
    for place in places.values():
        place.close()
    ratios = [a / b for a, b in zip(*times.values(), strict=True)][1:]
    rates = {f"{name}_steps_per_s": samples / median(t[1:]) for name, t in times.items()}
    envs = {"task": task, "singles": singles, "num_envs": num_envs}
    return {**envs, **rates, "ratio": median(ratios), "ratios": ratios}


def main() -> None:
    """Compare and print one JSON object."""
    print(json.dumps(tyro.cli(compare)))


if __name__ == "__main__":
    main()

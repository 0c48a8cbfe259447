"""This learner beside rsl_rl's PPO: `python -m gym_grasp.bench.rsl_rl TASK --device cuda`.

Both train on the same environments with the same network, rollouts, minibatches, discount, clip
and learning-rate schedule, one after the other in one process.
"""

import contextlib
import io
import json
import time
from collections.abc import Callable
from typing import Any

import torch
import tyro
from torch import Tensor

from gym_grasp.bench.throughput import now
from gym_grasp.envs.judge import RewardKind
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.integrations.rsl_rl import OBSERVATION, RslRlEnv
from gym_grasp.learning.config import TrainConfig
from gym_grasp.learning.evaluate import evaluate
from gym_grasp.learning.learner import Learner

Epoch = Callable[[], None]
Policy = Callable[[Tensor], Tensor]


def compare(
    task: tyro.conf.Positional[str],
    /,
    *,
    device: str = "cpu",
    num_envs: int = 16_384,
    epochs: int = 60,
    reward: RewardKind = "dense",
    seed: int = 0,
    episodes: int = 100,
) -> dict[str, Any]:
    """Train with both and compare time and success after the same number of control steps.

    Args:
        task: which task.
        device: cpu or cuda.
        num_envs: environments of each.
        epochs: rollouts of 32 steps with 5 passes of updates each.
        reward: sparse or dense.
        seed: of the networks and the episodes.
        episodes: of the evaluation.
    """
    config = TrainConfig(method="ppo", seed=seed, epochs=epochs)
    result: dict[str, Any] = {"task": task, "num_envs": num_envs, "epochs": epochs}
    for name, prepare in (("gym_grasp", _ours), ("rsl_rl", _rsl_rl)):
        env = GraspVectorEnv(task, num_envs, device=device, reward=reward)
        epoch, policy = prepare(env, config)
        times = []
        for _ in range(epochs):
            begun = now(env.device)
            epoch()
            times.append(now(env.device) - begun)
        env.close()
        test = GraspVectorEnv(task, episodes, device=device)
        outcome = evaluate(policy(), test, episodes)
        test.close()
        typical = sorted(times)[len(times) // 2]
        result[name] = {
            "seconds": sum(times),
            "seconds_per_epoch": typical,
            "steps_per_second": num_envs * config.horizon / typical,
            "successes": outcome.successes,
            "episodes": outcome.episodes,
        }
    result["speed_ratio"] = (
        result["rsl_rl"]["seconds_per_epoch"] / result["gym_grasp"]["seconds_per_epoch"]
    )
    return result


def _ours(env: GraspVectorEnv, config: TrainConfig) -> tuple[Epoch, Callable[[], Policy]]:
    learner = Learner(env, config, None)
    observation, _ = env.reset(seed=config.seed, options={"stagger": True})
    number = iter(range(config.epochs))

    def epoch() -> None:
        nonlocal observation
        observation = learner.collect(observation)
        learner.update(next(number), observation)

    return epoch, lambda: learner.model.policy


def _rsl_rl(env: GraspVectorEnv, config: TrainConfig) -> tuple[Epoch, Callable[[], Policy]]:
    from rsl_rl.runners import OnPolicyRunner
    from tensordict import TensorDict

    torch.manual_seed(config.seed)
    torch.set_float32_matmul_precision("high")  # as this learner does
    network = {
        "class_name": "MLPModel",
        "hidden_dims": list(config.hidden_sizes),
        "activation": "elu",
        "obs_normalization": True,
    }
    noise = {"class_name": "GaussianDistribution", "init_std": config.exploration_std}
    settings = {
        "num_steps_per_env": config.horizon,
        "save_interval": 10**9,
        "check_for_nan": False,  # it would wait for the GPU
        "obs_groups": {"actor": [OBSERVATION], "critic": [OBSERVATION]},
        "actor": {**network, "distribution_cfg": noise},
        "critic": dict(network),
        "algorithm": {
            "class_name": "PPO",
            "num_learning_epochs": config.mini_epochs,
            "num_mini_batches": config.minibatches(env.num_envs * config.horizon),
            "clip_param": config.clip_range,
            "gamma": config.discount,
            "lam": config.gae_lambda,
            "value_loss_coef": config.value_weight,
            "entropy_coef": 0.0,
            "learning_rate": config.learning_rate,
            "max_grad_norm": config.gradient_limit,
            "schedule": "adaptive",
            "desired_kl": config.kl_threshold,
        },
    }
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its networks
        runner = OnPolicyRunner(RslRlEnv(env, config.seed), settings, device=str(env.device))
    first = True

    def epoch() -> None:
        nonlocal first
        with contextlib.redirect_stdout(io.StringIO()):
            runner.learn(1, init_at_random_ep_len=first)
        first = False

    def policy() -> Policy:
        actor = runner.get_inference_policy(device=str(env.device))
        return lambda observation: actor(
            TensorDict({OBSERVATION: observation}, batch_size=[len(observation)])
        ).clamp(-1.0, 1.0)

    return epoch, policy


def main() -> None:
    """Compare and print one JSON object."""
    started = time.perf_counter()
    result = tyro.cli(compare)
    print(json.dumps({**result, "total_seconds": time.perf_counter() - started}))


if __name__ == "__main__":
    main()

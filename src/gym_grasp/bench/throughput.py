"""Control steps per second: physics alone, environment, rollout with policy, training epoch."""

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import torch
from mujoco.batch import Batch

from gym_grasp.envs.vector import GraspVectorEnv, make_physics
from gym_grasp.learning.config import TrainConfig
from gym_grasp.learning.learner import Learner

PAPER = {
    "open-drawer": 58_887,
    "open-door": 56_513,
    "pour-cup": 21_977,
    "lift-object": 58_980,
}
"""Control steps per second of whole training epochs in the paper's Table I."""
WARM_UP = 30
"""Control steps before anything is timed: hands have left their start poses."""


@dataclass(frozen=True)
class Throughput:
    """Control steps per second of one task at one number of environments: medians of rounds."""

    task: str
    device: str
    num_envs: int
    physics: float
    """The engine alone, under the controls that the environment steps recorded."""
    env_step: float
    """`env.step` with random actions."""
    env_over_physics: float
    """Median of the rounds' ratios."""
    rollout: float | None
    """Environment and policy."""
    epoch: float | None
    """Whole PPO epochs: rollout and update."""
    counters: dict[str, int]
    gpu_memory_gb: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def measure(
    task: str,
    num_envs: int,
    device: str = "cpu",
    *,
    steps: int = 32,
    rounds: int = 5,
    num_threads: int = 0,
    train: bool = True,
) -> Throughput:
    """Time physics and environment in turn, round by round, then rollouts and epochs.

    The engine alone starts each round from the state that the environment started it from and is
    driven by the very controls that the environment sent, so both do the same physics.

    Args:
        task: which task.
        num_envs: environments at once.
        device: cpu or cuda.
        steps: control steps a round.
        rounds: how many rounds; medians are reported.
        num_threads: CPU engine only; 0 takes every core.
        train: also time rollouts and epochs.
    """
    env = GraspVectorEnv(task, num_envs, device=device, num_threads=num_threads)
    interval = env.controller.config.interval
    generator = torch.Generator(env.device).manual_seed(0)

    def random_action() -> torch.Tensor:
        shape = (num_envs, env.action_size)
        return torch.rand(shape, generator=generator, device=env.device) * 2 - 1

    env.reset(seed=0)
    for _ in range(WARM_UP):
        env.step(random_action())
    set_state, step_raw = _engine_alone(env, num_threads)
    controls: list[torch.Tensor] = []
    send = env.physics.step

    def record(ctrl: torch.Tensor, substeps: int) -> None:
        controls.append(ctrl.clone())
        send(ctrl, substeps)

    env.physics.step = record  # type: ignore[method-assign]
    env_rates, raw_rates = [], []
    for _ in range(rounds):
        state = env.physics.get_state()
        controls.clear()
        actions = [random_action() for _ in range(steps)]
        begun = _now(env.device)
        for action in actions:
            env.step(action)
        env_rates.append(num_envs * steps / (_now(env.device) - begun))
        set_state(state)
        begun = _now(env.device)
        for ctrl in controls:
            step_raw(ctrl, interval)
        raw_rates.append(num_envs * steps / (_now(env.device) - begun))
    env.physics.step = send  # type: ignore[method-assign]
    rollout = epoch = None
    if train:
        rollout, epoch = _time_learning(env, rounds)
    memory = None
    if env.device.type == "cuda":
        free, total = torch.cuda.mem_get_info(env.device)
        memory = (total - free) / 1e9
    counters = env.counters()
    env.close()
    return Throughput(
        task=task,
        device=_device_name(env.device),
        num_envs=num_envs,
        physics=median(raw_rates),
        env_step=median(env_rates),
        env_over_physics=median(e / r for e, r in zip(env_rates, raw_rates, strict=True)),
        rollout=rollout,
        epoch=epoch,
        counters=counters,
        gpu_memory_gb=memory,
    )


def _engine_alone(
    env: GraspVectorEnv, num_threads: int
) -> tuple[Callable[[torch.Tensor], None], Callable[[torch.Tensor, int], None]]:
    """Return functions that set the state of an engine of its own and that step it."""
    if env.device.type != "cpu":
        engine = make_physics(env.task.model, env.num_envs, env.device)
        return engine.set_state, engine.step
    threads = num_threads or len(os.sched_getaffinity(0))
    batch = Batch(env.task.model, env.num_envs, threads)

    def set_state(state: torch.Tensor) -> None:
        batch.state[:] = state.numpy()

    def step(ctrl: torch.Tensor, substeps: int) -> None:
        batch.ctrl[:] = ctrl.numpy()
        batch.step(nstep=substeps)

    return set_state, step


def _time_learning(env: GraspVectorEnv, rounds: int) -> tuple[float, float]:
    config = TrainConfig(method="ppo")
    learner = Learner(env, config, None)
    observation, _ = env.reset(seed=0)
    samples = env.num_envs * config.horizon
    rollouts, epochs = [], []
    for index in range(rounds + 1):
        begun = _now(env.device)
        observation = learner.collect(observation)
        collected = _now(env.device)
        learner.update(index, observation)
        ended = _now(env.device)
        if index > 0:  # the first one allocates
            rollouts.append(samples / (collected - begun))
            epochs.append(samples / (ended - begun))
    return median(rollouts), median(epochs)


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"

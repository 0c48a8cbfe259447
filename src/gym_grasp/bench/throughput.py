"""Control steps per second: physics alone, environment, rollout with policy, training epoch."""

import gc
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from mujoco.batch import Batch

from gym_grasp.demos.reader import open_dataset
from gym_grasp.envs.spec import EnvSpec
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.learning import checkpoint
from gym_grasp.learning.config import TrainConfig
from gym_grasp.learning.demonstrations import Demonstrations
from gym_grasp.learning.learner import Learner
from gym_grasp.learning.record import load_config, stored_dataset

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
    """Whole training epochs: rollout and update."""
    epoch_over_parts: float | None
    """Time of an epoch over the time of its physics alone and its update alone."""
    counters: dict[str, int]
    gpu_memory_gb: float | None
    spec: dict[str, Any]
    """The environment, as `EnvSpec.to_dict` gives it."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def measure(
    task: str | EnvSpec,
    num_envs: int,
    device: str = "cpu",
    *,
    steps: int = 32,
    rounds: int = 5,
    num_threads: int = 0,
    train: bool = True,
    run: Path | None = None,
) -> Throughput:
    """Time rollouts and epochs, then environment and physics in turn, round by round.

    The engine alone starts each round from the state that the environment started it from and is
    driven by the very controls that the environment sent, so both do the same physics, but that
    the engine alone restarts nothing.

    Args:
        task: name of the task, or the environment whole.
        num_envs: environments at once.
        device: cpu or cuda.
        steps: control steps a round.
        rounds: how many rounds; medians are reported.
        num_threads: CPU engine only; 0 takes every core.
        train: also time rollouts and epochs.
        run: folder of a training run whose policy, demonstrations and settings the epochs take,
            so that hands are in contact; by default PPO from nothing.
    """
    gc.collect()  # an earlier measurement's simulations would count as this one's memory
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
    env = GraspVectorEnv(task, num_envs, device=device, num_threads=num_threads)
    controls: list[torch.Tensor] = []
    step = env.physics.step

    def recorded(ctrl: torch.Tensor, substeps: int) -> None:
        controls.append(ctrl.clone())
        step(ctrl, substeps)

    env.physics.step = recorded  # type: ignore[method-assign]
    engine_time = _engine_alone(env, step, num_threads)
    epochs = _time_learning(env, rounds, controls, engine_time, run) if train else None
    memory = None
    if env.device.type == "cuda":
        free, total = torch.cuda.mem_get_info(env.device)
        memory = (total - free) / 1e9
    stepped, alone = _time_steps(env, steps, rounds, controls, engine_time)
    counters = env.counters()
    env.close()
    samples = num_envs * steps
    return Throughput(
        task=env.task_name,
        device=_device_name(env.device),
        num_envs=num_envs,
        physics=samples / median(alone),
        env_step=samples / median(stepped),
        env_over_physics=median(a / b for a, b in zip(alone, stepped, strict=True)),
        rollout=epochs and epochs[0],
        epoch=epochs and epochs[1],
        epoch_over_parts=epochs and epochs[2],
        counters=counters,
        gpu_memory_gb=memory,
        spec=env.env_spec.to_dict(),
    )


EngineTime = Callable[[torch.Tensor, Sequence[torch.Tensor]], float]
"""Time in s that the engine alone takes from a state (N, S) through controls (N, nu)."""


def _engine_alone(
    env: GraspVectorEnv, step: Callable[[torch.Tensor, int], None], num_threads: int
) -> EngineTime:
    interval = env.controller.config.interval
    if env.device.type == "cpu":
        threads = num_threads or len(os.sched_getaffinity(0))
        batch = Batch(env.task.model, env.num_envs, threads)

        def on_cpu(state: torch.Tensor, controls: Sequence[torch.Tensor]) -> float:
            batch.state[:] = state.numpy()
            begun = now(env.device)
            for ctrl in controls:
                batch.ctrl[:] = ctrl.numpy()
                batch.step(nstep=interval)
            return now(env.device) - begun

        return on_cpu

    def on_gpu(state: torch.Tensor, controls: Sequence[torch.Tensor]) -> float:
        present = env.physics.get_state()
        env.physics.set_state(state)
        begun = now(env.device)
        for ctrl in controls:
            step(ctrl, interval)
        elapsed = now(env.device) - begun
        env.physics.set_state(present)
        return elapsed

    return on_gpu


def _time_steps(
    env: GraspVectorEnv,
    steps: int,
    rounds: int,
    controls: list[torch.Tensor],
    engine_time: EngineTime,
) -> tuple[list[float], list[float]]:
    """Return the seconds of each round in the environment, and in the engine alone."""
    generator = torch.Generator(env.device).manual_seed(0)
    shape = (env.num_envs, env.action_size)

    def random_actions(count: int) -> list[torch.Tensor]:
        draws = range(count)
        return [torch.rand(shape, generator=generator, device=env.device) * 2 - 1 for _ in draws]

    env.reset(seed=0)
    for action in random_actions(WARM_UP):
        env.step(action)
    stepped, alone = [], []
    for _ in range(rounds):
        state = env.physics.get_state()
        controls.clear()
        actions = random_actions(steps)
        begun = now(env.device)
        for action in actions:
            env.step(action)
        stepped.append(now(env.device) - begun)
        alone.append(engine_time(state, controls))
    return stepped, alone


def _time_learning(
    env: GraspVectorEnv,
    rounds: int,
    controls: list[torch.Tensor],
    engine_time: EngineTime,
    run: Path | None,
) -> tuple[float, float, float]:
    """Return rollouts and epochs in control steps/s, and epochs' times over those of the parts."""
    learner = _trained_learner(env, run) if run else Learner(env, TrainConfig(method="ppo"), None)
    observation, _ = env.reset(seed=0, options={"stagger": True})
    samples = env.num_envs * learner.config.horizon
    # The first epoch captures; with a policy, as many follow as bring it from start to contact.
    warm_up = -(-env.max_episode_steps // learner.config.horizon) if run else 1
    rollouts, epochs, ratios = [], [], []
    for index in range(warm_up + rounds):
        state = env.physics.get_state()
        controls.clear()
        begun = now(env.device)
        observation = learner.collect(observation)
        collected = now(env.device)
        learner.update(index + 1, observation)  # epoch 0 also measures gradient norms
        ended = now(env.device)
        if index >= warm_up:
            rollouts.append(samples / (collected - begun))
            epochs.append(samples / (ended - begun))
            parts = engine_time(state, controls) + ended - collected
            ratios.append((ended - begun) / parts)
    return median(rollouts), median(epochs), median(ratios)


def _trained_learner(env: GraspVectorEnv, run: Path) -> Learner:
    """Return a learner that has learned what a run had at its last checkpoint."""
    config, description = load_config(run)
    demos = stored_dataset(run, description["settings"])
    demonstrations = None
    if config.needs_demonstrations:
        assert demos is not None
        dataset = open_dataset(demos, spec=env.env_spec)
        demonstrations = Demonstrations.from_dataset(dataset)
    learner = Learner(env, config, demonstrations)
    learner.load_state_dict(checkpoint.load(run / checkpoint.CHECKPOINT, "training")["learner"])
    return learner


def now(device: torch.device) -> float:
    """Return the time in s, after all work of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"

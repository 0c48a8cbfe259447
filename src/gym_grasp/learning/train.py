"""The one training loop of BC, PPO and DAPG."""

import dataclasses
import json
import math
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import closing, nullcontext
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from gym_grasp import __version__
from gym_grasp.errors import CheckpointError, GymGraspError, UsageError
from gym_grasp.files import write_json
from gym_grasp.learning import checkpoint, distributed
from gym_grasp.learning.checkpoint import CHECKPOINT, POLICY, Identity
from gym_grasp.learning.config import TrainConfig
from gym_grasp.learning.demonstrations import Demonstrations
from gym_grasp.learning.env import Environment
from gym_grasp.learning.learner import Learner
from gym_grasp.learning.metrics import Metrics, RunLog
from gym_grasp.learning.networks import Policy
from gym_grasp.learning.rollout import STATISTICS

CONFIG = "config.json"

CHANGEABLE = {"epochs", "max_minutes", "checkpoint_interval", "wandb"}
"""Settings that may differ when a run is resumed."""


def train(
    env: Environment,
    config: TrainConfig,
    run_dir: Path,
    demonstrations: Demonstrations | None = None,
    *,
    resume: bool = False,
    settings: Mapping[str, Any] | None = None,
    on_epoch: Callable[[int, Metrics], None] | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Train a policy and leave everything about the run in its folder.

    The folder holds config.json, metrics.json, checkpoints/last.pt (to resume),
    checkpoints/policy.pt (to use), learning_curve.png and TensorBoard events. On the CPU a
    resumed run ends bit-equal to one that was never interrupted.

    Within `distributed.joined` several processes train one policy, each calling this with
    environments of its own; the first one writes. Resumed with another number of processes, what
    was learned goes on and episodes begin anew.

    Args:
        env: The environments; for bc they are not stepped, and one is enough.
        config: Settings of the run.
        run_dir: The run folder.
        demonstrations: Needed by bc and dapg; ppo reports its loss on the held-out ones.
        resume: Continue from the folder's last checkpoint.
        settings: What else config.json is to hold, such as how the environment was made.
        on_epoch: Called with the epoch and its metrics after each epoch and its checkpoint, in
            every process.
        progress: Whether to show progress on standard error.

    Returns:
        The summary that metrics.json holds too; in processes but the first, nothing.

    Raises:
        UsageError: If the folder holds a run already, or demonstrations are missing.
        CheckpointError: If the run cannot be resumed.
        GymGraspError: If training diverges or the folder cannot be written.
    """
    run_dir = Path(run_dir)
    if not resume and (run_dir / CHECKPOINT).exists():
        raise UsageError(
            f"{run_dir} holds a run already; choose another folder with --run, or go on with "
            f"`gym-grasp resume {run_dir}`."
        )
    learner = Learner(env, config, demonstrations)
    fingerprint = demonstrations.fingerprint if config.needs_demonstrations else None  # type: ignore[union-attr]
    start, steps, seconds, observation = 0, 0, 0.0, None
    if resume:
        content = _load_to_resume(run_dir / CHECKPOINT, env, config, fingerprint)
        learner.load_state_dict(content["learner"])
        start, steps, seconds = content["epoch"], content["steps"], content["seconds"]
        if len(content["processes"]) == distributed.size():
            own = content["processes"][distributed.rank()]
            learner.load_random_state(own["random"])
            if config.steps_environment:
                env.set_state({k: v.to(env.device) for k, v in own["environment"].items()})
                observation = own["observation"].to(env.device)
    if config.steps_environment and observation is None:
        # Episodes that all begin and end together would show each epoch another part of the task.
        observation, _ = env.reset(seed=config.seed, options={"stagger": True})
    versions = _versions()
    description = {
        "train": dataclasses.asdict(config),
        "settings": dict(settings or {}),
        "task": env.task_name,
        "task_version": env.task_version,
        "reward": env.reward_kind,
        "num_envs": env.num_envs,
        "processes": distributed.size(),
        "device": str(env.device),
        "dataset": fingerprint,
        "versions": versions,
    }
    log: RunLog | None = None
    if distributed.rank() == 0:
        write_json(run_dir / CONFIG, description)
        log = RunLog(run_dir, config.epochs, start, description if config.wandb else None, progress)
    identity = Identity.of(env)
    summary: dict[str, Any] = {}

    def save(epoch: int) -> None:
        own = {
            "random": learner.random_state(),
            "environment": env.get_state() if config.steps_environment else None,
            "observation": observation,
        }
        processes = distributed.gather(_on_host(own))
        if log is None:
            return
        state = {
            "identity": vars(identity),
            "config": dataclasses.asdict(config),
            "num_envs": env.num_envs,
            "dataset": fingerprint,
            "epoch": epoch,
            "steps": steps,
            "seconds": seconds,
            "learner": learner.state_dict(),
            "processes": processes,
        }
        checkpoint.save(run_dir / CHECKPOINT, "training", state)
        checkpoint.save_policy(run_dir / POLICY, learner.model.policy, identity)
        summary.update(_summary(config, epoch, steps, seconds, log.history, versions))
        log.write(summary)

    with distributed.naming_the_dead(), closing(log) if log else nullcontext():
        if config.pretrains and not resume:
            began = time.perf_counter()
            learner.begin_with(_clone(env, config, demonstrations, log))
            seconds = distributed.average_number(time.perf_counter() - began)
        epoch = start
        while epoch < config.epochs and not _out_of_time(config, seconds):
            began = time.perf_counter()
            if config.steps_environment:
                observation = learner.collect(observation)  # type: ignore[arg-type]
                steps += config.horizon * env.num_envs * distributed.size()
            collected = time.perf_counter()
            raw = learner.update(epoch, observation)
            ended = time.perf_counter()
            elapsed = distributed.average_number(ended - began)
            seconds += elapsed
            metrics = _epoch_metrics(raw, config, epoch, steps)
            metrics["seconds"] = seconds
            metrics["seconds/rollout"] = collected - began
            metrics["seconds/update"] = ended - collected
            if config.steps_environment:
                samples = config.horizon * env.num_envs * distributed.size()
                metrics["steps_per_second"] = samples / elapsed
            if not math.isfinite(metrics["gradient/total"]):
                raise GymGraspError(
                    f"Training diverged in epoch {epoch}: the gradient is not finite. The last "
                    "checkpoint is from before; lower learning_rate or max_learning_rate."
                )
            if log is not None:
                log.add(metrics)
            epoch += 1
            last = epoch == config.epochs or _out_of_time(config, seconds)
            if last or epoch % config.checkpoint_interval == 0:
                save(epoch)
            if on_epoch is not None:
                on_epoch(epoch - 1, metrics)
    return summary


def _clone(
    env: Environment,
    config: TrainConfig,
    demonstrations: Demonstrations | None,
    log: RunLog | None,
) -> Policy:
    """Return a policy that has learned from the demonstrations alone."""
    passes = config.pretrain_epochs
    cloner = Learner(env, dataclasses.replace(config, method="bc", epochs=passes), demonstrations)
    for epoch in range(passes):
        metrics = cloner.update(epoch, None)
        if log is not None:
            log.pretraining(epoch, passes, metrics)
    return cloner.model.policy


def _on_host(value: Any) -> Any:
    """Return nested dictionaries with their tensors in the host's memory."""
    if isinstance(value, dict):
        return {key: _on_host(item) for key, item in value.items()}
    return value.cpu() if isinstance(value, torch.Tensor) else value


def load_config(run_dir: Path) -> tuple[TrainConfig, dict[str, Any]]:
    """Return a run's settings: the learner's, and all of config.json.

    Raises:
        CheckpointError: If the folder holds no run, or one of another version.
    """
    path = Path(run_dir) / CONFIG
    try:
        description = json.loads(path.read_text())
        values = description["train"]
        values["hidden_sizes"] = tuple(values["hidden_sizes"])
        return TrainConfig(**values), description
    except FileNotFoundError as error:
        raise CheckpointError(f"There is no run in {run_dir}: {path} is missing.") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path} cannot be read by gym-grasp {__version__} ({error}); it is damaged or of "
            "another version."
        ) from error


def _load_to_resume(
    path: Path, env: Environment, config: TrainConfig, fingerprint: str | None
) -> dict[str, Any]:
    """Return a checkpoint's content, or raise `CheckpointError` where it does not fit."""
    content = checkpoint.load(path, "training")
    if content["package_version"] != __version__:
        raise CheckpointError(
            f"{path} was made by gym-grasp {content['package_version']}, this is {__version__}; "
            "install that version to resume, or train anew."
        )
    Identity(**content["identity"]).check(env, path)
    if content["dataset"] != fingerprint:
        raise CheckpointError(
            f"{path} was trained with the dataset {content['dataset']}, {fingerprint} was given; "
            "give the same demonstrations."
        )
    resized = content["num_envs"] != env.num_envs
    if resized and config.steps_environment and len(content["processes"]) == distributed.size():
        raise CheckpointError(
            f"{path} has {content['num_envs']} environments, {env.num_envs} were given; "
            "give as many."
        )
    wanted = dataclasses.asdict(config)
    differing = [
        f"{name} was {value!r}, is {wanted.get(name)!r}"
        for name, value in content["config"].items()
        if name not in CHANGEABLE and wanted.get(name) != value
    ]
    if differing:
        raise CheckpointError(
            f"{path} was made with other settings ({'; '.join(differing)}); only "
            f"{', '.join(sorted(CHANGEABLE))} may change."
        )
    return content


def _epoch_metrics(
    raw: Mapping[str, float], config: TrainConfig, epoch: int, steps: int
) -> Metrics:
    """Return an epoch's metrics: sums over episodes become means, NaN where none ended."""
    metrics: Metrics = {"epoch": epoch, "steps": steps}
    metrics |= {name: value for name, value in raw.items() if name not in STATISTICS}
    metrics["cloning_weight"] = config.weights(epoch).cloning
    if config.steps_environment:
        episodes = raw["episodes"]
        for name, key in (
            ("success", "successes"),
            ("return", "return_sum"),
            ("length", "length_sum"),
        ):
            metrics[f"rollout/{name}"] = raw[key] / episodes if episodes else math.nan
        metrics["rollout/episodes"] = episodes
        metrics["rollout/diverged"] = raw["diverged"]
    return metrics


def _summary(
    config: TrainConfig,
    epochs: int,
    steps: int,
    seconds: float,
    history: list[Metrics],
    versions: dict[str, str],
) -> dict[str, Any]:
    last = history[-1] if history else {}
    finite = {name: value for name, value in last.items() if math.isfinite(value)}
    return {
        "method": config.method,
        "seed": config.seed,
        "epochs": epochs,
        "steps": steps,
        "seconds": seconds,
        "steps_per_second": steps / seconds if seconds else 0.0,
        "last": finite,
        "versions": versions,
    }


def _out_of_time(config: TrainConfig, seconds: float) -> bool:
    return config.max_minutes is not None and seconds >= 60 * config.max_minutes


def _versions() -> dict[str, str]:
    """Return the versions that the result depends on, with the git revision where there is one."""
    versions = {"gym-grasp": __version__, "torch": torch.__version__}
    try:
        versions["mujoco"] = metadata.version("mujoco")
    except metadata.PackageNotFoundError:
        versions["mujoco"] = "not installed"
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        tracked = [*git, "ls-files", "--error-unmatch", "train.py"]
        subprocess.run(tracked, check=True, capture_output=True, timeout=10)
        describe = [*git, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        result = subprocess.run(describe, check=True, capture_output=True, text=True, timeout=10)
        versions["git"] = result.stdout.strip()
    except (OSError, subprocess.SubprocessError):
        versions["git"] = "unknown"
    return versions

"""What a run's files say of it: how it was made, each epoch's metrics, what it has come to."""

import dataclasses
import math
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from gym_grasp import __version__
from gym_grasp.errors import CheckpointError, UsageError, reason
from gym_grasp.files import read_json
from gym_grasp.learning import distributed
from gym_grasp.learning.config import TrainConfig
from gym_grasp.learning.env import Environment
from gym_grasp.learning.metrics import Metrics
from gym_grasp.learning.rollout import STATISTICS
from gym_grasp.typed import construct

CONFIG = "config.json"


def describe(
    env: Environment,
    config: TrainConfig,
    settings: Mapping[str, Any],
    dataset: str | None,
    versions: dict[str, str],
) -> dict[str, Any]:
    """Return the content of config.json."""
    return {
        "train": dataclasses.asdict(config),
        "settings": dict(settings),
        "environment": env.description,
        "reward": env.reward_kind,
        "num_envs": env.num_envs,
        "processes": distributed.size(),
        "device": str(env.device),
        "dataset": dataset,
        "versions": versions,
    }


def epoch_metrics(raw: Mapping[str, float], config: TrainConfig, epoch: int, steps: int) -> Metrics:
    """Return an epoch's metrics: sums over episodes become means, NaN where none ended."""
    metrics: Metrics = {"epoch": epoch, "steps": steps}
    metrics |= {name: value for name, value in raw.items() if name not in STATISTICS}
    metrics["cloning_weight"] = config.cloning_weight(epoch)
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


def summarise(
    config: TrainConfig,
    epochs: int,
    steps: int,
    seconds: float,
    history: list[Metrics],
    versions: dict[str, str],
) -> dict[str, Any]:
    """Return what the run has come to: its counters, and the last epoch's finite metrics."""
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


def versions() -> dict[str, str]:
    """Return the versions that the result depends on, with the git revision where there is one."""
    found = {"gym-grasp": __version__, "torch": torch.__version__}
    try:
        found["mujoco"] = metadata.version("mujoco")
    except metadata.PackageNotFoundError:
        found["mujoco"] = "not installed"
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        tracked = [*git, "ls-files", "--error-unmatch", Path(__file__).name]
        subprocess.run(tracked, check=True, capture_output=True, timeout=10)
        revision = [*git, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        result = subprocess.run(revision, check=True, capture_output=True, text=True, timeout=10)
        found["git"] = result.stdout.strip()
    except (OSError, subprocess.SubprocessError):
        found["git"] = "unknown"
    return found


def load_config(run_dir: Path) -> tuple[TrainConfig, dict[str, Any]]:
    """Return a run's settings: the learner's, and all of config.json.

    Raises:
        CheckpointError: If the folder holds no run, or one of another version.
    """
    path = Path(run_dir) / CONFIG
    try:
        description = read_json(path)
        values = description["train"]
        lists = {name: tuple(values[name]) for name in ("hidden_sizes", "cloning_noise")}
        return construct(TrainConfig, {**values, **lists}), description
    except FileNotFoundError as error:
        raise CheckpointError(f"There is no run in {run_dir}: {path} is missing.") from error
    except (OSError, ValueError, KeyError, TypeError, UsageError) as error:
        raise CheckpointError(
            f"{path} cannot be read by gym-grasp {__version__} ({reason(error)}); it is damaged or "
            "of another version."
        ) from error


def stored_dataset(folder: Path, settings: Mapping[str, Any]) -> Path | None:
    """Return the demonstrations of a run: where they were, or as near to a run that has moved.

    Args:
        folder: of the run.
        settings: what config.json holds of it, see `experiments.perform.learn`.
    """
    if settings["demos"] is None:
        return None
    path, beside = Path(settings["demos"]), folder / settings["demos_from_run"]
    return beside if beside.is_file() and not path.is_file() else path

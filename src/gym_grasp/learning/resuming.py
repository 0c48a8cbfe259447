"""Whether a run may go on from its checkpoint."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gym_grasp import __version__
from gym_grasp.differences import differences
from gym_grasp.errors import CheckpointError, reason
from gym_grasp.files import read_json, to_json
from gym_grasp.learning import checkpoint, distributed
from gym_grasp.learning.checkpoint import Identity
from gym_grasp.learning.config import WATCHED, TrainConfig
from gym_grasp.learning.env import Environment
from gym_grasp.typed import CRAFTED, construct

DESCRIBED = ("environment", "reward", "num_envs")
"""Parts of config.json that nothing is read from."""
BOUND = ("reward", "perturbation", "demo_starts")
"""Settings beside the learner's that decide what is learned: in config.json, from where `resume`
takes them, and in the checkpoint."""
CHANGEABLE = {"epochs", "max_minutes", "checkpoint_interval", "wandb", *WATCHED}
"""Settings that may differ when a run is resumed."""


def bound(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the settings of a run that may not differ when it is resumed."""
    return {name: settings[name] for name in BOUND if name in settings}


def refuse_edited(path: Path, description: Mapping[str, Any]) -> None:
    """Raise `CheckpointError` where config.json says another environment than the run is made in.

    These parts are written for people and other tools: who edits them expects an effect.

    Args:
        path: the file; one that is missing or damaged is written anew.
        description: what is to be written there.
    """
    try:
        stored = read_json(path)
        parts = [name for name in DESCRIBED if name in stored]
        if stored.get("processes") != description["processes"] and "num_envs" in parts:
            parts.remove("num_envs")  # each process has its share
        found = {name: stored[name] for name in parts}
    except (OSError, *CRAFTED):
        return
    wanted = {name: json.loads(to_json(description[name])) for name in parts}
    lines = differences(found, wanted, ("it says", "the run has"), ignore=())
    if lines:
        raise CheckpointError(
            f"{path} was changed where nothing is read: {reason('; '.join(lines), 1000)}. Put back "
            "what was, or train anew with other options."
        )


def load_to_resume(
    run_dir: Path,
    env: Environment,
    config: TrainConfig,
    fingerprint: str | None,
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """Return a checkpoint's content, or raise `CheckpointError` where it does not fit."""
    path, content = checkpoint.load_newest(run_dir)
    if content["package_version"] != __version__:
        raise CheckpointError(
            f"{path} was made by gym-grasp {reason(content['package_version'])}, this is "
            f"{__version__}; install that version to resume, or train anew."
        )
    construct(Identity, content["identity"]).check(env, path, ignore=())
    if content["epoch"] > config.epochs:
        raise CheckpointError(
            f"{path} has {content['epoch']} epochs already, {config.epochs} are wanted; ask for as "
            "many, or more."
        )
    if content["dataset"] != fingerprint:
        raise CheckpointError(
            f"{path} was trained with the dataset {reason(content['dataset'])}, {fingerprint} was "
            "given; give the same demonstrations."
        )
    resized = content["num_envs"] != env.num_envs
    if resized and config.steps_environment and len(content["processes"]) == distributed.size():
        raise CheckpointError(
            f"{path} has {reason(content['num_envs'])} environments, {env.num_envs} were given; "
            "give as many."
        )
    wanted = dataclasses.asdict(config)
    differing = [
        f"{name} was {value!r}, is {wanted.get(name)!r}"
        for name, value in content["config"].items()
        if name not in CHANGEABLE and wanted.get(name) != value
    ]
    before = content.get("settings", settings)  # checkpoints had none before
    differing += differences(before, settings, ("was", "is"), ignore=())
    if differing:
        raise CheckpointError(
            f"{path} was made with other settings ({reason('; '.join(differing), 2000)}); only "
            f"{', '.join(sorted(CHANGEABLE))} may change."
        )
    return content

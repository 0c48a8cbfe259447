"""Whether a run may go on from its checkpoint."""

import dataclasses
from pathlib import Path
from typing import Any

from gym_grasp import __version__
from gym_grasp.errors import CheckpointError, reason
from gym_grasp.learning import checkpoint, distributed
from gym_grasp.learning.checkpoint import Identity
from gym_grasp.learning.config import WATCHED, TrainConfig
from gym_grasp.learning.env import Environment
from gym_grasp.typed import construct

CHANGEABLE = {"epochs", "max_minutes", "checkpoint_interval", "wandb", *WATCHED}
"""Settings that may differ when a run is resumed."""


def load_to_resume(
    run_dir: Path, env: Environment, config: TrainConfig, fingerprint: str | None
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
    if differing:
        raise CheckpointError(
            f"{path} was made with other settings ({reason('; '.join(differing), 2000)}); only "
            f"{', '.join(sorted(CHANGEABLE))} may change."
        )
    return content

"""`gym-grasp resume RUN`."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from gym_grasp.cli.common import print_json
from gym_grasp.cli.train import train_one


def main(args: Sequence[str]) -> None:
    """Run the verb."""
    tyro.cli(resume, args=args, prog="gym-grasp resume")


def resume(
    run: Annotated[Path, tyro.conf.Positional],
    /,
    *,
    epochs: int | None = None,
    max_minutes: float | None = None,
    json: bool = False,
) -> None:
    """Go on with a training run from its last checkpoint; on the CPU bit by bit as if never cut.

    Args:
        run: folder of the run.
        epochs: train up to this epoch instead of the one first asked for.
        max_minutes: stop after this much training in all, the time before the cut included.
        json: print the summary as one JSON object.
    """
    from gym_grasp.learning.train import load_config

    config, description = load_config(run)
    settings = description["settings"]
    config = dataclasses.replace(
        config,
        epochs=config.epochs if epochs is None else epochs,
        max_minutes=config.max_minutes if max_minutes is None else max_minutes,
    )
    summary = train_one(
        settings["task"],
        config,
        reward=settings["reward"],
        num_envs=settings["num_envs"],
        device=settings["device"],
        demos=None if settings["demos"] is None else Path(settings["demos"]),
        run=run,
        resume=True,
    )
    if json and summary:
        print_json(summary)

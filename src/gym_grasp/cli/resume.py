"""`gym-grasp resume RUN`."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from gym_grasp.cli.common import print_json
from gym_grasp.cli.environment import EnvironmentOptions, call, refuse_differences, spec_of_run
from gym_grasp.cli.train import end_of_training, train_one
from gym_grasp.errors import CheckpointError


def main(args: Sequence[str]) -> None:
    """Run the subcommand."""
    folder = next((Path(word) for word in args if Path(word).is_dir()), None)
    base = spec_of_run(folder) if folder else None
    call(resume, args, "gym-grasp resume", base)


def resume(
    run: Annotated[Path, tyro.conf.Positional],
    /,
    *,
    environment: EnvironmentOptions,
    epochs: int | None = None,
    max_minutes: float | None = None,
    demos: Path | None = None,
    json: bool = False,
) -> None:
    """Go on with a training run from its last checkpoint; on the CPU bit by bit as if never cut.

    Args:
        run: folder of the run.
        environment: the run's; another is refused.
        epochs: train up to this epoch instead of the one first asked for.
        max_minutes: stop after this much training in all, the time before the cut included.
        demos: the run's demonstrations, where they have moved; others are refused.
        json: print the summary as one JSON object.
    """
    from gym_grasp.learning.record import load_config, stored_dataset

    config, description = load_config(run)
    settings, spec = description["settings"], spec_of_run(run)
    refuse_differences(
        spec,
        environment.spec(spec.task),
        ("run", "options"),
        f"{run} is resumed in the environment that it began in; leave these options out:",
    )
    config = dataclasses.replace(
        config,
        epochs=config.epochs if epochs is None else epochs,
        max_minutes=config.max_minutes if max_minutes is None else max_minutes,
    )
    try:
        arguments = {
            **{n: settings[n] for n in ("reward", "num_envs", "observation_noise", "device")},
            "demo_starts": settings.get("demo_starts", False),
            "demos": demos or stored_dataset(run, settings),
        }
    except (KeyError, TypeError) as error:
        raise CheckpointError(
            f"The run {run} cannot be resumed: its settings are damaged ({error})."
        ) from error
    summary = train_one(spec, config, folder=run, resume=True, **arguments)
    if json and summary:
        print_json(summary)
    elif summary:
        print(end_of_training(summary))

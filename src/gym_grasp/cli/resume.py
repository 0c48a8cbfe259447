"""`gym-grasp resume RUN`."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from gym_grasp.cli.common import print_json
from gym_grasp.cli.environment import EnvironmentOptions, call, refuse_differences, spec_of_run
from gym_grasp.cli.train import end_of_training, train_one
from gym_grasp.errors import CheckpointError
from gym_grasp.perturbation import Perturbation


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
    evaluation_interval: int | None = None,
    film_interval: int | None = None,
    json: bool = False,
) -> None:
    """Go on with a training run from its last checkpoint; on the CPU bit by bit as if never cut.

    Args:
        run: folder of the run.
        environment: the run's; another is refused.
        epochs: train up to this epoch instead of the one first asked for.
        max_minutes: stop after this much training in all, the time before the cut included.
        demos: the run's demonstrations, where they have moved; others are refused.
        evaluation_interval: epochs between evaluations, as `train` takes it; by default the run's.
        film_interval: epochs between films, likewise.
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
    changes: dict[str, Any] = {
        "epochs": epochs,
        "max_minutes": max_minutes,
        "evaluation_interval": evaluation_interval,
        "film_interval": film_interval,
    }
    config = dataclasses.replace(
        config, **{name: value for name, value in changes.items() if value is not None}
    )
    try:
        kinds = {"reward": str, "num_envs": int, "device": str}
        for name, kind in kinds.items():
            if type(settings[name]) is not kind:
                raise TypeError(f"{name} is {settings[name]!r}")
        arguments = {
            **{name: settings[name] for name in kinds},
            "perturbation": Perturbation.from_dict(settings["perturbation"]),
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

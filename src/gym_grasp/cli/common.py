"""What several subcommands share: where files lie by default, and how results are printed."""

import json
from pathlib import Path
from typing import Annotated, Any

import tyro

from gym_grasp.errors import UsageError
from gym_grasp.tasks import TASKS

DATA = Path("data")
"""Folder of datasets, relative to where the command is called."""
RUNS = Path("runs")
"""Folder of training runs."""


TASK_NAMES = f"{{{','.join(TASKS)}}}"
"""What help shows where a task is named."""
TaskName = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar=TASK_NAMES)]
"""A task among a subcommand's arguments."""
Device = Annotated[str, tyro.conf.arg(metavar="{cpu,cuda,cuda:INDEX}")]
"""Where something is computed, among a subcommand's options."""


def dataset_path(task: str) -> Path:
    """Return where a task's demonstrations lie by default."""
    return DATA / f"{task}.hdf5"


def numbers(episode: str) -> list[int]:
    """Return the episodes that `--episode` names; raises `UsageError` where it names none."""
    try:
        return [int(word) for word in episode.split(",")]
    except ValueError:
        raise UsageError(f"--episode is '{episode}'; expected N, or N,M,… such as 3,7.") from None


def print_json(result: dict[str, Any]) -> None:
    """Print a result as one JSON object on one line."""
    print(json.dumps(result))

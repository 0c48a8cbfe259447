"""Datasets in the formats of other tools; `docs/export.md` describes them."""

import importlib
import shutil
from pathlib import Path
from typing import Any

from gym_grasp.demos.reader import Dataset
from gym_grasp.errors import DatasetError, DependencyError, UsageError, unknown
from gym_grasp.files import writing

FORMATS = {
    "robomimic": "one HDF5 file, with the environment that robomimic's rollouts make",
    "lerobot": "a folder, LeRobot's dataset format 3.0, with videos if a camera is named",
    "minari": "a folder for MINARI_DATASETS_PATH, with the environment to recover",
}


def export(dataset: Dataset, kind: str, path: Path, camera: str | None = None) -> dict[str, Any]:
    """Write a dataset in another tool's format, whole or not at all.

    Args:
        dataset: what to write.
        kind: one of `FORMATS`.
        path: a file or folder that does not exist yet.
        camera: LeRobot only: also film every episode from there (`overview`, `close`).

    Returns:
        What was written: path, format, numbers of episodes and steps, and how to load it.

    Raises:
        UsageError: there is no such format, or it has no place for a camera.
        DatasetError: the path exists, or an episode is damaged.
        DependencyError: the format needs a package that is not installed.
    """
    if kind not in FORMATS:
        raise unknown("format", kind, FORMATS)
    if camera is not None and kind != "lerobot":
        raise UsageError(f"The format '{kind}' holds no videos; leave the camera '{camera}' out.")
    if path.exists():
        raise DatasetError(f"{path} exists already. Choose another name, or remove it.")
    try:
        writer = importlib.import_module(f"gym_grasp.demos.export.{kind}")
    except ImportError as error:
        raise DependencyError(
            f"The format '{kind}' needs '{error.name}', which is not installed; "
            "pip install 'gym-grasp[export]'."
        ) from error
    unfinished = path.parent / f"{path.name}.unfinished"
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove(unfinished)
        try:
            hint = writer.write(dataset, unfinished, **({"camera": camera} if camera else {}))
            unfinished.rename(path)
        finally:
            _remove(unfinished)
    return {
        "path": str(path),
        "format": kind,
        "episodes": len(dataset),
        "steps": sum(len(episode) for episode in dataset.summaries),
        "load": hint.format(path=path),
    }


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)

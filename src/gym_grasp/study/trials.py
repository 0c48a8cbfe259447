"""One trial as a file: a dataset of a single episode, of failures as well."""

import dataclasses
import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np

from gym_grasp.demos import hdf5
from gym_grasp.demos.episode import Episode, Scalar
from gym_grasp.demos.meta import DatasetMeta
from gym_grasp.demos.reader import open_dataset
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import DatasetError
from gym_grasp.files import write_atomically
from gym_grasp.study.flow import Step
from gym_grasp.study.folder import TRIALS

UNRECOVERABLE, MARKED = "unrecoverable", "marked"
PATIENCE = 0.5
"""How long something has to be lost for a trial to end, in s: what flies may still land well."""


class Judge:
    """Says when a trial cannot be done any more: see `Task.lost`."""

    def __init__(self, env: GraspVectorEnv) -> None:
        self._enough = max(1, round(PATIENCE * env.control_rate))
        self._steps = 0

    def __call__(self, env: GraspVectorEnv) -> str:
        """Return how the trial ends, or nothing."""
        self._steps = self._steps + 1 if bool(env.task.lost(env.physics)[0]) else 0
        return UNRECOVERABLE if self._steps >= self._enough else ""


class Sink:
    """Takes the one episode of a session."""

    def __init__(self) -> None:
        self.error: str | None = None
        self.episode: Episode | None = None

    @property
    def counts(self) -> tuple[int, int]:
        """Episodes kept and failures."""
        return 0, 0

    def add(self, episode: Episode) -> None:
        """Keep it, success or failure."""
        self.episode = episode

    def fail(self) -> None:
        """Nothing: every trial is recorded."""

    def drop_last(self) -> None:
        """Nothing: no trial is dropped."""

    def close(self) -> None:
        """Nothing is open."""


def file_of(step: Step, attempt: int) -> str:
    """Return where a trial is recorded, below the participant's folder."""
    return f"{TRIALS}/{step.key.replace('/', '_')}_attempt-{attempt}.hdf5"


def write_trial(path: Path, meta: DatasetMeta, episode: Episode) -> str:
    """Write a trial's episode; return the SHA-256 of the file, in hex.

    Raises:
        DatasetError: the episode breaks a rule.
        GymGraspError: it cannot be written.
    """
    try:
        episode.check(meta.features, len(meta.action_names))
    except ValueError as error:
        raise DatasetError(f"The trial of seed {episode.seed} is not recorded: {error}.") from error
    image = io.BytesIO()
    with hdf5.create(image) as file:
        hdf5.write_meta(file, dataclasses.replace(meta, attempts=1))
        hdf5.write_episode(file["data"].create_group("demo_0"), episode)
        file["data"].attrs["total"] = len(episode)
        file.create_dataset("mask/train", data=np.array([b"demo_0"], np.bytes_))
        file.create_dataset("mask/valid", data=np.array([], "S6"))
        file.attrs["structure"] = hdf5.structure(file)
    data = image.getvalue()
    write_atomically(path, data)
    return hashlib.sha256(data).hexdigest()


def read_events(path: Path) -> dict[str, Scalar]:
    """Return what a trial's file says of it; raises `DatasetError` where it is damaged."""
    return open_dataset(path).summaries[0].events


def read_trial(path: Path) -> Episode:
    """Return a trial's episode whole; raises `DatasetError` where it is damaged."""
    return open_dataset(path).episode(0)


def measures(episode: Episode | None, rate: float) -> dict[str, Any]:
    """Return what a trial's row says of its episode: time, and forces on the fingertips in N."""
    if episode is None:
        return {"seconds": 0.0, "mean_force": None, "peak_force": None}
    force = np.linalg.norm(episode.operator_input["fingertip_force"], axis=-1).sum(-1)
    touched = force[force > 0]
    return {
        "seconds": round(len(episode) / rate, 4),
        "mean_force": round(float(touched.mean()), 4) if touched.size else 0.0,
        "peak_force": round(float(force.max()), 4),
    }

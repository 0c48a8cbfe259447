"""One trial as a file: a dataset of a single episode, of failures as well."""

import dataclasses
import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gym_grasp.demos import hdf5
from gym_grasp.demos.episode import Episode, Scalar
from gym_grasp.demos.meta import DatasetMeta
from gym_grasp.demos.reader import open_dataset
from gym_grasp.envs.spec import EnvSpec
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import DatasetError
from gym_grasp.files import write_atomically
from gym_grasp.study.flow import Step
from gym_grasp.study.folder import TRIALS
from gym_grasp.study.protocol import Protocol
from gym_grasp.tasks.study_scene import ALL
from gym_grasp.teleop.session.recording import Tally
from gym_grasp.teleop.session.session import Session

UNRECOVERABLE, MARKED = "unrecoverable", "marked"
PATIENCE = 0.5
"""How long something has to be lost for a trial to end, in s: what flies may still land well."""
KNOWN = ("outcome", "seconds", "mean_force", "peak_force", "wall_seconds", "engagements")
"""What a trial's file says of it, and the journal too."""


class Judge:
    """Says when a trial cannot be done any more: see `Task.lost`."""

    def __init__(self, env: GraspVectorEnv) -> None:
        self._enough = max(1, round(PATIENCE * env.control_rate))
        self._steps = 0

    def __call__(self, env: GraspVectorEnv) -> str:
        """Return how the trial ends, or nothing."""
        self._steps = self._steps + 1 if bool(env.task.lost(env.physics)[0]) else 0
        return UNRECOVERABLE if self._steps >= self._enough else ""


class Sink(Tally):
    """Takes the one episode of a session."""

    def __init__(self) -> None:
        super().__init__()
        self.episode: Episode | None = None

    def add(self, episode: Episode) -> None:
        """Keep it, success or failure."""
        super().add(episode)
        self.episode = episode


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


def trial_spec(protocol: Protocol, goal: str) -> EnvSpec:
    """Return the environment of a task's trials, or with `all` of the practice."""
    seconds = protocol.practice_seconds if goal == ALL else protocol.time_limit
    spec = EnvSpec("study-scene", {"goal": goal}, robot=protocol.robot)
    return spec.replace(max_episode_steps=max(1, round(max(1.0, seconds) * spec.control_rate)))


def keep_trial(
    folder: Path,
    file: str,
    session: Session,
    episode: Episode | None,
    meta: DatasetMeta,
    values: Mapping[str, Scalar],
    about: Mapping[str, Scalar],
) -> dict[str, Any]:
    """Write a trial's file, if there is anything to write, and return what is known of it.

    Args:
        folder: the participant's.
        file: where to write, from there.
        session: which has just ended.
        episode: what it recorded; None: the robot did not move.
        meta: of the file.
        values: what else the journal is to say.
        about: what the file says besides.
    """
    found: dict[str, Any] = {
        **values,
        "outcome": session.ending,
        "engagements": session.engagement,
        **measures(episode, session.env.control_rate),
    }
    if episode is None:
        return found
    events = {**episode.events, **found, **about}
    whole = dataclasses.replace(episode, events=events)
    return {**found, "sha256": write_trial(folder / file, meta, whole), "file": file}


def found_trial(folder: Path, file: str) -> dict[str, Any] | None:
    """Return what `keep_trial` returned for a file; None: there is none, or it is not whole."""
    try:
        events = read_events(folder / file)
    except DatasetError:
        return None
    data = (folder / file).read_bytes()
    values = {name: events[name] for name in KNOWN if name in events}
    return {**values, "sha256": hashlib.sha256(data).hexdigest(), "file": file}


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

"""A demonstration as it is followed: the hand's way and the things' poses, from recorded states."""

from dataclasses import dataclass

import numpy as np
import torch

from gym_grasp.demos.episode import Episode
from gym_grasp.demos.reader import Dataset
from gym_grasp.envs.state import FIELD
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import UsageError

SMOOTH, SMOOTH_DRIVES = 0.1, 0.05
"""Deviations of the Gaussians that take tremor and wandering from a way, and from drives, in s."""
ROWS = 256
"""States looked at at once."""


@dataclass(frozen=True)
class Track:
    """A pose over time."""

    position: np.ndarray
    """World, in m. Shape (R, 3)."""
    orientation: np.ndarray
    """World, w x y z, without jumps of sign. Shape (R, 4)."""


@dataclass(frozen=True)
class Source:
    """One demonstration of R moments; the hand's way is smoothed."""

    index: int
    """Its number in the dataset."""
    seed: int
    """Its episode's seed."""
    rate: float
    """Moments per second, in Hz."""
    wrist: Track
    """Where the hand was."""
    aimed: Track
    """Where the hand was led."""
    drives: np.ndarray
    """Of the hand, as it was led, 0 open to 1 closed. Shape (R, D)."""
    things: dict[str, Track]
    """The bodies of `Task.things`."""
    start: np.ndarray
    """First observation of the group `policy`. Shape (O,)."""

    def __len__(self) -> int:
        """Return the number of moments R."""
        return len(self.drives)


def read_sources(dataset: Dataset, indices: list[int]) -> list[Source]:
    """Read demonstrations from their recorded states.

    Raises:
        DatasetError: an episode's states are not those of this dataset's environment on a CPU.
        UsageError: the task says of no thing that hands take hold of it.
    """
    spec = dataset.env_spec()
    if not spec.task_class.things:
        raise UsageError(
            f"The task '{spec.task}' names no things that hands take hold of, in whose frames "
            "demonstrations could be multiplied: give its class `things`, names of bodies."
        )
    dataset.require_cpu_states("ways are not read from")
    env = GraspVectorEnv(spec, ROWS, autoreset=False)
    try:
        return [_read(dataset, env, index) for index in indices]
    finally:
        env.close()


def _read(dataset: Dataset, env: GraspVectorEnv, index: int) -> Source:
    episode = dataset.episode(index)
    names = env.task.things
    bodies = env.task.thing_bodies
    physics, rate = env.physics, env.control_rate
    found: list[np.ndarray] = []
    for begin in range(0, len(episode) + 1, ROWS):
        count = _show(env, episode, begin)
        position, orientation = env.controller.wrist_pose()
        hand = torch.cat([position, orientation], 1)[:, None]
        things = torch.cat([physics.bind("xpos")[:, bodies], physics.bind("xquat")[:, bodies]], 2)
        found.append(torch.cat([hand, things], 1)[:count].numpy().astype(float))
    poses = np.concatenate(found)
    aimed = episode.states["targets"].astype(float)
    drives = smoothed(aimed[:, 7:], SMOOTH_DRIVES * rate)
    return Source(
        index=index,
        seed=episode.seed,
        rate=rate,
        wrist=track(poses[:, 0], rate, SMOOTH),
        aimed=track(aimed[:, :7], rate, SMOOTH),
        drives=drives.clip(0.0, 1.0),
        things={name: track(poses[:, 1 + n], rate, 0.0) for n, name in enumerate(names)},
        start=episode.flat_observations(dataset.meta.packer)[0],
    )


def _show(env: GraspVectorEnv, episode: Episode, begin: int) -> int:
    """Put an episode's states from a row on into the environments; return how many there are."""
    end = min(begin + env.num_envs, len(episode) + 1)
    rows = np.minimum(np.arange(begin, begin + env.num_envs), end - 1)
    state = {name: torch.from_numpy(values[rows]) for name, values in episode.states.items()}
    for name, value in episode.fields.items():
        state[f"{FIELD}{name}"] = torch.from_numpy(value)[None].repeat(len(rows), *[1] * value.ndim)
    env.set_state(state)
    return end - begin


def track(poses: np.ndarray, rate: float, smooth: float) -> Track:
    """Return poses (R, 7) as a track, smoothed by a Gaussian of so many seconds."""
    quaternions = poses[:, 3:].copy()
    flips = np.sign((quaternions[1:] * quaternions[:-1]).sum(1))
    quaternions[1:] *= np.cumprod(np.where(flips < 0, -1.0, 1.0))[:, None]
    position = poses[:, :3]
    if smooth:
        position, quaternions = (smoothed(one, smooth * rate) for one in (position, quaternions))
    return Track(position, quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True))


def smoothed(values: np.ndarray, deviation: float) -> np.ndarray:
    """Return values (R, D) after a Gaussian of so many rows; they go on straight at the ends."""
    reach = min(int(np.ceil(3 * deviation)), len(values) - 1)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2)
    padded = np.pad(values, ((reach, reach), (0, 0)), mode="reflect", reflect_type="odd")
    columns = [np.convolve(one, kernel / kernel.sum(), mode="valid") for one in padded.T]
    return np.stack(columns, axis=1)

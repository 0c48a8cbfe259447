"""One operator's demonstrations for the hand of another robot: the same way, the same intent.

What is carried over is where the thing to be held lies and what the fingers mean to do with it. The
other hand comes to the thing as the first one did, but holds it where, and as far closed as, its
own grasp says (`robots.grasps`); then it does the same with it. All attempts begin in the states of
the source; what fails is tried again with a correction, until one succeeds or none is left.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from gym_grasp.demos.episode import Episode, Origin, Scalar
from gym_grasp.demos.hdf5 import check_free
from gym_grasp.demos.reader import Dataset, open_dataset
from gym_grasp.demos.record import describe
from gym_grasp.demos.recorder import EpisodeRecorder
from gym_grasp.demos.writer import DatasetWriter
from gym_grasp.envs.spec import EnvSpec
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import GymGraspError, UsageError
from gym_grasp.math.rotations import quat_from_rotvec, quat_multiply, quat_rotate
from gym_grasp.robots import load_robot
from gym_grasp.robots.base import Hand
from gym_grasp.robots.grasps import Grasp

KINDS: Final = {
    "open-drawer": "bar",
    "open-door": "lever",
    "lift-object": "object",
    "pour-cup": "cup",
}
"""What is held in a task, of `robots.grasps.Grasps`."""
NEAR: Final = (0.03, 0.1)
"""Distances from where the thing is grasped between which the hand takes on its own posture,
in m."""
CLOSED: Final = 0.9
"""Share of the closing at which a hand has closed."""
ONWARD: Final = 1.0
"""How long the last movement goes on beyond the end of the demonstration, in s."""
PATIENCE: Final = 0.5
"""How long the hand waits then for the task to be done, in s."""
LAST: Final = 0.2
"""Over which time the last movement is measured, in s."""
AT_ONCE: Final = 64
"""Attempts at once."""


@dataclass(frozen=True)
class Correction:
    """What is done otherwise than the demonstration and the grasp say."""

    pause: float = 0.0
    """How long the hand stays where it has closed, in s."""
    aside: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """How the thing lies otherwise in the hand, palm frame, in m."""


CORRECTIONS: Final = (
    Correction(),
    Correction(pause=0.5),
    *(
        Correction(0.5, aside)
        for aside in (
            *((0.0, -0.008, 0.0), (0.0, 0.008, 0.0), (0.0, 0.0, 0.01), (0.0, 0.0, -0.01)),
            *((0.012, 0.0, 0.0), (-0.012, 0.0, 0.0)),
        )
    ),
)
"""In the order in which they are tried; the first corrects nothing."""


@dataclass(frozen=True)
class Report:
    """What came of carrying demonstrations over."""

    path: str
    robot: str
    sources: int
    """Demonstrations that were carried over."""
    at_once: int
    """How many succeeded without a correction."""
    kept: int
    """How many succeeded at all."""
    seconds: float
    """Mean length of those that were kept, in s."""

    @property
    def share(self) -> float:
        """Share of the demonstrations that succeeded."""
        return self.kept / self.sources

    def to_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return {**dataclasses.asdict(self), "share": self.share}


@dataclass(frozen=True)
class Way:
    """Where a wrist goes and what the fingers do, step by step."""

    position: Tensor
    """World, in m. Shape (T, 3)."""
    quaternion: Tensor
    """World, w x y z. Shape (T, 4)."""
    flexion: Tensor
    """As in `robots.base.HUMAN_FLEXIONS`. Shape (T, 5)."""

    def __len__(self) -> int:
        """Return the number of steps T."""
        return len(self.flexion)

    def rows(self, indices: Tensor) -> "Way":
        """Return some of its steps."""
        return Way(self.position[indices], self.quaternion[indices], self.flexion[indices])


@dataclass(frozen=True)
class _Source:
    """A demonstration that is carried over."""

    index: int
    seed: int
    events: dict[str, Scalar]
    way: Way


def retarget(
    dataset: Dataset | str | Path,
    path: str | Path,
    robot: str,
    *,
    episodes: Sequence[int] | None = None,
    num_threads: int = 0,
    overwrite: bool = False,
    on_episode: Callable[[int, int], None] = lambda kept, tried: None,
) -> Report:
    """Carry demonstrations over to another robot, and write those that succeed with it.

    Args:
        dataset: the demonstrations, or the file of them.
        path: the dataset to write.
        robot: for which robot, such as `ur5-leap`.
        episodes: which of them; None: all.
        num_threads: of the physics; 0 takes every core.
        overwrite: replace an existing file.
        on_episode: called after some attempts with how many succeeded, of how many.

    Raises:
        UsageError: the robot is unknown or the dataset's own, an episode is not there, or nothing
            is known of what the task's hands hold.
        DatasetError: the file cannot be written.
        GymGraspError: none succeeds.
    """
    if not isinstance(dataset, Dataset):
        dataset = open_dataset(dataset)
    source = dataset.env_spec()
    if source.task not in KINDS:
        raise UsageError(
            f"The task '{source.task}' cannot be carried over to another hand: nothing is known of "
            f"what hands hold in it. Known: {', '.join(KINDS)}."
        )
    if robot == source.robot:
        raise UsageError(f"{dataset.path} is of {robot} already; name another robot.")
    chosen = dataset.chosen(episodes, "carried over")
    load_robot(robot)
    path = Path(path)
    check_free(path, overwrite, dataset.path)
    first = source.robot_model.hand
    read = zip(chosen, dataset.episodes(chosen), strict=True)
    missing = [_source(index, episode, first) for index, episode in read]
    spec = dataclasses.replace(source, robot=robot)
    made: dict[int, Episode] = {}
    at_once = 0
    for number, correction in enumerate(CORRECTIONS):
        for begin in range(0, len(missing), AT_ONCE):
            batch = missing[begin : begin + AT_ONCE]
            episodes_made = _attempt(spec, first, batch, correction, num_threads)
            for one, episode in zip(batch, episodes_made, strict=True):
                events = {**one.events, "source": one.index, "correction": number}
                made[one.index] = dataclasses.replace(episode, events=events)
            on_episode(sum(one.success for one in made.values()), len(chosen))
        missing = [one for one in missing if not made[one.index].success]
        at_once = len(made) - len(missing) if number == 0 else at_once
    kept = [one for one in made.values() if one.success]
    if not kept:
        raise GymGraspError(
            f"None of {len(chosen)} demonstrations of {dataset.path} succeeds with {robot}. See "
            "what its own operator does with its grasps: `gym-grasp demos record`."
        )
    env = GraspVectorEnv(spec, 1, num_threads=1, autoreset=False)
    origin = Origin("retargeted", (f"{len(chosen)} of {dataset.fingerprint}",))
    meta = describe(env, dataset.meta.operator, dataset.meta.base_seed, origin)
    env.close()
    with DatasetWriter(path, meta, overwrite=overwrite) as writer:
        for index in sorted(made):  # the writer counts those that failed, and leaves them out
            writer.add(made[index])
    seconds = sum(map(len, kept)) / len(kept) / dataset.meta.control_rate
    return Report(str(path), robot, len(chosen), at_once, len(kept), seconds)


def _source(index: int, episode: Episode, hand: Hand) -> _Source:
    """Return where a hand was led in an episode, its drives as flexions."""
    targets = torch.from_numpy(episode.states["targets"][1:]).double()
    rows = torch.tensor(hand.flexion_to_drives, dtype=torch.float64)
    drives = targets[:, 7:] - torch.tensor(hand.flexion_offset, dtype=torch.float64)
    flexion = (drives @ torch.linalg.pinv(rows).T).clamp(0.0, 1.0)
    way = Way(targets[:, :3], targets[:, 3:7], flexion)
    return _Source(index, episode.seed, dict(episode.events), way)


def _attempt(
    spec: EnvSpec, first: Hand, sources: Sequence[_Source], correction: Correction, threads: int
) -> list[Episode]:
    """Carry demonstrations with the first hand over, and return what came of each."""
    env = GraspVectorEnv(spec, len(sources), num_threads=threads, autoreset=False)
    kind, rate, ways = KINDS[spec.task], env.control_rate, []
    for one in sources:
        there, here = (
            _grasp(hand, kind, str(one.events.get("strategy", "")))
            for hand in (first, env.robot.hand)
        )
        ways.append(_onward(carried(one.way, there, here, correction, rate), rate))
    longest = max(map(len, ways))
    steps = torch.arange(longest)
    padded = [way.rows(steps.clamp_max(len(way) - 1)) for way in ways]
    sent = {
        "wrist_position": torch.stack([way.position for way in padded], 1).float(),
        "wrist_quaternion": torch.stack([way.quaternion for way in padded], 1).float(),
        "finger_flexion": torch.stack([way.flexion for way in padded], 1).float(),
    }
    env.reset_to(torch.tensor([one.seed for one in sources]))
    recorder = EpisodeRecorder(env)
    for step in range(longest):
        now = {name: values[step] for name, values in sent.items()}
        actions = env.controller.retarget(*now.values())
        *_, info = env.step(actions)
        recorder.add(actions, info, {name: value.numpy() for name, value in now.items()})
        if not recorder.running.any():
            break
    episodes = [recorder.episode(row, one.events) for row, one in enumerate(sources)]
    env.close()
    return episodes


def _grasp(hand: Hand, kind: str, strategy: str) -> Grasp:
    """Return how a hand holds a kind of thing by a strategy, or by its first one."""
    ways = hand.grasps_of(kind)
    return ways.get(strategy) or next(iter(ways.values()))


def carried(way: Way, there: Grasp, here: Grasp, correction: Correction, rate: float) -> Way:
    """Return the way of another hand that does the same with a thing.

    Args:
        way: of the first hand.
        there: how that one holds the thing.
        here: how the other one does.
        correction: what it does otherwise.
        rate: steps a second, in Hz.
    """
    ready, change = (torch.from_numpy(one) for one in (there.ready, there.grip - there.ready))
    closing = ((way.flexion - ready) @ change / (change @ change)).clamp(0.0, 1.0)
    closed = (closing >= CLOSED).nonzero()[:, 0].tolist()
    first = closed[0] if closed else len(way) - 1
    thing = way.position + quat_rotate(way.quaternion, torch.from_numpy(there.place))
    away = (thing - thing[first]).norm(dim=1)
    near = 1.0 - ((away - NEAR[0]) / (NEAR[1] - NEAR[0])).clamp(0.0, 1.0)
    near[first:] = 1.0
    near = near.cummax(0).values[:, None]
    near = near**2 * (3 - 2 * near)
    tilt = quat_from_rotvec(
        torch.tensor(
            [(0, 0, -there.roll), (there.pitch - here.pitch, 0, 0), (0, 0, here.roll)]
        ).double()
    )
    quaternion = way.quaternion
    for turn in tilt:
        quaternion = quat_multiply(quaternion, turn.expand_as(quaternion))
    place = torch.from_numpy(here.place + np.array(correction.aside))
    position = thing - quat_rotate(quaternion, place)
    position[:, 2] += (1.0 - near[:, 0]) * max(0.0, here.above - there.above)
    opened, held = (
        torch.from_numpy(b - a) for a, b in ((there.ready, here.ready), (there.grip, here.grip))
    )
    own = torch.lerp(opened, held, closing[:, None])
    still = [first] * round(correction.pause * rate)
    order = torch.tensor([*range(first), *still, *range(first, len(way))])
    return Way(position, quaternion, (way.flexion + near * own).clamp(0.0, 1.0)).rows(order)


def _onward(way: Way, rate: float) -> Way:
    """Let the last movement go on, and then wait."""
    back, more, wait = (round(seconds * rate) for seconds in (LAST, ONWARD, PATIENCE))
    back = min(back, len(way) - 1)
    step = (way.position[-1] - way.position[-1 - back]) / max(1, back)
    on = torch.arange(1, more + wait + 1).clamp_max(more)[:, None]
    last = way.rows(torch.full((len(on),), len(way) - 1))
    return Way(
        torch.cat([way.position, last.position + on * step]),
        torch.cat([way.quaternion, last.quaternion]),
        torch.cat([way.flexion, last.flexion]),
    )

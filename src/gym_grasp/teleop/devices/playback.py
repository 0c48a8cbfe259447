"""A recorded operator: what the input of an episode would look like if it came again."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gym_grasp.demos.episode import Episode
from gym_grasp.demos.reader import open_dataset
from gym_grasp.envs.spec import EnvSpec
from gym_grasp.errors import UsageError
from gym_grasp.robots.base import HUMAN_FLEXIONS
from gym_grasp.teleop.devices.base import DeviceContext, OpenedDevice
from gym_grasp.teleop.hand.input import HandInput, Haptics, Pose

CHANNELS = {"wrist_position": 3, "wrist_quaternion": 4, "finger_flexion": len(HUMAN_FLEXIONS)}
"""What an episode's operator input has to hold, with its widths."""


@dataclass(frozen=True)
class PlaybackOptions:
    """The operator's input of a recorded episode."""

    playback: Path
    """The dataset."""
    episode: int = 0
    """Which of its episodes."""

    def spec(self) -> EnvSpec:
        """Return the environment that the episode was recorded in, to be made again."""
        return open_dataset(self.playback).env_spec()

    def open(self, context: DeviceContext) -> OpenedDevice:
        """Read the episode.

        Raises:
            GymGraspError: the dataset cannot be read or is of something else, or has no such
                episode.
        """
        env = context.env
        dataset = open_dataset(self.playback, spec=env.env_spec)
        if not 0 <= self.episode < len(dataset):
            raise UsageError(
                f"--episode is {self.episode}; {self.playback} holds episodes 0 to "
                f"{len(dataset) - 1}."
            )
        device = Playback(dataset.episode(self.episode), env.controller.config.interval)
        return OpenedDevice(device, moved_by="playback", first_seed=device.seed, shown=True)


class Playback:
    """Plays the operator input of one episode, one row per control step.

    It counts the session's ticks instead of looking at a clock, so that a session that starts
    from the episode's seed makes the same actions again. Where the operator let go of the clutch
    and took it again, it does so too; at the end the hand counts as lost.

    Args:
        episode: one whose operator input was recorded, by a person or the synthetic operator.
        interval: ticks per control step.
        clock: the session's, in [s].

    Raises:
        UsageError: the episode holds no operator input, or not of the right shape.
    """

    def __init__(
        self,
        episode: Episode,
        interval: int = 3,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        rows = episode.operator_input
        for name, width in CHANNELS.items():
            if name not in rows or rows[name].shape != (len(episode), width):
                found = rows[name].shape if name in rows else "missing"
                raise UsageError(
                    f"Cannot play back the episode of seed {episode.seed}: its operator input"
                    f" '{name}' is {found}; expected shape {(len(episode), width)}."
                )
        self.seed = episode.seed
        """Of the episode; the session has to start from it."""
        self.finished = False
        """Whether every row has been played."""
        self._rows = rows
        self._clock = clock
        self._schedule = _schedule(_engagements(rows, len(episode)), interval)
        self._sequence = 0

    def latest(self) -> HandInput:
        """Return the input of the next tick."""
        sequence = self._sequence
        self._sequence += 1
        self.finished = sequence >= len(self._schedule)
        row, clutch, tracked = self._schedule[min(sequence, len(self._schedule) - 1)]
        rows = self._rows
        head, joints = rows.get("head_pose"), rows.get("hand_joints")
        return HandInput(
            time=self._clock(),
            wrist_position=rows["wrist_position"][row],
            wrist_quaternion=rows["wrist_quaternion"][row],
            flexion=rows["finger_flexion"][row],
            clutch=clutch,
            tracked=tracked,
            head=_pose(head[row]) if head is not None else None,
            sequence=sequence,
            joints=joints[row] if joints is not None else None,
        )

    def feedback(self, haptics: Haptics) -> None:
        """Nobody feels it."""

    def close(self) -> None:
        """Nothing to let go of."""


def _engagements(rows: dict[str, np.ndarray], steps: int) -> np.ndarray:
    return rows.get("engagement", np.zeros(steps, np.int32))


def _schedule(engagements: np.ndarray, interval: int) -> list[tuple[int, bool, bool]]:
    """Return which row, whether the clutch is pressed and whether the hand is tracked, by tick."""
    ticks: list[tuple[int, bool, bool]] = []
    for row, engagement in enumerate(engagements.tolist()):
        if row == 0:
            ticks.append((row, False, True))
        elif engagement != engagements[row - 1]:
            # a lost hand ends the engagement; then release, so that the next press is fresh
            ticks += [(row, False, False), (row, False, True)]
        ticks += [(row, True, True)] * interval
    return [*ticks, (len(engagements) - 1, False, False)]


def _pose(row: np.ndarray) -> Pose | None:
    return Pose(row[:3], row[3:]) if np.isfinite(row).all() else None

"""From control steps to episodes on disk, without holding the session up."""

import shlex
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gym_grasp.demos.episode import Episode, Scalar
from gym_grasp.demos.recorder import EpisodeRecorder
from gym_grasp.demos.writer import DatasetWriter
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import DatasetError
from gym_grasp.teleop.hand.input import HandInput, Haptics

JOINTS = (25, 8)


class EpisodeRows:
    """Collects the steps of the episode that was just begun in a single environment."""

    def __init__(self, env: GraspVectorEnv) -> None:
        self._recorder = EpisodeRecorder(env)
        self._begun: tuple[Tensor, dict[str, np.ndarray]] | None = None
        self._start: float | None = None

    def __len__(self) -> int:
        """Return the number of control steps, one that was begun included."""
        return len(self._recorder) + (self._begun is not None)

    def begin_step(self, action: Tensor, hand: HandInput, engagement: int, now: float) -> None:
        """Take in an action (1, A) and the input that led to it at time `now` in [s]."""
        if self._start is None:
            self._start = now
        self._begun = action, _channels(hand, engagement, now, self._start)

    @property
    def whole(self) -> int:
        """The number of control steps that were ended."""
        return len(self._recorder)

    def end_step(self, info: dict[str, Any], force: np.ndarray, felt: Haptics) -> None:
        """Take in what the step led to, the forces (F, 3) on the fingertips, and what was felt."""
        assert self._begun is not None
        action, channels = self._begun
        channels["fingertip_force"] = _float32(force)
        channels["brake"], channels["vibration"] = _float32(felt.brake), _float32(felt.vibration)
        self._recorder.add(action, info, {key: value[None] for key, value in channels.items()})
        self._begun = None

    def episode(self, events: dict[str, Scalar]) -> Episode:
        """Return the whole, after its last step."""
        return self._recorder.episode(0, events)


class Tally:
    """Counts attempts in the place of a `Recorder`, and writes nothing."""

    error: str | None = None
    path: Path | None = None

    def __init__(self) -> None:
        self.counts = (0, 0)
        self.dropped = 0

    @property
    def attempts(self) -> int:
        """Attempts so far, whatever became of them."""
        return sum(self.counts) + self.dropped

    def add(self, episode: Episode) -> None:
        """Count a success or a failure."""
        kept, failed = self.counts
        self.counts = (kept + episode.success, failed + (not episode.success))

    def drop_last(self) -> None:
        """Take the newest success back."""
        self.counts = (self.counts[0] - 1, self.counts[1])
        self.dropped += 1

    def fail(self) -> None:
        """Count a failure that left no episode."""
        self.counts = (self.counts[0], self.counts[1] + 1)

    def close(self) -> None:
        """Nothing is to be written."""


class Recorder:
    """Writes episodes in a thread of its own, in order; what could not be written is tried again.

    Args:
        writer: an open dataset; closed with the recorder.
    """

    def __init__(self, writer: DatasetWriter) -> None:
        self.writer = writer
        self.path: Path | None = writer.path
        self.error: str | None = None
        """What is not on disk yet, and why; None: everything is."""
        self._waiting: deque[Callable[[], object]] = deque()
        self._pool = ThreadPoolExecutor(1, "recorder")
        self._last: Future[None] | None = None
        self._closed = False

    def add(self, episode: Episode) -> None:
        """Keep a success; count a failure."""
        self._put(lambda: self.writer.add(episode))

    def drop_last(self) -> None:
        """Drop the newest kept episode; it counts as no failure."""
        self._put(self.writer.drop_last)

    def fail(self) -> None:
        """Count a failure that left no episode."""
        self._put(self.writer.count_failure)

    @property
    def counts(self) -> tuple[int, int]:
        """Episodes kept and failures so far that are on disk."""
        return len(self.writer), self.writer.failures

    @property
    def dropped(self) -> int:
        """Successes that were dropped again, on disk."""
        return self.writer.dropped

    @property
    def attempts(self) -> int:
        """Attempts on disk, whatever became of them."""
        return len(self.writer.finished)

    def flush(self) -> None:
        """Wait until everything is on disk that can be."""
        if self._last is not None:
            self._last.result()

    def close(self) -> None:
        """Write what is left and make the dataset file of the episodes.

        Raises:
            DatasetError: it could not be written; what is on disk is still in the parts folder.
        """
        if self._closed:
            return
        self._closed = True
        self._last = self._pool.submit(self._write)
        self._pool.shutdown()
        if self._waiting:
            raise DatasetError(str(self.error))
        self.writer.close()

    def _put(self, change: Callable[[], object]) -> None:
        # Queued before anything is written, so that no failure to write can lose it.
        self._waiting.append(change)
        self._last = self._pool.submit(self._write)

    def _write(self) -> None:
        try:
            while self._waiting:
                self._waiting[0]()
                self._waiting.popleft()
            self.error = None
        except DatasetError as error:
            self.error = f"{len(self._waiting)} change(s) of the recording not on disk: {error}"


def next_commands(task: str, path: Path | str) -> list[str]:
    """Return what to do with a dataset that a session made, as commands."""
    file = shlex.quote(str(path))
    return [f"gym-grasp demos info {file}", f"gym-grasp train {task} --demos {file}"]


def _channels(hand: HandInput, engagement: int, now: float, start: float) -> dict[str, np.ndarray]:
    """Return what one control step's input looks like in a file."""
    nothing = np.full(7, np.nan, np.float32)
    head = nothing if hand.head is None else np.r_[hand.head.position, hand.head.quaternion]
    joints = np.full(JOINTS, np.nan) if hand.joints is None else hand.joints
    return {
        "wrist_position": _float32(hand.wrist_position),
        "wrist_quaternion": _float32(hand.wrist_quaternion),
        "finger_flexion": _float32(hand.flexion),
        "head_pose": _float32(head),
        "hand_joints": _float32(joints),
        "engagement": np.array(engagement, np.int32),
        "capture_time": np.array(hand.time - start),
        "applied_time": np.array(now - start),
    }


def as_recorded(hand: HandInput) -> HandInput:
    """Return the input as precisely as a file holds it, so that playing it back is the same."""
    return replace(
        hand,
        wrist_position=_float32(hand.wrist_position).astype(float),
        wrist_quaternion=_float32(hand.wrist_quaternion).astype(float),
        flexion=_float32(hand.flexion).astype(float),
        joints=None if hand.joints is None else _float32(hand.joints).astype(float),
    )


def _float32(values: np.ndarray) -> np.ndarray:
    return np.asarray(values, np.float32)


def to_tensor(*rows: np.ndarray) -> tuple[Tensor, ...]:
    """Return each row (D,) as a batch of one, (1, D) float32."""
    return tuple(torch.from_numpy(np.asarray(row, np.float32)[None]) for row in rows)

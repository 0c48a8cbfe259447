"""The session: a person's hand drives the robot's, tick by tick, and episodes come of it."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import torch

from gym_grasp.demos.episode import Scalar
from gym_grasp.envs.checks import checked_count
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.tasks.random import episode_seeds
from gym_grasp.teleop.hand.drives import Retargeter
from gym_grasp.teleop.hand.input import Device, HandInput, Haptics, Pose
from gym_grasp.teleop.hand.plausible import jumped
from gym_grasp.teleop.haptics.forces import FingertipForces
from gym_grasp.teleop.haptics.levels import HapticFilter
from gym_grasp.teleop.session.clutch import Clutch, Press
from gym_grasp.teleop.session.latency import LatencyMeter
from gym_grasp.teleop.session.recording import (
    EpisodeRows,
    Recorder,
    Tally,
    as_recorded,
    next_commands,
    to_tensor,
)

MAX_AGE = 0.1
"""Oldest newest pose with which the robot moves, in [s]."""

SUCCESS, TIME_OUT, DIVERGED = "success", "time-out", "diverged"
"""How an episode ends by itself."""
NOTICES = {
    SUCCESS: "Success; the episode is kept.",
    TIME_OUT: "Time is up.",
    DIVERGED: "The simulation broke.",
}


class State(StrEnum):
    """What the session is doing; physics advances while it is engaged and stands still else.

    A control step that is cut short by a pause is ended before the next begins.
    """

    WAITING = "waiting"
    """A new episode, its clock not yet running."""
    ENGAGED = "engaged"
    """The operator's hand moves the robot's."""
    PAUSED = "paused"
    """Released, or stopped by a fault; a fresh press of the clutch goes on."""
    DONE = "done"
    """The episode ended; reset, next or discard begins the next."""


@dataclass(frozen=True)
class SessionConfig:
    """How a session behaves."""

    seed: int = 0
    """Of the start states."""
    first_seed: int | None = None
    """The first episode's own seed, to play that one again; None: as `seed` has it."""
    hold: bool = False
    """The clutch is held down to move, instead of pressed once to begin and once to stop."""
    max_episodes: int | None = None
    """The session is over after so many kept episodes."""
    haptics: bool = True
    """What the fingers feel is passed on; the contacts are measured and recorded either way."""

    def __post_init__(self) -> None:
        """Raise `UsageError` for a number out of range."""
        checked_count("seed", self.seed, 0)
        if self.max_episodes is not None:
            checked_count("episodes", self.max_episodes, 1)


class Session:
    """One environment, one operator, one recording.

    `tick` is called at the physics' rate; everything else is read between ticks.

    Args:
        env: a single environment on the CPU, without autoreset.
        device: where the operator's hand comes from and its feedback goes.
        recorder: where episodes go; None: nowhere, they are counted only.
        config: start states and clutch.
        judge: looked at after every control step; a word ends the episode as that kind of failure,
            the empty one lets it go on.
    """

    def __init__(
        self,
        env: GraspVectorEnv,
        device: Device,
        recorder: Recorder | Tally | None = None,
        config: SessionConfig | None = None,
        judge: Callable[[GraspVectorEnv], str] = lambda env: "",
    ) -> None:
        assert env.num_envs == 1
        assert not env.autoreset
        self.env = env
        self.device = device
        self.recorder: Recorder | Tally = recorder or Tally()
        self.config = config or SessionConfig()
        self._judge = judge
        self.rate = 1.0 / env.physics.timestep
        self.interval = env.controller.config.interval
        self.meter = LatencyMeter()
        """Latencies of this session."""
        self.hand: HandInput | None = None
        """What the last tick sampled."""
        fingers = tuple(finger.name for finger in env.robot.hand.fingers)
        self._nothing = Haptics.none(fingers)
        self.haptics = self._nothing
        """What the last tick felt."""
        self.engagement = 0
        """How often the clutch engaged so far."""
        self._retargeter = Retargeter(env.robot.hand)
        self._forces = FingertipForces(env.task.model, env.robot)
        self._filter = HapticFilter(fingers, self.rate)
        self._press = Press()
        self._reset, self._discard, self._next = Press(), Press(), Press()
        self._clutch: Clutch | None = None
        self._before: HandInput | None = None
        self._first = self._episode = self.recorder.attempts
        # A pose is acted on for the whole control step that it begins. Every tick looks at the
        # newest; what the limit leaves is for a tick itself and for a busy machine.
        self._max_age = MAX_AGE - (self.interval - 1) * env.physics.timestep
        self._begin_episode()

    def tick(self, now: float) -> None:
        """Sample the operator, advance the physics by one step if engaged, feel the contacts.

        Args:
            now: in [s] of `time.perf_counter`.
        """
        newest = self.device.latest()
        hand = self.hand = None if newest is None else as_recorded(newest)
        fault = self._fault(hand, now)
        self._before = hand
        if hand is not None:
            self._buttons(hand, fault)
        if self.state is State.ENGAGED and fault is not None:
            self._pause(fault)
        if self.state is State.ENGAGED:
            if self._substep == 0:
                assert hand is not None
                self._begin_step(hand, now)
            self._advance()
        else:
            self.haptics = self._nothing
        self.device.feedback(self.haptics)

    @property
    def over(self) -> bool:
        """Whether all the episodes asked for are kept, or a recording was played to its end."""
        if getattr(self.device, "finished", False):
            return True
        limit = self.config.max_episodes
        return limit is not None and self.state is State.DONE and self.recorder.counts[0] >= limit

    def status(self) -> dict[str, Any]:
        """Return what an operator is told: plain values for JSON."""
        kept, failed = self.recorder.counts
        return {
            "task": self.env.task_name,
            "summary": self.env.task.summary,
            "state": str(self.state),
            "notice": self.recorder.error or self.notice,
            "time": round(len(self.rows) / self.env.control_rate, 2),
            "time_limit": self.env.max_episode_steps / self.env.control_rate,
            "progress": round(self.progress, 3),
            "at_limit": self.at_limit,
            "success": self.success,
            "kept": kept,
            "failed": failed,
            "dropped": self.recorder.dropped,
            "wanted": self.config.max_episodes,
            "hold": self.config.hold,
            "recorded": self.recorder.path is not None,
        }

    def end(self, outcome: str) -> None:
        """End the episode now, as a failure of a kind, which is all that the recorder is told."""
        if self.state is not State.DONE:
            self._finish(outcome)

    def outcome(self) -> dict[str, Any]:
        """Return the dataset's path, None where none is made, and commands to go on with."""
        kept, path = self.recorder.counts[0], self.recorder.path
        if path is None or not kept:
            return {"path": None, "kept": kept, "next": []}
        commands = next_commands(self.env.task_name, path)
        return {"path": str(path), "kept": kept, "next": commands}

    def close(self) -> None:
        """Make the dataset file, of every episode that was kept, and close the device."""
        self.recorder.close()
        self.device.close()

    def stop(self, reason: str) -> None:
        """Stop the robot, if it moves, until a fresh press of the clutch."""
        if self.state is State.ENGAGED:
            self._pause(reason)

    # Transitions --------------------------------------------------------------------------------

    def _begin_episode(self) -> None:
        self.env.reset_to(self._next_seed())
        self.rows = EpisodeRows(self.env)
        self._filter.reset()
        self.meter.begin_episode()
        self._press.hold()
        self._clutch = None
        self._substep = 0
        self.success = False
        self.ending = ""
        self.progress = 0.0
        self.at_limit = False
        self.state = State.WAITING
        self.notice = ""

    def _next_seed(self) -> torch.Tensor:
        index = torch.tensor([self._episode])
        if self.config.first_seed is not None and self._episode == self._first:
            return torch.tensor([self.config.first_seed])
        return episode_seeds(self.config.seed, torch.zeros_like(index), index)

    def _buttons(self, hand: HandInput, fault: str | None) -> None:
        reset, discard = self._reset(hand.buttons.reset), self._discard(hand.buttons.discard)
        go_on, pressed = self._next(hand.buttons.next), self._press(hand.clutch)
        if discard or reset or (go_on and self.state is State.DONE):
            self._leave_episode(discard)
            return
        if self.state in (State.WAITING, State.PAUSED):
            if pressed and fault is not None:
                self.notice = f"Cannot engage: {fault}."
            elif pressed:
                self._engage()
        elif self.state is State.ENGAGED:
            released = not hand.clutch if self.config.hold else pressed
            if released:
                self._pause("clutch released")

    def _leave_episode(self, discard: bool = False) -> None:
        """Begin the next episode; one that has not moved yet only begins again."""
        if len(self.rows):
            self._episode += 1  # as many as attempts, so that no seed comes twice
        dropped = self.state is State.DONE and self.success and discard
        if dropped:
            self.recorder.drop_last()
        elif self.state is not State.DONE and len(self.rows):
            self.recorder.fail()
        self._begin_episode()
        if dropped:
            self.notice = "The success was discarded; it counts as no failure."

    def _engage(self) -> None:
        self._retargeter.reset()
        self._engaged_steps = 0
        self.engagement += 1
        self.state = State.ENGAGED
        self.notice = ""

    def _couple(self, hand: HandInput, asked: np.ndarray) -> Clutch:
        targets = self.env.controller.targets
        robot = Pose(targets.position[0].double().numpy(), targets.orientation[0].double().numpy())
        drives = targets.fingers[0].double().numpy()
        return Clutch.engage(hand, asked, robot, drives)

    def _pause(self, reason: str) -> None:
        self._clutch = None
        self._press.hold()
        self.state = State.PAUSED
        self.notice = f"Stopped: {reason}."

    def _fault(self, hand: HandInput | None, now: float) -> str | None:
        if hand is None:
            return "no operator is connected"
        if not hand.tracked or not hand.valid():
            return hand.lost
        if now - hand.time > self._max_age:
            return "the newest pose is too old"
        if self.state is State.ENGAGED and self._before and jumped(self._before, hand):
            return "the tracked hand jumped"
        return None

    # Control and physics ------------------------------------------------------------------------

    def _begin_step(self, hand: HandInput, now: float) -> None:
        asked = self._retargeter.drives(hand)
        if self._clutch is None:  # by the hand of a step's beginning, which is recorded
            self._clutch = self._couple(hand, asked)
        elapsed = self._engaged_steps / self.env.control_rate
        pose, drives = self._clutch.target(hand, asked, elapsed)
        self._engaged_steps += 1
        action = self.env.controller.approach(*to_tensor(pose.position, pose.quaternion, drives))
        self.rows.begin_step(action, hand, self.engagement, now)
        arrival = hand.time if hand.arrival is None else hand.arrival
        self.meter.applied(hand.sequence, hand.time, arrival, now)
        self.env.begin_step(action)
        self._substep = 1

    def _advance(self) -> None:
        self.env.advance()
        force, felt = self._feel()
        self.haptics = felt if self.config.haptics else self._nothing
        if self._substep < self.interval:
            self._substep += 1
            return
        self._substep = 0
        _, _, terminated, truncated, info = self.env.end_step()
        self.rows.end_step(info, force, self.haptics)
        self.progress = float(info["progress"][0])
        self.at_limit = bool(info["at_limit"][0])
        if bool(terminated[0]):
            self._finish(SUCCESS)
        elif bool(truncated[0]):
            self._finish(DIVERGED if bool(info["diverged"][0]) else TIME_OUT)
        elif outcome := self._judge(self.env):
            self._finish(outcome)

    def _feel(self) -> tuple[np.ndarray, Haptics]:
        force, closing = self._forces.measure(self.env.physics)
        return force, self._filter.tick(force, closing)

    def _finish(self, outcome: str) -> None:
        self.state = State.DONE
        self.ending = outcome
        self.success = outcome == SUCCESS
        self._clutch = None
        self.notice = NOTICES.get(outcome, f"The episode ended: {outcome}.")
        if self.rows.whole:
            self.recorder.add(self.rows.episode(self._events()))

    def _events(self) -> dict[str, Scalar]:
        events: dict[str, Scalar] = {"engagements": self.engagement}
        for stage, values in self.meter.episode().items():
            events[f"{stage}_p50_ms"] = values["p50_ms"]
            events[f"{stage}_p99_ms"] = values["p99_ms"]
        return events

"""Leads one participant through the plan: sessions, screens, and what the experimenter asks for.

Everything that happens is in the journal before it counts. What is on the screen follows from it.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from gym_grasp.demos.meta import package_versions
from gym_grasp.demos.record import describe as describe_dataset
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import UsageError
from gym_grasp.study.controls import Held, Keys
from gym_grasp.study.flow import (
    ABORTED,
    CRASHED,
    REPEATED,
    Kind,
    Progress,
    Step,
    key_of,
    plan,
    trial_seed,
)
from gym_grasp.study.folder import JOURNAL, Study
from gym_grasp.study.journal import Journal
from gym_grasp.study.protocol import CONDITIONS
from gym_grasp.study.screens import Screen, screen_of
from gym_grasp.study.trials import (
    UNRECOVERABLE,
    Judge,
    Sink,
    file_of,
    found_trial,
    keep_trial,
    trial_spec,
)
from gym_grasp.tasks.study_scene import ALL
from gym_grasp.teleop.hand.input import Device
from gym_grasp.teleop.session.session import Session, SessionConfig, State


class Conductor:
    """One participant, from consent to thanks; goes on where a run that was killed left off.

    Args:
        study: which study.
        participant: who, see `Study.enrol`.
        open_device: makes the device that the hand comes from, for the environment it is seen in.
        operator: what recordings call whoever acts.

    Raises:
        GymGraspError: the participant's journal is held by another process, or damaged.
    """

    def __init__(
        self,
        study: Study,
        participant: str,
        open_device: Callable[[GraspVectorEnv], Device],
        operator: str = "human",
    ) -> None:
        self.study, self.participant, self.protocol = study, participant, study.protocol
        self.slot = study.slot(participant)
        self.operator = operator
        self.journal = Journal(study.path(participant) / JOURNAL)
        self.progress = Progress(plan(self.protocol, self.slot), self.journal.events)
        self._envs: dict[str, GraspVectorEnv] = {}
        env = self.env(ALL)
        self.device = Held(open_device(env))
        self.session = Session(env, self.device, config=SessionConfig(self.protocol.seed))
        """What the participant sees; it ticks in practice and trials alone."""
        self.sink = Sink()
        self.selected: int | None = None
        """What is chosen on the screen and not confirmed yet."""
        self.last = ""
        """How the trial before ended."""
        self.now = 0.0
        self._keys = Keys()
        self.step: Step | None = None
        """What is being done; None: the participant is done, or does not go on."""
        self._began: float | None = None
        self._held = 0.0
        self._write("started", participant=participant, slot=self.slot, versions=package_versions())
        self._clear_up()
        self._enter()

    # What the host needs ------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Take in the newest input and go on by one physics step.

        Args:
            now: in [s], of the clock that the device's input has.
        """
        passed, self.now = max(0.0, now - self.now), now
        step = self.step
        if self.device.paused and self._began is not None:
            self._held += passed
        if step is None or step.kind in (Kind.CONSENT, Kind.ITEM):
            self.device.latest()
            if step is not None and not self.device.paused:
                self._press()
            return
        self.session.tick(now)
        if self.session.state is State.ENGAGED and self._began is None:
            self._began, self._held = now, 0.0
            if step.kind is Kind.TRIAL:
                self._write("began", key=step.key, attempt=self._attempt, seed=self._seed)
        if step.kind is Kind.PRACTICE:
            self._practise(step)
        elif self.session.state is State.DONE:
            self._end_trial()

    @property
    def over(self) -> bool:
        """Whether nothing is left to do."""
        return self.step is None

    def screen(self) -> Screen:
        """Return what the participant is shown."""
        return screen_of(
            self.protocol,
            self.progress,
            self.step,
            selected=self.selected,
            last=self.last,
            paused=self.device.paused,
        )

    def close(self) -> None:
        """End; what is in hand was not finished."""
        self.device.close()
        for env in self._envs.values():
            env.close()
        self.journal.close()

    # What the participant asks for --------------------------------------------------------------

    def choose(self, value: int) -> None:
        """Choose a value on the screen; raises `UsageError` where it is none."""
        if value not in self.values:
            raise UsageError(f"{value} is no value here; expected one of {list(self.values)}.")
        self.selected = value

    def confirm(self) -> None:
        """Confirm what is chosen, or that the practice is over."""
        step = self.step
        if step is None or self.device.paused:
            return
        if step.kind is Kind.PRACTICE:
            self._end_practice("participant")
        elif self.selected is not None and step.kind is Kind.CONSENT:
            accepted = self.selected == 1
            text = self.protocol.consent
            self._write("consent", accepted=accepted, text=text, language=self.protocol.language)
            self._enter()
        elif self.selected is not None and step.kind is Kind.ITEM:
            self._write("answered", key=step.key, value=self.selected)
            self._enter()

    def back(self) -> None:
        """Return to the item before."""
        before = None if self.step is None else self.progress.previous_item(self.step)
        if before is not None and not self.device.paused:
            self._write("went-back", key=before.key)
            self._enter()

    @property
    def values(self) -> range:
        """What may be chosen on the screen."""
        step = self.step
        if step is not None and step.kind is Kind.CONSENT:
            return range(2)
        if step is not None and step.kind is Kind.ITEM:
            return self.protocol.questionnaire(step.questionnaire).values
        return range(0)

    # What the experimenter asks for -------------------------------------------------------------

    def pause(self, paused: bool) -> None:
        """Hold the participant back, or let them go on."""
        if paused != self.device.paused:
            self._write("paused" if paused else "resumed")
            self.device.paused = paused

    def repeat(self) -> None:
        """Let the trial be done again: the running one, or the one that ended last.

        Raises:
            UsageError: there is none, or the questions after it have begun.
        """
        if self.progress.running is not None:
            self._abandon(REPEATED)
        else:
            last, step = self.progress.last_trial, self.progress.current
            if last is None or step is None or step.part != last.part or step.kind is Kind.ITEM:
                raise UsageError(
                    "No trial can be repeated now; a trial can until the next part or the "
                    "questions after it begin."
                )
            self._write("voided", key=last.key, reason=REPEATED)
        self._enter()

    def fail(self) -> None:
        """End the running trial, which cannot be done any more; `UsageError` where none runs."""
        if self.progress.running is None:
            raise UsageError("No trial is running, so none can be ended as a failure.")
        self.session.end(UNRECOVERABLE)
        self._end_trial(by="experimenter")

    def mark(self, label: str) -> None:
        """Mark this moment of the running trial, such as a tower that fell."""
        self._write("marked", key=key_of(self.step), label=label, seconds=self.seconds)

    def note(self, text: str) -> None:
        """Leave a note."""
        self._write("note", key=key_of(self.step), text=text)

    def ready(self) -> None:
        """End the practice; raises `UsageError` where nobody practises."""
        if self.step is None or self.step.kind is not Kind.PRACTICE:
            raise UsageError("Nobody is practising.")
        self._end_practice("experimenter")

    def abort(self, reason: str) -> None:
        """End the session for good, keeping what was recorded; `UsageError` where it is over."""
        if self.step is None:
            raise UsageError("The session is over already.")
        if self.progress.running is not None:
            self._abandon(ABORTED)
        self._write("aborted", reason=reason)
        self._enter()

    @property
    def seconds(self) -> float:
        """Engaged time of the trial or practice so far, in s."""
        return len(self.session.rows) / self.session.env.control_rate

    # Steps --------------------------------------------------------------------------------------

    def env(self, goal: str) -> GraspVectorEnv:
        """Return the environment of a goal, made on demand."""
        if goal not in self._envs:
            self._envs[goal] = GraspVectorEnv(
                trial_spec(self.protocol, goal), 1, num_threads=1, autoreset=False
            )
        return self._envs[goal]

    def _enter(self) -> None:
        """Take up the step that the journal leaves to be done."""
        self.step = step = self.progress.current
        self.selected, self._began, self._held = None, None, 0.0
        self._keys.hold()
        if step is None:
            complete = self.progress.consent and self.progress.aborted is None
            if complete and not self.progress.finished:
                self._write("finished")
            self.study.write_tables()
        elif step.kind is Kind.ITEM:
            self.selected = self.progress.answers.get(step.key)
        elif step.kind is Kind.PRACTICE:
            self._begin_session(ALL, trial_seed(self.protocol, self.slot, step.key, 1), step)
        elif step.kind is Kind.TRIAL:
            self._attempt = self.progress.attempts.get(step.key, 0) + 1
            self._seed = trial_seed(self.protocol, self.slot, step.key, self._attempt)
            self._begin_session(step.task, self._seed, step)

    def _begin_session(self, goal: str, seed: int, step: Step) -> None:
        env = self.env(goal)
        config = SessionConfig(seed=seed, first_seed=seed, haptics=CONDITIONS[step.condition])
        self.sink = Sink()
        judge = Judge(env) if step.kind is Kind.TRIAL else lambda _: ""
        self.session = Session(env, self.device, self.sink, config, judge)

    def _practise(self, step: Step) -> None:
        if self._keys.confirm(self.device):
            self._end_practice("participant")
        elif self.seconds >= self.protocol.practice_seconds:
            self._end_practice("limit")
        elif self.session.state is State.DONE:  # all done before the time is up: once more
            self._enter()

    def _end_practice(self, by: str) -> None:
        assert self.step is not None
        self._write("practised", key=self.step.key, seconds=self.seconds, by=by)
        self.last = ""
        self._enter()

    def _end_trial(self, by: str = "") -> None:
        assert self.step is not None
        self.last = self.session.ending
        values = self._keep(self.step)
        self._write("ended", key=self.step.key, **values, **({"by": by} if by else {}))
        self._enter()

    def _abandon(self, reason: str) -> None:
        """Keep the running trial as one that does not count."""
        assert self.step is not None
        self.session.end(reason)
        self._write("ended", key=self.step.key, **self._keep(self.step))
        self._write("voided", key=self.step.key, reason=reason)

    def _keep(self, step: Step) -> dict[str, Any]:
        """Write the trial's file, and return what the journal says of it."""
        wall = 0.0 if self._began is None else self.now - self._began - self._held
        about = {"participant": self.participant, "condition": step.condition, "task": step.task}
        values = keep_trial(
            self.study.path(self.participant),
            file_of(step, self._attempt),
            self.session,
            self.sink.episode,
            describe_dataset(self.session.env, self.operator, self.protocol.seed),
            {"attempt": self._attempt, "wall_seconds": round(wall, 4)},
            {**about, "key": step.key},
        )
        began = self.progress.running["time"] if self.progress.running else ""
        return {**values, "seed": self._seed, "began": began}

    def _clear_up(self) -> None:
        """Settle the trial that was running when the process before was killed."""
        running = self.progress.running
        if running is not None:
            step = next(one for one in self.progress.steps if one.key == running["key"])
            file = file_of(step, running["attempt"])
            values = found_trial(self.study.path(self.participant), file)
            about = {"key": step.key, "attempt": running["attempt"]}
            if values is None:
                self._write("voided", **about, reason=CRASHED)
            else:  # it had ended, and its file was whole, but that was not in the journal yet
                more = {"seed": running["seed"], "began": running["time"], "adopted": True}
                self._write("ended", **{**values, **about, **more})
        for key, event in self.progress.unsettled.items():
            self._write("voided", key=key, reason=event["outcome"])

    def _press(self) -> None:
        """Let the device's buttons move through the screen's values and confirm."""
        values, turn = self.values, self._keys.turn(self.device, self.now)
        if turn and self.selected is None:
            self.selected = values[0] if turn > 0 else values[-1]
        elif turn and self.selected is not None:
            place = values.index(self.selected) + turn
            self.selected = values[min(len(values) - 1, max(0, place))]
        if self._keys.confirm(self.device):
            self.confirm()

    def _write(self, event: str, **values: Any) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        self.progress.take(self.journal.add(event, time=now, **values))

"""What comes next for a participant: a plan of steps, and what the journal says of them.

Nothing here acts: everything follows from the protocol, the participant's place in it and the
events of the journal, so that a run that was killed goes on where it was.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from gym_grasp.study.journal import Event
from gym_grasp.study.orders import order_of
from gym_grasp.study.protocol import Protocol

CRASHED, REPEATED, ABORTED = "cut off", "repeated", "aborted"
"""Why a trial does not count."""
VOID = (REPEATED, ABORTED)
"""Outcomes of trials that never count."""


class Kind(StrEnum):
    """What a step asks for."""

    CONSENT = "consent"
    PRACTICE = "practice"
    TRIAL = "trial"
    ITEM = "item"


@dataclass(frozen=True)
class Step:
    """One thing that a participant does once."""

    key: str
    """Its name in the journal, different for every step of a plan."""
    kind: Kind
    condition: str = ""
    part: int = 0
    """Which of the conditions it belongs to, counted from 1 in the participant's order."""
    task: str = ""
    repetition: int = 0
    place: int = 0
    """Which trial of the condition it is, counted from 1."""
    questionnaire: str = ""
    item: int = 0
    """Which item, counted from 0."""


def plan(protocol: Protocol, slot: int) -> list[Step]:
    """Return all steps of the participant in a place, in order."""
    conditions, tasks = order_of(
        slot, protocol.conditions, protocol.tasks, protocol.seed, protocol.order
    )
    steps = [Step("consent", Kind.CONSENT)]
    for part, condition in enumerate(conditions, 1):
        if protocol.practice_seconds:
            steps.append(Step(f"{condition}/practice", Kind.PRACTICE, condition, part))
        trials = [(task, n) for task in tasks for n in range(1, protocol.repetitions + 1)]
        for place, (task, n) in enumerate(trials, 1):
            key = f"{condition}/{task}/{n}"
            steps.append(Step(key, Kind.TRIAL, condition, part, task, n, place))
        for asked in protocol.questionnaires:
            for item in range(len(asked.items)):
                key = f"{condition}/{asked.name}/{item + 1}"
                steps.append(
                    Step(key, Kind.ITEM, condition, part, questionnaire=asked.name, item=item)
                )
    return steps


def trial_seed(protocol: Protocol, slot: int, key: str, attempt: int) -> int:
    """Return the seed of a trial's start state, below 2**63; another for every attempt."""
    text = f"{protocol.seed} {slot} {key} {attempt}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


class Progress:
    """What a journal says of a plan.

    Args:
        steps: the plan.
        events: of the journal.
    """

    def __init__(self, steps: Sequence[Step], events: Iterable[Event]) -> None:
        self.steps = steps
        self.consent: bool | None = None
        """Whether the participant takes part; None: not asked yet."""
        self.ended: dict[str, Event] = {}
        """The trial that counts, by the key of its step."""
        self.voided: list[Event] = []
        """Trials that do not count: repeated, or cut off, by a crash or by the session's end."""
        self.answers: dict[str, int] = {}
        self.practised: set[str] = set()
        self.running: Event | None = None
        """The trial that was begun and has not ended."""
        self.attempts: dict[str, int] = {}
        self.notes: list[Event] = []
        self.aborted: str | None = None
        self.finished = False
        self._back: str | None = None
        for event in events:
            self.take(event)

    def take(self, event: Event) -> None:
        """Take in one more event."""
        kind, key = event["event"], event.get("key", "")
        if kind == "consent":
            self.consent = bool(event["accepted"])
        elif kind == "practised":
            self.practised.add(key)
        elif kind == "began":
            assert self.running is None, "a trial began in another"
            self.running = event
            self.attempts[key] = event["attempt"]
        elif kind == "ended":
            assert key not in self.ended, "a trial ended twice"
            self.ended[key], self.running = event, None
        elif kind == "voided":
            self.voided.append({**self.ended.pop(key, {}), **event})
            self.running = None
        elif kind == "answered":
            self.answers[key] = event["value"]
            self._back = None
        elif kind == "went-back":
            self._back = key
        elif kind in ("note", "marked"):
            self.notes.append(event)
        elif kind == "aborted":
            self.aborted = event["reason"]
        elif kind == "finished":
            self.finished = True

    def done(self, step: Step) -> bool:
        """Whether a step need not be done again."""
        return {
            Kind.CONSENT: self.consent is not None,
            Kind.PRACTICE: step.key in self.practised,
            Kind.TRIAL: step.key in self.ended,
            Kind.ITEM: step.key in self.answers,
        }[step.kind]

    @property
    def current(self) -> Step | None:
        """The step to do now; None: nothing is left, or the participant does not go on."""
        if self.aborted is not None or self.consent is False:
            return None
        if self._back is not None:
            return next(step for step in self.steps if step.key == self._back)
        return next((step for step in self.steps if not self.done(step)), None)

    def previous_item(self, step: Step) -> Step | None:
        """Return the item before another, of the same part, to be answered anew."""
        if step.kind is not Kind.ITEM:
            return None
        index = self.steps.index(step) - 1
        before = self.steps[index]
        return before if before.kind is Kind.ITEM and before.part == step.part else None

    @property
    def last_trial(self) -> Step | None:
        """The trial that ended last, which may still be repeated."""
        keys = list(self.ended)
        return next((step for step in self.steps if keys and step.key == keys[-1]), None)

    @property
    def unsettled(self) -> dict[str, Event]:
        """Trials that were to be voided when the process was killed, by key."""
        return {k: one for k, one in self.ended.items() if one["outcome"] in VOID}

    def outcome(self, step: Step) -> str:
        """Return what became of a step, in a word."""
        if step.kind is Kind.TRIAL and step.key in self.ended:
            return str(self.ended[step.key]["outcome"])
        if self.running is not None and self.running["key"] == step.key:
            return "running"
        return "done" if self.done(step) else ""


def key_of(step: Step | None) -> str:
    """Return a step's name in the journal; empty: there is none."""
    return "" if step is None else step.key

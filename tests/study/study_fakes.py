"""A participant whose hand a test moves, in time that it makes."""

from pathlib import Path

import numpy as np

from gym_grasp.study.conductor import Conductor
from gym_grasp.study.folder import Study
from gym_grasp.study.protocol import Protocol, Questionnaire
from gym_grasp.teleop.hand.input import Buttons, HandInput, Haptics

ASKED = Questionnaire("asked", "Asked", "How?", ("one", "two"), ("no",), ("yes",), 1, 5)
SHORT = Protocol(
    tasks=("open-door",), practice_seconds=0.0, questionnaires=(ASKED,), time_limit=2.0
)


class FakeHand:
    """A device that does what the test says."""

    def __init__(self) -> None:
        self.hand: HandInput | None = None
        self.felt: list[float] = []

    def latest(self) -> HandInput | None:
        return self.hand

    def feedback(self, haptics: Haptics) -> None:
        self.felt.append(float(haptics.brake.max()))

    def close(self) -> None:
        self.hand = None


class Person:
    """Someone who takes part in a study in a folder."""

    def __init__(self, folder: Path, protocol: Protocol = SHORT) -> None:
        exists = (folder / "protocol.json").exists()
        self.study = Study(folder) if exists else Study.create(folder, protocol)
        known = self.study.participants
        name = self.study.enrol(known[0] if known else None)
        self.hand = FakeHand()
        self.conductor = Conductor(self.study, name, lambda env: self.hand)
        self.now = 100.0
        self.position = np.array([1.0, 2.0, 3.0])

    def tick(self, count: int = 1, clutch: bool = False, **buttons: bool) -> None:
        for _ in range(count):
            self.now += 1 / 90
            self.position = self.position + [0.0, 0.0, 1e-5]
            self.hand.hand = HandInput(
                time=self.now,
                wrist_position=self.position,
                wrist_quaternion=np.array([0.5, -0.5, 0.5, -0.5]),
                flexion=np.full(5, 0.3),
                clutch=clutch,
                buttons=Buttons(**buttons),
            )
            self.conductor.tick(self.now)

    def engage(self) -> None:
        self.tick()
        self.tick(clutch=True)

    def accept(self) -> None:
        self.conductor.choose(1)
        self.conductor.confirm()

    def trial(self, seconds: float = 0.2) -> None:
        """Begin a trial and end it as a failure."""
        self.engage()
        self.tick(round(90 * seconds))
        self.conductor.fail()

    def answer(self) -> None:
        while self.conductor.step is not None and self.conductor.step.questionnaire:
            self.conductor.choose(3)
            self.conductor.confirm()

    def crash(self) -> None:
        """End as a process that was killed does: without a word."""
        self.conductor.journal.close()

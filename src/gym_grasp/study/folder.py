"""The folder of a study: protocol, participants, and tidy tables made of their journals.

STUDY/
  protocol.json              what the study is
  participants/P01/
    journal.jsonl            everything that happened, in order; the source of all tables
    trials/*.hdf5            each trial as a demonstration episode, failures too
    slot.json                which order of conditions it gets
  forgotten.json             numbers that were given once and not again
  trials.csv  answers.csv    tidy tables (and .parquet)
"""

import csv
import io
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gym_grasp.errors import GymGraspError, UsageError, reason
from gym_grasp.files import hold, locked, read_json, write_atomically, write_json, writing
from gym_grasp.study.flow import Kind, Progress, Step, plan
from gym_grasp.study.journal import read_journal
from gym_grasp.study.protocol import PROTOCOL, Protocol, load_protocol, save_protocol

PARTICIPANTS, JOURNAL, TRIALS, SLOT = "participants", "journal.jsonl", "trials", "slot.json"
FORGOTTEN, LOCK = "forgotten.json", ".lock"
REPORT, POLICIES = "report", "policies"
PARTICIPANT = re.compile(r"P\d{2,4}", re.ASCII)

TRIAL_COLUMNS = (
    "participant", "slot", "condition", "task", "part", "place", "repetition", "attempt",
    "outcome", "seconds", "wall_seconds", "engagements", "mean_force", "peak_force", "seed",
    "counts", "reason", "began", "synthetic", "file",
)  # fmt: skip
ANSWER_COLUMNS = (
    "participant", "slot", "condition", "part", "questionnaire", "item", "value", "first", "last",
    "synthetic", "text",
)  # fmt: skip


class Study:
    """A study in its folder.

    Raises:
        UsageError: at construction, where the folder holds no study.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.protocol = load_protocol(folder)

    @classmethod
    def create(cls, folder: Path, protocol: Protocol) -> "Study":
        """Begin a study in a folder that holds none.

        Raises:
            UsageError: it does.
        """
        if (folder / PROTOCOL).exists():
            raise UsageError(f"{folder} holds a study already; choose another folder.")
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        save_protocol(protocol, folder)
        return cls(folder)

    @property
    def participants(self) -> list[str]:
        """The participants' numbers, sorted."""
        found = self.folder / PARTICIPANTS
        names = [one.parent.name for one in found.glob(f"*/{SLOT}")]
        return sorted(name for name in names if PARTICIPANT.fullmatch(name))

    def path(self, participant: str) -> Path:
        """Return the folder of a participant."""
        return self.folder / PARTICIPANTS / participant

    def slot(self, participant: str) -> int:
        """Return a participant's place in the counterbalanced order."""
        slot = self._stored(self.path(participant) / SLOT)
        if type(slot) is not int or slot < 0:
            raise _damaged(self.path(participant) / SLOT, f"it holds {slot!r}")
        return slot

    def enrol(self, participant: str | None = None) -> str:
        """Give the next participant a number and a place; return the number.

        Places of people who did not take part or did not end are given again, and of those who
        were forgotten, so that the orders stay balanced.

        Args:
            participant: go on with this one instead.

        Raises:
            UsageError: there is no such participant.
        """
        with self._locked():
            known = self.participants
            if participant is not None:
                if participant not in known:
                    raise UsageError(
                        f"There is no participant {participant!r} in {self.folder}; known: "
                        f"{', '.join(known) or 'none'}. Leave it out for a new one."
                    )
                return participant
            gone = {one for one in known if self.left(one)}
            taken = {self.slot(one) for one in known if one not in gone}
            slot = next(k for k in range(len(taken) + 1) if k not in taken)
            used = [int(one[1:]) for one in [*known, *self.forgotten]]
            name = f"P{max(used, default=0) + 1:02}"
            with writing(self.path(name)):
                (self.path(name) / TRIALS).mkdir(parents=True, exist_ok=True)
            write_json(self.path(name) / SLOT, slot)
            return name

    @property
    def forgotten(self) -> list[str]:
        """Numbers of those who were removed."""
        path = self.folder / FORGOTTEN
        names = self._stored(path) if path.exists() else []
        if not isinstance(names, list) or not all(map(PARTICIPANT.fullmatch, map(str, names))):
            raise _damaged(path, f"it holds {names!r}")
        return names

    def _stored(self, path: Path) -> Any:
        try:
            return read_json(path)
        except (OSError, ValueError) as error:
            raise _damaged(path, error) from error

    def forget(self, participant: str) -> None:
        """Remove everything about a participant but that the number was given once.

        Raises:
            UsageError: there is no such participant.
            GymGraspError: the session is still running.
        """
        with self._locked():
            path = self.path(participant)
            if participant not in self.participants:
                known = ", ".join(self.participants) or "none"
                raise UsageError(f"There is no participant {participant!r}; known: {known}.")
            busy = f"{participant} is taking part at the moment; end that session first."
            with writing(path), hold(path / "journal.lock", GymGraspError(busy)):
                write_json(self.folder / FORGOTTEN, sorted({*self.forgotten, participant}))
                (path / SLOT).unlink()  # from here on, it is no participant
                shutil.rmtree(path)
        self.write_tables()
        for made in (self.folder / REPORT, self.folder / POLICIES):
            if made.exists():  # of what was forgotten, too
                with writing(made):
                    shutil.rmtree(made)

    def progress(self, participant: str) -> Progress:
        """Return how far a participant is."""
        steps = plan(self.protocol, self.slot(participant))
        return Progress(steps, read_journal(self.path(participant) / JOURNAL))

    def left(self, participant: str) -> bool:
        """Whether a participant declined, or the session was aborted."""
        progress = self.progress(participant)
        return progress.consent is False or progress.aborted is not None

    def write_tables(self) -> None:
        """Make trials.csv and answers.csv anew, and the same as Parquet where pyarrow is there."""
        trials: list[dict[str, Any]] = []
        answers: list[dict[str, Any]] = []
        for left in (self.folder / PARTICIPANTS).glob("P*"):
            if left.name in self.forgotten:  # cut off while it was removed
                shutil.rmtree(left)
        for participant in self.participants:
            progress = self.progress(participant)
            head = {
                "participant": participant,
                "slot": self.slot(participant),
                "synthetic": self.protocol.synthetic,
            }
            trials += [head | row for row in trial_rows(participant, progress)]
            answers += [head | row for row in self._answer_rows(progress)]
        write_table(self.folder / "trials.csv", TRIAL_COLUMNS, trials)
        write_table(self.folder / "answers.csv", ANSWER_COLUMNS, answers)

    def _answer_rows(self, progress: Progress) -> list[dict[str, Any]]:
        rows = []
        for step in progress.steps:
            if step.kind is not Kind.ITEM or step.key not in progress.answers:
                continue
            asked = self.protocol.questionnaire(step.questionnaire)
            rows.append(
                {
                    "condition": step.condition,
                    "part": step.part,
                    "questionnaire": asked.name,
                    "item": step.item + 1,
                    "value": progress.answers[step.key],
                    "first": asked.first,
                    "last": asked.last,
                    "text": asked.items[step.item],
                }
            )
        return rows

    def _locked(self) -> Any:
        busy = f"Another process is changing {self.folder}; try again."
        return locked(self.folder / LOCK, busy, wait=True)


def _damaged(path: Path, error: object) -> GymGraspError:
    return GymGraspError(f"{path} is damaged ({reason(error)}); restore it from a copy.")


def trial_rows(participant: str, progress: Progress) -> list[dict[str, Any]]:
    """Return a row for every trial, those that do not count as well."""
    steps: Mapping[str, Step] = {step.key: step for step in progress.steps}
    rows = []
    for counts, events in ((True, progress.ended.values()), (False, progress.voided)):
        for event in events:
            step = steps[event["key"]]
            row = {name: event[name] for name in TRIAL_COLUMNS if name in event}
            if row.get("file"):
                row["file"] = f"{PARTICIPANTS}/{participant}/{row['file']}"
            places = {name: getattr(step, name) for name in ("condition", "task", "part", "place")}
            rows.append(row | places | {"repetition": step.repetition, "counts": counts})
    return sorted(rows, key=lambda row: (row["part"], row["place"], row["attempt"]))


def write_table(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a table as CSV, and as Parquet beside it where pyarrow is installed."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: row.get(name, "") for name in columns} for row in rows)
    write_atomically(path, text.getvalue().encode())
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        return
    values = {name: [_or_none(row.get(name, "")) for row in rows] for name in columns}
    buffer = io.BytesIO()
    pq.write_table(pa.table(values), buffer)
    write_atomically(path.with_suffix(".parquet"), buffer.getvalue())


def _or_none(value: Any) -> Any:
    return None if value == "" else value

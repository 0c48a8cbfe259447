"""Reading the tidy tables of a study, this software's or one made elsewhere; see docs/study.md."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from gym_grasp.errors import DatasetError, UsageError, reason, unknown
from gym_grasp.study.folder import PARTICIPANTS, Study
from gym_grasp.study.protocol import CONDITIONS, PROTOCOL, TASKS, load_protocol
from gym_grasp.teleop.session.session import DIVERGED, SUCCESS, TIME_OUT

NEEDED = ("participant", "condition", "task", "outcome", "seconds")
ASKED = ("participant", "condition", "questionnaire", "item", "value")
UNRECOVERABLE = "unrecoverable"
OUTCOMES = (SUCCESS, TIME_OUT, UNRECOVERABLE)


@dataclass(frozen=True)
class Records:
    """What a study recorded, ready to be analysed."""

    title: str
    synthetic: bool
    """Nobody took part."""
    conditions: tuple[str, ...]
    """In the order of the tables."""
    tasks: tuple[str, ...]
    trials: pd.DataFrame
    """A row for each trial that counts: `NEEDED`, and `part`, `place`, `repetition` where known."""
    answers: pd.DataFrame
    """A row for each answer: `ASKED`, and the item's `text`, `first` and `last` of its scale."""
    left_out: int
    """Trials that do not count: repeated, cut off, aborted, or of a simulation that broke."""

    @property
    def participants(self) -> int:
        """How many took part."""
        return int(self.trials["participant"].nunique())


def read_records(folder: Path) -> Records:
    """Read a study's folder; tables of this software's own studies are made anew first.

    Raises:
        UsageError: there is no study in the folder.
        DatasetError: a table lacks a column, or holds what it may not.
    """
    title, synthetic = folder.name, False
    conditions: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    if (folder / PROTOCOL).exists():
        protocol = load_protocol(folder)
        title, synthetic = protocol.title, protocol.synthetic
        conditions, tasks = protocol.conditions, protocol.tasks
        if (folder / PARTICIPANTS).is_dir():
            Study(folder).write_tables()
    path = folder / "trials.csv"
    if not path.exists():
        raise UsageError(
            f"{folder} holds neither a study nor a table trials.csv of one; docs/study.md says "
            "what an imported folder has to hold."
        )
    trials = _read(path, NEEDED)
    if "synthetic" in trials:
        synthetic = synthetic or bool((trials["synthetic"].astype(str) == "True").any())
    if "counts" in trials:
        counts = trials["counts"].astype(str) == "True"
    else:
        counts = pd.Series(True, index=trials.index)
    counts &= trials["outcome"] != DIVERGED
    left_out = int((~counts).sum())
    trials = trials[counts].reset_index(drop=True)
    if "repetition" not in trials:
        trials["repetition"] = 1
    _check(path, trials)
    answers = pd.DataFrame(columns=[*ASKED, "text"])
    if (asked := folder / "answers.csv").exists():
        answers = _read(asked, ASKED)
        answers["value"] = _numbers(asked, answers, "value")
    if "text" not in answers:
        answers["text"] = answers["item"].astype(str)
    return Records(
        title,
        synthetic,
        tuple(conditions) or _known_first(trials["condition"], CONDITIONS),
        tuple(tasks) or _known_first(trials["task"], TASKS),
        trials,
        answers,
        left_out,
    )


def _known_first(column: pd.Series, known: Iterable[str]) -> tuple[str, ...]:
    """Return the names in a column, those of this software's own studies first."""
    found = dict.fromkeys(column)
    return tuple(dict.fromkeys([*(one for one in known if one in found), *found]))


def _read(path: Path, needed: tuple[str, ...]) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype={name: str for name in needed if name not in ("item",)})
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} is no table: {reason(error)}.") from error
    for name in needed:
        if name not in table:
            raise DatasetError(
                f"{path} has no column '{name}'; it needs {', '.join(needed)}, see docs/study.md."
            )
        if table[name].isna().any():
            row = int(table.index[table[name].isna()][0]) + 2
            raise DatasetError(f"{path}, line {row}: there is no {name}.")
    return table


def _check(path: Path, trials: pd.DataFrame) -> None:
    trials["seconds"] = _numbers(path, trials, "seconds")
    if trials.empty:
        raise DatasetError(f"{path} holds no trial that counts; there is nothing to analyse yet.")
    if (trials["seconds"] < 0).any():
        raise DatasetError(f"{path}: a trial took {trials['seconds'].min()} s; expected 0 or more.")
    for outcome in trials["outcome"].unique():
        if outcome not in OUTCOMES:
            raise unknown(f"outcome in {path}", outcome, OUTCOMES)
    key = ["participant", "condition", "task", "repetition"]
    if (double := trials.duplicated(key)).any():
        first: Any = trials[double].iloc[0][key].tolist()
        raise DatasetError(
            f"{path} has two trials of {first}; number them in a column 'repetition', or say in "
            "'counts' which one counts."
        )


def _numbers(path: Path, table: pd.DataFrame, name: str) -> pd.Series:
    values = pd.to_numeric(table[name], errors="coerce")
    if values.isna().any():
        row = int(table.index[values.isna()][0])
        raise DatasetError(f"{path}: {table[name][row]!r} is no number of '{name}'.")
    return values.astype(float)

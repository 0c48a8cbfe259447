"""The figures of a report, from the tidy tables; how they are written is `report`'s affair."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats as scipy_stats

from gym_grasp.study.stats import (
    CENSORED,
    FAILED,
    SUCCEEDED,
    Incidence,
    SignedRank,
    holm,
    incidence,
    log_rank,
    signed_rank,
    success_test,
    wilson,
)
from gym_grasp.study.tables import UNRECOVERABLE, Records
from gym_grasp.teleop.session.session import SUCCESS, TIME_OUT


@dataclass(frozen=True)
class Outcomes:
    """How the trials of a task in a condition ended."""

    task: str
    condition: str
    trials: int
    successes: int
    time_outs: int
    unrecoverable: int
    low: float
    """Of the share of successes, Wilson, 95 %."""
    high: float
    mean: float
    """Time of the successes, in s; NaN where there are none."""
    deviation: float
    """Standard deviation of it over the trials; NaN where there is one only."""


@dataclass(frozen=True)
class Comparison:
    """A paired test of the second condition against the first, in a family of several."""

    name: str
    test: SignedRank
    adjusted: float
    """p after Holm's correction over the family."""


@dataclass(frozen=True)
class Survival:
    """When trials of a task are done, by condition."""

    task: str
    curves: dict[str, Incidence]
    chi_square: float
    p: float
    """Of the log-rank test, stratified by participant."""
    adjusted: float


@dataclass(frozen=True)
class Learning:
    """Times by the order in which trials came, relative to the task's mean."""

    means: dict[str, list[tuple[float, float, float, float]]]
    """By condition: place, mean, and its 95 % interval."""
    period: SignedRank | None
    """Second part minus first, of the mean logarithm of the time; None where there is no such."""


@dataclass(frozen=True)
class Trained:
    """What came of training on one condition's trials of a task."""

    task: str
    condition: str
    method: str
    demonstrations: int
    """As many for every condition of the task."""
    error: str | None = None
    """What stood in the way of the rest, or None."""
    successes: int = 0
    episodes: int = 0
    low: float = math.nan
    """Of the success rate, Wilson, 95 %."""
    high: float = math.nan


@dataclass(frozen=True)
class Analysis:
    """Everything that a report says of a study."""

    outcomes: list[Outcomes]
    times: list[Comparison]
    success_p: dict[str, tuple[float, float]]
    """By task: p of McNemar's test, and after Holm's correction."""
    survival: list[Survival]
    answers: dict[str, list[Comparison]]
    learning: Learning | None
    trained: list[Trained] | None = None
    """Policies that were trained on the trials, if any were."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; what is not finite becomes None."""
        values = dataclasses.asdict(self)
        return {key: _plain(value) for key, value in values.items()}


def analyse(records: Records) -> Analysis:
    """Return what a study shows."""
    return Analysis(
        [
            outcomes(records.trials, task, condition)
            for task in records.tasks
            for condition in records.conditions
        ],
        _times(records),
        _successes(records),
        _survival(records),
        _answers(records),
        _learning(records),
    )


def outcomes(trials: pd.DataFrame, task: str, condition: str) -> Outcomes:
    """Return how the trials of a task in a condition ended."""
    chosen = trials[(trials["task"] == task) & (trials["condition"] == condition)]
    counts = chosen["outcome"].value_counts()
    seconds = chosen[chosen["outcome"] == SUCCESS]["seconds"]
    low, high = wilson(len(seconds), len(chosen)) if len(chosen) else (math.nan, math.nan)
    return Outcomes(
        task,
        condition,
        len(chosen),
        len(seconds),
        int(counts.get(TIME_OUT, 0)),
        int(counts.get(UNRECOVERABLE, 0)),
        low,
        high,
        float(seconds.mean()) if len(seconds) else math.nan,
        float(seconds.std(ddof=1)) if len(seconds) > 1 else math.nan,
    )


def _pairs(table: pd.DataFrame, conditions: Sequence[str], value: str) -> pd.DataFrame:
    """Return one row for each participant who has a value in both of the first two conditions."""
    means = table.groupby(["participant", "condition"])[value].mean().unstack("condition")
    wanted = list(conditions[:2])
    return means.reindex(columns=wanted).dropna()


def _family(found: Mapping[str, pd.DataFrame], conditions: Sequence[str]) -> list[Comparison]:
    """Test every pair of columns, corrected for all of them."""
    first, second = conditions[:2]
    tests = {
        name: signed_rank(pairs[first].to_numpy(), pairs[second].to_numpy())
        for name, pairs in found.items()
        if len(pairs)
    }
    adjusted = holm([test.p for test in tests.values()])
    return [Comparison(name, tests[name], p) for name, p in zip(tests, adjusted, strict=True)]


def _times(records: Records) -> list[Comparison]:
    if len(records.conditions) < 2:
        return []
    done = records.trials[records.trials["outcome"] == SUCCESS]
    pairs = {
        task: _pairs(done[done["task"] == task], records.conditions, "seconds")
        for task in records.tasks
    }
    return _family(pairs, records.conditions)


def _successes(records: Records) -> dict[str, tuple[float, float]]:
    if len(records.conditions) < 2:
        return {}
    first, second = records.conditions[:2]
    found = {}
    trials = records.trials.assign(done=records.trials["outcome"] == SUCCESS)
    for task in records.tasks:
        keys = ["participant", "repetition", "condition"]
        chosen = trials[trials["task"] == task].set_index(keys)["done"].unstack("condition")
        pairs = chosen.reindex(columns=[first, second]).dropna()
        if len(pairs):
            found[task] = success_test(pairs[first].astype(bool), pairs[second].astype(bool))
    adjusted = holm(list(found.values()))
    return {task: (found[task], p) for task, p in zip(found, adjusted, strict=True)}


def _survival(records: Records) -> list[Survival]:
    codes = {SUCCESS: SUCCEEDED, TIME_OUT: CENSORED, UNRECOVERABLE: FAILED}
    found = []
    for task in records.tasks:
        trials = records.trials[records.trials["task"] == task]
        curves = {}
        for condition in records.conditions:
            chosen = trials[trials["condition"] == condition]
            ends = [codes[outcome] for outcome in chosen["outcome"]]
            curves[condition] = incidence(chosen["seconds"].tolist(), ends)
        pair = trials[trials["condition"].isin(records.conditions[:2])]
        done = (pair["outcome"] == SUCCESS).tolist()
        columns = (pair[name].tolist() for name in ("condition", "participant"))
        chi, p = log_rank(pair["seconds"].tolist(), done, *columns)
        found.append(Survival(task, curves, chi, p, math.nan))
    known = [one for one in found if not math.isnan(one.p)]
    adjusted = {one.task: p for one, p in zip(known, holm([one.p for one in known]), strict=True)}
    return [dataclasses.replace(one, adjusted=adjusted.get(one.task, math.nan)) for one in found]


def _answers(records: Records) -> dict[str, list[Comparison]]:
    found = {}
    for name in dict.fromkeys(records.answers["questionnaire"]):
        asked = records.answers[records.answers["questionnaire"] == name]
        asked = asked.assign(item=asked["item"].astype(str))
        items = dict(zip(asked["item"], asked["text"], strict=True))
        pairs = {
            f"{item}: {text}" if text != item else item: _pairs(
                asked[asked["item"] == item], records.conditions, "value"
            )
            for item, text in items.items()
        }
        if name == "sus" and len(items) == len(SUS_SIGNS):
            pairs["SUS score, 0 to 100"] = _pairs(sus_scores(asked), records.conditions, "value")
        elif name == "nasa-tlx":
            mean = asked.groupby(["participant", "condition"])["value"].mean().reset_index()
            pairs["raw TLX, mean of the scales"] = _pairs(mean, records.conditions, "value")
        found[name] = _family(pairs, records.conditions) if len(records.conditions) > 1 else []
    return found


SUS_SIGNS = (1, -1) * 5
"""Odd items of the SUS speak for the system, even ones against it."""


def sus_scores(answers: pd.DataFrame) -> pd.DataFrame:
    """Return the SUS score, 0 to 100, of each participant in each condition (Brooke, 1996).

    Args:
        answers: to items 1 to 10, from 1 to 5.
    """
    odd = answers["item"].astype(int) % 2 == 1
    points = np.where(odd, answers["value"] - 1, 5 - answers["value"])
    table = answers.assign(value=2.5 * points).groupby(["participant", "condition"])["value"]
    whole = table.count() == len(SUS_SIGNS)
    return table.sum()[whole].reset_index()


def _learning(records: Records) -> Learning | None:
    trials = records.trials
    if not {"part", "place"} <= set(trials):
        return None
    done = trials[trials["outcome"] == SUCCESS]
    if done.empty:
        return None
    each = done.groupby("task")["seconds"].transform("mean")
    most = int(trials["place"].max())
    done = done.assign(
        relative=done["seconds"] / each,
        log=np.log(done["seconds"] / each),
        when=(done["part"] - 1) * most + done["place"],
    )
    means: dict[str, list[tuple[float, float, float, float]]] = {}
    for condition in records.conditions:
        rows = done[done["condition"] == condition].groupby("when")["relative"]
        means[condition] = [_mean(float(when), one) for when, one in rows]
    parts = done.groupby(["participant", "part"])["log"].mean().unstack("part")
    period = None
    if {1, 2} <= set(parts):
        pairs = parts[[1, 2]].dropna()
        period = signed_rank(pairs[1].to_numpy(), pairs[2].to_numpy()) if len(pairs) else None
    return Learning(means, period)


def _mean(place: float, values: pd.Series) -> tuple[float, float, float, float]:
    mean = float(values.mean())
    if len(values) < 2 or values.std() == 0:
        return place, mean, mean, mean
    half = float(scipy_stats.t.ppf(0.975, len(values) - 1) * scipy_stats.sem(values))
    return place, mean, mean - half, mean + half


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value

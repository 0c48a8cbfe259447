"""The study's statistics: SciPy's and statsmodels' tests, put together for paired conditions."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from statsmodels.duration.survfunc import CumIncidenceRight, SurvfuncRight, survdiff
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower
from statsmodels.stats.proportion import proportion_confint

LEVEL = 0.05
"""Of every test, and one minus the coverage of every interval."""
POWER = 0.8
RESAMPLES = 4000
EFFICIENCY = 3 / math.pi
"""Of the signed-rank test against the t test, for normal differences (asymptotic)."""
EXACT = 50
"""Most pairs for which the null distribution is computed exactly, where there are no ties."""


@dataclass(frozen=True)
class SignedRank:
    """A Wilcoxon signed-rank test of y − x, two-sided."""

    pairs: int
    """Pairs, those without a difference included."""
    used: int
    """Pairs with a difference, which the test is of."""
    statistic: float
    """Sum of the ranks of differences above 0."""
    p: float
    difference: float
    """Hodges–Lehmann estimate of the location of the differences."""
    low: float
    """Lower end of its interval: the shifts that the same test does not reject."""
    high: float
    effect: float
    """Matched-pairs rank-biserial correlation (Kerby, 2014): −1 to 1."""
    effect_low: float
    """Lower end of its bootstrap interval; NaN where all differences have one sign."""
    effect_high: float
    exact: bool


def signed_rank(x: Sequence[float], y: Sequence[float]) -> SignedRank:
    """Test whether pairs differ; see `SignedRank`.

    Zeros are left out, as Wilcoxon did. Without ties p is exact up to `EXACT` pairs; with ties it
    is the normal approximation with a correction for them, as in R.
    """
    differences = np.asarray(y, float) - np.asarray(x, float)
    used = differences[differences != 0]
    if len(used) == 0:
        nan = math.nan
        return SignedRank(len(differences), 0, 0.0, 1.0, 0.0, nan, nan, 0.0, nan, nan, True)
    exact = len(used) <= EXACT and len(np.unique(np.abs(used))) == len(used)
    p = _p(used, exact)
    low, high = _shifts(used, exact)
    effect = rank_biserial(used)
    effect_low = effect_high = math.nan
    if abs(effect) < 1:
        found = stats.bootstrap(
            (used,), _effects, axis=-1, n_resamples=RESAMPLES, method="percentile",
            rng=np.random.default_rng(0),
        ).confidence_interval  # fmt: skip
        effect_low, effect_high = float(found.low), float(found.high)
    ranks = stats.rankdata(np.abs(used))
    return SignedRank(
        len(differences),
        len(used),
        float(ranks[used > 0].sum()),
        p,
        float(np.median(_walsh(used))),
        low,
        high,
        effect,
        effect_low,
        effect_high,
        exact,
    )


def rank_biserial(differences: np.ndarray) -> float:
    """Return (ranks above 0 − ranks below 0) ÷ all ranks of differences without zeros."""
    return float(_effects(differences))


def _effects(differences: np.ndarray, axis: int = -1) -> np.ndarray:
    ranks = stats.rankdata(np.abs(differences), axis=axis)
    return (np.sign(differences) * ranks).sum(axis) / ranks.sum(axis)


def _p(differences: np.ndarray, exact: bool) -> float:
    method = "exact" if exact else "asymptotic"
    if not differences.any():
        return 1.0
    return float(stats.wilcoxon(differences, correction=not exact, method=method).pvalue)


def _walsh(differences: np.ndarray) -> np.ndarray:
    """Means of all pairs of differences, sorted."""
    rows, columns = np.triu_indices(len(differences))
    return np.sort((differences[rows] + differences[columns]) / 2)


def _shifts(differences: np.ndarray, exact: bool) -> tuple[float, float]:
    """Return the least and the greatest shift that the test does not reject."""
    ends = np.unique(_walsh(differences))
    if len(ends) == 1:
        return float(ends[0]), float(ends[0])
    between = (ends[:-1] + ends[1:]) / 2
    span = ends[-1] - ends[0]

    def kept(shift: float) -> bool:
        return _p(differences - shift, exact) > LEVEL

    def first(shifts: np.ndarray, outside: float, end: np.ndarray, infinite: float) -> float:
        if kept(outside):
            return infinite
        low, high = 0, len(shifts) - 1  # the middle is kept, and what is kept lies together
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if kept(shifts[middle]) else (middle + 1, high)
        return float(end[low])

    half = len(between) // 2 + 1
    lower = first(between[:half], ends[0] - span, ends[:-1], -math.inf)
    upper = first(between[::-1][:half], ends[-1] + span, ends[::-1], math.inf)
    return lower, upper


def holm(p: Sequence[float]) -> list[float]:
    """Return p adjusted for all of them being tested (Holm, 1979)."""
    return multipletests(p, method="holm")[1].tolist() if len(p) else []


def wilson(successes: int, count: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share."""
    low, high = proportion_confint(successes, count, LEVEL, "wilson")
    return float(low), float(high)


def success_test(x: Sequence[bool], y: Sequence[bool]) -> float:
    """Return the exact p of McNemar's test that pairs succeed equally often."""
    table = np.zeros((2, 2))
    for one, other in zip(x, y, strict=True):
        table[int(one), int(other)] += 1
    return float(mcnemar(table, exact=True).pvalue)


SUCCEEDED, CENSORED, FAILED = 1, 0, 2
"""How a trial ended: done, time was up, nothing could mend it."""


@dataclass(frozen=True)
class Incidence:
    """How many were done by when (Aalen–Johansen), unrecoverable failures being competing risks."""

    times: np.ndarray
    """In s, sorted."""
    done: np.ndarray
    """Share that is done by then."""
    failed: np.ndarray
    """Share that has failed for good by then."""
    median: float
    """Time by which half are done; NaN where fewer ever are."""


def incidence(seconds: Sequence[float], ends: Sequence[int]) -> Incidence:
    """Return cumulative incidences of trials that took `seconds` and ended as `ends` says."""
    time, end = np.asarray(seconds, float), np.asarray(ends)
    if not (end != CENSORED).any():
        nothing = np.zeros(1)
        return Incidence(nothing, nothing, nothing, math.nan)
    coded = end.copy()
    causes = sorted(set(end[end != CENSORED].tolist()))
    for number, cause in enumerate(causes, 1):  # statsmodels wants 1, 2, … without gaps
        coded[end == cause] = number
    with np.errstate(all="ignore"):  # of standard errors, which nobody asks for
        found = CumIncidenceRight(time, coded)
    parts = dict(zip(causes, found.cinc, strict=True))
    none = np.zeros(len(found.times))
    done, failed = parts.get(SUCCEEDED, none), parts.get(FAILED, none)
    half = np.flatnonzero(done >= 0.5 - 1e-12)
    median = float(found.times[half[0]]) if half.size else math.nan
    return Incidence(np.asarray(found.times), done, failed, median)


def survival(seconds: Sequence[float], done: Sequence[bool]) -> tuple[np.ndarray, np.ndarray]:
    """Return times and the Kaplan–Meier share that is not done yet just after them."""
    with np.errstate(all="ignore"):
        found = SurvfuncRight(np.asarray(seconds, float), np.asarray(done, int))
    return np.asarray(found.surv_times), np.asarray(found.surv_prob)


def log_rank(
    seconds: Sequence[float],
    done: Sequence[bool],
    group: Sequence[str],
    strata: Sequence[str] | None = None,
) -> tuple[float, float]:
    """Return chi-square and p of the log-rank test that groups are done equally soon.

    Both are NaN where nothing can be compared: one group, nobody done, or no two at the same time.

    Args:
        seconds: how long each took.
        done: whether it was done; False: until then it was not, and nothing more is known.
        group: which condition.
        strata: who, so that people are compared with themselves; None: they are not.
    """
    if len(set(group)) < 2 or not any(done):
        return math.nan, math.nan
    try:
        chi, p = survdiff(
            np.asarray(seconds, float),
            np.asarray(done, int),
            np.asarray(group),
            strata=None if strata is None else np.asarray(strata),
        )
    except np.linalg.LinAlgError:  # nobody was ever done while the other group was at it
        return math.nan, math.nan
    return float(chi), float(p)


def detectable(pairs: int) -> float:
    """Return the standardised difference that so many pairs show with a power of 80 %.

    Cohen's d of paired differences; from the paired t test, with the signed-rank test's efficiency.
    """
    if pairs < 4:
        return math.inf
    return float(TTestPower().solve_power(nobs=pairs * EFFICIENCY, alpha=LEVEL, power=POWER))


def pairs_for(effect: float) -> int:
    """Return how many pairs show a standardised difference with a power of 80 %."""
    needed = TTestPower().solve_power(effect_size=effect, alpha=LEVEL, power=POWER)
    return math.ceil(needed / EFFICIENCY)

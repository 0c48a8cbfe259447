"""The statistics, against examples that were published with their results."""

import math

import numpy as np
import pytest

pytest.importorskip("statsmodels")
pytest.importorskip("pandas")
from gym_grasp.study import stats

BEFORE = [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30]
AFTER = [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29]
"""Depression scale before and after therapy: Hollander & Wolfe (1973), p. 29, as in R's help of
wilcox.test."""
SIX_MP = [6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35]
RELAPSED = [1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0]
PLACEBO = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]
"""Weeks of remission of leukemia: Freireich et al. (1963), as in Gehan (1965)."""


def test_signed_rank_is_that_of_r() -> None:
    # R: wilcox.test(x, y, paired = TRUE, conf.int = TRUE): V = 40, p-value = 0.03906,
    # 95 percent confidence interval 0.010 0.786, (pseudo)median 0.46
    found = stats.signed_rank(AFTER, BEFORE)
    assert found.exact
    assert found.statistic == 40
    assert found.p == pytest.approx(0.0390625, abs=1e-9)
    assert found.difference == pytest.approx(0.46)
    assert (found.low, found.high) == pytest.approx((0.010, 0.786))
    assert found.effect == pytest.approx((40 - 5) / 45)  # Kerby (2014)
    assert found.effect_low < found.effect < found.effect_high <= 1.0


def test_signed_rank_turns_with_the_sign() -> None:
    one, other = stats.signed_rank(BEFORE, AFTER), stats.signed_rank(AFTER, BEFORE)
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))
    assert (one.p, one.effect) == pytest.approx((other.p, -other.effect))


def test_signed_rank_of_few_says_that_it_knows_nothing() -> None:
    found = stats.signed_rank([1, 2, 3, 4, 5], [2, 4, 6, 8, 10])  # all rise: p = 2/32
    assert found.p == pytest.approx(0.0625)
    assert (found.low, found.high) == (-math.inf, math.inf)
    assert math.isnan(found.effect_low)
    same = stats.signed_rank([1.0, 2.0], [1.0, 2.0])
    assert (same.p, same.used, same.pairs) == (1.0, 0, 2)


def test_the_interval_is_what_the_test_does_not_reject() -> None:
    rng = np.random.default_rng(0)
    for count in (6, 9, 14):
        differences = rng.normal(0.5, 1.0, count)
        found = stats.signed_rank(np.zeros(count), differences)
        for shift, kept in (
            (found.low - 1e-6, False),
            (found.low + 1e-6, True),
            (found.high - 1e-6, True),
            (found.high + 1e-6, False),
        ):
            p = stats.signed_rank(np.full(count, shift), differences).p
            assert (p > stats.LEVEL) is kept


def test_ties_are_corrected_as_in_r() -> None:
    # Answers of 1 to 7 always tie. By hand: T = ranks of |d| = 1,1,1,2,2,3 with one below 0.
    before, after = [4, 4, 4, 4, 4, 4, 4], [5, 5, 3, 6, 6, 7, 4]
    found = stats.signed_rank(before, after)
    ranks = [2, 2, 2, 4.5, 4.5, 6]
    assert not found.exact
    assert found.used == 6
    assert found.statistic == pytest.approx(sum(ranks) - 2)
    variance = 6 * 7 * 13 / 24 - ((3**3 - 3) + (2**3 - 2)) / 48
    z = (found.statistic - 6 * 7 / 4 - 0.5) / math.sqrt(variance)
    assert found.p == pytest.approx(math.erfc(z / math.sqrt(2)), rel=1e-6)


def test_holm() -> None:
    # R: p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm")
    assert stats.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert stats.holm([]) == []


def test_survival_is_kaplan_and_meiers() -> None:
    times, share = stats.survival(SIX_MP, RELAPSED)
    assert times.tolist() == [6, 7, 10, 13, 16, 22, 23]
    # Kalbfleisch & Prentice (2002), and R's survfit
    published = [0.857, 0.807, 0.753, 0.690, 0.627, 0.538, 0.448]
    assert share == pytest.approx(published, abs=5e-4)
    # without competing risks, the cumulative incidence is the rest
    found = stats.incidence(SIX_MP, RELAPSED)
    at = [found.done[np.flatnonzero(found.times == time)[0]] for time in times]
    assert at == pytest.approx(1 - share)
    assert found.median == 23


def test_log_rank() -> None:
    # R: survdiff(Surv(time, status) ~ group): Chisq = 16.8 on 1 degrees of freedom, p = 4e-05
    seconds, done = SIX_MP + PLACEBO, RELAPSED + [1] * 21
    chi, p = stats.log_rank(seconds, done, ["6-MP"] * 21 + ["placebo"] * 21)
    assert chi == pytest.approx(16.793, abs=1e-3)
    assert p == pytest.approx(4.17e-5, rel=1e-2)


@pytest.mark.parametrize(
    ("seconds", "done", "group", "strata"),
    [
        ([5, 6], [1, 1], "aa", None),
        ([5, 6], [0, 0], "ab", None),
        ([5, 6], [1, 1], "ab", "12"),  # a study under way: each was there for one condition
        ([5, 5], [1, 1], "ab", "11"),
    ],
)
def test_log_rank_of_what_cannot_be_compared(seconds, done, group, strata) -> None:
    found = stats.log_rank(seconds, done, list(group), strata and list(strata))
    assert all(math.isnan(value) for value in found)


def test_competing_risks_share_what_is_lost() -> None:
    # nobody is censored: incidences are plain shares
    found = stats.incidence([1, 2, 3, 4], [stats.SUCCEEDED, stats.FAILED, stats.SUCCEEDED, 1])
    assert found.done.tolist() == pytest.approx([0.25, 0.25, 0.5, 0.75])
    assert found.failed.tolist() == pytest.approx([0.0, 0.25, 0.25, 0.25])
    assert found.median == 3
    nothing = stats.incidence([5.0, 6.0], [stats.CENSORED, stats.CENSORED])
    assert math.isnan(nothing.median)
    only = stats.incidence([5.0, 6.0], [stats.FAILED, stats.CENSORED])
    assert (only.done[-1], only.failed[-1]) == (0.0, pytest.approx(0.5))


def test_shares() -> None:
    # R: prop.test(8, 10, correct = FALSE)$conf.int: 0.4901625 0.9433178
    assert stats.wilson(8, 10) == pytest.approx((0.4901625, 0.9433178), abs=1e-6)
    # R: binom.test(1, 9)$p.value = 0.0390625, of nine who differ
    assert stats.success_test([True] + [False] * 8, [False] + [True] * 8) == pytest.approx(
        0.0390625
    )


def test_numbers_of_people() -> None:
    # Cohen (1988): 34 pairs for d = 0.5 by the t test; the signed-rank test takes 1/0.955 as many
    assert stats.pairs_for(0.5) == 35
    assert stats.detectable(35) == pytest.approx(0.5, abs=0.01)
    assert stats.detectable(3) == math.inf

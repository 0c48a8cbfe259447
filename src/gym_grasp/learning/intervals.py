"""Confidence intervals of success rates over several runs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, variance


@dataclass(frozen=True)
class SuccessInterval:
    """A success rate with its confidence interval."""

    rate: float
    """Successes ÷ episodes, over all runs."""
    low: float
    """Lower end."""
    high: float
    """Upper end."""
    design_effect: float
    """Between-run variance ÷ binomial variance, at least 1."""
    effective_episodes: float
    """Independent episodes that tell as much: episodes ÷ design effect."""


def success_interval(
    successes: Sequence[int], episodes: Sequence[int], confidence: float = 0.95
) -> SuccessInterval:
    """Return the success rate of S runs of one method and how far it may be trusted.

    Runs differ more than the episodes within one: an interval over the pooled episodes is too
    narrow. So the variance between runs is set against the binomial variance; where it is
    larger, Wilson's interval is made with n ÷ (their ratio) episodes and with Student's t with
    S − 1 degrees of freedom in place of the normal quantile. With one run the variance between
    runs is unknown and the interval speaks of that run alone.

    Args:
        successes: Successes of each run.
        episodes: Episodes of each run.
        confidence: Probability that the interval is to cover.

    Raises:
        ValueError: If there is no run, a run without episodes, or numbers of both that differ.
    """
    if len(successes) != len(episodes) or not episodes or min(episodes) < 1:
        raise ValueError(f"expected as many successes as episodes, got {successes}, {episodes}")
    total, runs = sum(episodes), len(episodes)
    rate = sum(successes) / total
    effect, quantile = 1.0, NormalDist().inv_cdf(0.5 + confidence / 2)
    binomial = sum(rate * (1 - rate) / n for n in episodes) / runs
    if runs > 1 and binomial > 0:
        between = variance([k / n for k, n in zip(successes, episodes, strict=True)])
        effect = max(1.0, between / binomial)
        if effect > 1:
            quantile = student_t_quantile(0.5 + confidence / 2, runs - 1)
    n = total / effect
    z2 = quantile**2 / n
    centre = (rate + z2 / 2) / (1 + z2)
    half = quantile / (1 + z2) * math.sqrt(rate * (1 - rate) / n + z2 / (4 * n))
    low = 0.0 if rate == 0 else max(0.0, centre - half)
    high = 1.0 if rate == 1 else min(1.0, centre + half)
    return SuccessInterval(rate, low, high, effect, n)


def student_t_quantile(probability: float, degrees: int) -> float:
    """Return the quantile of Student's t for a probability in [0.5, 1), by bisection."""
    low, high = 0.0, 1e6
    for _ in range(100):
        middle = (low + high) / 2
        if _student_t_cdf(middle, degrees) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _student_t_cdf(t: float, degrees: int) -> float:
    """Return P(T ≤ t) for t ≥ 0: the finite series of Abramowitz & Stegun 26.7.3 and 26.7.4."""
    angle = math.atan(t / math.sqrt(degrees))
    cosine, sine = math.cos(angle), math.sin(angle)
    odd = degrees % 2
    term = cosine if odd else 1.0
    total = 0.0
    for k in range(odd + 1, degrees, 2):
        total += term
        term *= cosine**2 * k / (k + 1)
    between = (2 / math.pi) * (angle + sine * total) if odd else sine * total
    return 0.5 + between / 2

import pytest

from gym_grasp.learning.intervals import student_t_quantile, success_interval


@pytest.mark.parametrize(
    ("probability", "degrees", "expected"),
    [
        (0.975, 1, 12.7062),
        (0.975, 2, 4.30265),
        (0.975, 3, 3.18245),
        (0.975, 4, 2.77645),
        (0.95, 9, 1.83311),
        (0.995, 30, 2.75000),
    ],
)
def test_student_t_quantiles_are_those_of_the_tables(probability, degrees, expected):
    assert student_t_quantile(probability, degrees) == pytest.approx(expected, rel=1e-5)


def test_one_run_is_wilsons_interval():
    # Wilson for 8 of 10 at 95 %: the textbook values.
    interval = success_interval([8], [10])
    assert (interval.low, interval.high) == (
        pytest.approx(0.4902, abs=1e-4),
        pytest.approx(0.9433, abs=1e-4),
    )
    assert interval.design_effect == 1


def test_runs_that_agree_are_pooled():
    interval = success_interval([90, 91, 89], [100, 100, 100])
    pooled = success_interval([270], [300])
    assert (interval.low, interval.high) == (pooled.low, pooled.high)


def test_runs_that_differ_widen_the_interval():
    # p = 0.8; between-run variance of (1, 0.8, 0.6) is 0.04; binomial 0.8·0.2/100 = 0.0016.
    interval = success_interval([100, 80, 60], [100, 100, 100])
    assert interval.rate == pytest.approx(0.8)
    assert interval.design_effect == pytest.approx(25)
    assert interval.effective_episodes == pytest.approx(12)
    # n = 12, t = 4.30265, z² / n = 1.54273: centre (0.8 + 0.771367) / 2.542735 = 0.617983;
    # half 4.30265 / 2.542735 · √(0.16/12 + 1.54273/48) = 0.360840.
    assert interval.low == pytest.approx(0.25714, abs=1e-4)
    assert interval.high == pytest.approx(0.97882, abs=1e-4)


def test_ends_are_exact():
    interval = success_interval([100, 100, 100], [100, 100, 100])
    assert interval.high == 1
    assert interval.low == pytest.approx(0.98736, abs=1e-4)
    assert success_interval([0], [10]).low == 0


def test_mismatch_is_refused():
    with pytest.raises(ValueError, match="as many"):
        success_interval([1], [10, 10])

"""How a synthetic operator moves, from novice to expert."""

from dataclasses import dataclass

import numpy as np

from gym_grasp.errors import UsageError


@dataclass
class Traits:
    """How one episode's operator moves; nearly all follows from its skill, give or take a bit."""

    skill: float
    """From 0, a novice, to 1, an expert."""
    speed: float
    """Mean speed of a reaching movement, in m/s."""
    reaction: float
    """Delay between the scene and the operator's view of it, in s."""
    tremor: float
    """RMS of the hand's physiological tremor along each axis, in m: hands of surgeons have 0.05 to
    0.2 mm (Wells et al., 2013, who review others; Riviere & Jensen, 2000: 0.182 mm)."""
    tremor_frequency: float
    """Middle of its band, in Hz; physiological tremor lies at 8 to 12."""
    grip_time: float
    """Duration of closing or opening the hand, in s."""
    precision: float
    """Standard deviation of where a movement aims, in m."""
    drift: float
    """Standard deviation of the hand's slow wandering off its way, in m."""
    hesitation: float
    """How often it hesitates, in 1/s."""
    mistakes: float
    """Probability that an episode begins with a mistake, which the operator sees and mends."""

    @classmethod
    def sample(cls, rng: np.random.Generator, skill: float | None = None) -> "Traits":
        """Draw one operator.

        Args:
            rng: its random numbers; as many are drawn with a skill as without.
            skill: from 0, a novice, to 1, an expert; None: uniform, the default population.

        Raises:
            UsageError: the skill is out of range.
        """
        drawn = rng.random()
        skill = drawn if skill is None else check_skill(skill)

        def trait(novice: float, expert: float) -> float:
            return (novice + skill * (expert - novice)) * rng.uniform(0.9, 1.1)

        return cls(
            skill=skill,
            speed=trait(0.10, 0.18),
            reaction=trait(0.25, 0.13),
            tremor=trait(0.00010, 0.00006),
            tremor_frequency=rng.uniform(9.0, 11.0),
            grip_time=trait(1.8, 0.9),
            precision=trait(0.003, 0.001),
            drift=trait(0.010, 0.005),
            hesitation=trait(0.30, 0.05),
            mistakes=trait(0.42, 0.06),
        )


def check_skill(skill: float) -> float:
    """Return a skill if it is one; raise `UsageError` if it is not within [0, 1]."""
    if not 0.0 <= skill <= 1.0:
        raise UsageError(f"The skill is {skill:g}; it must be within 0 (novice) and 1 (expert).")
    return skill

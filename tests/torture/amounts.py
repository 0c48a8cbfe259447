"""How much is tried of each kind, as `TORTURE` says."""

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Amount:
    """How much is tried of each kind."""

    steps: int
    """Of each task."""
    envs: int
    """At once."""
    kills: int
    """Of each kind of recording."""
    trainings: int
    """Kills of trainings by each method, and of a study."""
    inputs: int
    """Files of others, of all kinds together."""
    lost: int
    """Of the processes that train together: in each way, the first and another."""
    seconds: float
    """For which servers are besieged."""


AMOUNTS = {
    "tiny": Amount(800, 8, 1, 1, 13, 1, 2.0),
    "short": Amount(500_000, 256, 20, 20, 5_000, 1, 60.0),
    "full": Amount(10_000_000, 256, 200, 50, 100_000, 5, 600.0),
}
NAME = os.environ.get("TORTURE", "tiny")
AMOUNT = AMOUNTS[NAME]

"""Looking at a policy while it is being trained: evaluations and films, apart from training."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from gym_grasp.errors import GymGraspError, UsageError, reason
from gym_grasp.learning.config import TrainConfig
from gym_grasp.learning.env import Environment
from gym_grasp.learning.evaluate import evaluate
from gym_grasp.learning.intervals import success_interval

log = logging.getLogger(__name__)

Acting = Callable[[Tensor], Tensor]
"""A policy: observations (N, O) in, actions (N, A) in [−1, 1] out."""
FILMS = "films"


@dataclass(frozen=True)
class Watch:
    """What looking needs; neither touches the environments that training steps."""

    env: Environment | None = None
    """Environments for evaluation, one an episode."""
    film: Callable[[Acting, Path], None] | None = None
    """Films one evaluation episode of a policy into an MP4."""

    def check(self, config: TrainConfig) -> None:
        """Raise `UsageError` where settings want what is not here."""
        for name, there in (("evaluation_interval", self.env), ("film_interval", self.film)):
            if getattr(config, name) is not None and there is None:
                raise UsageError(f"{name} is given, but nothing to do it with; leave it out.")

    def look(
        self, policy: Acting, config: TrainConfig, epochs: int, last: bool, run_dir: Path
    ) -> dict[str, float]:
        """Evaluate and film, whatever is due; return the metrics of it.

        Args:
            policy: the policy.
            config: settings of the run.
            epochs: done so far; 0 is after pretraining.
            last: whether training ends here.
            run_dir: folder of the run.

        Returns:
            `evaluation/success` with the ends of its 95 % interval, `evaluation/low` and
            `evaluation/high`, and the mean `evaluation/length` of episodes in steps. A fault of
            the film is told, and ends nothing.
        """
        if self.film is not None and _due(config.film_interval, epochs, last):
            path = run_dir / FILMS / f"epoch-{epochs}.mp4"
            try:
                path.parent.mkdir(exist_ok=True)
                self.film(policy, path)
            except (GymGraspError, OSError) as error:
                log.warning(f"training goes on without the film {path}: {reason(error)}")
        if self.env is None or not _due(config.evaluation_interval, epochs, last):
            return {}
        found = evaluate(policy, self.env, config.evaluation_episodes)
        interval = success_interval([found.successes], [found.episodes])
        return {
            "evaluation/success": interval.rate,
            "evaluation/low": interval.low,
            "evaluation/high": interval.high,
            "evaluation/length": sum(found.lengths) / found.episodes,
        }

    def close(self) -> None:
        """Release the environments."""
        if self.env is not None:
            self.env.close()


def _due(interval: int | None, epochs: int, last: bool) -> bool:
    return interval is not None and (last or epochs % interval == 0)

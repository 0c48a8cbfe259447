"""An episode moment by moment, with what is drawn under its timeline."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from gym_grasp.robots.robot import Robot
from gym_grasp.view.look import Look, Looker


@dataclass(frozen=True)
class Curve:
    """Values that belong into one chart."""

    name: str
    """What it is of."""
    unit: str
    """Unit of the values; `1` where they have none."""
    names: tuple[str, ...]
    """One for each line."""


def curves(robot: Robot) -> tuple[Curve, ...]:
    """Return what is drawn, in the order of a track's rows."""
    fingers = tuple(finger.name for finger in robot.hand.fingers)
    return (
        Curve("actions", "1", tuple(robot.action_names)),
        Curve("rewards", "1", ("sparse", "dense")),
        Curve("progress", "1", ("progress",)),
        Curve("fingertip forces", "N", fingers),
        Curve("brake", "1", fingers),
        Curve("vibration", "1", fingers),
    )


@dataclass(frozen=True, eq=False)
class Moment:
    """A look, and what one needs to go on from there."""

    look: Look
    state: dict[str, Tensor] | None = None
    """What `GraspVectorEnv.get_state` returned; None: nobody goes on from here."""


@dataclass(eq=False)
class Track:
    """One episode, as far as it is known: T + 1 moments, the first before any step."""

    seed: int
    """The episode's own, below 2**63."""
    scene: dict[str, Any]
    """The manifest of what is drawn, see `Scene`."""
    episode: int | None = None
    """Its number in a dataset; None: it happens now."""
    moments: list[Moment] = field(default_factory=list)
    rows: list[np.ndarray] = field(default_factory=list)
    """Values of the curves in each moment: of the step that led there, NaN in the first. (V,)."""
    outcome: str = ""
    """How it ended; empty: it has not."""
    touched: bool = False
    """Whether a person interfered, so that its seed does not make it again."""

    def __len__(self) -> int:
        """Return the number of moments."""
        return len(self.moments)

    def at(self, index: int) -> Moment:
        """Return a moment; after the end, the last one."""
        return self.moments[min(index, len(self) - 1)]

    def add(
        self,
        looker: Looker,
        action: np.ndarray,
        rewards: tuple[float, float],
        progress: float,
        state: dict[str, Tensor] | None = None,
    ) -> None:
        """Look at the moment that a step led to.

        Args:
            looker: at the environment, which is in it.
            action: of the step. Shape (A,).
            rewards: sparse and dense, of the step.
            progress: in the moment.
            state: for `Moment`.
        """
        look = looker.look()
        self.moments.append(Moment(look, state))
        forces = np.stack([moment.look.force for moment in self.moments[-32:]])
        parts = action, rewards, [progress], look.force, look.brake, looker.vibration(forces)
        self.rows.append(np.concatenate(parts, dtype=np.float32))

    def cut(self, index: int) -> None:
        """Forget what comes after a moment."""
        del self.moments[index + 1 :], self.rows[index + 1 :]
        self.outcome = ""

"""What a batch of simulations offers, whichever engine runs it."""

from abc import ABC, abstractmethod

import mujoco
import torch
from torch import Tensor

from gym_grasp.errors import UsageError

STATE_FIELDS = ("qpos", "qvel", "act", "qacc_warmstart", "ctrl", "time")
"""What the next step depends on."""
KINEMATIC_FIELDS = (
    *("xpos", "xquat", "xmat", "xipos", "ximat", "xanchor", "xaxis"),
    *("geom_xpos", "geom_xmat", "site_xpos", "site_xmat"),
)
"""What kinematics derives from the positions: kept up to date after every change of them."""

MAX_SPEED = 1e3
"""Generalised velocity beyond which a simulation counts as diverged, in rad/s or m/s."""


class Physics(ABC):
    """`num_envs` simulations of one model, advanced together.

    Every tensor that `bind` returns is live: after each `step`, `reset` and `set_state` it speaks
    of the state reached, never of the substep before it.
    """

    def __init__(self, model: mujoco.MjModel, num_envs: int, device: torch.device) -> None:
        self.model = model
        self.num_envs = num_envs
        self.device = device
        self.diverged = torch.zeros(num_envs, dtype=torch.bool, device=device)
        """Simulations whose last step ended in a non-finite or absurdly fast state. Shape (N,)."""

    @property
    def timestep(self) -> float:
        """Duration of one physics step, in seconds."""
        return float(self.model.opt.timestep)

    @abstractmethod
    def bind(self, field: str) -> Tensor:
        """Return the live float32 tensor of an MjData field, e.g. `site_xpos`. Shape (N, ...).

        Raises:
            UsageError: the field is neither of `STATE_FIELDS` nor of `KINEMATIC_FIELDS`.
        """

    @abstractmethod
    def step(self, ctrl: Tensor, substeps: int) -> None:
        """Advance every simulation by `substeps` physics steps under `ctrl`. Shape (N, nu)."""

    @abstractmethod
    def reset(self, mask: Tensor, qpos: Tensor) -> None:
        """Put the simulations in `mask` (N,) at rest at `qpos` (N, nq); the others are untouched.

        Rows of `qpos` outside the mask are ignored.
        """

    @abstractmethod
    def get_state(self) -> Tensor:
        """Return a copy of everything that the next step depends on. Shape (N, S)."""

    @abstractmethod
    def set_state(self, state: Tensor) -> None:
        """Restore what `get_state` returned, bit by bit. Shape (N, S)."""

    def fields(self) -> dict[str, Tensor]:
        """TEMPORARY."""
        return {}

    def counters(self) -> dict[str, int]:
        """What the engine counted since the start, e.g. contacts that did not fit."""
        return {}

    def close(self) -> None:  # noqa: B027 (nothing to free by default)
        """Free what the engine holds; the object is not used afterwards."""


def not_kept(field: str) -> UsageError:
    """Return the error for a field that `bind` does not offer."""
    known = ", ".join(sorted((*STATE_FIELDS, *KINEMATIC_FIELDS)))
    return UsageError(f"The engines do not keep '{field}' up to date. Known: {known}.")

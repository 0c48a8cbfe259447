"""What a batch of simulations offers, whichever engine runs it."""

import copy
import ctypes
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, NoReturn
from weakref import WeakSet

import mujoco
import numpy as np
import torch
from torch import Tensor

from gym_grasp.errors import UsageError
from gym_grasp.insulated import insulated
from gym_grasp.physics.fields import FIELDS, model_field, valid
from gym_grasp.physics.frozen import freeze

STATE_FIELDS = ("qpos", "qvel", "act", "qacc_warmstart", "ctrl", "time")
"""What the next step depends on."""
KINEMATIC_FIELDS = (
    *("xpos", "xquat", "xmat", "xipos", "ximat", "xanchor", "xaxis"),
    *("geom_xpos", "geom_xmat", "site_xpos", "site_xmat"),
)
"""What kinematics derives from the positions: kept up to date after every change of them."""

MAX_SPEED = 1e3
"""Generalised velocity beyond which a simulation counts as diverged, in rad/s or m/s."""


_USES = (
    *("bind", "step", "reset", "get_state", "set_state", "counters", "get_field", "set_field"),
    *("fields", "set_fields", "model_of", "fill"),
)


Fields = Mapping[str, Tensor]

_open: WeakSet["Physics"] = WeakSet()

log_config = mujoco.MjLogConfig.get()
log_config.logto_file = False  # or MuJoCo writes warnings to a file in the working folder
log_config.set()
del log_config


class Physics(ABC):
    """`num_envs` simulations of one model, advanced together.

    Every tensor that `bind` returns is live: after each `step`, `reset` and `set_state` it speaks
    of the state reached, never of the substep before it.

    The model is read-only from here on (see `freeze`): what is changed in it nevertheless is
    refused at the next `reset` or `set_state`.
    """

    dtype = torch.float32
    """Precision in which the engine holds the fields of the model."""

    def __init__(self, model: mujoco.MjModel, num_envs: int, device: torch.device) -> None:
        self._check_model = freeze(model)
        self._on_host = device.type == "cpu"
        self._simple = torch.as_tensor(model.body_simple > 0, device=device)
        self._own: dict[str, Tensor] = {}
        self._live: dict[str, Tensor] = {}
        self._refused = torch.zeros((), dtype=torch.int64, device=device)
        self.model = model
        self.num_envs = num_envs
        self.device = device
        _open.add(self)
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
            UsageError: the field is neither of `STATE_FIELDS` nor of `KINEMATIC_FIELDS` or, on a
                GPU, the model has nothing in it, such as `act`.
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

    @insulated
    def get_field(self, name: str) -> Tensor:
        """Return a copy of every simulation's values of a model field, in `dtype`. Shape (N, ...).

        Raises:
            UsageError: the field is none of `FIELDS`, or belongs to nothing in the scene.
        """
        if name in self._live:
            return self._live[name].clone()
        return self._model_values(name).expand(self.num_envs, *[-1] * self._own[name].dim()).clone()

    @insulated
    def set_field(self, name: str, values: Tensor, mask: Tensor | None = None) -> None:
        """Give simulations values of their own of a model field, and the constants that follow.

        They count from the next `step`, `reset` or `set_state` on, and stay until they are set
        again. Setting what `get_field` or `fields` returned changes nothing, bit by bit. What
        MuJoCo itself does not read has no effect here either: the position of a free body, the
        size of a mesh, the friction of geoms in an explicit pair.

        Args:
            name: one of `FIELDS`.
            values: of the model's shape, for each simulation, float32 or float64; rows outside
                the mask are ignored. Shape (N, ...).
            mask: which simulations, bool; None for all. Shape (N,).

        Raises:
            UsageError: the field cannot differ per simulation, shape or dtype are wrong, or, on
                the CPU, a value is not valid. On a GPU, where looking would stall it, a simulation
                with such a value keeps its old ones and is counted in `counters`.
        """
        own = self._model_values(name)
        for what, given in (("Values", values), ("The mask", mask)):
            if given is not None and not isinstance(given, Tensor):
                raise UsageError(
                    f"{what} of '{name}' come as {type(given).__name__}; expected a tensor."
                )
        if values.shape != (self.num_envs, *own.shape) or not values.is_floating_point():
            raise UsageError(
                f"Values of '{name}' have shape {tuple(values.shape)} and {values.dtype}; "
                f"expected {(self.num_envs, *own.shape)} = (num_envs, ...), float32 or float64."
            )
        if mask is None:
            mask = torch.ones(self.num_envs, dtype=torch.bool, device=self.device)
        elif mask.shape != (self.num_envs,) or mask.dtype != torch.bool:
            raise UsageError(
                f"The mask has shape {tuple(mask.shape)} and {mask.dtype}; "
                f"expected ({self.num_envs},) = (num_envs,), torch.bool."
            )
        values, mask = values.to(self.device), mask.to(self.device)
        if self._on_host:
            chosen = mask.nonzero()[:, 0]
            if len(chosen) == 0:
                return
            bad = ~valid(name, values[chosen], own, self._simple)
            if bad.any():
                raise _invalid(name, chosen[bad])
            self._values(name)[chosen] = values[chosen].to(self.dtype)
        else:
            good = valid(name, values, own, self._simple)
            self._refused += (mask & ~good).sum()
            mask = mask & good
            live = self._values(name)
            live.copy_(torch.where(mask.view(-1, *[1] * own.dim()), values, live))
        self._follow(name, mask)

    @insulated
    def put_fields(self, fields: Fields, mask: Tensor, constants: Fields | None = None) -> None:
        """Set several fields, and let the constants that follow from them be what is given.

        Args:
            fields: as for `set_field`, each (N, ...).
            mask: which simulations. Shape (N,).
            constants: fields that MuJoCo derives from these, where their new values are known, each
                (N, ...); those left out stay as they are. None: all are derived. On the CPU, where
                it costs next to nothing, they are derived anyway.
        """
        for name, values in fields.items():
            self.set_field(name, values, mask)

    def fields(self) -> dict[str, Tensor]:
        """Return copies of the fields that have been set, for `set_fields`. Each (N, ...)."""
        return {name: values.clone() for name, values in self._live.items()}

    @insulated
    def set_fields(self, fields: dict[str, Tensor]) -> None:
        """Restore what `fields` returned, bit by bit; other fields get the model's own values."""
        for name in (*fields, *(name for name in self._live if name not in fields)):
            own = self._model_values(name)
            self.set_field(name, fields.get(name, own.expand(self.num_envs, *own.shape)))

    def model_of(self, index: int) -> mujoco.MjModel:
        """Return a copy of the model with the values of one simulation, e.g. to draw it.

        Raises:
            UsageError: there is no such simulation.
        """
        model = copy.copy(self.model)
        self.fill(model, index)
        return model

    def fill(
        self, model: mujoco.MjModel, index: int, geoms: np.ndarray | slice = slice(None)
    ) -> None:
        """Write the values of one simulation into a copy of the model, in place.

        Args:
            model: the copy; it may have more geoms.
            index: of the simulation.
            geoms: which of its geoms are those of `self.model`, in their order.

        Raises:
            UsageError: there is no such simulation.
        """
        if not 0 <= index < self.num_envs:
            raise UsageError(
                f"The simulation is {index}; it must be within [0, {self.num_envs - 1}]."
            )
        for name, values in self._live.items():
            rows = geoms if name.startswith("geom_") else slice(None)
            model_field(model, name)[rows] = values[index].cpu().numpy()
        if self._live:
            mujoco.mj_setConst(model, mujoco.MjData(model))

    def counters(self) -> dict[str, int]:
        """What the engine counted since the start, e.g. contacts that did not fit."""
        return {}

    def close(self) -> None:
        """Free what the engine holds; afterwards its methods raise UsageError, but for this one."""
        _open.discard(self)
        for use in _USES:
            setattr(self, use, _closed)

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise UsageError("The physics cannot be copied or pickled; get_state() can.")

    @abstractmethod
    def _expand(self, name: str) -> Tensor:
        """Give each simulation its own copy of a field; return the live values. Shape (N, ...)."""

    @abstractmethod
    def _follow(self, name: str, mask: Tensor) -> None:
        """Take over what was written into the live values of simulations in `mask` (N,)."""

    def _values(self, name: str) -> Tensor:
        if name not in self._live:
            self._live[name] = self._expand(name)
        return self._live[name]

    def _model_values(self, name: str) -> Tensor:
        if name not in self._own:
            array = model_field(self.model, name)
            if array.size == 0:
                raise UsageError(f"The scene has nothing that '{name}' could belong to.")
            self._own[name] = torch.tensor(np.array(array), dtype=self.dtype, device=self.device)
        return self._own[name]


def _leave_to_parent() -> None:
    """Let go, in a forked process, of simulations whose threads it has not got.

    To free them would wait for these threads for ever; so they stay, unused, as long as it does.
    """
    for physics in list(_open):
        kept = dict(physics.__dict__)
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))
        for use in _USES:
            setattr(physics, use, _forked)
        physics.close = lambda: None  # type: ignore[method-assign]
    _open.clear()


os.register_at_fork(after_in_child=_leave_to_parent)


def _forked(*_: object, **__: object) -> NoReturn:
    raise UsageError(
        "The physics belongs to the process that this one was forked from. Make a new environment "
        "here, close it before the fork, or start processes by 'spawn'."
    )


def _closed(*_: object, **__: object) -> NoReturn:
    raise UsageError("The physics is closed. Make a new one (or a new environment).")


def _invalid(name: str, bad: Tensor) -> UsageError:
    allowed = str(FIELDS[name].__doc__).rstrip(".").lower()
    if name in ("body_ipos", "body_iquat"):
        allowed += '; a body compiled as simple keeps its own (or set simple="false" in its MJCF)'
    return UsageError(
        f"Values of '{name}' are not valid in {len(bad)} simulation(s), first in {int(bad[0])}; "
        f"allowed: {allowed}. Nothing was set."
    )


def not_kept(field: str) -> UsageError:
    """Return the error for a field that `bind` does not offer."""
    known = ", ".join(sorted((*STATE_FIELDS, *KINEMATIC_FIELDS)))
    return UsageError(f"The engines do not keep '{field}' up to date. Known: {known}.")

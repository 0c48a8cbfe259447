"""Model fields that simulations of one batch may hold different values of, and which are valid."""

from collections.abc import Callable
from operator import attrgetter

import mujoco
import numpy as np
import torch
from torch import Tensor

from gym_grasp.errors import unknown

Rule = Callable[[Tensor, Tensor], Tensor]
"""Says of each value (N, ...) whether it is valid beside the model's own (...)."""


def finite(values: Tensor, own: Tensor) -> Tensor:
    """Finite numbers."""
    return values.isfinite()


def not_negative(values: Tensor, own: Tensor) -> Tensor:
    """Finite numbers, none of them negative."""
    return values.isfinite() & (values >= 0.0)


def frictional(values: Tensor, own: Tensor) -> Tensor:
    """Finite numbers of at least 1e-5, or of the model's own where these are smaller."""
    return values.isfinite() & (values >= own.clamp_max(mujoco.mjMINMU))


def positive(values: Tensor, own: Tensor) -> Tensor:
    """Finite numbers, positive where the model's own are."""
    return values.isfinite() & torch.where(own > 0.0, values > 0.0, values >= 0.0)


def unit(values: Tensor, own: Tensor) -> Tensor:
    """Unit quaternions w x y z."""
    return (values.norm(dim=-1, keepdim=True) - 1.0).abs() < 1e-3


FIELDS: dict[str, Rule] = {
    "opt.gravity": finite,
    "geom_friction": frictional,
    "geom_solref": finite,
    "geom_solimp": finite,
    "pair_friction": frictional,
    "eq_solref": finite,
    "eq_solimp": finite,
    "jnt_stiffness": not_negative,
    "dof_damping": not_negative,
    "dof_frictionloss": not_negative,
    "actuator_gainprm": finite,
    "actuator_biasprm": finite,
    "actuator_gear": finite,
    "body_mass": positive,
    "body_inertia": positive,
    "body_ipos": finite,
    "body_iquat": unit,
    "body_pos": finite,
    "body_quat": unit,
    "dof_armature": not_negative,
    "geom_size": positive,
    "geom_pos": finite,
    "geom_quat": unit,
    "site_pos": finite,
    "site_quat": unit,
}
"""Fields of MjModel (`opt.`: of MjOption) that both engines keep per simulation."""

CONSTANT_INPUTS = frozenset(
    (
        *("actuator_gear", "body_mass", "body_inertia", "body_ipos", "body_iquat", "body_pos"),
        *("body_quat", "dof_armature", "geom_size", "geom_pos", "geom_quat", "site_pos"),
        "site_quat",
    )
)
"""Those from which MuJoCo derives constants, e.g. `body_subtreemass` from `body_mass`."""
POSE_FIELDS = frozenset(
    name for name in FIELDS if name.endswith(("_pos", "_quat", "_ipos", "_iquat"))
)
"""Those that kinematics reads."""


def model_field(model: mujoco.MjModel, name: str) -> np.ndarray:
    """Return the model's array of a field of `FIELDS`.

    Raises:
        UsageError: the field is none that may differ per simulation.
    """
    if name not in FIELDS:
        raise unknown("model field", name, FIELDS)
    array: np.ndarray = attrgetter(name)(model)
    return array


def valid(name: str, values: Tensor, own: Tensor, simple: Tensor) -> Tensor:
    """Return which simulations' values (N, ...) of a field are valid. Shape (N,).

    Args:
        name: the field.
        values: what it is to be.
        own: the model's own values (...).
        simple: bodies that were compiled as simple, whose inertial frame must stay theirs. (nbody,)
    """
    good = FIELDS[name](values, own).expand_as(values)
    if name in ("body_ipos", "body_iquat"):
        good = good & (~simple[:, None] | torch.isclose(values, own.to(values.dtype)))
    return good.reshape(len(values), -1).all(dim=1)

"""What callers hand to an environment, checked before anything is done with it."""

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gym_grasp.envs.face import NOT_DRAWN
from gym_grasp.envs.judge import REWARDS
from gym_grasp.errors import UsageError, unknown
from gym_grasp.perturbation import Perturbation
from gym_grasp.tasks.features import Feature

RESET_OPTIONS = ("reset_mask", "stagger")


def checked_count(name: str, value: Any, least: int) -> int:
    """Return a whole number, Python's or NumPy's.

    Raises:
        UsageError: it is none, below the least, or 2⁶³ and more.
    """
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        count = operator.index(value)
    except TypeError:
        raise UsageError(f"{name} is {value!r}; it must be a whole number.") from None
    if count < least:
        raise UsageError(f"{name} is {count}; it must be at least {least}.")
    if count >= 2**63:
        raise UsageError(f"{name} is {count}; it must be below 2**63.")
    return count


def is_dense(tensor: Tensor) -> bool:
    """Whether a tensor has a shape and every number of it."""
    return tensor.layout is torch.strided and not tensor.is_nested and not tensor.is_meta


def check_choices(
    reward: Any, autoreset: Any, mode: Any, perturbation: Any, privileged: Any
) -> None:
    """Raise `UsageError` for the first argument of `GraspVectorEnv` that is no choice."""
    if reward not in REWARDS:
        raise unknown("reward", reward, REWARDS)
    for name, value in (("autoreset", autoreset), ("privileged", privileged)):
        if not isinstance(value, bool):
            raise UsageError(f"{name} is {value!r}; it must be True or False.")
    if not isinstance(perturbation, Perturbation):
        raise UsageError(f"perturbation is {perturbation!r}; expected a Perturbation.")
    if mode is not None:
        raise UsageError(f"render_mode is {mode!r}, but {NOT_DRAWN}")


def checked_device(device: Any) -> torch.device:
    """Return the device of a name; raises `UsageError` where there is none of it."""
    try:
        known = torch.device(device)
        if known.type == "cpu" and known.index:  # torch has one, whatever the number
            raise ValueError
    except (OverflowError, RuntimeError, TypeError, ValueError) as error:
        raise UsageError(f"Unknown device {device!r}. Known: cpu, cuda, cuda:<index>.") from error
    return known


def checked_seed(seed: Any) -> int:
    """Return the seed of a batch as an int; raises `UsageError` where it is no int64 from 0 on."""
    try:
        whole = int(seed)
        truth = isinstance(seed, (bool, np.bool_)) or getattr(seed, "dtype", None) is torch.bool
        good = whole == seed and 0 <= whole < 2**63 and not truth
    except (TypeError, ValueError, OverflowError, RuntimeError):  # as of a tensor without numbers
        good = False
    if not good:
        raise UsageError(
            f"The seed is {seed!r}; expected a whole number in [0, 2**63), or a list of episode "
            "seeds, one for each environment."
        )
    return whole


def are_seeds(seed: Any) -> bool:
    """Whether a seed is a list or an array of them."""
    if isinstance(seed, Tensor):
        return is_dense(seed) and seed.ndim > 0
    if isinstance(seed, np.ndarray):
        return seed.ndim > 0
    return isinstance(seed, Sequence) and not isinstance(seed, (str, bytes, bytearray, memoryview))


def checked_episode_seeds(seeds: Any, num_envs: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return episode seeds as int64, and of which environments one is given. Each (N,).

    Raises:
        UsageError: there is not one, or None, for each environment.
    """
    listed = seeds.tolist() if isinstance(seeds, (np.ndarray, Tensor)) else list(seeds)
    if len(listed) != num_envs:
        raise UsageError(
            f"There are {len(listed)} episode seeds for {num_envs} environment(s); expected one "
            "for each environment, or None where its next episode begins."
        )
    values = [0 if seed is None else checked_seed(seed) for seed in listed]
    given = torch.tensor([seed is not None for seed in listed], device=device)
    return torch.tensor(values, dtype=torch.int64, device=device), given


def checked_reset(
    options: Mapping[str, Any] | None, num_envs: int, device: torch.device
) -> tuple[Tensor, bool]:
    """Return which environments `reset` begins anew, (N,) bool, and whether it staggers them.

    Raises:
        UsageError: an option does not exist, or the mask is no bool for each environment.
    """
    options = {} if options is None else options
    if not isinstance(options, Mapping):
        raise UsageError(
            f"options is {options!r}; expected {' and '.join(RESET_OPTIONS)}, or None."
        )
    for name in options:
        if name not in RESET_OPTIONS:
            raise unknown("option of reset()", name, RESET_OPTIONS)
    given, stagger = options.get("reset_mask"), options.get("stagger", False)
    if not isinstance(stagger, (bool, np.bool_)):
        raise UsageError(f"stagger is {stagger!r}; it must be True or False.")
    if given is None:
        return torch.ones(num_envs, dtype=torch.bool, device=device), bool(stagger)
    try:
        if isinstance(given, Tensor) and not is_dense(given):
            raise TypeError
        mask = torch.as_tensor(given, device=device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(f"reset_mask is {given!r}; expected a bool per environment.") from error
    if mask.shape != (num_envs,) or mask.dtype != torch.bool:
        raise UsageError(
            f"reset_mask has shape {tuple(mask.shape)} and {mask.dtype}; "
            f"expected ({num_envs},) = (num_envs,), bool."
        )
    return mask, bool(stagger)


def check_observations(
    task: str, features: Mapping[str, Feature], found: Mapping[str, Tensor], num_envs: int
) -> None:
    """Raise `UsageError` unless a task observes exactly what it declares."""
    for key in sorted({*features, *found}):
        if key not in features or key not in found:
            what = ("declares, but not observes,", "observes, but does not declare,")[key in found]
            raise UsageError(f"The task '{task}' {what} the feature '{key}'.")
        declared = features[key]
        shape, dtype = tuple(found[key].shape), str(found[key].dtype).removeprefix("torch.")
        if (shape, dtype) != ((num_envs, *declared.shape), declared.dtype):
            raise UsageError(
                f"The task '{task}' observes the feature '{key}' as {dtype} of shape {shape}; it "
                f"declares {declared.dtype} of {(num_envs, *declared.shape)}."
            )


def check_state(state: Mapping[str, Tensor], own: Mapping[str, Tensor], besides: str) -> None:
    """Raise `UsageError` unless a state has the parts, shapes and types of an environment's own.

    Parts whose names begin with `besides` may be there as well. Whole numbers, which are seeds and
    counts, must not be negative.
    """
    if not isinstance(state, Mapping):
        raise UsageError(f"The state is {state!r}; expected what get_state() returned.")
    others = [name for name in state if name not in own and not str(name).startswith(besides)]
    if others:
        raise UsageError(
            f"The state is of another environment: it has {', '.join(map(repr, others))}; "
            f"this one has {', '.join(map(repr, own))}."
        )
    for name, value in own.items():
        given = state.get(name)
        if not isinstance(given, Tensor):
            found = "is missing" if given is None else f"is a {type(given).__name__}"
        elif not is_dense(given):
            found = "is not dense"
        elif given.shape != value.shape:
            found = f"has shape {tuple(given.shape)}"
        elif given.dtype != value.dtype:
            found = f"is of {given.dtype}"
        elif given.requires_grad:
            found = "carries a gradient (detach it)"
        elif given.dtype == torch.int64 and (given < 0).any():
            found = "has negative numbers"
        else:
            continue
        raise UsageError(
            f"The state is of another environment: its '{name}' {found}; "
            f"expected {tuple(value.shape)}, {value.dtype}."
        )


def checked_actions(actions: Any, shape: tuple[int, int], device: torch.device) -> Tensor:
    """Return actions as a float32 tensor (N, A) on a device, without their gradient.

    Tensors of any real type on that device are taken, and arrays and lists of numbers.

    Raises:
        UsageError: they are no numbers, have another shape, lie on another device or, on the CPU,
            hold NaN.
    """
    if isinstance(actions, Tensor):
        if actions.device.type != device.type or (
            None not in (actions.device.index, device.index)
            and actions.device.index != device.index
        ):
            raise UsageError(
                f"Actions are on {actions.device}, the environment is on {device}; "
                "actions.to(env.device) moves them."
            )
        if not is_dense(actions) or actions.is_complex():
            raise UsageError(
                f"Actions are {actions.layout} of {actions.dtype}; expected real numbers of shape "
                f"{shape}, dense."
            )
    elif isinstance(actions, np.ndarray) and actions.dtype.kind not in "biuf":
        raise UsageError(f"Actions are an array of {actions.dtype}; expected real numbers.")
    try:
        actions = torch.as_tensor(actions, dtype=torch.float32, device=device).detach()
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise UsageError(f"Actions are no numbers of shape {shape}: {error}.") from error
    if actions.shape != shape:
        raise UsageError(
            f"Actions have shape {tuple(actions.shape)}; expected {shape} = (num_envs, actions)."
        )
    if device.type == "cpu" and actions.isnan().any():
        where = actions.isnan().any(dim=1).nonzero()[:, 0].tolist()
        raise UsageError(
            f"The actions of {len(where)} environment(s) hold NaN, first of environment "
            f"{where[0]}; actions are numbers in [-1, 1]. Nothing was stepped."
        )
    return actions

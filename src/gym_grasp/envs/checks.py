"""What callers hand to an environment, checked before anything is done with it."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from gym_grasp.envs.judge import REWARDS
from gym_grasp.errors import UsageError, unknown
from gym_grasp.tasks.features import Feature

RESET_OPTIONS = ("reset_mask", "stagger")


def check_count(name: str, value: Any, least: int) -> None:
    """Raise `UsageError` unless a value is a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise UsageError(f"{name} is {value!r}; it must be a whole number.")
    if value < least:
        raise UsageError(f"{name} is {value}; it must be at least {least}.")


def check_batch(num_envs: Any, reward: Any, num_threads: Any, first_env: Any, mode: Any) -> None:
    """Raise `UsageError` for the first argument of `GraspVectorEnv` that is out of range."""
    check_count("num_envs", num_envs, 1)
    check_count("num_threads", num_threads, 0)
    check_count("first_env", first_env, 0)
    if reward not in REWARDS:
        raise unknown("reward", reward, REWARDS)
    if mode is not None:
        raise UsageError(
            f"render_mode is {mode!r}, but a batch draws nothing; `envs.render.Camera` draws one "
            "of its simulations, and `gymnasium.make` takes render_mode."
        )


def checked_device(device: Any) -> torch.device:
    """Return the device of a name; raises `UsageError` where there is none of it."""
    try:
        return torch.device(device)
    except (OverflowError, RuntimeError, TypeError, ValueError) as error:
        raise UsageError(f"Unknown device {device!r}. Known: cpu, cuda, cuda:<index>.") from error


def checked_seed(seed: Any) -> int:
    """Return the seed of a batch as an int; raises `UsageError` where it is no int64 from 0 on."""
    try:
        whole = int(seed)
        good = whole == seed and 0 <= whole < 2**63
    except (TypeError, ValueError):
        good = False
    if not good:
        raise UsageError(
            f"The seed is {seed!r}; expected a whole number in [0, 2**63), or a list of episode "
            "seeds, one for each environment."
        )
    return whole


def checked_episode_seeds(seeds: Sequence[Any]) -> Tensor:
    """Return a list of episode seeds as int64 (N,); raises `UsageError` where one is none."""
    return torch.tensor([checked_seed(seed) for seed in seeds], dtype=torch.int64)


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
    mask = torch.ones(num_envs, dtype=torch.bool, device=device)
    if options.get("reset_mask") is not None:
        mask = torch.as_tensor(options["reset_mask"], dtype=torch.bool, device=device)
    if mask.shape != (num_envs,):
        raise UsageError(
            f"reset_mask has shape {tuple(mask.shape)}; expected ({num_envs},) = (num_envs,)."
        )
    return mask, bool(options.get("stagger"))


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


def check_state(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    """Raise `UsageError` unless a state has the parts and shapes of an environment's own."""
    if not isinstance(state, Mapping):
        raise UsageError(f"The state is {state!r}; expected what get_state() returned.")
    for name, value in own.items():
        found = tuple(state[name].shape) if name in state else None
        if found != value.shape:
            raise UsageError(
                f"The state is of another environment: its '{name}' "
                f"{'is missing' if found is None else f'has shape {found}'}; "
                f"expected {tuple(value.shape)}."
            )


def checked_actions(actions: Any, shape: tuple[int, int], device: torch.device) -> Tensor:
    """Return actions as a float32 tensor (N, A) on a device, without their gradient.

    Raises:
        UsageError: they are no numbers, have another shape or, on the CPU, hold NaN.
    """
    try:
        actions = torch.as_tensor(actions, dtype=torch.float32, device=device).detach()
    except (TypeError, ValueError) as error:
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

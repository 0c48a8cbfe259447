"""One recorded episode, and the rules that it has to keep."""

import hashlib
import json
import math
from dataclasses import dataclass, field

import numpy as np

ACTION_SIZE = 11

Scalar = bool | int | float | str


@dataclass(frozen=True, eq=False)
class Episode:
    """One attempt at a task, from its start state to its end after T control steps.

    Rows of ``observations`` and ``states`` belong to moments (before the first step, then after
    every step: T + 1 of them); rows of everything else belong to steps (T of them).
    """

    observations: dict[str, np.ndarray]
    """Observed quantities by name, each of shape (T + 1, D), float32; units as in the task card."""
    actions: np.ndarray
    """Shape (T, 11), float32 in [-1, 1]: 3 translations, 3 rotations, 5 finger motions."""
    rewards: np.ndarray
    """Sparse reward, shape (T,), float32: 0 at success, -1 otherwise."""
    dense_rewards: np.ndarray
    """Dense reward, shape (T,), float32."""
    seed: int
    """The episode's own seed, below 2**63, from which its start state can be made again."""
    success: bool
    """Whether the last step reached the goal."""
    states: dict[str, np.ndarray] = field(default_factory=dict)
    """Full simulator states by name, each of shape (T + 1, ...), any real or integer type."""
    operator_input: dict[str, np.ndarray] = field(default_factory=dict)
    """What the operator sent, by channel, each of shape (T, ...); NaN where it sent none."""
    events: dict[str, Scalar] = field(default_factory=dict)
    """Scalars that describe the episode, such as the number of the operator's mistakes."""

    def __len__(self) -> int:
        """Return the number of control steps T."""
        return len(self.actions)

    def flat_observations(self) -> np.ndarray:
        """Return all observations side by side, keys sorted: shape (T + 1, O), float32."""
        return np.concatenate([self.observations[key] for key in sorted(self.observations)], axis=1)

    def digest(self) -> str:
        """Return the SHA-256, in hex, of everything that the episode holds."""
        digest = hashlib.sha256()
        scalars = [self.seed, self.success, dict(sorted(self.events.items()))]
        digest.update(json.dumps(scalars).encode())
        arrays = {
            "actions": self.actions,
            "rewards": self.rewards,
            "dense_rewards": self.dense_rewards,
            **{f"observations/{key}": value for key, value in self.observations.items()},
            **{f"states/{key}": value for key, value in self.states.items()},
            **{f"operator_input/{key}": value for key, value in self.operator_input.items()},
        }
        for name, value in sorted(arrays.items()):
            digest.update(f"{name} {value.dtype.str} {value.shape} ".encode())
            digest.update(np.ascontiguousarray(value).data)
        return digest.hexdigest()

    def check(self, layout: dict[str, int]) -> None:
        """Raise ValueError at the first rule that the episode breaks.

        Args:
            layout: name and width of every observation that the episode has to hold.
        """
        steps = len(self.actions)
        if steps == 0:
            raise ValueError("the episode has no steps")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"the seed is {self.seed}, but has to lie in [0, 2**63)")
        if set(self.observations) != set(layout):
            raise ValueError(
                f"the observations are {sorted(self.observations)}, expected {sorted(layout)}"
            )
        for key, width in layout.items():
            _check_array(f"observation '{key}'", self.observations[key], (steps + 1, width))
        _check_array("actions", self.actions, (steps, ACTION_SIZE))
        outside = np.abs(self.actions).max()
        if outside > 1:
            raise ValueError(f"an action is {outside:g} in size, but has to lie in [-1, 1]")
        _check_array("rewards", self.rewards, (steps,))
        _check_array("dense_rewards", self.dense_rewards, (steps,))
        expected = np.full(steps, -1.0, dtype=np.float32)
        expected[-1] = 0.0 if self.success else -1.0
        if not np.array_equal(self.rewards, expected):
            raise ValueError(
                "the sparse rewards have to be -1 at every step and 0 at the last one of a success"
            )
        for key, value in self.states.items():
            _check_rows(f"state '{key}'", value, steps + 1)
            if value.dtype.kind == "f" and not np.isfinite(value).all():
                raise ValueError(f"state '{key}' holds NaN or infinity")
        for key, value in self.operator_input.items():
            _check_rows(f"operator input '{key}'", value, steps)
        for key, scalar in self.events.items():
            if not isinstance(scalar, Scalar):
                raise ValueError(f"event '{key}' is a {type(scalar).__name__}, not a plain scalar")
            if isinstance(scalar, float) and not math.isfinite(scalar):
                raise ValueError(f"event '{key}' is {scalar}, not a finite number")


def split_observations(flat: np.ndarray, layout: dict[str, int]) -> dict[str, np.ndarray]:
    """Cut flat observations (..., O) into named ones (..., D), keys in sorted order.

    >>> parts = split_observations(np.array([[1.0, 2.0, 3.0]]), {"b": 1, "a": 2})
    >>> parts["a"].tolist(), parts["b"].tolist()
    ([[1.0, 2.0]], [[3.0]])
    """
    keys = sorted(layout)
    total = sum(layout.values())
    if flat.shape[-1] != total:
        raise ValueError(
            f"observations are {flat.shape[-1]} wide, but the layout adds up to {total}"
        )
    ends = np.cumsum([layout[key] for key in keys])
    return dict(zip(keys, np.split(flat, ends[:-1], axis=-1), strict=True))


def _check_array(name: str, value: np.ndarray, shape: tuple[int, ...]) -> None:
    if value.shape != shape or value.dtype != np.float32:
        raise ValueError(
            f"{name}: expected float32 of shape {shape}, got {value.dtype} of {value.shape}"
        )
    if not np.isfinite(value).all():
        raise ValueError(
            f"{name}: NaN or infinity in row {int(np.argwhere(~np.isfinite(value))[0][0])}"
        )


def _check_rows(name: str, value: np.ndarray, rows: int) -> None:
    if "/" in name:
        raise ValueError(f"{name}: a name must not contain '/'")
    if value.dtype.kind not in "fbiu" or value.dtype.itemsize > 8:
        raise ValueError(f"{name}: cannot hold values of type {value.dtype}")
    if value.ndim == 0 or len(value) != rows:
        raise ValueError(f"{name}: expected {rows} rows, got shape {value.shape}")

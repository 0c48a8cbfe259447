"""One recorded episode, and the rules that it has to keep."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from gym_grasp.tasks.features import Feature, Packer

Scalar = bool | int | float | str

ORIGINS = ("recorded", "multiplied", "retargeted")


@dataclass(frozen=True)
class Origin:
    """How episodes came about.

    Raises:
        ValueError: at construction, where the kind is not one of `ORIGINS`.
    """

    kind: str = "recorded"
    """`recorded`: someone acted; `multiplied`: made from other episodes of the same robot;
    `retargeted`: made from those of another robot."""
    source: tuple[str, ...] = ()
    """What they were made from: fingerprints or paths of datasets."""

    def __post_init__(self) -> None:
        """Check the kind."""
        if self.kind not in ORIGINS:
            raise ValueError(f"the origin is '{self.kind}'; known: {', '.join(ORIGINS)}")
        object.__setattr__(self, "source", tuple(self.source))


@dataclass(frozen=True, eq=False)
class Episode:
    """One attempt at a task, from its start state to its end after T control steps.

    Rows of `observations` and `states` belong to moments (before the first step, then after every
    step: T + 1 of them); rows of everything else belong to steps (T of them).
    """

    observations: dict[str, np.ndarray]
    """Observed quantities by key, each of shape (T + 1, *feature.shape) and the feature's dtype."""
    actions: np.ndarray
    """Shape (T, A), float32 in [-1, 1]: see `DatasetMeta.action_names`."""
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
    fields: dict[str, np.ndarray] = field(default_factory=dict)
    """Model fields that were drawn for this episode, by MjModel's names, e.g. `geom_friction`."""
    operator_input: dict[str, np.ndarray] = field(default_factory=dict)
    """What the operator sent, by channel, each of shape (T, ...); NaN where it sent none."""
    events: dict[str, Scalar] = field(default_factory=dict)
    """Scalars that describe the episode, such as the number of the operator's mistakes."""
    origin: Origin | None = None
    """How it came about; None: as its dataset says."""

    def __len__(self) -> int:
        """Return the number of control steps T."""
        return len(self.actions)

    def flat_observations(self, packer: Packer) -> np.ndarray:
        """Return the observations of a group side by side, as `packer` packs them.

        Returns:
            Keys sorted. Shape (T + 1, O), float32.
        """
        return packer.pack(self.observations)

    def digest(self) -> str:
        """Return the SHA-256, in hex, of everything that the episode holds."""
        digest = hashlib.sha256()
        origin = self.origin and [self.origin.kind, *self.origin.source]
        scalars = [self.seed, self.success, dict(sorted(self.events.items())), origin]
        digest.update(json.dumps(scalars).encode())
        arrays = {
            "actions": self.actions,
            "rewards": self.rewards,
            "dense_rewards": self.dense_rewards,
            **{f"observations/{key}": value for key, value in self.observations.items()},
            **{f"states/{key}": value for key, value in self.states.items()},
            **{f"fields/{key}": value for key, value in self.fields.items()},
            **{f"operator_input/{key}": value for key, value in self.operator_input.items()},
        }
        for name, value in sorted(arrays.items()):
            digest.update(f"{name} {value.dtype.str} {value.shape} ".encode())
            digest.update(np.ascontiguousarray(value).data)
        return digest.hexdigest()

    def check(self, features: Mapping[str, Feature], action_size: int) -> None:
        """Raise ValueError at the first rule that the episode breaks.

        Args:
            features: every observation that the episode has to hold.
            action_size: number of actions A.
        """
        steps = len(self.actions)
        if steps == 0:
            raise ValueError("the episode has no steps")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"the seed is {self.seed}, but has to lie in [0, 2**63)")
        if set(self.observations) != set(features):
            raise ValueError(
                f"the observations are {sorted(self.observations)}, expected {sorted(features)}"
            )
        for key, feature in features.items():
            shape = (steps + 1, *feature.shape)
            _check_array(f"observation '{key}'", self.observations[key], shape, feature.dtype)
        _check_array("actions", self.actions, (steps, action_size))
        outside = np.abs(self.actions).max()
        if outside > 1:
            raise ValueError(f"an action is {outside:g} in size, but has to lie in [-1, 1]")
        _check_array("rewards", self.rewards, (steps,))
        _check_array("dense_rewards", self.dense_rewards, (steps,))
        if not np.array_equal(self.rewards, sparse_rewards(steps, self.success)):
            raise ValueError(
                "the sparse rewards have to be -1 at every step and 0 at the last one of a success"
            )
        for key, value in self.states.items():
            _check_rows(f"state '{key}'", value, steps + 1)
            _check_finite(f"state '{key}'", value)
        for key, value in self.fields.items():
            _check_type(f"field '{key}'", value)
            _check_finite(f"field '{key}'", value)
        for key, value in self.operator_input.items():
            _check_rows(f"operator input '{key}'", value, steps)
        for key, scalar in self.events.items():
            if not isinstance(scalar, Scalar):
                raise ValueError(f"event '{key}' is a {type(scalar).__name__}, not a plain scalar")
            if isinstance(scalar, float) and not math.isfinite(scalar):
                raise ValueError(f"event '{key}' is {scalar}, not a finite number")


def sparse_rewards(steps: int, success: bool) -> np.ndarray:
    """Return the sparse rewards of an episode: -1, and 0 at the end of a success. Shape (T,)."""
    rewards = np.full(steps, -1.0, dtype=np.float32)
    rewards[-1] = 0.0 if success else -1.0
    return rewards


def _check_array(
    name: str, value: np.ndarray, shape: tuple[int, ...], dtype: str = "float32"
) -> None:
    if value.shape != shape or value.dtype != dtype:
        raise ValueError(
            f"{name}: expected {dtype} of shape {shape}, got {value.dtype} of {value.shape}"
        )
    _check_finite(name, value)


def _check_finite(name: str, value: np.ndarray) -> None:
    if value.dtype.kind == "f" and not np.isfinite(value).all():
        row = int(np.argwhere(~np.isfinite(value))[0][0]) if value.ndim else 0
        raise ValueError(f"{name}: NaN or infinity in row {row}")


def _check_type(name: str, value: np.ndarray) -> None:
    if "/" in name:
        raise ValueError(f"{name}: a name must not contain '/'")
    if value.dtype.kind not in "fbiu" or value.dtype.itemsize > 8:
        raise ValueError(f"{name}: cannot hold values of type {value.dtype}")


def _check_rows(name: str, value: np.ndarray, rows: int) -> None:
    _check_type(name, value)
    if value.ndim == 0 or len(value) != rows:
        raise ValueError(f"{name}: expected {rows} rows, got shape {value.shape}")

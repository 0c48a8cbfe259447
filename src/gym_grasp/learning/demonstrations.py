"""Demonstrations as training tensors, and the sampler that hands them out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gym_grasp.demos.reader import Dataset
from gym_grasp.errors import DatasetError
from gym_grasp.learning.env import Environment
from gym_grasp.learning.fit import check_fit

Episode = tuple[Any, Any]
"""Observations (T+1, O) and actions (T, A) of one episode, arrays or tensors."""


@dataclass(frozen=True)
class Demonstrations:
    """Pairs of observation and action, the held-out ones apart."""

    observations: Tensor
    """Shape (M, O)."""
    actions: Tensor
    """Shape (M, A), in [−1, 1]."""
    valid_observations: Tensor
    """Shape (V, O); V may be 0."""
    valid_actions: Tensor
    """Shape (V, A)."""
    fingerprint: str
    """Identifies the dataset; a run resumes only with the dataset it began with."""

    def __post_init__(self) -> None:
        """Raise `DatasetError` where shapes do not fit or a value is not finite."""
        if self.observations.ndim != 2 or len(self.observations) == 0:
            raise DatasetError(
                f"Demonstrations have observations of shape {tuple(self.observations.shape)}; "
                "at least one training pair of shape (M, O) is needed."
            )
        for name in ("observations", "actions", "valid_observations", "valid_actions"):
            tensor = getattr(self, name)
            partner = getattr(self, name.replace("valid_", ""))
            rows = self.valid_observations if name.startswith("valid_") else self.observations
            if tensor.ndim != 2 or tensor.shape != (len(rows), partner.shape[-1]):
                raise DatasetError(
                    f"Demonstration {name} have shape {tuple(tensor.shape)}; "
                    f"expected ({len(rows)}, {partner.shape[-1]})."
                )
            if not bool(torch.isfinite(tensor).all()):
                raise DatasetError(f"Demonstration {name} hold NaN or infinity; record them anew.")

    @classmethod
    def from_dataset(
        cls, dataset: Dataset, chosen: Sequence[int] | None = None
    ) -> "Demonstrations":
        """Take a dataset's training episodes, or the chosen ones instead, and the held-out ones.

        Args:
            dataset: The dataset.
            chosen: Indices of the episodes to train on; by default the whole training split. The
                choice is part of the fingerprint.

        Raises:
            DatasetError: If there are no training episodes or they hold NaN or infinity.
        """
        fingerprint = dataset.fingerprint
        if chosen is None:
            chosen = dataset.train_indices
        else:
            fingerprint += f"[{','.join(map(str, chosen))}]"
        return cls.from_episodes(
            dataset.flat(chosen), dataset.flat(dataset.valid_indices), fingerprint
        )

    @classmethod
    def from_episodes(
        cls, train: Sequence[Episode], valid: Sequence[Episode], fingerprint: str
    ) -> "Demonstrations":
        """Join episodes; the last observation of each has no action and is left out.

        Raises:
            DatasetError: If there is none to train on, sizes do not fit or a value is not finite.
        """
        if not train:
            raise DatasetError("The dataset has no training episodes; record some first.")
        observations, actions = _join(train)
        if valid:
            valid_observations, valid_actions = _join(valid)
        else:
            valid_observations, valid_actions = observations[:0], actions[:0]
        return cls(observations, actions, valid_observations, valid_actions, fingerprint)

    def check(self, env: Environment) -> None:
        """Raise `DatasetError` unless they have the environment's sizes."""
        found = (self.observations.shape[1], self.actions.shape[1])
        expected = (env.observation_size, env.action_size)
        if found != expected:
            raise DatasetError(
                f"The demonstrations hold {found[0]} observed values and {found[1]} actions, the "
                f"task '{env.task_name}' has {expected[0]} and {expected[1]}; record "
                "demonstrations of this task and version."
            )

    def to(self, device: torch.device) -> "Demonstrations":
        """Return the same demonstrations on a device."""
        return Demonstrations(
            self.observations.to(device),
            self.actions.to(device),
            self.valid_observations.to(device),
            self.valid_actions.to(device),
            self.fingerprint,
        )


class DemonstrationSampler:
    """Hands out training pairs in random order, in each pass over them none twice.

    The pairs that no longer fill a batch at the end of a pass are left out of it.
    It has a random generator of its own, so that demonstrations do not disturb exploration.
    """

    def __init__(self, demonstrations: Demonstrations, batch_size: int, seed: int) -> None:
        self.demonstrations = demonstrations
        self.batch_size = min(batch_size, len(demonstrations.observations))
        self.batches_per_pass = len(demonstrations.observations) // self.batch_size
        self._device = demonstrations.observations.device
        self._generator = torch.Generator(self._device).manual_seed(seed)
        self._shuffle()

    def draw(self) -> Tensor:
        """Return the next batch's rows of the demonstrations. Shape (B,), int64."""
        if self._position == self.batches_per_pass:
            self._shuffle()
        start = self._position * self.batch_size
        self._position += 1
        return self._order[start : start + self.batch_size]

    def state_dict(self) -> dict[str, Any]:
        """Return what continuing bit for bit needs."""
        return {
            "order": self._order,
            "position": self._position,
            "generator": self._generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned; raises `ValueError` where it is another's."""
        own, position = self.state_dict(), state["position"]
        for name in ("order", "generator"):
            check_fit(state[name], own[name], name)
        if not torch.equal(state["order"].sort().values.cpu(), torch.arange(len(own["order"]))):
            raise ValueError("order has to name each pair once")
        if type(position) is not int or not 0 <= position <= self.batches_per_pass:
            raise ValueError(f"position is {position!r}; there are {self.batches_per_pass} batches")
        self._order = state["order"].to(self._device)
        self._position = position
        self._generator.set_state(state["generator"])

    def _shuffle(self) -> None:
        count = len(self.demonstrations.observations)
        self._order = torch.randperm(count, generator=self._generator, device=self._device)
        self._position = 0


def _join(episodes: Sequence[Episode]) -> tuple[Tensor, Tensor]:
    observations, actions = [], []
    for index, (observed, acted) in enumerate(episodes):
        if len(observed) != len(acted) + 1:
            raise DatasetError(
                f"Episode {index} has {len(observed)} observations and {len(acted)} actions; "
                "an episode has one observation more than actions."
            )
        observations.append(torch.as_tensor(np.asarray(observed)[:-1], dtype=torch.float32))
        actions.append(torch.as_tensor(np.asarray(acted), dtype=torch.float32))
    return torch.cat(observations), torch.cat(actions)

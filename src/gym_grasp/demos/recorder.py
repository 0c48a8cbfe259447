"""From the steps of a batch of environments to episodes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from gym_grasp.demos.episode import Episode, Scalar, sparse_rewards
from gym_grasp.envs.state import FIELD
from gym_grasp.envs.vector import GraspVectorEnv


class EpisodeRecorder:
    """Collects what happens in every environment of a batch until its episode ends.

    Args:
        env: the environments, just reset, without autoreset.
    """

    def __init__(self, env: GraspVectorEnv) -> None:
        self._env = env
        self._seeds = env.episode_seed.tolist()
        state = env.get_state()
        self._fields = {
            name.removeprefix(FIELD): _host(values)
            for name, values in state.items()
            if name.startswith(FIELD)
        }
        self._states = {name: _Rows() for name in state if not name.startswith(FIELD)}
        self._flat = _Rows()
        self._flat.add(env.observation())
        self._beside = {key: _Rows() for key in env.features if key not in env.packer.layout}
        """Features that are not in the flat observation: critics', cameras', …"""
        self._look()
        self._actions, self._dense = _Rows(), _Rows()
        self._inputs: dict[str, _Rows] = {}
        self.running = np.ones(env.num_envs, dtype=bool)
        """Environments whose episode has not ended. Shape (N,)."""
        self._success = np.zeros(env.num_envs, dtype=bool)
        self._lengths = np.zeros(env.num_envs, dtype=int)

    def __len__(self) -> int:
        """Return the number of control steps so far."""
        return len(self._actions)

    def add(
        self, actions: Tensor, info: Mapping[str, Any], operator_input: Mapping[str, np.ndarray]
    ) -> list[int]:
        """Take in a step that was just made; return in which environments it ended the episode.

        Args:
            actions: what was done. Shape (N, A).
            info: what the environment's `step` said of it.
            operator_input: what the operator sent, by channel, each (N, ...).
        """
        self._actions.add(actions)
        self._dense.add(info["dense_reward"])
        self._flat.add(info["final_obs"])
        for key, value in operator_input.items():
            self._inputs.setdefault(key, _Rows()).add(value)
        self._look()
        self._lengths += self.running
        self._success |= self.running & _host(info["success"])
        ended = self.running & _host(info["_final_obs"])
        self.running &= ~ended
        return np.flatnonzero(ended).tolist()

    def episode(self, index: int, events: dict[str, Scalar]) -> Episode:
        """Return the episode of an environment, as far as it went.

        Args:
            index: which environment.
            events: what else is to be said of it.
        """
        end, success = int(self._lengths[index]), bool(self._success[index])

        def moments(rows: Mapping[str, _Rows]) -> dict[str, np.ndarray]:
            return {key: one.of(index, end + 1) for key, one in rows.items()}

        seen = self._env.packer.unpack(self._flat.of(index, end + 1))
        return Episode(
            observations={**seen, **moments(self._beside)},
            actions=self._actions.of(index, end),
            rewards=sparse_rewards(end, success),
            dense_rewards=self._dense.of(index, end),
            seed=self._seeds[index],
            success=success,
            states=moments(self._states),
            fields={name: values[index] for name, values in self._fields.items()},
            operator_input={key: rows.of(index, end) for key, rows in self._inputs.items()},
            events=events,
        )

    def _look(self) -> None:
        state = self._env.get_state()
        for name, rows in self._states.items():
            rows.add(state[name])
        if self._beside:
            seen = self._env.observe()
            for key, rows in self._beside.items():
                rows.add(seen[key])


class _Rows:
    """What one quantity is in all environments, step by step."""

    def __init__(self) -> None:
        self._values = np.empty((0, 0))
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, value: Tensor | np.ndarray) -> None:
        """Take in the values of a step, copied, since some are live. Shape (N, …)."""
        value = value.cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
        if self._count == len(self._values):
            more = np.empty((max(64, 2 * self._count), *value.shape), value.dtype)
            if self._count:
                more[: self._count] = self._values
            self._values = more
        self._values[self._count] = value
        self._count += 1

    def of(self, index: int, end: int) -> np.ndarray:
        """Return the first rows of an environment. Shape (end, …)."""
        return self._values[:end, index].copy()


def _host(value: Tensor) -> np.ndarray:
    """Return a copy: some tensors are live."""
    return np.array(value.cpu())

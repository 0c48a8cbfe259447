"""From the steps of a batch of environments to episodes."""

from collections.abc import Mapping, Sequence
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
        self._states = {
            name: [_host(values)] for name, values in state.items() if not name.startswith(FIELD)
        }
        self._flat = [_host(env.observation())]
        self._beside: dict[str, list[np.ndarray]] = {
            key: [] for key in env.features if key not in env.packer.layout
        }
        """Features that are not in the flat observation: critics', cameras', …"""
        self._look()
        self._actions: list[np.ndarray] = []
        self._dense: list[np.ndarray] = []
        self._inputs: dict[str, list[np.ndarray]] = {}
        self.running = np.ones(env.num_envs, dtype=bool)
        """Environments whose episode has not ended. Shape (N,)."""
        self._success = np.zeros(env.num_envs, dtype=bool)
        self._lengths = np.zeros(env.num_envs, dtype=int)

    def __len__(self) -> int:
        """Return the number of control steps so far."""
        return len(self._actions)

    def add(
        self, actions: Tensor, info: Mapping[str, Any], operator_input: Mapping[str, np.ndarray]
    ) -> None:
        """Take in a step that was just made.

        Args:
            actions: what was done. Shape (N, A).
            info: what the environment's `step` said of it.
            operator_input: what the operator sent, by channel, each (N, ...).
        """
        self._actions.append(_host(actions))
        self._dense.append(_host(info["dense_reward"]))
        self._flat.append(_host(info["final_obs"]))
        for key, value in operator_input.items():
            self._inputs.setdefault(key, []).append(np.array(value))
        state = self._env.get_state()
        for name, rows in self._states.items():
            rows.append(_host(state[name]))
        self._look()
        self._lengths += self.running
        self._success |= self.running & _host(info["success"])
        self.running &= ~_host(info["_final_obs"])

    def episodes(self, events: Sequence[dict[str, Scalar]]) -> list[Episode]:
        """Return one episode per environment, each as far as it went, in their order.

        Args:
            events: what else is to be said of each of them.
        """
        moments = {**self._env.packer.unpack(np.stack(self._flat)), **_stacked(self._beside)}
        states, inputs = _stacked(self._states), _stacked(self._inputs)
        actions, dense = np.stack(self._actions), np.stack(self._dense)
        return [
            Episode(
                observations={key: rows[: end + 1, index] for key, rows in moments.items()},
                actions=actions[:end, index],
                rewards=sparse_rewards(end, success),
                dense_rewards=dense[:end, index],
                seed=self._seeds[index],
                success=success,
                states={key: rows[: end + 1, index] for key, rows in states.items()},
                fields={name: values[index] for name, values in self._fields.items()},
                operator_input={key: rows[:end, index] for key, rows in inputs.items()},
                events=events[index],
            )
            for index, (end, success) in enumerate(
                zip(self._lengths.tolist(), self._success.tolist(), strict=True)
            )
        ]

    def _look(self) -> None:
        if self._beside:
            seen = self._env.observe()
            for key, rows in self._beside.items():
                rows.append(_host(seen[key]))


def _host(value: Tensor) -> np.ndarray:
    """Return a copy: some tensors are live."""
    return np.array(value.cpu())


def _stacked(rows: Mapping[str, list[np.ndarray]]) -> dict[str, np.ndarray]:
    return {key: np.stack(values) for key, values in rows.items()}

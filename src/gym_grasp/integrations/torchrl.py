"""The environment as TorchRL's collectors take it (`pip install gym-grasp[torchrl]`)."""

from typing import Any

import torch
from torch import Tensor

from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import DependencyError, UsageError

try:
    from tensordict import TensorDict, TensorDictBase
    from torchrl.data import Binary, Bounded, Composite, Unbounded
    from torchrl.envs import EnvBase
except ImportError as error:
    raise DependencyError(
        f"The adapter needs TorchRL, and '{error.name}' is not installed; "
        "pip install 'gym-grasp[torchrl]'."
    ) from error


class TorchRLEnv(EnvBase):
    """A `GraspVectorEnv` without autoreset, which TorchRL does itself, as one batched environment.

    Tensors stay on their device. Beside the observation stands `success`, (N, 1) bool.

    Args:
        env: the environments, made with `autoreset=False`.
        seed: of their episodes.

    Raises:
        UsageError: they have autoreset.
    """

    def __init__(self, env: GraspVectorEnv, seed: int = 0) -> None:
        if env.autoreset:
            raise UsageError("TorchRL resets by itself; make them with autoreset=False.")
        size = torch.Size([env.num_envs])
        super().__init__(device=env.device, batch_size=size)
        self.env = env
        self._begin: dict[str, Any] = {"seed": seed}
        place = {"device": env.device, "dtype": torch.float32}
        acted, single = (*size, env.action_size), (*size, 1)
        self.action_spec = Bounded(-1.0, 1.0, shape=acted, **place)
        self.observation_spec = Composite(
            observation=Unbounded(shape=(*size, env.observation_size), **place),
            success=Binary(1, shape=single, device=env.device, dtype=torch.bool),
            shape=size,
        )
        self.reward_spec = Unbounded(shape=single, **place)
        flag = Binary(1, shape=single, device=env.device, dtype=torch.bool)
        self.done_spec = Composite(
            done=flag, terminated=flag.clone(), truncated=flag.clone(), shape=size
        )

    def _reset(self, tensordict: TensorDictBase | None = None, **_: Any) -> TensorDictBase:
        mask = None if tensordict is None else tensordict.get("_reset", None)
        options = None if mask is None else {"reset_mask": mask[:, 0]}
        observation, _info = self.env.reset(**self._begin, options=options)
        self._begin = {}
        none = torch.zeros(self.env.num_envs, dtype=torch.bool, device=self.env.device)
        return self._told(observation, none, none, none)

    def _step(self, tensordict: TensorDictBase) -> TensorDictBase:
        observation, reward, terminated, truncated, info = self.env.step(tensordict["action"])
        told = self._told(observation, info["success"], terminated, truncated)
        return told.set("reward", reward[:, None])

    def _set_seed(self, seed: int | None) -> None:
        self._begin = {"seed": seed}

    def _told(
        self, observation: Tensor, success: Tensor, terminated: Tensor, truncated: Tensor
    ) -> TensorDict:
        flags = {
            "success": success,
            "terminated": terminated,
            "truncated": truncated,
            "done": terminated | truncated,
        }
        told = {"observation": observation, **{k: v[:, None] for k, v in flags.items()}}
        return TensorDict(told, batch_size=self.batch_size, device=self.device)

    def close(self, *, raise_if_closed: bool = True) -> None:
        """Free the engine."""
        self.env.close()
        super().close(raise_if_closed=raise_if_closed)

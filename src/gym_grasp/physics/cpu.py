"""The CPU engine: `mujoco.batch`, thousands of simulations on a thread pool."""

import copy
import os

import mujoco
import numpy as np
import torch
from mujoco.batch import Batch, SimulationError
from torch import Tensor

from gym_grasp.physics.base import (
    KINEMATIC_FIELDS,
    MAX_SPEED,
    STATE_FIELDS,
    Physics,
    not_kept,
)
from gym_grasp.physics.fields import CONSTANT_INPUTS, POSE_FIELDS
from gym_grasp.physics.memory import check_memory

_BAD_STATE = [
    int(warning)
    for warning in (
        mujoco.mjtWarning.mjWARN_BADQPOS,
        mujoco.mjtWarning.mjWARN_BADQVEL,
        mujoco.mjtWarning.mjWARN_BADQACC,
    )
]


class CpuPhysics(Physics):
    """Simulations on all cores; results do not depend on the number of threads.

    Args:
        model: the compiled scene.
        num_envs: number of simulations.
        num_threads: size of the thread pool; 0 takes every core this process may run on.

    Raises:
        UsageError: so many do not fit into the memory that is free.
    """

    dtype = torch.float64

    def __init__(self, model: mujoco.MjModel, num_envs: int, num_threads: int = 0) -> None:
        check_memory(model, num_envs)
        super().__init__(model, num_envs, torch.device("cpu"))
        threads = num_threads or len(os.sched_getaffinity(0))
        self._batch = Batch(model, num_envs, threads)
        # What is derived lags a substep behind a step. Another batch, which knows no contacts,
        # derives it anew from the positions: cheaper than a stage more of the first one.
        kinematics = copy.copy(model)
        kinematics.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_CONSTRAINT)
        self._kinematics = Batch(kinematics, num_envs, threads)
        self._bound: dict[str, tuple[np.ndarray, np.ndarray, Tensor]] = {}
        self._qvel = self._batch.bind("qvel")
        self._warnings = self._batch.warning[:, :, 1]
        self._batch.reset(stage=mujoco.mjtStage.mjSTAGE_NONE)

    def bind(self, field: str) -> Tensor:
        if field not in self._bound:
            if field in KINEMATIC_FIELDS:
                source = self._kinematics.bind(field)
            elif field in STATE_FIELDS:
                source = self._batch.bind(field)
            else:
                raise not_kept(field)
            values = np.zeros(source.shape, np.float32)
            self._bound[field] = source, values, torch.from_numpy(values)
            self._refresh()
        return self._bound[field][2]

    def step(self, ctrl: Tensor, substeps: int) -> None:
        self._batch.ctrl[:] = ctrl.numpy()
        if self._warnings.any():
            self._warnings[:, _BAD_STATE] = 0
        broken = np.zeros(self.num_envs, dtype=bool)
        try:
            self._batch.step(nstep=substeps)
        except SimulationError as error:  # the other simulations ran to completion
            broken[error.ids] = True
        # MuJoCo resets a simulation that it finds broken, and counts it as a warning.
        if self._warnings.any():
            broken |= self._warnings[:, _BAD_STATE].any(axis=1)
        if not np.abs(self._qvel).max() < MAX_SPEED:  # also where it is NaN
            broken |= ~(np.abs(self._qvel) < MAX_SPEED).all(axis=1)
        self.diverged = torch.from_numpy(broken)
        self._refresh()

    def reset(self, mask: Tensor, qpos: Tensor) -> None:
        self._check_model()
        ids = np.flatnonzero(mask.numpy())
        if ids.size == 0:
            return
        self._batch.reset(ids, stage=mujoco.mjtStage.mjSTAGE_NONE)
        self._batch.qpos[ids] = qpos.numpy()[ids]
        self._refresh(ids)

    def get_state(self) -> Tensor:
        return torch.from_numpy(self._batch.state.copy())

    def set_state(self, state: Tensor) -> None:
        self._check_model()
        self._batch.state[:] = state.numpy()
        self._refresh()

    def close(self) -> None:
        super().close()
        # Without a reference left their threads end at once, and a fork of this process is safe.
        self._live.clear()
        self._bound.clear()
        for name in ("_qvel", "_warnings", "_batch", "_kinematics"):
            self.__dict__.pop(name, None)

    def _expand(self, name: str) -> Tensor:
        return torch.from_numpy(self._batch.expand(name))

    def _follow(self, name: str, mask: Tensor) -> None:
        ids = np.flatnonzero(mask.numpy())
        batches = [self._batch]
        if name in POSE_FIELDS:
            self._kinematics.expand(name)[ids] = self._batch.expand(name)[ids]
            batches.append(self._kinematics)
        if name in CONSTANT_INPUTS:
            for batch in batches:
                batch.set_const(ids)

    def _refresh(self, ids: np.ndarray | None = None) -> None:
        rows = slice(None) if ids is None else ids
        self._kinematics.qpos[rows] = self._batch.qpos[rows]
        self._kinematics.forward(ids, stage=mujoco.mjtStage.mjSTAGE_POS)
        for source, values, _ in self._bound.values():
            values[rows] = source[rows]

"""A person's grip on a body: a spring between it and where they pull, as MuJoCo's viewer has it."""

from dataclasses import dataclass

import mujoco
import numpy as np
import torch

from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.view.look import Looker

STATE = mujoco.mjtState.mjSTATE_INTEGRATION
FARTHEST = 3.0
"""Nobody reaches farther from the point that is held, in [m]."""


@dataclass(frozen=True, eq=False)
class Grip:
    """Where a body is held, and where to it is pulled."""

    body: int
    """Of the model."""
    point: np.ndarray
    """In the body's frame, in [m]. Shape (3,)."""
    to: np.ndarray
    """In the world, in [m]. Shape (3,)."""


def fixed(model: mujoco.MjModel, body: int) -> bool:
    """Return whether a body cannot be moved at all."""
    return int(model.body_weldid[body]) == 0


def pull(env: GraspVectorEnv, looker: Looker, grip: Grip | None) -> None:
    """Let a grip act in the physics steps that follow, until it is called again.

    The spring is MuJoCo's (`mjv_applyPerturbForce`): critically damped, and as strong as the
    scene's `stiffness` makes it for what the body seems to weigh there.

    Args:
        env: one environment of the CPU engine.
        looker: at it.
        grip: None lets go.
    """
    looker.settle()
    model, data = looker.model, looker.data
    data.xfrc_applied[:] = 0.0
    if grip is not None:
        held = data.xpos[grip.body] + data.xmat[grip.body].reshape(3, 3) @ grip.point
        way = grip.to - held
        spring = mujoco.MjvPerturb()
        spring.select, spring.active = grip.body, int(mujoco.mjtPertBit.mjPERT_TRANSLATE)
        spring.localpos = grip.point
        spring.localmass = _mass(model, data, grip.body, held)
        spring.refselpos = held + way * min(1.0, FARTHEST / max(1e-9, float(np.linalg.norm(way))))
        mujoco.mjv_applyPerturbForce(model, data, spring)
    state = np.empty(mujoco.mj_stateSize(model, STATE))
    mujoco.mj_getState(model, data, state, STATE)
    env.physics.set_state(torch.from_numpy(state[None]))


def _mass(model: mujoco.MjModel, data: mujoco.MjData, body: int, point: np.ndarray) -> float:
    """Return what a body seems to weigh where it is held, on average over directions, in [kg]."""
    jacobian, moved = np.zeros((3, model.nv)), np.zeros((3, model.nv))
    mujoco.mj_jac(model, data, jacobian, None, point, body)
    mujoco.mj_solveM(model, data, moved, jacobian)
    return 3.0 / max(mujoco.mjMINVAL, float((moved * jacobian).sum()))

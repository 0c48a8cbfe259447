"""Poses in which an object comes to rest on the table, found by dropping it."""

import mujoco
import numpy as np

from gym_grasp.errors import UsageError

DROP_AT = (0.6, 0.45)
"""Where the object is dropped, aside of the robot's starting pose: x and y in m."""
GAP = 0.02
"""Smallest fall of the object's farthest point, in m."""
LONGEST = 4.0
"""Time in which a dropped object has to come to rest, in s."""
AT_REST = 0.05
"""Speed, in m/s and rad/s, below which it counts as resting."""
CALM = 30
"""Consecutive physics steps below `AT_REST` that make it rest."""

TRIES = 2
"""Drops for each pose wanted, at most."""


def settled_poses(
    model: mujoco.MjModel, joint: str, qpos: np.ndarray, count: int, seed: int = 0
) -> np.ndarray:
    """Drop the object of a free joint from random orientations and see how it comes to rest.

    Args:
        model: the scene.
        joint: the object's free joint.
        qpos: a configuration of the scene at rest, shape (nq,); the robot holds it.
        count: number of poses. A drop that has not come to rest in time is repeated.
        seed: of the orientations.

    Returns:
        Height of the object's frame above the table in m, and its quaternion. Shape (count, 5).

    Raises:
        UsageError: it hardly ever comes to rest.
    """
    rng = np.random.default_rng(seed)
    data = mujoco.MjData(model)
    free = model.joint(joint)
    address, velocity = int(free.qposadr[0]), int(free.dofadr[0])
    held = model.jnt_qposadr[model.actuator_trnid[:, 0]]
    geoms = np.flatnonzero(model.geom_bodyid == free.bodyid[0])
    reach = max(np.linalg.norm(model.geom_pos[geoms], axis=1) + model.geom_rbound[geoms])
    poses: list[np.ndarray] = []
    for _ in range(TRIES * count):
        orientation = rng.normal(size=4)
        mujoco.mj_resetData(model, data)
        data.qpos[:] = qpos
        data.qpos[address : address + 3] = *DROP_AT, reach + GAP
        data.qpos[address + 3 : address + 7] = orientation / np.linalg.norm(orientation)
        data.ctrl[:] = qpos[held]
        calm = 0
        while calm < CALM and data.time < LONGEST:
            mujoco.mj_step(model, data)
            slow = np.abs(data.qvel[velocity : velocity + 6]).max() < AT_REST
            calm = calm + 1 if slow else 0
        if calm == CALM:
            poses.append(data.qpos[address + 2 : address + 7].copy())
        if len(poses) == count:
            return np.array(poses)
    raise UsageError(
        f"The object came to rest in only {len(poses)} of {TRIES * count} drops of {LONGEST} s; "
        "give its geoms more mass, or rolling friction."
    )

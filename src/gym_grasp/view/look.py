"""What there is to see of one environment, as it is now."""

import copy
from dataclasses import dataclass

import mujoco
import numpy as np

from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.robots.base import MOUNT_BODY
from gym_grasp.teleop.hand import frames
from gym_grasp.teleop.haptics.forces import FingertipForces
from gym_grasp.teleop.haptics.levels import HapticsConfig, brake_level, vibration_level
from gym_grasp.teleop.web.scene import Scene

LEAST_FORCE = 0.05
"""A contact that presses less is not shown, in [N]."""
MOST_CONTACTS = 96
"""So many contacts are shown, those with the largest forces."""


@dataclass(frozen=True, eq=False)
class Look:
    """One moment, in the headset's frame (see `teleop.hand.frames`)."""

    poses: np.ndarray
    """Position [m] and quaternion x y z w of the bodies that move. Shape (B, 7), float32."""
    target: np.ndarray
    """The same of the desired wrist. Shape (7,), float32."""
    contacts: np.ndarray
    """Point [m] and force [N] of each contact; where the robot touches something, the force is
    the one on that. Shape (C, 6), float32."""
    force: np.ndarray
    """Magnitude of the net contact force on each fingertip, in [N]. Shape (F,)."""
    brake: np.ndarray
    """What brakes the operator's finger, 0–1. Shape (F,)."""


class Looker:
    """Looks at the first environment of a batch on the CPU, without touching it.

    Args:
        env: the environments.
    """

    def __init__(self, env: GraspVectorEnv) -> None:
        self.scene = Scene(env)
        self._env = env
        model = env.physics.model
        self.model = copy.copy(model)  # gets the simulation's own fields
        self.data = mujoco.MjData(model)
        self._forces = FingertipForces(model, env.robot)
        self._ours = (model.body_rootid == model.body(MOUNT_BODY).id)[model.geom_bodyid]
        self._config = HapticsConfig()

    def follow(self) -> bool:
        """Take over what a new episode changed; return whether its geometry looks different."""
        self._env.physics.fill(self.model, 0)
        return self.scene.follow()

    def settle(self) -> None:
        """Derive everything from the present state, contact forces and velocities too."""
        state = self._env.physics.get_state()[0].numpy()
        mujoco.mj_setState(self.model, self.data, state, mujoco.mjtState.mjSTATE_INTEGRATION)
        mujoco.mj_forward(self.model, self.data)

    def look(self) -> Look:
        """Return what there is to see now."""
        self.settle()
        force = self._forces.forces(self.data)
        closing = self._forces.closing(self.data)
        return Look(
            poses=self.scene.poses().copy(),
            target=self._target(),
            contacts=self._contacts(),
            force=np.linalg.norm(force, axis=-1),
            brake=brake_level(force, closing, self._config.full_brake),
        )

    def vibration(self, forces: np.ndarray) -> np.ndarray:
        """Return what vibrates at a finger after these forces on its tip, the newest last.

        Args:
            forces: magnitudes at control steps, in [N]; before the first there was none. (T, F).

        Returns:
            0–1. Shape (F,).
        """
        config = self._config
        length = max(1, round(config.window * self._env.control_rate))
        average = forces[-length:].sum(axis=0) / length
        return vibration_level(forces[-1], average, config.full_vibration, config.dead_band)

    def _target(self) -> np.ndarray:
        wrist = self._env.controller.targets.flat()[0, :7].numpy().astype(float)
        return np.concatenate(
            [frames.position_from_world(wrist[:3]), frames.quaternion_from_world(wrist[3:])],
            dtype=np.float32,
        )

    def _contacts(self) -> np.ndarray:
        contact, wrench = self.data.contact, np.zeros(6)
        rows = np.zeros((len(contact.dist), 6))
        for index, geoms in enumerate(contact.geom):
            mujoco.mj_contactForce(self.model, self.data, index, wrench)
            first, second = self._ours[geoms]
            # MuJoCo's force acts on the second geom.
            sign = -1.0 if second and not first else 1.0
            rows[index, :3] = contact.pos[index]
            rows[index, 3:] = sign * (wrench[:3] @ contact.frame[index].reshape(3, 3))
        size = np.linalg.norm(rows[:, 3:], axis=1)
        rows = rows[np.argsort(-size)][: min(MOST_CONTACTS, int((size >= LEAST_FORCE).sum()))]
        rows[:, :3] = frames.position_from_world(rows[:, :3])
        rows[:, 3:] = frames.position_from_world(rows[:, 3:] + frames.ORIGIN)  # turned only
        return rows.astype(np.float32)

"""The contact forces on a robot's fingertips, and where its fingers go as they close."""

import copy

import mujoco
import numpy as np
import torch

from gym_grasp.physics.base import Physics
from gym_grasp.robots.base import HAND, Hand
from gym_grasp.robots.robot import Robot


class FingertipForces:
    """Reads the contacts of one simulation of the CPU engine.

    Forces belong to a step, not to the state that it ends in; so the present state is copied
    and its contacts are solved here, without touching the simulation.

    Args:
        model: the scene with the robot.
        robot: the robot, whose hand has F fingers.
    """

    def __init__(self, model: mujoco.MjModel, robot: Robot) -> None:
        self._model = copy.copy(model)  # gets the simulation's own fields
        self._data = mujoco.MjData(model)
        hand = robot.hand
        self._fingers = len(hand.fingers)
        self._finger_of_geom = {
            model.geom(HAND + pad).id: index
            for index, finger in enumerate(hand.fingers)
            for pad in finger.pads
        }
        self._tips = [model.site(name).id for name in robot.fingertips]
        dofs = [int(model.joint(HAND + name).dofadr[0]) for name in hand.joints]
        self._closing_velocity = np.zeros((self._fingers, model.nv))
        self._closing_velocity[:, dofs] = _closing_rates(hand)
        self._jacobian = np.zeros((3, model.nv))

    def measure(self, physics: Physics, index: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Return forces (F, 3) and closing directions (F, 3) of simulation `index`, as it is now.

        The pair fits `HapticFilter.tick`.
        """
        physics.fill(self._model, index)
        state = physics.get_state()[index].numpy()
        mujoco.mj_setState(self._model, self._data, state, mujoco.mjtState.mjSTATE_INTEGRATION)
        mujoco.mj_forward(self._model, self._data)
        return self.forces(self._data), self.closing(self._data)

    def forces(self, data: mujoco.MjData) -> np.ndarray:
        """Net contact force on each fingertip, world, in [N]. Shape (F, 3).

        Args:
            data: after `mj_forward`, so that its contacts are solved.
        """
        total = np.zeros((self._fingers, 3))
        wrench = np.zeros(6)
        for contact, geoms in enumerate(data.contact.geom):
            # MuJoCo's contact force acts on the second geom, its reaction on the first.
            for geom, sign in zip(geoms.tolist(), (-1.0, 1.0), strict=True):
                finger = self._finger_of_geom.get(geom)
                if finger is not None:
                    mujoco.mj_contactForce(self._model, data, contact, wrench)
                    frame = data.contact.frame[contact].reshape(3, 3)
                    total[finger] += sign * (wrench[:3] @ frame)
        return total

    def closing(self, data: mujoco.MjData) -> np.ndarray:
        """Unit direction in which each fingertip moves as its drive closes, or 0. Shape (F, 3)."""
        directions = np.zeros((self._fingers, 3))
        for finger, site in enumerate(self._tips):
            mujoco.mj_jacSite(self._model, data, self._jacobian, None, site)
            velocity = self._jacobian @ self._closing_velocity[finger]
            directions[finger] = velocity / max(float(np.linalg.norm(velocity)), 1e-9)
        return directions


def _closing_rates(hand: Hand) -> np.ndarray:
    """Change of each joint as the drive of each finger goes from 0 to 1, in rad. Shape (F, J)."""
    drives = torch.eye(len(hand.drives), dtype=torch.float64)
    rates = hand.joint_targets(drives) - hand.joint_targets(torch.zeros_like(drives))
    return rates[[hand.drives.index(finger.drive) for finger in hand.fingers]].numpy()

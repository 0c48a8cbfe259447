"""What the fingers feel: contact forces on the fingertips as brake and vibration.

After Mosbach, Moraw & Behnke (Humanoids 2022): the component of a fingertip's net contact force
that resists closing drives the glove's brake; what the force's magnitude exceeds its own moving
average by drives the vibration, so that an impact is felt as a burst and a steady hold is not.
"""

from collections import deque
from dataclasses import dataclass
from math import ceil

import mujoco
import numpy as np
import torch

from gym_grasp.physics.base import Physics
from gym_grasp.robots import ur5_sih as robot
from gym_grasp.teleop.hand.input import FINGERS, Haptics

SERVO_OF_FINGER = (1, 2, 3, 4, 4)
"""Which of the robot's SERVOS closes each of `FINGERS`; the ring's drives the little finger."""


@dataclass(frozen=True)
class HapticsConfig:
    """How forces become levels."""

    full_brake: float = 20.0
    """Force against closing that brakes fully, in [N]; a firm grasp reaches 10 to 20."""
    full_vibration: float = 20.0
    """Excess of the force over its average that vibrates fully, in [N]."""
    dead_band: float = 1.0
    """Excess that is not felt, in [N]: the solver's ripple while something is held."""
    window: float = 0.25
    """Duration of the moving average, in [s]; a burst dies away within it."""


def brake_level(force: np.ndarray, closing: np.ndarray, full: float) -> np.ndarray:
    """Return how hard each finger's closing is resisted.

    >>> brake_level(np.array([[0.0, -3.0, 9.0]]), np.array([[0.0, 1.0, 0.0]]), full=12.0)
    array([0.25])

    Args:
        force: net contact force on each fingertip, world, in [N]. Shape (5, 3).
        closing: unit direction in which each fingertip moves as its finger closes. Shape (5, 3).
        full: force that gives 1, in [N].

    Returns:
        0–1; a force along the closing direction gives 0. Shape (5,).
    """
    return np.clip(-np.einsum("fi,fi->f", force, closing) / full, 0.0, 1.0)


def vibration_level(
    magnitude: np.ndarray, average: np.ndarray, full: float, dead_band: float = 0.0
) -> np.ndarray:
    """Return how much each force exceeds its moving average, rectified.

    >>> vibration_level(np.array([6.0]), np.array([1.0]), full=8.0, dead_band=1.0)
    array([0.5])

    Args:
        magnitude: of the net contact force on each fingertip, in [N]. Shape (5,).
        average: its moving average, in [N]. Shape (5,).
        full: excess beyond the dead band that gives 1, in [N].
        dead_band: excess that gives 0, in [N].

    Returns:
        0–1. Shape (5,).
    """
    return np.clip((magnitude - average - dead_band) / full, 0.0, 1.0)


class MovingAverage:
    """Mean of the newest `length` values, of fewer at first counted as if zeros came before."""

    def __init__(self, length: int, width: int = len(FINGERS)) -> None:
        self._values = deque([np.zeros(width)] * length, maxlen=length)

    def push(self, value: np.ndarray) -> np.ndarray:
        """Take in a value (width,) and return the mean with it, (width,)."""
        self._values.append(np.array(value, dtype=float))
        return np.mean(self._values, axis=0)


class HapticFilter:
    """From fingertip forces to what is felt, one tick after the other.

    Args:
        rate: of the ticks, in [Hz].
        config: full scales, dead band and window.
    """

    def __init__(self, rate: float, config: HapticsConfig | None = None) -> None:
        self.config = config or HapticsConfig()
        self._length = max(1, ceil(self.config.window * rate - 1e-9))
        self.reset()

    def reset(self) -> None:
        """Forget the past, as a new episode does."""
        self._average = MovingAverage(self._length)

    def tick(self, force: np.ndarray, closing: np.ndarray) -> Haptics:
        """Return what is felt now; arguments as of `brake_level`."""
        magnitude = np.linalg.norm(force, axis=-1)
        config = self.config
        average = self._average.push(magnitude)
        return Haptics(
            brake=brake_level(force, closing, config.full_brake),
            vibration=vibration_level(magnitude, average, config.full_vibration, config.dead_band),
        )


class FingertipForces:
    """Reads the contacts of one simulation of the CPU engine.

    Forces belong to a step, not to the state that it ends in; so the present state is copied
    and its contacts are solved here, without touching the simulation.

    Args:
        model: the scene with the robot.
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        self._model = model
        self._data = mujoco.MjData(model)
        self._finger_of_geom = {
            model.geom(f"{finger}_distal_collision").id: index
            for index, finger in enumerate(FINGERS)
        }
        self._tips = [model.site(name).id for name in robot.FINGERTIPS]
        dofs = [int(model.joint(name).dofadr[0]) for name in robot.HAND_JOINTS]
        rates = robot.hand_targets(torch.eye(len(robot.SERVOS), dtype=torch.float64)).numpy()
        self._closing_velocity = np.zeros((len(FINGERS), model.nv))
        self._closing_velocity[:, dofs] = rates[list(SERVO_OF_FINGER)]
        self._jacobian = np.zeros((3, model.nv))

    def measure(self, physics: Physics, index: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Return forces (5, 3) and closing directions (5, 3) of simulation `index`, as it is now.

        The pair fits `HapticFilter.tick`.
        """
        state = physics.get_state()[index].numpy()
        mujoco.mj_setState(self._model, self._data, state, mujoco.mjtState.mjSTATE_INTEGRATION)
        mujoco.mj_forward(self._model, self._data)
        return self.forces(self._data), self.closing(self._data)

    def forces(self, data: mujoco.MjData) -> np.ndarray:
        """Net contact force on each fingertip, world, in [N]. Shape (5, 3).

        Args:
            data: after `mj_forward`, so that its contacts are solved.
        """
        total = np.zeros((len(FINGERS), 3))
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
        """Unit direction in which each fingertip moves as its finger closes. Shape (5, 3)."""
        directions = np.zeros((len(FINGERS), 3))
        for finger, site in enumerate(self._tips):
            mujoco.mj_jacSite(self._model, data, self._jacobian, None, site)
            velocity = self._jacobian @ self._closing_velocity[finger]
            directions[finger] = velocity / np.linalg.norm(velocity)
        return directions

"""The audit of motions: whether arm and hand stay within what they are published to do.

Everything is measured at every physics substep: from the state at its beginning and the commands
that act in it MuJoCo derives anew, in double precision, the forces that the engine applied.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any, Final

import mujoco
import numpy as np
from torch import Tensor

from gym_grasp.envs.obstacles import loose
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import UsageError
from gym_grasp.robots.base import HAND, MOUNT_BODY
from gym_grasp.robots.robot import Robot

WINDOW: Final = 0.1
"""Time over which forces are averaged, and without touch before a contact counts as new, in s."""
BELOW: Final = -0.02
"""Height under which a thing lies below the table top (z = 0), in m."""


@dataclass(frozen=True)
class Instant:
    """What is measured in one state."""

    speed: np.ndarray
    """Speed of each joint as a share of its limit. Shape (J,)."""
    arm_torque: np.ndarray
    """Torque of each arm joint, gravity compensation included, as a share of its limit."""
    hand_torque: np.ndarray
    """The same of each drive: the work of its joints' torques as a share of that of their limits.
    Joints that are coupled share their torques. Shape (D,)."""
    touching: bool
    """Whether the robot touches anything but itself."""
    force: np.ndarray
    """Resultant of all contacts of the robot with each body, in N. Shape (nbody,)."""
    tip_depth: np.ndarray
    """Deepest fingertip in furniture and in objects, in m. Shape (2,)."""
    thing_depth: float
    """How deep any object or particle is in another or in furniture, in m."""
    self_depth: float
    """How deep the robot is in itself, in m."""
    self_pair: int
    """Between which of `Meter.pairs`."""
    coupling: float
    """Largest difference of two joints that share a drive, in degrees; 0 without any."""


class Meter:
    """Measures states of one scene.

    Args:
        model: the compiled scene.
        robot: the robot in it.
    """

    def __init__(self, model: mujoco.MjModel, robot: Robot) -> None:
        self.model = model
        self.robot = robot
        self.indices = robot.indices(model)
        root, mount = model.body_rootid, model.body(MOUNT_BODY).id
        self._ours = (root == mount)[model.geom_bodyid]
        free = np.array([loose(model, body) for body in range(model.nbody)])
        self.loose: np.ndarray = free & (root != mount)
        """Which bodies nothing holds, objects and particles, as against furniture. (nbody,)."""
        self._loose_geom = self.loose[model.geom_bodyid]
        pads = [HAND + pad for finger in robot.hand.fingers for pad in finger.pads]
        self._pad = np.zeros(model.ngeom, dtype=bool)
        self._pad[[model.geom(name).id for name in pads]] = True
        self.speeds = np.array(robot.arm.speeds + robot.hand.speeds)
        hand = robot.hand
        self._open = np.array(hand.open)
        self._travel = np.array(hand.closed) - self._open
        drive = np.array([hand.drives.index(name) for name in hand.drive_of_joint])
        self._drive = drive == np.arange(len(hand.drives))[:, None]
        self._drive_work = self._drive @ np.abs(np.array(hand.torques) * self._travel)
        # A joint may leave its gravity compensation to its actuator, which then counts it already.
        self._passive = np.where(model.jnt_actgravcomp[self.indices.robot], 0.0, 1.0)
        self._jacobian = np.zeros((2, 3, model.nv))

    @cached_property
    def pairs(self) -> list[tuple[int, int]]:
        """Geoms of the robot that could meet: not of one body, nor of a body and its parent."""
        model, weld = self.model, self.model.body_weldid
        solid = (model.geom_contype | model.geom_conaffinity) != 0
        body = weld[model.geom_bodyid]
        parent = weld[model.body_parentid[body]]
        return [
            (a, b)
            for a, b in combinations(np.flatnonzero(self._ours & solid).tolist(), 2)
            if body[a] != body[b] and parent[a] != body[b] and parent[b] != body[a]
        ]

    def measure(self, data: mujoco.MjData) -> Instant:
        """Measure a state that `mj_forward` has been called on."""
        robot, arm, hand = self.indices.robot, self.indices.arm, self.indices.hand
        torque = data.qfrc_actuator[robot] + self._passive * data.qfrc_gravcomp[robot]
        contact = data.contact
        ours, depth = self._ours[contact.geom], -contact.dist
        outside = ours[:, 0] != ours[:, 1]
        pads = outside & self._pad[contact.geom].any(1)
        things = self._loose_geom[contact.geom].any(1)
        tips = [depth[pads & kind].max(initial=0.0) for kind in (~things, things)]
        distances = [mujoco.mj_geomDistance(self.model, data, *p, 1e-3, None) for p in self.pairs]
        closest = int(np.argmin(distances)) if distances else 0
        closed = (data.qpos[hand] - self._open) / self._travel
        return Instant(
            speed=np.abs(data.qvel[robot]) / self.speeds,
            arm_torque=np.abs(torque[arm]) / self.robot.arm.torques,
            hand_torque=np.abs(self._drive @ (torque[hand] * self._travel)) / self._drive_work,
            touching=bool((outside & (depth > 0)).any()),
            force=np.linalg.norm(self._forces(data, np.flatnonzero(outside)), axis=1),
            tip_depth=np.array(tips),
            thing_depth=float(depth[~ours.any(1) & things].max(initial=0.0)),
            self_depth=max(0.0, -min(distances, default=0.0)),
            self_pair=closest,
            coupling=max(self._apart(closed, joints) for joints in self._drive),
        )

    def touched(self, data: mujoco.MjData) -> np.ndarray:
        """Return which bodies the robot touches, the softness of its pads included. (nbody,)."""
        found = np.zeros(self.model.nbody, dtype=bool)
        geoms = data.contact.geom
        ours = self._ours[geoms]
        things = np.where(ours[:, 0], geoms[:, 1], geoms[:, 0])[ours[:, 0] != ours[:, 1]]
        found[self.model.geom_bodyid[things]] = True
        return found

    def approach(self, data: mujoco.MjData, body: int) -> float:
        """Return how fast the robot and a body that it touches come closer, in m/s.

        Along the normal, the fastest of their contacts.
        """
        fastest = -np.inf
        for contact in data.contact:
            bodies = self.model.geom_bodyid[contact.geom]
            if body not in bodies or not self._ours[contact.geom].any():
                continue
            for jacobian, one in zip(self._jacobian, bodies, strict=True):
                mujoco.mj_jac(self.model, data, jacobian, None, contact.pos, one)
            relative = (self._jacobian[0] - self._jacobian[1]) @ data.qvel
            fastest = max(fastest, float(relative @ contact.frame[:3]))
        return fastest

    def _apart(self, closed: np.ndarray, joints: np.ndarray) -> float:
        """Return how far joints are from one another, scaled by their travel, in degrees."""
        return float(np.degrees(np.ptp(closed[joints]) * np.abs(self._travel[joints]).max()))

    def _forces(self, data: mujoco.MjData, contacts: np.ndarray) -> np.ndarray:
        """Sum the forces of the robot's contacts on each body, world, in N. Shape (nbody, 3)."""
        total = np.zeros((self.model.nbody, 3))
        wrench = np.zeros(6)
        for index in contacts:
            contact = data.contact[index]
            mujoco.mj_contactForce(self.model, data, index, wrench)
            force = wrench[:3] @ contact.frame.reshape(3, 3)  # of the first geom on the second
            first = self._ours[contact.geom[0]]
            thing = self.model.geom_bodyid[contact.geom[1 if first else 0]]
            total[thing] += force if first else -force
        return total


@dataclass
class Samples:
    """What was measured: for each substep (T) of each episode (N), as in `Instant`."""

    valid: np.ndarray
    """Which substeps there were: episodes end earlier than others. Shape (T, N), bool."""
    speed: np.ndarray
    arm_torque: np.ndarray
    hand_torque: np.ndarray
    touching: np.ndarray
    force: np.ndarray
    tip_depth: np.ndarray
    thing_depth: np.ndarray
    self_depth: np.ndarray
    self_pair: np.ndarray
    coupling: np.ndarray
    approaches: list[tuple[bool, float]]
    """For each new contact: whether with a loose body, and the speed of approach, in m/s."""
    success: np.ndarray
    """Shape (N,), bool."""
    diverged: np.ndarray
    """Shape (N,), bool."""
    lost: np.ndarray
    """How many objects ended below the table or out of the arm's reach. Shape (N,)."""
    lowest: np.ndarray
    """Lowest end of an object, in m; NaN without any. Shape (N,)."""
    spilled: np.ndarray
    """What `Task.spilled` says at the end; NaN where a task has nothing to spill. Shape (N,)."""


class Auditor:
    """Steps environments in place of their own `step`, and measures every substep.

    Args:
        env: on the CPU, without autoreset, just reset.

    Raises:
        UsageError: it is on another device, or begins episodes by itself.
    """

    def __init__(self, env: GraspVectorEnv) -> None:
        if env.device.type != "cpu" or env.autoreset:
            raise UsageError("An audit needs an environment on the CPU, with autoreset=False.")
        self.env = env
        physics, count = env.physics, env.num_envs
        self.meter = Meter(physics.model, env.robot)
        self._meters = [self.meter] * count
        if physics.fields():  # in which episodes differ
            self._meters = [Meter(physics.model_of(i), env.robot) for i in range(count)]
        self._data = mujoco.MjData(physics.model)
        self._ctrl = physics.bind("ctrl")
        self._xpos = physics.bind("xpos")
        model, robot = physics.model, env.robot
        self.things = np.flatnonzero(self.meter.loose & (model.body_dofnum == 6))
        """Objects: free bodies."""
        self._shoulder, self._reach = _reach(model, self.meter.indices.wrist_body)
        self.running = np.ones(count, dtype=bool)
        """Environments whose episode has not ended. Shape (N,)."""
        self._quiet = np.full((count, model.nbody), np.inf)
        self._steps = 0
        substeps = env.max_episode_steps * env.controller.config.interval
        joints, drives = len(robot.joints), len(robot.hand.drives)

        def empty(*shape: int, dtype: Any = np.float32) -> np.ndarray:
            return np.zeros((substeps, count, *shape), dtype)

        self.samples = Samples(
            valid=empty(dtype=bool),
            speed=empty(joints),
            arm_torque=empty(len(robot.arm.joints)),
            hand_torque=empty(drives),
            touching=empty(dtype=bool),
            force=empty(model.nbody),
            tip_depth=empty(2),
            thing_depth=empty(),
            self_depth=empty(),
            self_pair=empty(dtype=np.int32),
            coupling=empty(),
            approaches=[],
            success=np.zeros(count, dtype=bool),
            diverged=np.zeros(count, dtype=bool),
            lost=np.zeros(count, dtype=int),
            lowest=np.full(count, np.nan),
            spilled=np.full(count, np.nan),
        )

    def step(self, actions: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, dict[str, Any]]:
        """Do what the environment's `step` does, bit by bit, and measure."""
        env, samples = self.env, self.samples
        env.begin_step(actions)
        for _ in range(env.controller.config.interval):
            before = env.physics.get_state().numpy()
            env.advance()
            samples.diverged |= self.running & env.physics.diverged.numpy()
            for index in np.flatnonzero(self.running & ~samples.diverged).tolist():
                self._measure(index, before[index])
            self._steps += 1
        outcome = env.end_step()
        samples.success |= self.running & outcome[4]["success"].numpy()
        self.stop(outcome[4]["_final_obs"].numpy())
        return outcome

    def stop(self, mask: np.ndarray) -> None:
        """End the episodes in a mask (N,): they are over."""
        ending = self.running & mask
        samples, position = self.samples, self._xpos.numpy()
        far = np.linalg.norm(position[:, self.things] - self._shoulder, axis=-1) > self._reach
        lost = far | (position[:, self.things, 2] < BELOW)
        samples.lost[ending] = lost.sum(1)[ending]
        if len(self.things):
            samples.lowest[ending] = position[:, self.things, 2].min(1)[ending]
        spilled = self.env.task.spilled(self.env.physics)
        if spilled is not None:
            samples.spilled[ending] = spilled.numpy()[ending]
        self.running &= ~ending

    def _measure(self, index: int, state: np.ndarray) -> None:
        data, meter = self._data, self._meters[index]
        model = meter.model
        mujoco.mj_setState(model, data, state, int(mujoco.mjtState.mjSTATE_INTEGRATION))
        data.ctrl[:] = self._ctrl[index]  # what acts from here on
        mujoco.mj_forward(model, data)
        instant, samples, step = meter.measure(data), self.samples, self._steps
        for name, value in vars(instant).items():
            getattr(samples, name)[step, index] = value
        samples.valid[step, index] = True
        touched, quiet = meter.touched(data), self._quiet[index]
        for body in np.flatnonzero(touched & (quiet >= WINDOW)).tolist():
            samples.approaches.append((bool(meter.loose[body]), meter.approach(data, body)))
        quiet += model.opt.timestep
        quiet[touched] = 0.0


def _reach(model: mujoco.MjModel, wrist: int) -> tuple[np.ndarray, float]:
    """Return where the arm's first joint is, world, in m, and the length of the chain from it."""
    chain = [wrist]
    while model.body_rootid[chain[-1]] != chain[-1]:
        chain.append(int(model.body_parentid[chain[-1]]))
    first = next(body for body in reversed(chain) if model.body_jntnum[body])
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    beyond = chain[: chain.index(first)]
    return data.xpos[first], float(np.linalg.norm(model.body_pos[beyond], axis=1).sum())

"""A policy on a real UR5 with a SCHUNK SIH hand over RTDE: a skeleton, NOT TESTED ON HARDWARE.

    gym-grasp export RUN --to policy.onnx
    python examples/deploy_ur5.py policy.onnx --dry-run

Without --dry-run, `main` wants three things that depend on the laboratory: the arm's address, a
driver of the hand and a way to see the scene (`Hand`, `Perception`). Someone stands by the
emergency stop; the first runs are made with an empty table and the speed slider at 10 %.
The world of the policy is the robot's base as in the scene: x away from it, y left, z up.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import mujoco
import numpy as np
import onnxruntime
import torch

from gym_grasp.envs.scene import state_parts
from gym_grasp.envs.spec import EnvSpec
from gym_grasp.envs.vector import GraspVectorEnv

LOOKAHEAD, GAIN = 0.1, 300.0
"""Of `servoJ`: the time in s that smooths the trajectory, and how hard the position is held."""

Perception = Callable[[], dict[str, torch.Tensor]]
"""Returns the scene's features as the task observes them, each (1, D)."""


class Arm(Protocol):
    """What is used of ur_rtde's `RTDEControlInterface` and `RTDEReceiveInterface`."""

    def getActualQ(self) -> list[float]: ...  # noqa: N802
    def getActualQd(self) -> list[float]: ...  # noqa: N802
    def servoJ(  # noqa: N802
        self,
        q: list[float],
        speed: float,
        acceleration: float,
        time: float,
        lookahead_time: float,
        gain: float,
    ) -> bool: ...
    def initPeriod(self) -> Any: ...  # noqa: N802
    def waitPeriod(self, begin: Any) -> None: ...  # noqa: N802
    def servoStop(self) -> bool: ...  # noqa: N802
    def stopScript(self) -> None: ...  # noqa: N802


class Hand(Protocol):
    """A driver of the hand."""

    def positions(self) -> np.ndarray:
        """Return the angles of all joints in rad, (11,)."""
        ...

    def move(self, targets: np.ndarray) -> None:
        """Send the servos to these angles in rad, (5,)."""
        ...


@dataclass
class Latency:
    """How long it took from measured joints to a command, step by step."""

    period: float
    """Of the loop, in s."""
    seconds: list[float] = field(default_factory=list)

    def report(self) -> str:
        """Return mean, 99th percentile and maximum in ms, and how many steps came too late."""
        ms = 1e3 * np.array(self.seconds)
        late = int((ms > 1e3 * self.period).sum())
        return (
            f"{len(ms)} steps at {1 / self.period:.0f} Hz: mean {ms.mean():.1f}, "
            f"p99 {np.quantile(ms, 0.99):.1f}, max {ms.max():.1f} ms; {late} late"
        )


def deploy(
    session: onnxruntime.InferenceSession,
    arm: Arm,
    hand: Hand,
    perceive: Perception,
    done: Callable[[], bool],
) -> Latency:
    """Run a policy until `done`, and stop the arm whatever happens.

    The policy's actions move a desired wrist pose; a simulation that is put where the robot is
    turns it into joint angles by the very controller that the policy was trained with.
    """
    about = session.get_modelmeta().custom_metadata_map
    twin = GraspVectorEnv(EnvSpec.from_dict(json.loads(about["spec"])), 1, num_threads=1)
    twin.reset(seed=0)
    joints, every = twin.task.indices, torch.ones(1, dtype=torch.bool)
    latency = Latency(twin.controller.period)
    state, places = twin.physics.get_state(), _places(twin.physics.model)
    qpos, qvel = state[0, places["qpos"]], state[0, places["qvel"]]
    try:
        while not done():
            begin, start = arm.initPeriod(), time.perf_counter()
            qpos[joints.arm] = torch.tensor(arm.getActualQ(), dtype=state.dtype)
            qvel[joints.arm] = torch.tensor(arm.getActualQd(), dtype=state.dtype)
            qpos[joints.hand] = torch.as_tensor(hand.positions(), dtype=state.dtype)
            twin.physics.set_state(state)
            if not latency.seconds:
                twin.controller.reset(every)
            observation = twin.packer.pack({**twin.observe(), **perceive()}).numpy()
            (action,) = session.run(["action"], {"observation": observation})
            twin.controller.apply(torch.from_numpy(action))
            targets = twin.controller.joint_targets()[0].numpy()
            latency.seconds.append(time.perf_counter() - start)
            arm.servoJ(targets[joints.arm].tolist(), 0.0, 0.0, latency.period, LOOKAHEAD, GAIN)
            hand.move(targets[joints.arm.stop :])
            arm.waitPeriod(begin)
    finally:
        arm.servoStop()
        arm.stopScript()
        twin.close()
    return latency


def _places(model: mujoco.MjModel) -> dict[str, slice]:
    """Return where positions, velocities and so on stand in a state."""
    places, at = {}, 0
    for name, width in state_parts(model):
        places[name], at = slice(at, at + width), at + width
    return places


class Ur5:
    """A real arm over ur_rtde (`pip install ur-rtde`)."""

    def __init__(self, address: str, rate: float) -> None:
        from rtde_control import RTDEControlInterface
        from rtde_receive import RTDEReceiveInterface

        self._control = RTDEControlInterface(address, rate)
        self._receive = RTDEReceiveInterface(address)

    def __getattr__(self, name: str) -> Any:
        source = self._receive if name.startswith("get") else self._control
        return getattr(source, name)


class Simulated:
    """Arm, hand and perception that a simulation plays, with `Ur5`'s interface."""

    def __init__(self, spec: EnvSpec, seed: int, realtime: bool = True) -> None:
        self.env = GraspVectorEnv(spec, 1, autoreset=False, num_threads=1)
        self.env.reset(seed=seed)
        self.success, self.steps, self.stopped = False, 0, False
        self._realtime = realtime
        self._joints = self.env.task.indices
        self._ctrl = torch.zeros(1, self.env.physics.model.nu)

    def getActualQ(self) -> list[float]:  # noqa: N802
        return self.env.physics.bind("qpos")[0, self._joints.arm].tolist()

    def getActualQd(self) -> list[float]:  # noqa: N802
        return self.env.physics.bind("qvel")[0, self._joints.arm].tolist()

    def servoJ(  # noqa: N802
        self,
        q: list[float],
        speed: float,
        acceleration: float,
        time: float,
        lookahead_time: float,
        gain: float,
    ) -> bool:
        if not (0.03 <= lookahead_time <= 0.2 and 100 <= gain <= 2000 and len(q) == 6):
            raise ValueError(f"servoJ refuses {q}, {lookahead_time}, {gain}")
        self._ctrl[0, self._joints.arm] = torch.tensor(q)
        return True

    def initPeriod(self) -> float:  # noqa: N802
        return time.perf_counter()

    def waitPeriod(self, begin: float) -> None:  # noqa: N802
        env = self.env
        env.physics.step(self._ctrl, env.env_spec.control.interval)
        if env.task.memory_size:
            env.task.memory.copy_(env.task.remember(env.physics))
        self.success = bool(env.task.success(env.physics)[0])
        self.steps += 1
        if self._realtime:
            time.sleep(max(0.0, begin + env.controller.period - time.perf_counter()))

    def servoStop(self) -> bool:  # noqa: N802
        self.stopped = True
        return True

    def stopScript(self) -> None: ...  # noqa: N802

    def positions(self) -> np.ndarray:
        return self.env.physics.bind("qpos")[0, self._joints.hand].numpy()

    def move(self, targets: np.ndarray) -> None:
        self._ctrl[0, self._joints.arm.stop :] = torch.from_numpy(targets)

    def perceive(self) -> dict[str, torch.Tensor]:
        own = ("finger_positions", "wrist_pose")
        return {key: value for key, value in self.env.observe().items() if key not in own}

    def done(self) -> bool:
        return self.success or self.steps >= self.env.max_episode_steps


def load(path: str) -> onnxruntime.InferenceSession:
    """Open a policy on one thread: more only wait for each other in networks this small."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def main() -> None:
    """Deploy a policy, for now on the simulated robot alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("policy", help="the .onnx file")
    parser.add_argument("--dry-run", action="store_true", help="simulate the robot")
    parser.add_argument("--episodes", type=int, default=3)
    options = parser.parse_args()
    if not options.dry_run:
        parser.error(
            "write down your hand's driver and perception here, then pass Ur5(ADDRESS, 30)"
        )
    session = load(options.policy)
    spec = EnvSpec.from_dict(json.loads(session.get_modelmeta().custom_metadata_map["spec"]))
    for episode in range(options.episodes):
        robot = Simulated(spec, seed=2**31 + episode)
        latency = deploy(session, robot, robot, robot.perceive, robot.done)
        print(f"{'success' if robot.success else 'failure'}; {latency.report()}")


if __name__ == "__main__":
    main()

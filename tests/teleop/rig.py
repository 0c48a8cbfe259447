"""A session in time that a test makes."""

from functools import cache
from pathlib import Path

import numpy as np

from gym_grasp.demos.record import describe
from gym_grasp.demos.writer import DatasetWriter
from gym_grasp.envs.spec import EnvSpec
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.teleop.devices.operator import OperatorDevice
from gym_grasp.teleop.hand.input import HandInput, Haptics
from gym_grasp.teleop.session.recording import Recorder
from gym_grasp.teleop.session.session import Session, SessionConfig, State

PALM_DOWN = np.array([0.5, -0.5, 0.5, -0.5])


class FakeHand:
    """A device whose hand the test moves."""

    def __init__(self) -> None:
        self.hand: HandInput | None = None
        self.felt: Haptics | None = None
        self.sequence = 0

    def latest(self) -> HandInput | None:
        return self.hand

    def feedback(self, haptics: Haptics) -> None:
        self.felt = haptics

    def close(self) -> None:
        self.hand = None


@cache
def drawer(max_episode_steps: int, robot: str) -> GraspVectorEnv:
    """One environment for all tests of an episode length; every session begins it anew."""
    spec = EnvSpec("open-drawer", robot=robot, max_episode_steps=max_episode_steps)
    return GraspVectorEnv(spec, 1, autoreset=False, num_threads=1)


class Rig:
    """A session of open-drawer in time that the test makes."""

    def __init__(
        self, path: Path, max_episode_steps: int = 60, robot: str = "ur5-sih", **config: object
    ) -> None:
        self.env = drawer(max_episode_steps, robot)
        self.device = FakeHand()
        writer = DatasetWriter(path, describe(self.env, "human", 0), resume=True)
        self.recorder = Recorder(writer)
        self.session = Session(self.env, self.device, self.recorder, SessionConfig(**config))
        self.now = 100.0
        self.position = np.array([7.0, 8.0, 9.0])
        self.flexion = np.full(5, 0.4)

    def tick(self, count: int = 1, age: float = 0.0, **hand: object) -> None:
        """Let time pass; the newest hand is `age` seconds old."""
        for _ in range(count):
            self.now += self.env.physics.timestep
            self.device.sequence += 1
            values = {
                "time": self.now - age,
                "wrist_position": self.position.copy(),
                "wrist_quaternion": PALM_DOWN,
                "flexion": self.flexion,
                "sequence": self.device.sequence,
                **hand,
            }
            self.device.hand = HandInput(**values)
            self.session.tick(self.now)

    def press(self) -> None:
        """Press the clutch and let go of it; takes two ticks."""
        self.tick()
        self.tick(clutch=True)

    @property
    def target(self) -> np.ndarray:
        """Desired wrist position, then quaternion, then drives. Shape (7 + D,)."""
        return self.env.controller.targets.flat()[0].numpy().copy()

    @property
    def qpos(self) -> np.ndarray:
        return self.env.physics.bind("qpos")[0].numpy().copy()


def perform(rig: Rig, device: type[OperatorDevice]) -> Session:
    """Let a synthetic operator end one episode, in a session that takes the rig's place."""
    now = [0.0]
    rig.session = Session(rig.env, device(rig.env, lambda: now[0]), rig.recorder)
    while rig.session.state is not State.DONE:
        now[0] += 1 / 90
        rig.session.tick(now[0])
    rig.recorder.flush()
    return rig.session

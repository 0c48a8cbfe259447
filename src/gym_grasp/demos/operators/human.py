"""A synthetic human hand: what every operator's script is written in.

A script is a generator that moves an intended hand and yields once per control step, as a person
would act: with minimum-jerk movements (Flash & Hogan, 1985), on a delayed view of the scene, with
tremor, at its own pace. It says where the wrist should be and how far each finger flexes, exactly
what a headset and a glove would send.
"""

from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from math import ceil

import numpy as np

from gym_grasp.math.rotations import np_from_rotvec, np_multiply, np_slerp
from gym_grasp.robots.base import HAND, HUMAN_FLEXIONS
from gym_grasp.tasks.base import Task

Script = Generator[None, None, None]

OPEN_HAND = np.array([1.0, 0.0, 0.0, 0.0, 0.0])
"""Thumb opposed, everything else straight; as every flexion in the order of `HUMAN_FLEXIONS`."""

FLAT = np.array([0.5, -0.5, 0.5, -0.5])
"""Wrist orientation of the start pose: palm down, fingers along +x (w x y z, world)."""

INERTIA = 0.12
"""Time in which the hand takes up another speed, in s, where a script leads it by speeds."""
DRIFT_TIME = 0.35
"""Time in which a deviation is corrected, in s."""
DRIFT_TURN = 6.0
"""Rotation that goes with a drift, in rad/m."""
DRIFT_FLEX = 5.0
"""Finger flexion that goes with a drift, in 1/m."""
DRIFTS = 6 + len(HUMAN_FLEXIONS) - 1
"""Wrist translation, wrist rotation, and all flexions but the thumb's rotation."""


@dataclass
class Traits:
    """How one episode's operator moves."""

    speed: float
    """Mean speed of a reaching movement, in m/s."""
    reaction: float
    """Delay between the scene and the operator's view of it, in s."""
    tremor: float
    """Amplitude of the hand's tremor, in m."""
    tremor_frequency: float
    """Frequency of the tremor, in Hz; physiological tremor lies at 8 to 12."""
    grip_time: float
    """Duration of closing or opening the hand, in s."""
    precision: float
    """Standard deviation of where a movement aims, in m."""
    drift: float
    """Standard deviation of the hand's slow wandering off its way, in m."""

    @classmethod
    def sample(cls, rng: np.random.Generator) -> "Traits":
        """Draw one operator from the population."""
        return cls(
            speed=rng.uniform(0.16, 0.30),
            reaction=rng.uniform(0.10, 0.20),
            tremor=rng.uniform(0.0003, 0.0010),
            tremor_frequency=rng.uniform(8.0, 12.0),
            grip_time=rng.uniform(0.35, 0.60),
            precision=rng.uniform(0.001, 0.003),
            drift=rng.uniform(0.004, 0.010),
        )


@dataclass(frozen=True)
class Snapshot:
    """The scene at one instant, all environments. NumPy, float32, world frame, SI units."""

    site_position: np.ndarray
    """Shape (N, nsite, 3)."""
    body_position: np.ndarray
    """Shape (N, nbody, 3)."""
    body_quaternion: np.ndarray
    """Shape (N, nbody, 4)."""
    qpos: np.ndarray
    """Shape (N, nq)."""


class History:
    """The last second of snapshots, newest first."""

    def __init__(self, period: float) -> None:
        self.period = period
        self._snapshots: deque[Snapshot] = deque(maxlen=ceil(1.0 / period))

    def push(self, snapshot: Snapshot) -> None:
        """Add the present."""
        self._snapshots.appendleft(snapshot)

    def ago(self, seconds: float) -> Snapshot:
        """Return what was seen `seconds` ago, or the oldest there is."""
        steps = round(seconds / self.period)
        return self._snapshots[min(steps, len(self._snapshots) - 1)]


@dataclass
class Human:
    """One operator's intended hand, view and muscles.

    Args:
        task: what it does, with its scene, robot and options.
        index: which environment it acts in.
        history: where it looks.
        rng: its own random numbers.
    """

    task: Task
    index: int
    history: History
    rng: np.random.Generator
    position: np.ndarray = field(default_factory=lambda: np.zeros(3))
    """Intended wrist position, world, in m."""
    quaternion: np.ndarray = field(default_factory=lambda: FLAT.copy())
    """Intended wrist orientation, world."""
    fingers: np.ndarray = field(default_factory=lambda: OPEN_HAND.copy())
    """Intended flexions, as in `HUMAN_FLEXIONS`, 0 open to 1 closed."""
    care: float = 0.5
    """Share of the drift that attention holds back: near 1 where a few millimetres matter."""
    mistakes: int = 0
    """How often something went wrong and was tried again."""

    def __post_init__(self) -> None:
        self.traits = Traits.sample(self.rng)
        self._phase = self.rng.uniform(0.0, 2 * np.pi, 3)
        self._time = 0.0
        self._drift = np.zeros(DRIFTS)
        self.model = self.task.model
        self.position = self._now().site_position[self.index, self.task.wrist].copy()

    # What it sees -------------------------------------------------------------------------------

    def see_site(self, name: str) -> np.ndarray:
        """Position of a site as seen, world, in m. Shape (3,)."""
        return self._seen().site_position[self.index, self.model.site(name).id].astype(float)

    def see_body(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Position (3,) in m and quaternion (4,) of a body as seen, world."""
        snapshot, body = self._seen(), self.model.body(name).id
        return (
            snapshot.body_position[self.index, body].astype(float),
            snapshot.body_quaternion[self.index, body].astype(float),
        )

    def see_joint(self, name: str) -> float:
        """Position of a hinge or slide as seen, in rad or m."""
        return float(self._seen().qpos[self.index, self.model.joint(name).qposadr[0]])

    def see_wrist(self) -> tuple[np.ndarray, np.ndarray]:
        """Position (3,) in m and quaternion (4,) of the palm frame as seen, world."""
        snapshot = self._seen()
        return (
            snapshot.site_position[self.index, self.task.wrist].astype(float),
            snapshot.body_quaternion[self.index, self.task.indices.wrist_body].astype(float),
        )

    def see_drive(self, finger: str) -> float:
        """How far the drive of a finger is closed as seen, from 0 to 1.

        Args:
            finger: the human finger it stands for; the last one where the hand has none of it.
        """
        hand = self.task.robot.hand
        drive = {one.name: one.drive for one in hand.fingers}.get(finger, hand.fingers[-1].drive)
        joint = hand.drive_of_joint.index(drive)
        angle = self.see_joint(HAND + hand.joints[joint])
        opened, closed = hand.open[joint], hand.closed[joint]
        return min(1.0, max(0.0, (angle - opened) / (closed - opened)))

    def feel_wrist(self) -> np.ndarray:
        """Position of its own wrist in the simulation, without delay, world, in m. Shape (3,)."""
        return self._now().site_position[self.index, self.task.wrist].astype(float)

    def _seen(self) -> Snapshot:
        return self.history.ago(self.traits.reaction)

    def _now(self) -> Snapshot:
        return self.history.ago(0.0)

    # What it does -------------------------------------------------------------------------------

    def aim(self, target: np.ndarray) -> np.ndarray:
        """Return the target as imprecisely as this operator hits it."""
        return target + self.rng.normal(0.0, self.traits.precision, 3)

    def sent(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return what the trackers send now: the intention, its drift and the tremor on top.

        Where a hand is and where it meant to be differ all the time, and what follows a deviation
        is its correction. Policies learn from just that how to come back to the way.
        """
        angle = 2 * np.pi * self.traits.tremor_frequency * self._time + self._phase
        tremor = self.traits.tremor * np.sin(angle)
        keep = np.exp(-self.history.period / DRIFT_TIME)
        self._drift = keep * self._drift + np.sqrt(1 - keep**2) * self.rng.normal(size=DRIFTS)
        drift = self._drift * (1.0 - self.care) * self.traits.drift
        turned = np_from_rotvec(drift[3:6] * DRIFT_TURN)
        fingers = self.fingers + np.concatenate([[0.0], drift[6:] * DRIFT_FLEX])
        return (
            self.position + drift[:3] + tremor,
            np_multiply(turned, self.quaternion),
            np.clip(fingers, 0.0, 1.0),
        )

    def wait(self, seconds: float) -> Script:
        """Hold still."""
        for _ in range(max(1, round(seconds / self.history.period))):
            self._time += self.history.period
            yield

    def move(
        self,
        target: np.ndarray | None = None,
        quaternion: np.ndarray | None = None,
        fingers: np.ndarray | None = None,
        *,
        pace: float = 1.0,
        until: Callable[[], bool] = lambda: False,
        arc: float = 0.0,
        least: float = 0.25,
        through: float = 1.0,
    ) -> Script:
        """Move wrist and fingers along a minimum-jerk profile.

        Args:
            target: where the wrist goes, world, in m; None: it stays.
            quaternion: how it turns; None: not at all.
            fingers: flexions to reach, as in `HUMAN_FLEXIONS`; None: held.
            pace: speed relative to this operator's own.
            until: ends the movement early when true.
            arc: height of a bow over the straight way, in m.
            least: shortest duration, in s.
            through: share of the duration after which the next movement takes over; below 1 the
                hand passes its goal's surroundings without a halt.
        """
        start, turn, hand = self.position.copy(), self.quaternion.copy(), self.fingers.copy()
        goal = start if target is None else np.asarray(target, dtype=float)
        rotation = turn if quaternion is None else quaternion
        grasp = hand if fingers is None else np.asarray(fingers, dtype=float)
        angle = 2 * np.arccos(np.clip(abs(turn @ rotation), 0.0, 1.0))
        duration = max(
            least,
            float(np.linalg.norm(goal - start)) / (self.traits.speed * pace),
            angle / (1.2 * pace),
            float(np.abs(grasp - hand).max()) * self.traits.grip_time / pace,
        )
        steps = max(1, round(duration / self.history.period))
        for step in range(1, max(1, round(through * steps)) + 1):
            if until():
                return
            s = step / steps
            blend = s**3 * (10 - 15 * s + 6 * s * s)
            self.position = start + blend * (goal - start)
            self.position[2] += arc * 16 * (blend * (1 - blend)) ** 2
            self.quaternion = np_slerp(turn, rotation, blend)
            self.fingers = hand + blend * (grasp - hand)
            self._time += self.history.period
            yield


def tilt(quaternion: np.ndarray, axis: tuple[float, float, float], angle: float) -> np.ndarray:
    """Turn an orientation by `angle` rad about a world axis. Shape (4,)."""
    return np_multiply(np_from_rotvec(np.asarray(axis, dtype=float) * angle), quaternion)


def between(value: float, start: float, end: float) -> float:
    """Rise smoothly from 0 at `start` to 1 at `end`."""
    share = min(1.0, max(0.0, (value - start) / (end - start)))
    return share * share * (3 - 2 * share)


def limit(vector: np.ndarray, most: float) -> np.ndarray:
    """Shorten a vector to a length of at most `most`."""
    return vector * min(1.0, most / max(1e-9, float(np.linalg.norm(vector))))

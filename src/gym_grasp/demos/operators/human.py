"""A synthetic human hand: what every operator's script is written in.

A script is a generator that moves an intended hand and yields once per control step, as a person
would act: with minimum-jerk movements (Flash & Hogan, 1985), on a delayed view of the scene, with
tremor, hesitation and mistakes, as skilled as it is. It says where the wrist should be and how far
each finger flexes, exactly what a headset and a glove would send.
"""

from collections import deque
from collections.abc import Callable, Generator
from dataclasses import InitVar, dataclass, field
from math import ceil

import numpy as np
import torch

from gym_grasp.demos.operators.traits import Traits
from gym_grasp.math.rotations import np_from_rotvec, np_multiply, np_slerp
from gym_grasp.robots.base import HAND, HUMAN_FLEXIONS
from gym_grasp.robots.grasps import Grasp
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
LAG = 0.06
"""Time in which the hand takes up a correction, in s, twice in a row: without it, corrections would
be louder in the tremor's band than the tremor is."""
CALM = 0.6
"""How much a hand at rest deviates of what one at full speed does: noise grows with the signal
(Harris & Wolpert, 1998)."""
DRIFT_TURN = 6.0
"""Rotation that goes with a drift, in rad/m."""
DRIFT_FLEX = 5.0
"""Finger flexion that goes with a drift, in 1/m."""
DRIFTS = 6 + len(HUMAN_FLEXIONS)
"""Wrist translation, wrist rotation, and all flexions."""
TREMOR_TIME = 1.0
"""Time in which the tremor forgets its phase, in s."""
LOOK, MOVING = 0.15, 0.003
"""How long it looks whether something still moves, in s, and what counts as that, in rad or m."""
CREEP = 0.08
"""Speed of a hand that hesitates, as a share: it does not halt, so that a policy without memory
that imitates it gets on."""
HESITATES = (0.4, 1.2)
"""How long at a time, in s."""


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
        skill: from 0, a novice, to 1, an expert; None: drawn.
    """

    task: Task
    index: int
    history: History
    rng: np.random.Generator
    skill: InitVar[float | None] = None
    position: np.ndarray = field(default_factory=lambda: np.zeros(3))
    """Intended wrist position, world, in m."""
    quaternion: np.ndarray = field(default_factory=lambda: FLAT.copy())
    """Intended wrist orientation, world."""
    fingers: np.ndarray = field(default_factory=lambda: OPEN_HAND.copy())
    """Intended flexions, as in `HUMAN_FLEXIONS`, 0 open to 1 closed."""
    care: float = 0.5
    """Share of the drift that attention holds back: near 1 where a few millimetres matter."""
    strategy: str = ""
    """Which of the ways of doing its task it has chosen."""
    mistake: str = ""
    """What it does wrong at first; empty: nothing."""
    mistakes: int = 0
    """How often something went wrong and was tried again."""

    def __post_init__(self, skill: float | None) -> None:
        self.traits = Traits.sample(self.rng, skill)
        period = self.history.period
        self._tremor = np.zeros(3, dtype=complex)
        turn = 2j * np.pi * self.traits.tremor_frequency - 1 / TREMOR_TIME
        self._tremor_keep = np.exp(turn * period)
        self._drift = np.zeros((3, DRIFTS))
        keep, self._lag = np.exp(-period / np.array([DRIFT_TIME, LAG]))
        gain = np.sqrt((1 - keep**2) * (DRIFT_TIME + 2 * LAG) / DRIFT_TIME)
        self._drift_keep, self._drift_gain = keep, gain
        self._haste, self._hesitating = 1.0, 0.0
        self.model = self.task.model
        self._places: dict[tuple[str, str], int] = {}
        self.position = self._now().site_position[self.index, self.task.wrist].copy()
        self._before = self.position

    # What it sees -------------------------------------------------------------------------------

    def see_site(self, name: str) -> np.ndarray:
        """Position of a site as seen, world, in m. Shape (3,)."""
        return self._seen().site_position[self.index, self._place("site", name)].astype(float)

    def see_body(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Position (3,) in m and quaternion (4,) of a body as seen, world."""
        snapshot, body = self._seen(), self._place("body", name)
        return (
            snapshot.body_position[self.index, body].astype(float),
            snapshot.body_quaternion[self.index, body].astype(float),
        )

    def see_joint(self, name: str) -> float:
        """Position of a hinge or slide as seen, in rad or m."""
        return float(self._seen().qpos[self.index, self._place("joint", name)])

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
        joint = hand.drive_of_joint.index(self._drive_of(finger))
        angle = self.see_joint(HAND + hand.joints[joint])
        opened, closed = hand.open[joint], hand.closed[joint]
        return min(1.0, max(0.0, (angle - opened) / (closed - opened)))

    def drive_at(self, finger: str, flexion: np.ndarray) -> float:
        """Return what `see_drive` sees of a finger where the hand is flexed so, (5,)."""
        hand = self.task.robot.hand
        drives = hand.drives_from_flexion(torch.from_numpy(flexion))
        return float(drives[hand.drives.index(self._drive_of(finger))])

    def _drive_of(self, finger: str) -> str:
        fingers = self.task.robot.hand.fingers
        return {one.name: one.drive for one in fingers}.get(finger, fingers[-1].drive)

    def _place(self, kind: str, name: str) -> int:
        """Index of a site, a body or a joint's position; looking it up in MuJoCo takes longer."""
        if (kind, name) not in self._places:
            found = getattr(self.model, kind)(name)
            self._places[kind, name] = int(found.qposadr[0] if kind == "joint" else found.id)
        return self._places[kind, name]

    def feel_wrist(self) -> np.ndarray:
        """Position of its own wrist in the simulation, without delay, world, in m. Shape (3,)."""
        return self._now().site_position[self.index, self.task.wrist].astype(float)

    def _seen(self) -> Snapshot:
        return self.history.ago(self.traits.reaction)

    def _now(self) -> Snapshot:
        return self.history.ago(0.0)

    # What it does -------------------------------------------------------------------------------

    def choose(self, *strategies: str) -> str:
        """Choose one of several ways of doing the task, and return it."""
        self.strategy = strategies[self.rng.integers(len(strategies))]
        return self.strategy

    def choose_grasp(self, kind: str) -> Grasp:
        """Choose one of the ways in which the hand holds such a thing, see `robots.grasps`."""
        ways = self.task.robot.hand.grasps_of(kind)
        return ways[self.choose(*ways)]

    def grasp(self, kind: str) -> Grasp:
        """Return the first way in which the hand holds such a thing."""
        return next(iter(self.task.robot.hand.grasps_of(kind).values()))

    def err(self, *mistakes: str) -> str:
        """Choose what it does wrong at first; as seldom as its skill has it, mostly nothing."""
        wrong = self.rng.random() < self.traits.mistakes
        self.mistake = mistakes[self.rng.integers(len(mistakes))] if wrong else ""
        return self.mistake

    def haste(self) -> float:
        """Advance by a control step, and return at what share of its speed the hand goes on.

        Now and then it hesitates, which is no halt: policies without memory could not end it.
        """
        period = self.history.period
        if self._hesitating > 0:
            self._hesitating -= period
        elif self.rng.random() < self.traits.hesitation * period:
            self._hesitating = self.rng.uniform(*HESITATES)
        goal = CREEP if self._hesitating > 0 else 1.0
        self._haste += (goal - self._haste) * period / INERTIA
        return self._haste

    def aim(self, target: np.ndarray) -> np.ndarray:
        """Return the target as imprecisely as this operator hits it."""
        return target + self.rng.normal(0.0, self.traits.precision, 3)

    def sent(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return what the trackers send now: the intention, its drift and the tremor on top.

        Where a hand is and where it meant to be differ all the time, and what follows a deviation
        is its correction. Policies learn from just that how to come back to the way.
        """
        noise = self.rng.normal(size=DRIFTS + 6)
        way, self._before = self.position - self._before, self.position
        speed = float(np.sqrt(way @ way)) / (self.traits.speed * self.history.period)
        loud = self._drift_gain * (CALM + (1 - CALM) * min(1.0, speed))
        drift, lag = self._drift, 1 - self._lag
        drift[0] = self._drift_keep * drift[0] + loud * noise[:DRIFTS]
        drift[1] += lag * (drift[0] - drift[1])
        drift[2] += lag * (drift[1] - drift[2])
        off = drift[2] * ((1.0 - self.care) * self.traits.drift)
        # narrow-band noise of unit variance
        swing = noise[DRIFTS:].view(complex) * np.sqrt(1 - abs(self._tremor_keep) ** 2)
        self._tremor = self._tremor_keep * self._tremor + swing
        return (
            self.position + off[:3] + self.traits.tremor * self._tremor.real,
            np_multiply(np_from_rotvec(off[3:6] * DRIFT_TURN), self.quaternion),
            np.clip(self.fingers + off[6:] * DRIFT_FLEX, 0.0, 1.0),
        )

    def wait(self, seconds: float) -> Script:
        """Hold still."""
        for _ in range(max(1, round(seconds / self.history.period))):
            yield

    def watch(self, joint: str, enough: float) -> Script:
        """Hold on while a hinge or slide goes on moving, until it looks past `enough`, rad or m.

        The robot's hand comes later than the person's, the more so the more gently it moves.
        """
        before = -np.inf
        while before + MOVING < (seen := self.see_joint(joint)) < enough:
            before = seen
            yield from self.wait(LOOK)

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
        s = 0.0
        while s < through:
            if until():
                return
            s = min(1.0, s + self.haste() * self.history.period / duration)
            blend = s**3 * (10 - 15 * s + 6 * s * s)
            self.position = start + blend * (goal - start)
            self.position[2] += arc * 16 * (blend * (1 - blend)) ** 2
            self.quaternion = np_slerp(turn, rotation, blend)
            self.fingers = hand + blend * (grasp - hand)
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

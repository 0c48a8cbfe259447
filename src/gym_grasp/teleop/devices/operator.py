"""The synthetic operator as a device: it drives a session as a person would, clutch and all."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gym_grasp.demos.operators.human import History, Human, Script, Snapshot
from gym_grasp.demos.operators.operator import load_script
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.teleop.devices.base import DeviceContext, OpenedDevice
from gym_grasp.teleop.hand.input import Buttons, HandInput, Haptics

PATIENCE = 0.5
"""How long it waits for what its buttons should do, in [s] of ticks."""
FELT = 0.02
"""Brake or vibration from which it feels something."""
TACTILE = 0.7
"""Its reaction time to touch, as a share of that to what it sees: people's simple reaction times
are about 155 ms to touch and 180 to 220 ms to light (Robinson, 1934)."""


@dataclass(frozen=True)
class OperatorOptions:
    """The synthetic operator."""

    def open(self, context: DeviceContext) -> OpenedDevice:
        """Let it watch the session's environment."""
        return OpenedDevice(OperatorDevice(context.env), moved_by="synthetic", shown=True)


class OperatorDevice:
    """A synthetic human in the loop of one session.

    It presses the clutch, acts once per control step on its delayed view of the scene, and asks
    for the next episode when it is done: with the button for it, or, where that does nothing since
    the episode has not ended, with discard.

    Args:
        env: the session's environment, of one simulation.
        clock: the session's, in [s].
        skill: from 0, a novice, to 1, an expert; None: another one in each episode.
        touch: it reacts sooner while its fingers feel something, as people do.
    """

    def __init__(
        self,
        env: GraspVectorEnv,
        clock: Callable[[], float] = time.perf_counter,
        *,
        skill: float | None = None,
        touch: bool = False,
    ) -> None:
        self._skill, self._touch = skill, touch
        self._env = env
        self._clock = clock
        self._script_of = load_script(env.task_name)
        self._interval = env.controller.config.interval
        self._patience = round(PATIENCE / env.physics.timestep)
        self._sequence = 0
        self._seed: int | None = None
        self.episodes = 0
        """Episodes begun."""

    def latest(self) -> HandInput:
        """Return the input of the next tick."""
        seed = int(self._env.episode_seed[0])
        if seed != self._seed:
            self._begin(seed)
        if self._tick >= 1 and (self._tick - 1) % self._interval == 0:
            self._act()
        position, quaternion, fingers = self._sent
        hand = HandInput(
            time=self._clock(),
            wrist_position=position,
            wrist_quaternion=quaternion,
            flexion=fingers,
            clutch=self._tick >= 1,  # released at first, so that the press is fresh
            buttons=self._buttons(),
            sequence=self._sequence,
        )
        self._tick += 1
        self._sequence += 1
        self._idle += self._script is None
        return hand

    def feedback(self, haptics: Haptics) -> None:
        """Feel the contacts, if it has a sense of touch."""
        if self._touch and self._seed is not None:
            felt = max(haptics.brake.max(), haptics.vibration.max()) > FELT
            self._human.traits.reaction = self._reaction * (TACTILE if felt else 1.0)

    def close(self) -> None:
        """Nothing to let go of."""

    def _begin(self, seed: int) -> None:
        self._seed = seed
        self.episodes += 1
        self._tick = self._idle = 0
        self._history = History(self._env.controller.period)
        self._look()
        rng = np.random.default_rng(seed % 2**64)
        self._human = Human(self._env.task, 0, self._history, rng, self._skill)
        self._reaction = self._human.traits.reaction
        self._script: Script | None = self._script_of(self._human)
        self._send((self._human.position, self._human.quaternion, self._human.fingers))

    def _act(self) -> None:
        self._look()
        if self._script is not None and next(self._script, StopIteration) is StopIteration:
            self._script = None  # it holds its hand where it is
        self._send(self._human.sent())

    def _send(self, hand: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
        position, quaternion, fingers = hand
        rotation = quaternion / np.linalg.norm(quaternion)
        # float32, which is what a recording keeps: so it plays back bit by bit
        self._sent = [np.array(value, dtype=np.float32) for value in (position, rotation, fingers)]

    def _look(self) -> None:
        bind = self._env.physics.bind
        fields = ("site_xpos", "xpos", "xquat", "qpos")
        self._history.push(Snapshot(*(np.array(bind(field)) for field in fields)))  # they are live

    def _buttons(self) -> Buttons:
        presses, phase = divmod(self._idle, self._patience)
        pressed = phase == 0
        return Buttons(next=pressed and presses == 1, discard=pressed and presses == 2)

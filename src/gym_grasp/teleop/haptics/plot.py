"""A figure of what the fingers feel during a grasp."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from gym_grasp.demos.episode import Episode
from gym_grasp.demos.record import perform
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import GymGraspError
from gym_grasp.files import write_figure
from gym_grasp.teleop.haptics.forces import FingertipForces
from gym_grasp.teleop.haptics.levels import HapticFilter, HapticsConfig

MARGIN = 0.5
"""Time shown before the first contact, in [s]."""


@dataclass(frozen=True)
class Touch:
    """What F fingers felt during one episode, at every physics step; T of them."""

    fingers: tuple[str, ...]
    """Their names."""
    time: np.ndarray
    """Since the episode's start, in [s]. Shape (T,)."""
    force: np.ndarray
    """Magnitude of the net contact force on each fingertip, in [N]. Shape (T, F)."""
    brake: np.ndarray
    """0–1. Shape (T, F)."""
    vibration: np.ndarray
    """0–1. Shape (T, F)."""
    success: bool
    """Whether the episode succeeded."""


def record_touch(env: GraspVectorEnv, seed: int = 0, config: HapticsConfig | None = None) -> Touch:
    """Let the synthetic operator act once and replay it, feeling every physics step.

    Args:
        env: one environment of the CPU engine, without autoreset.
        seed: of the start state and the operator.
        config: full scales, dead band and window of what is felt.
    """
    env.reset(seed=seed)
    return replay_touch(env, perform(env)[0], config)


def replay_touch(
    env: GraspVectorEnv, episode: Episode, config: HapticsConfig | None = None
) -> Touch:
    """Replay a recorded episode, feeling every physics step; arguments as `record_touch`."""
    env.reset_to(torch.tensor([episode.seed]))
    physics = env.physics
    fingers = tuple(finger.name for finger in env.robot.hand.fingers)
    reader = FingertipForces(physics.model, env.robot)
    touch = HapticFilter(fingers, 1.0 / physics.timestep, config)
    force, brake, vibration = [], [], []
    success = False
    for action in torch.from_numpy(episode.actions):
        env.begin_step(action[None])
        for _ in range(env.controller.config.interval):
            env.advance()
            forces, closing = reader.measure(physics)
            felt = touch.tick(forces, closing)
            force.append(np.linalg.norm(forces, axis=-1))
            brake.append(felt.brake)
            vibration.append(felt.vibration)
        success = bool(env.end_step()[-1]["success"][0])
    return Touch(
        fingers,
        time=physics.timestep * np.arange(1, len(force) + 1),
        force=np.array(force),
        brake=np.array(brake),
        vibration=np.array(vibration),
        success=success,
    )


def plot(touch: Touch, path: Path) -> Path:
    """Draw force, brake and vibration of every finger that touches something, as PNG.

    Raises:
        GymGraspError: nothing was touched, or the file cannot be written.
    """
    from matplotlib.figure import Figure

    touching = np.flatnonzero(touch.force.max(axis=0) > 0)
    if touching.size == 0:
        raise GymGraspError("No fingertip touched anything in this episode: nothing to draw.")
    first = int(np.flatnonzero(touch.force.max(axis=1) > 0)[0])
    begin = max(0.0, touch.time[first] - MARGIN)
    figure = Figure(figsize=(8, 6), layout="constrained")
    axes = figure.subplots(3, 1, sharex=True)
    panels = (
        (touch.force, "contact force [N]"),
        (touch.brake, "brake"),
        (touch.vibration, "vibration"),
    )
    for axis, (values, label) in zip(axes, panels, strict=True):
        for finger in touching:
            name = touch.fingers[finger]
            axis.plot(touch.time, values[:, finger], color=f"C{finger}", lw=1.2, label=name)
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
    for axis in axes[1:]:
        axis.set_ylim(-0.03, 1.03)
    figure.legend(
        *axes[0].get_legend_handles_labels(), ncols=len(touching), loc="outside upper center"
    )
    axes[-1].set_xlabel("time [s]")
    axes[-1].set_xlim(begin, touch.time[-1])
    write_figure(path, figure)
    return path


def draw(path: Path, task: str = "lift-object", seed: int = 0) -> Touch:
    """Write the figure of one synthetic episode of a task and return what it shows."""
    env = GraspVectorEnv(task, 1, num_threads=1, autoreset=False)
    try:
        touch = record_touch(env, seed)
    finally:
        env.close()
    plot(touch, path)
    return touch

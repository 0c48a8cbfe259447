"""A figure of what the fingers feel during a grasp."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from gym_grasp.demos.episode import Episode
from gym_grasp.demos.record import perform
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import GymGraspError
from gym_grasp.teleop.hand.input import FINGERS
from gym_grasp.teleop.haptics.haptics import FingertipForces, HapticFilter, HapticsConfig

MARGIN = 0.5
"""Time shown before the first contact, in [s]."""


@dataclass(frozen=True)
class Touch:
    """What was felt during one episode, at every physics step; T of them."""

    time: np.ndarray
    """Since the episode's start, in [s]. Shape (T,)."""
    force: np.ndarray
    """Magnitude of the net contact force on each fingertip, in [N]. Shape (T, 5)."""
    brake: np.ndarray
    """0–1. Shape (T, 5)."""
    vibration: np.ndarray
    """0–1. Shape (T, 5)."""
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
    physics, controller = env.physics, env.controller
    reader = FingertipForces(physics.model)
    touch = HapticFilter(1.0 / physics.timestep, config)
    force, brake, vibration = [], [], []
    for action in torch.from_numpy(episode.actions):
        controller.apply(action[None])
        for substep in range(controller.config.interval):
            if substep == 0 or controller.config.method == "jacobian-transpose":
                ctrl = controller.joint_targets()
            physics.step(ctrl, 1)
            forces, closing = reader.measure(physics)
            felt = touch.tick(forces, closing)
            force.append(np.linalg.norm(forces, axis=-1))
            brake.append(felt.brake)
            vibration.append(felt.vibration)
    return Touch(
        time=physics.timestep * np.arange(1, len(force) + 1),
        force=np.array(force),
        brake=np.array(brake),
        vibration=np.array(vibration),
        success=bool(env.task.success(physics)[0]),
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
            axis.plot(
                touch.time, values[:, finger], color=f"C{finger}", lw=1.2, label=FINGERS[finger]
            )
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
    for axis in axes[1:]:
        axis.set_ylim(-0.03, 1.03)
    figure.legend(
        *axes[0].get_legend_handles_labels(), ncols=len(touching), loc="outside upper center"
    )
    axes[-1].set_xlabel("time [s]")
    axes[-1].set_xlim(begin, touch.time[-1])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=120)
    except OSError as error:
        raise GymGraspError(f"Cannot write {path}: {error}.") from error
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

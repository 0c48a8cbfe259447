"""Fig. 7 of the paper: how PPO on dense reward and DAPG solve one task, side by side."""

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

import numpy as np

from gym_grasp.envs.render import film, write_picture, write_video
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import CheckpointError
from gym_grasp.experiments.perform import spec_of_policy
from gym_grasp.experiments.results import policy_path
from gym_grasp.experiments.sweep import Row
from gym_grasp.learning.checkpoint import load_policy
from gym_grasp.learning.config import FIRST_SEED

TASK = "pour-cup"
SIDES: tuple[Row, Row] = ("ppo-dense", "dapg-sparse")
EPISODES = 2
RATE = 30.0
"""Frames per second: one each control step."""
STRIP = 6
"""Frames of the first episode in the still picture."""
SMOKE_STEPS = 8


def make(out: Path, task: str = TASK, smoke: bool = False) -> list[Path]:
    """Film the published policies of a task in the same start states.

    Returns:
        The video and a strip of its first episode, named fig7 (for other tasks, fig7-TASK).

    Raises:
        CheckpointError: a policy is missing.
    """
    name = "fig7" if task == TASK else f"fig7-{task}"
    video, strip = out / f"{name}.mp4", out / f"{name}.png"
    paths = [policy_path(out, task, label) for label in SIDES]
    for path in paths:
        if not path.exists():
            raise CheckpointError(
                f"There is no policy {path}; train it with `gym-grasp reproduce fig7 "
                f"--tasks {task}`."
            )
    first: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])

    def frames() -> Iterator[np.ndarray]:
        for episode in range(1 if smoke else EPISODES):
            # One after the other: OpenGL contexts that take turns disturb one another.
            sides = [list(_film(path, FIRST_SEED + episode, smoke)) for path in paths]
            last: list[np.ndarray] = []
            for pair in zip_longest(*sides):
                if episode == 0:
                    for kept, frame in zip(first, pair, strict=True):
                        kept.extend([] if frame is None else [frame[::2, ::2]])
                # The side that ends first stands still.
                last = [last[i] if frame is None else frame for i, frame in enumerate(pair)]
                yield np.hstack(last)

    write_video(video, frames(), RATE)
    rows = [
        np.hstack([kept[i] for i in np.linspace(0, len(kept) - 1, STRIP).astype(int)])
        for kept in first
    ]
    write_picture(strip, np.vstack(rows))
    return [video, strip]


def _film(path: Path, seed: int, smoke: bool) -> Iterator[np.ndarray]:
    """Yield the labelled frames of one episode."""
    policy = load_policy(path)
    spec = spec_of_policy(policy)
    if smoke:
        spec = spec.replace(max_episode_steps=SMOKE_STEPS)
    env = GraspVectorEnv(spec, 1, autoreset=False)
    for frame in film(env, policy, 1, seed=seed, camera="close"):
        yield _labelled(frame, f"{'SMOKE ' if smoke else ''}{path.stem}")
    env.close()


def _labelled(frame: np.ndarray, text: str) -> np.ndarray:
    from PIL import Image, ImageDraw, ImageFont

    image = Image.fromarray(frame)
    font = ImageFont.load_default(size=26)
    ImageDraw.Draw(image).text(
        (14, 10), text, fill="white", font=font, stroke_width=2, stroke_fill="black"
    )
    return np.asarray(image)

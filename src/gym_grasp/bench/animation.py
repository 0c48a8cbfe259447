"""One animation of several trained policies at work, side by side.

`python -m gym_grasp.bench.animation OUT RUN...`, OUT a WebP or, several times smaller, an MP4,
RUN a run's folder or policy file.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import imageio.v3
import numpy as np

from gym_grasp.envs.render import Camera, write_video
from gym_grasp.envs.spec import EnvSpec
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import UsageError
from gym_grasp.learning.checkpoint import load_policy
from gym_grasp.learning.config import FIRST_SEED

SIZE, SMALL = (400, 300), (240, 180)
"""Width and height of each policy's picture, in pixels, and where they are more than MANY."""
MANY = 6
COLUMNS = 2, 3
"""How many policies stand in a row: whichever of them makes whole rows."""
EVERY = 3
"""Control steps that a frame stands for: ten frames a second at 30 Hz."""
SECONDS = 12.0
REST = 5
"""Frames for which the end of an episode is shown."""
QUALITY = 55
"""Of WebP, from 0 to 100."""


def acted(run: Path, size: tuple[int, int]) -> Iterator[np.ndarray]:
    """Yield frames (height, width, 3) uint8 of one evaluation episode after the other, for ever."""
    policy = load_policy(run)
    env = GraspVectorEnv(EnvSpec.from_dict(policy.identity.spec), 1, autoreset=False)
    with Camera(env, "close", 2 * size[0], 2 * size[1], fine=True) as lens:
        seed: int | None = FIRST_SEED
        while True:
            observation, _ = env.reset(seed=seed)
            seed = None
            for step in range(env.max_episode_steps):
                if step % EVERY == 0:
                    yield _halved(lens.frame())
                observation, _, terminated, truncated, _ = env.step(policy(observation))
                if bool(terminated[0] | truncated[0]):
                    break
            yield from [_halved(lens.frame())] * REST


def animate(runs: list[Path], path: Path) -> int:
    """Write the animation of some policies, two or three in a row; return how many frames it has.

    Raises:
        UsageError: there are not as many policies as fill whole rows, or it would be neither a WebP
            nor an MP4.
    """
    columns = next((many for many in COLUMNS if len(runs) % many == 0), 0)
    if not runs or not columns:
        raise UsageError(f"{len(runs)} policies are named; give a multiple of 2 or 3.")
    kind = path.suffix.lower()
    if kind not in (".webp", ".mp4"):
        raise UsageError(f"The animation {path} must end in .webp or .mp4.")
    count = round(SECONDS * 30 / EVERY)
    films = [acted(run, SMALL if len(runs) > MANY else SIZE) for run in runs]
    frames = [_grid([next(one) for one in films], columns) for _ in range(count)]
    if kind == ".mp4":
        write_video(path, iter(frames), 30 / EVERY)
        return count
    duration = round(1000 * EVERY / 30)
    imageio.v3.imwrite(path, np.stack(frames), duration=duration, loop=0, quality=QUALITY, method=6)
    return count


def _halved(frame: np.ndarray) -> np.ndarray:
    """Average blocks of two by two pixels, which smooths edges."""
    height, width, _ = frame.shape
    blocks = frame.reshape(height // 2, 2, width // 2, 2, 3)
    return blocks.mean(axis=(1, 3)).round().astype(np.uint8)


def _grid(frames: list[np.ndarray], columns: int) -> np.ndarray:
    rows = [frames[first : first + columns] for first in range(0, len(frames), columns)]
    return np.vstack([np.hstack(row) for row in rows])


if __name__ == "__main__":
    print(animate([Path(word) for word in sys.argv[2:]], Path(sys.argv[1])), "frames")

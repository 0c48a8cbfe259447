"""What the subcommands that film share: how a film looks, and how it is made."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from gym_grasp.errors import UsageError, unknown
from gym_grasp.progress import bar

if TYPE_CHECKING:
    import numpy as np

    from gym_grasp.envs.vector import GraspVectorEnv


@dataclass(frozen=True)
class Film:
    """How a film looks."""

    camera: Annotated[str, tyro.conf.arg(metavar="{both,overview,close,NAME}")] = "both"
    """From where: overview and close-up side by side, or one camera of the scene."""
    width: int | None = None
    """Of the film, in pixels, at most 3840; by default 640 for each view."""
    height: int = 480
    """Of the film, in pixels, at most 2160."""
    fps: float | None = None
    """Frames per second of real time: the control rate, 30, or a whole part of it; by default half
    of it."""

    def check(self, env: "GraspVectorEnv") -> "Shot":
        """Return it in numbers, for an environment; raises `UsageError` for what cannot be."""
        from gym_grasp.envs.render import WIDTH, cameras_of, check_size, views_of

        known = cameras_of(env.task.model)
        views: tuple[str, ...] = (self.camera,)
        if self.camera == "both":
            views = views_of(env)
        if not views or views[0] not in known:
            raise unknown("camera of this scene", self.camera, ["both", *known])
        width = WIDTH * len(views) if self.width is None else self.width
        height = self.height
        check_size(width, height)
        if width % (2 * len(views)) or height % 2:
            raise UsageError(
                f"The film's size is {width} × {height}; the height must be even, and the width a "
                f"multiple of {2 * len(views)}, as H.264 takes no odd sizes."
            )
        every = 2.0 if self.fps is None else env.control_rate / self.fps if self.fps > 0 else 0.0
        if not 1 <= round(every) <= env.control_rate or abs(every - round(every)) > 1e-3:
            rates = ", ".join(f"{env.control_rate / n:g}" for n in (1, 2, 3, 5))
            raise UsageError(
                f"--fps is {self.fps:g}; it must be the control rate or a whole part of it, at "
                f"least 1, such as {rates}."
            )
        shown = {"camera": views, "every": round(every), "size": (width // len(views), height)}
        return Shot(shown, env.control_rate / round(every))


@dataclass(frozen=True)
class Shot:
    """How one environment is filmed."""

    options: dict[str, Any]
    """`camera`, `every` and `size`, as `envs.render.film` takes them."""
    rate: float
    """Frames per second."""

    def write(
        self, path: Path, episodes: int, frames: Callable[..., Iterator["np.ndarray"]]
    ) -> "np.ndarray":
        """Write a film, with progress on standard error; return its last frame.

        Args:
            path: the MP4.
            episodes: how many it shows.
            frames: `film` or `film_recorded` with all arguments but `options` and `tell`.
        """
        from gym_grasp.envs.opengl import drawn_by, is_software
        from gym_grasp.envs.render import write_video

        how = "software rendering, slow" if is_software() else "a GPU"
        print(f"filming {episodes} episodes, drawn by {drawn_by()}: {how}", file=sys.stderr)
        last: list[np.ndarray] = []

        def kept(frames: Iterator["np.ndarray"]) -> Iterator["np.ndarray"]:
            for frame in frames:
                last[:] = [frame]
                yield frame

        with bar("filming", episodes) as tell:
            write_video(path, kept(frames(**self.options, tell=tell)), self.rate)
        return last[0]


FilmOptions = Annotated[Film, tyro.conf.arg(name="")]
"""Options of a film among a subcommand's own."""
DEFAULT = Film()

"""Pictures and videos of environments, with or without a display."""

import atexit
import ctypes
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from weakref import WeakSet

import mujoco
import numpy as np
import torch
from torch import Tensor

from gym_grasp.closing import Closing
from gym_grasp.envs.build import compile_drawing
from gym_grasp.envs.opengl import is_software, make_renderer
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import GymGraspError, UsageError, reason, unknown
from gym_grasp.files import check_suffix, write_atomically

WIDTH, HEIGHT = 640, 480
MOST_WIDTH, MOST_HEIGHT = 3840, 2160
"""4K, the largest picture, in pixels."""
BOTH = ("overview", "close")
"""The cameras of the shipped scenes, side by side: the whole arm, and what the hand grasps."""
HOLD = 15
"""Control steps for which a film stands still at the end of an episode."""


_open: "WeakSet[mujoco.Renderer]" = WeakSet()  # there is none without OpenGL


class Camera(Closing):
    """Draws one environment of a batch; a context manager, since OpenGL contexts must be closed.

    Args:
        env: the environments.
        name: a camera of the scene; those shipped have `overview` and `close`. Several are drawn
            side by side.
        width: of each view, in pixels.
        height: in pixels.
        fine: with the scene's own shadow maps, facets and reflections. Without them a frame takes
            a third of the time on a processor, and looks nearly the same; by default they are
            left out where no GPU draws.

    Raises:
        DependencyError: nothing can be drawn here; the message names the packages.
        UsageError: the size is out of range, or the scene has no such camera.
    """

    def __init__(
        self,
        env: GraspVectorEnv,
        name: str | Sequence[str] = "overview",
        width: int = WIDTH,
        height: int = HEIGHT,
        fine: bool | None = None,
    ) -> None:
        self._physics = env.physics
        self._names = (name,) if isinstance(name, str) else tuple(name)
        check_size(width * len(self._names), height)
        self._model, self._geoms = compile_drawing(env.env_spec)
        self._data = mujoco.MjData(self._model)
        known = cameras_of(self._model)
        for one in self._names:
            if one not in known:
                raise unknown("camera of this scene", one, known)
        visual = self._model.vis
        self._fine = not is_software() if fine is None else fine
        visual.global_.offwidth, visual.global_.offheight = width, height
        if not self._fine:
            quality = visual.quality
            quality.shadowsize = min(quality.shadowsize, 2048)
            quality.offsamples = min(quality.offsamples, 4)
            quality.numslices, quality.numstacks = 28, 14
        self._renderer = make_renderer(self._model, width, height)
        _watch(self._renderer)
        options = mujoco.MjvOption()
        options.geomgroup[:] = [1, 1, 1, 0, 0, 0]  # collision geoms of the robot are group 3
        self._options = options

    def frame(self, index: int = 0) -> np.ndarray:
        """Draw environment `index` as it is now. Shape (height, width × views, 3), uint8."""
        self._physics.fill(self._model, index, self._geoms)
        self._data.qpos[:] = self._physics.bind("qpos")[index].cpu().numpy()
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_camlight(self._model, self._data)
        views = []
        for name in self._names:
            self._renderer.update_scene(self._data, camera=name, scene_option=self._options)
            self._renderer.scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] &= self._fine
            views.append(self._renderer.render())
        return views[0] if len(views) == 1 else np.hstack(views)

    def close(self) -> None:
        """Free the OpenGL context."""
        self._renderer.close()


def cameras_of(model: mujoco.MjModel) -> list[str]:
    """Return the names of a scene's cameras."""
    return [model.camera(index).name for index in range(model.ncam)]


def views_of(env: GraspVectorEnv) -> tuple[str, ...]:
    """Return which of the cameras `BOTH` a scene has."""
    known = cameras_of(env.task.model)
    return tuple(name for name in BOTH if name in known)


def check_size(width: int, height: int) -> None:
    """Raise `UsageError` for a picture that is larger than 4K, or empty."""
    for what, size, most in (("width", width, MOST_WIDTH), ("height", height, MOST_HEIGHT)):
        if not 1 <= size <= most:
            raise UsageError(f"The {what} is {size}; it must be from 1 to {most} pixels.")


def _watch(renderer: "mujoco.Renderer") -> None:
    """Close a renderer at the end of the process, while there still is an OpenGL."""
    if not _open:  # MuJoCo has let OpenGL end then; what is registered later comes before
        atexit.unregister(_close_all)
        atexit.register(_close_all)
    _open.add(renderer)


def _close_all() -> None:
    for renderer in list(_open):
        renderer.close()


def _leave_to_parent() -> None:
    """Keep, in a forked process, what has no context there and could not be freed."""
    for renderer in list(_open):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(renderer))
    _open.clear()


os.register_at_fork(after_in_child=_leave_to_parent)


@contextmanager
def filming() -> Iterator[None]:
    """Raise faults of OpenGL, MuJoCo's renderer, encoder and disk as `GymGraspError`."""
    try:
        yield
    except (ImportError, OSError, RuntimeError, mujoco.FatalError) as error:
        raise GymGraspError(f"It could not be filmed: {reason(error, 1000)}.") from error


def write_video(path: Path, frames: Iterable[np.ndarray], rate: float) -> None:
    """Write frames (height, width, 3) uint8 as an H.264 MP4 of `rate` frames per second.

    Raises:
        GymGraspError: it cannot be written; what was written of it is removed, and a film that
            was there before stays.
    """
    import imageio
    from imageio_ffmpeg import count_frames_and_secs

    part = path.parent / f".{path.stem}.part.mp4"
    options = {"macro_block_size": 2, "quality": 5, "ffmpeg_log_level": "quiet"}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.touch()  # says why, as the encoder does not
        # Of itself it does not close, and so leaves the encoder running, where something is raised.
        with closing(imageio.get_writer(part, fps=rate, **options)) as writer:
            for frame in frames:
                writer.append_data(frame)
        try:
            count_frames_and_secs(str(part))
        except RuntimeError as error:  # the encoder does not tell when the disk is full
            raise OSError("it is not whole, as where the disk is full") from error
        part.replace(path)
    except OSError as error:
        text = str(error).partition("FFMPEG COMMAND")[0]
        if isinstance(error, BrokenPipeError) or "Broken pipe" in text:
            text = "the encoder has given up, as where the disk is full"
        raise GymGraspError(f"Cannot write the video {path}: {reason(text)}.") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def write_picture(path: Path, frame: np.ndarray) -> None:
    """Write one frame (height, width, 3) uint8 as PNG, atomically.

    Raises:
        GymGraspError: it cannot be written.
        UsageError: the name ends otherwise.
    """
    import imageio.v3

    check_suffix(path, ".png")
    write_atomically(path, imageio.v3.imwrite("<bytes>", frame, extension=".png"))


def film(
    env: GraspVectorEnv,
    policy: Callable[[Tensor], Tensor],
    episodes: int,
    seed: int,
    camera: str | Sequence[str] = "overview",
    every: int = 1,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    tell: Callable[[float], None] = lambda done: None,
) -> Iterator[np.ndarray]:
    """Yield the control steps of some episodes of a policy as frames (height, width, 3), uint8.

    Args:
        env: one environment without autoreset, so that the last frame shows how it ended.
        policy: observations (1, O) in, actions (1, A) out.
        episodes: how many.
        seed: of the start states.
        camera: from where; several are shown side by side.
        every: how many control steps a frame stands for.
        size: width and height of each view, in pixels.
        tell: called with the episodes done, parts of them too.
    """
    with Camera(env, camera, *size) as lens:
        for episode in range(episodes):
            observation, _ = env.reset(seed=seed if episode == 0 else None)
            for share, frame in _episode(env, lens, policy, observation, every):
                yield frame
                tell(episode + share)


def film_recorded(
    env: GraspVectorEnv,
    episodes: Sequence[tuple[int, Tensor]],
    camera: str | Sequence[str] = "overview",
    every: int = 1,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    tell: Callable[[float], None] = lambda done: None,
) -> Iterator[np.ndarray]:
    """Yield the control steps of recorded episodes, acted out anew, as frames.

    Args:
        env: one environment without autoreset, that of the recording.
        episodes: seed and actions, (T, A), of each.
        camera: see `film`, as what follows.
        every: how many control steps a frame stands for.
        size: width and height of each view, in pixels.
        tell: called with the episodes done, parts of them too.
    """
    with Camera(env, camera, *size) as lens:
        for index, (seed, actions) in enumerate(episodes):
            observation = env.reset_to(torch.tensor([seed]))
            play = _episode(env, lens, _repeat(actions), observation, every, len(actions))
            for share, frame in play:
                yield frame
                tell(index + share)


def _repeat(actions: Tensor) -> Callable[[Tensor], Tensor]:
    recorded = iter(actions[:, None])
    return lambda _: next(recorded)


def _episode(
    env: GraspVectorEnv,
    lens: Camera,
    policy: Callable[[Tensor], Tensor],
    observation: Tensor,
    every: int,
    longest: int | None = None,
) -> Iterator[tuple[float, np.ndarray]]:
    """Act until an episode ends; yield how far it is, as a share, and each frame."""
    longest = longest or env.max_episode_steps
    for step in range(longest):
        if step % every == 0:
            yield step / longest, lens.frame()
        observation, _, terminated, truncated, _ = env.step(policy(observation))
        if bool(terminated[0] | truncated[0]):
            break
    yield from [(1.0, lens.frame())] * max(1, HOLD // every)

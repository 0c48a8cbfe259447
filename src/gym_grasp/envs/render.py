"""Pictures and videos of environments, with or without a display."""

import atexit
import ctypes
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from weakref import WeakSet

import mujoco
import numpy as np
from torch import Tensor

from gym_grasp.envs.build import compile_drawing
from gym_grasp.envs.opengl import make_renderer
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import GymGraspError, UsageError, unknown

WIDTH, HEIGHT = 640, 480
HOLD = 15
"""Frames for which a film stands still at the end of an episode."""


_open: WeakSet[mujoco.Renderer] = WeakSet()


class Camera:
    """Draws one environment of a batch; a context manager, since OpenGL contexts must be closed.

    Args:
        env: the environments.
        name: the camera, an element of every scene: `overview` or `close`.
        width: in pixels, up to the scene's `offwidth`.
        height: in pixels, up to the scene's `offheight`.

    Raises:
        DependencyError: nothing can be drawn here; the message names the packages.
        UsageError: the size is out of range, or the scene has no such camera.
    """

    def __init__(
        self, env: GraspVectorEnv, name: str = "overview", width: int = WIDTH, height: int = HEIGHT
    ) -> None:
        self._physics = env.physics
        self._name = name
        self._model, self._geoms = compile_drawing(env.env_spec)
        self._data = mujoco.MjData(self._model)
        limit = self._model.vis.global_
        for what, size, most in (
            ("width", width, limit.offwidth),
            ("height", height, limit.offheight),
        ):
            if not 1 <= size <= most:
                raise UsageError(f"The {what} is {size}; it must be from 1 to {most} pixels.")
        cameras = [self._model.camera(index).name for index in range(self._model.ncam)]
        if name not in cameras:
            raise unknown("camera of this scene", name, cameras)
        self._renderer = make_renderer(self._model, width, height)
        _watch(self._renderer)
        options = mujoco.MjvOption()
        options.geomgroup[:] = [1, 1, 1, 0, 0, 0]  # collision geoms of the robot are group 3
        self._options = options

    def frame(self, index: int = 0) -> np.ndarray:
        """Draw environment `index` as it is now. Shape (height, width, 3), uint8."""
        self._physics.fill(self._model, index, self._geoms)
        self._data.qpos[:] = self._physics.bind("qpos")[index].cpu().numpy()
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_camlight(self._model, self._data)
        self._renderer.update_scene(self._data, camera=self._name, scene_option=self._options)
        return self._renderer.render()

    def close(self) -> None:
        """Free the OpenGL context."""
        self._renderer.close()

    def __enter__(self) -> "Camera":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _watch(renderer: mujoco.Renderer) -> None:
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


def write_video(path: Path, frames: Iterable[np.ndarray], rate: float) -> None:
    """Write frames (height, width, 3) uint8 as an H.264 MP4 of `rate` frames per second."""
    import imageio

    try:
        with imageio.get_writer(path, fps=rate, macro_block_size=2, quality=5) as writer:
            for frame in frames:
                writer.append_data(frame)
    except OSError as error:
        raise GymGraspError(f"Cannot write the video {path}: {error}") from error


def write_picture(path: Path, frame: np.ndarray) -> None:
    """Write one frame (height, width, 3) uint8 as PNG; raises `UsageError` for another suffix."""
    import imageio.v3

    if path.suffix.lower() != ".png":
        raise UsageError(f"The picture {path} would be a PNG; let its name end in .png.")
    imageio.v3.imwrite(path, frame)


def film(
    env: GraspVectorEnv,
    policy: Callable[[Tensor], Tensor],
    episodes: int,
    seed: int,
    camera: str = "overview",
    every: int = 1,
) -> Iterator[np.ndarray]:
    """Yield the control steps of some episodes of a policy as frames.

    Args:
        env: one environment without autoreset, so that the last frame shows how it ended.
        policy: observations (1, O) in, actions (1, A) out.
        episodes: how many.
        seed: of the start states.
        camera: from where.
        every: how many control steps a frame stands for.
    """
    with Camera(env, camera) as lens:
        for episode in range(episodes):
            observation, _ = env.reset(seed=seed if episode == 0 else None)
            done, step = False, 0
            while not done:
                if step % every == 0:
                    yield lens.frame()
                step += 1
                observation, _, terminated, truncated, _ = env.step(policy(observation))
                done = bool(terminated[0] | truncated[0])
            yield from [lens.frame()] * (HOLD // every)

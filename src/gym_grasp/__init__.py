"""Dexterous manipulation: teleoperated demonstrations and GPU-parallel reinforcement learning."""

import ctypes as _ctypes
import os as _os
import sys as _sys

__version__ = "0.1.0"


def _choose_renderer() -> None:
    """Let MuJoCo render without a display; it looks at MUJOCO_GL once, when first imported."""
    shown = {"MUJOCO_GL", "DISPLAY", "WAYLAND_DISPLAY"} & _os.environ.keys()
    if shown or not _sys.platform.startswith("linux"):
        return
    for backend, library in (("egl", "libEGL.so.1"), ("osmesa", "libOSMesa.so.8")):
        try:
            _ctypes.CDLL(library)
        except OSError:
            continue
        _os.environ["MUJOCO_GL"] = backend
        return


_choose_renderer()

from gym_grasp.demos.operators import register_operator  # noqa: E402
from gym_grasp.robots import register_arm, register_hand  # noqa: E402
from gym_grasp.tasks import register_task  # noqa: E402
from gym_grasp.teleop.devices import register_device  # noqa: E402

__all__ = ["register_arm", "register_device", "register_hand", "register_operator", "register_task"]

"""Which OpenGL draws: found when something is drawn, whatever was imported before.

MuJoCo reads MUJOCO_GL at its first import, and without it takes GLFW, which needs a display.
What is drawn here is never shown, so EGL comes first, whether or not a display answers.
"""

import ctypes
import functools
import importlib
import os
import sys
import warnings
from typing import TYPE_CHECKING

from gym_grasp.errors import DependencyError

if TYPE_CHECKING:
    import mujoco

BACKENDS = ("egl", "glfw", "osmesa")
"""MuJoCo's modules for Linux, in the order in which they are tried."""
LIBRARIES = {"egl": "libEGL.so.1", "osmesa": "libOSMesa.so.8"}
SOFTWARE = ("llvmpipe", "softpipe", "swrast", "swiftshader", "software")
"""Parts of the names of renderers that work on the processor."""
ANY = ("", "enable", "enabled", "on", "true", "1")
NONE = ("disable", "disabled", "off", "false", "0")
HELP = "On Debian or Ubuntu: apt-get install libegl1 libegl-mesa0 (or libosmesa6)"


def make_renderer(model: "mujoco.MjModel", width: int, height: int) -> "mujoco.Renderer":
    """Return a renderer whose OpenGL works here, MUJOCO_GL's where that is set.

    Raises:
        DependencyError: none works; the message says why, and which packages help.
    """
    import mujoco
    from mujoco.rendering.classic import gl_context

    backends = _backends()
    reasons = []
    for name in backends:
        try:
            with warnings.catch_warnings(record=True) as said:  # GLFW warns where others raise
                warnings.simplefilter("always")
                if sys.platform.startswith("linux"):
                    # Every renderer looks here when it is made.
                    gl_context.GLContext = importlib.import_module(f"mujoco.{name}").GLContext
                return mujoco.Renderer(model, height, width)
        except Exception as error:  # libraries and drivers fail in ways of their own
            reasons.append(f"{name}: {' '.join(str(said[0].message if said else error).split())}")
    raise DependencyError(
        f"Nothing can be drawn: {'; '.join(reasons) or 'there is no OpenGL library'}. {HELP}"
        + ("." if len(backends) != 1 else "; or unset MUJOCO_GL to have another tried.")
    )


@functools.cache
def drawn_by() -> str:
    """Return what OpenGL calls what draws here, such as `llvmpipe` or the name of a GPU.

    Raises:
        DependencyError: nothing can be drawn here.
    """
    import mujoco

    renderer = make_renderer(mujoco.MjModel.from_xml_string("<mujoco/>"), 8, 8)
    try:
        from OpenGL import GL

        renderer._gl_context.make_current()
        return str((GL.glGetString(GL.GL_RENDERER) or b"unknown").decode(errors="replace"))
    except Exception:  # a picture does not depend on who draws it
        return "unknown"
    finally:
        renderer.close()


def is_software() -> bool:
    """Whether the processor draws, not a GPU; raises what `drawn_by` raises."""
    return any(name in drawn_by().lower() for name in SOFTWARE)


def check_choice() -> None:
    """Raise `DependencyError` if MUJOCO_GL is such that MuJoCo itself could not be imported."""
    choice = _choice()
    if not sys.platform.startswith("linux") or choice in (*ANY, *NONE):
        return
    if choice not in BACKENDS:
        raise DependencyError(
            f"MUJOCO_GL is '{choice}'; it may be {', '.join(BACKENDS)} or off, or unset to have "
            "the first of these that works."
        )
    if not _is_installed(choice):
        raise DependencyError(
            f"MUJOCO_GL is '{choice}' and there is no {LIBRARIES[choice]}. {HELP}; or unset "
            "MUJOCO_GL to have another tried."
        )


def _backends() -> tuple[str, ...]:
    """Return what may draw here, best first."""
    choice = _choice()
    if choice in NONE:
        raise DependencyError(f"MUJOCO_GL is '{choice}': nothing is to be drawn. Unset it to draw.")
    check_choice()
    if choice not in ANY:
        return (choice,)
    shown = {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys()
    return tuple(name for name in BACKENDS if (shown if name == "glfw" else _is_installed(name)))


def _choice() -> str:
    """Return MUJOCO_GL as MuJoCo reads it; GLX is GLFW's."""
    choice = os.environ.get("MUJOCO_GL", "").lower().strip()
    return "glfw" if choice == "glx" else choice


def _is_installed(backend: str) -> bool:
    if backend in LIBRARIES:
        try:
            ctypes.CDLL(LIBRARIES[backend])
        except OSError:
            return False
    return True

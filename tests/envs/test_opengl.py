"""What draws, in processes of their own: MuJoCo decides once in each."""

import os
import subprocess
import sys

import mujoco
import pytest

from gym_grasp.cli.main import main
from gym_grasp.envs import opengl
from gym_grasp.envs.opengl import check_choice, make_renderer
from gym_grasp.envs.render import Camera, write_picture
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import DependencyError, UsageError

SPHERE = "<mujoco><worldbody><geom size='0.3' rgba='1 0 0 1'/></worldbody></mujoco>"
DRAW = f"""
import mujoco
from gym_grasp.envs.opengl import make_renderer
from mujoco.rendering.classic import gl_context

model = mujoco.MjModel.from_xml_string("{SPHERE}")
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
with make_renderer(model, 40, 30) as renderer:
    renderer.update_scene(data)
    frame = renderer.render()
    print(frame.shape, frame[15, 20].argmax(), gl_context.GLContext.__module__)
"""
GYM = """
import gymnasium
from gym_grasp.tasks import gym_id
with gymnasium.make(gym_id("open-drawer"), render_mode="rgb_array") as env:
    env.reset(seed=0)
    frame = env.render()
    print(frame.shape, frame.std() > 10)
"""
DEAD = {"DISPLAY": ":987"}
NO_DRIVER = {"__EGL_VENDOR_LIBRARY_FILENAMES": "/nonexistent"}
DRAWN = "(30, 40, 3) 0 mujoco.egl"


def draw(code=DRAW, **variables):
    hidden = {"DISPLAY", "WAYLAND_DISPLAY", "MUJOCO_GL", "PYOPENGL_PLATFORM"}
    env = {name: value for name, value in os.environ.items() if name not in hidden}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=env | variables
    )
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("first", "variables"),
    [
        ("import gym_grasp", {}),
        ("import gym_grasp", DEAD),
        ("import mujoco.glfw", {}),
        ("import mujoco", DEAD | {"WAYLAND_DISPLAY": "gone"}),
    ],
)
def test_egl_draws_whatever_the_display_and_the_order_of_imports(first, variables):
    assert draw(f"{first}\n{DRAW}", **variables) == DRAWN


def test_gymnasium_draws_after_mujoco_with_a_dead_display():
    assert draw(f"import mujoco\n{GYM}", **DEAD) == "(480, 640, 3) True"


@pytest.mark.parametrize("choice", [" EGL", "on"])
def test_a_choice_that_draws(choice):
    assert draw(MUJOCO_GL=choice) == DRAWN


def test_a_choice_is_kept_even_where_it_cannot_draw():
    shown = draw(MUJOCO_GL="glx", **DEAD)
    assert shown.startswith("gym_grasp.errors.DependencyError: Nothing can be drawn: glfw: ")
    assert "Failed to open display :987" in shown
    assert "unset MUJOCO_GL" in shown
    assert "MUJOCO_GL is 'off': nothing is to be drawn" in draw(MUJOCO_GL="off")


def test_nothing_that_draws_is_one_line():
    shown = draw(**NO_DRIVER, **DEAD)
    assert "DependencyError: Nothing can be drawn: egl: " in shown
    assert "; glfw: " in shown
    assert "apt-get install libegl1" in shown


def test_no_library(monkeypatch):
    monkeypatch.setattr(opengl, "LIBRARIES", {"egl": "libnone.so.1", "osmesa": "libnone.so.2"})
    for name in ("MUJOCO_GL", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    model = mujoco.MjModel.from_xml_string(SPHERE)
    with pytest.raises(DependencyError, match="there is no OpenGL library"):
        make_renderer(model, 40, 30)
    monkeypatch.setenv("MUJOCO_GL", "egl")
    with pytest.raises(DependencyError, match=r"'egl' and there is no libnone\.so\.1"):
        check_choice()


def test_the_command_line_refuses_what_mujoco_cannot_be_imported_with(monkeypatch, capsys):
    monkeypatch.setenv("MUJOCO_GL", "foo")
    assert main(["train", "open-drawer"]) == 2
    assert "MUJOCO_GL is 'foo'; it may be egl, glfw, osmesa or off" in capsys.readouterr().err


@pytest.mark.parametrize(("width", "height"), [(0, 30), (3841, 30), (40, -1), (40, 2161)])
def test_sizes_out_of_range(width, height):
    with pytest.raises(UsageError, match=r"it must be from 1 to (3840|2160) pixels"):
        Camera(GraspVectorEnv("open-drawer"), width=width, height=height)


def test_pictures_are_png(tmp_path):
    for name in ("picture", "picture.jpg"):
        with pytest.raises(UsageError, match=r"let its name end in \.png"):
            write_picture(tmp_path / name, None)


def test_what_draws_is_imported_where_mujoco_has_no_renderer():
    without = "import mujoco\ndel mujoco.Renderer\nimport gym_grasp.paper.fig7\nprint('imported')"
    assert draw(without) == "imported"

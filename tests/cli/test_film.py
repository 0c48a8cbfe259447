"""Evaluating, filming and what is told meanwhile: success comes first and is never lost."""

import io
import json
import re
import sys
from pathlib import Path

import imageio.v2 as imageio
import mujoco
import numpy as np
import pytest

from gym_grasp import progress
from gym_grasp.cli.film import DEFAULT
from gym_grasp.cli.main import main
from gym_grasp.demos.record import record
from gym_grasp.errors import GymGraspError

SHORT = ("--episodes", "2", "--max-episode-steps", "12")
SMALL = ("--width", "128", "--height", "48", "--video-episodes", "1")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("data") / "open-drawer.hdf5"
    record("open-drawer", path, episodes=4, seed=1)
    return path


@pytest.fixture(scope="module")
def run(dataset) -> Path:
    folder = dataset.parent / "run"
    args = ["--method", "bc", "--epochs", "1", "--demos", str(dataset), "--run", str(folder)]
    assert main(["train", "open-drawer", *args]) == 0
    return folder


def frames(path: Path) -> tuple[int, ...]:
    """Return the number of a film's frames, their height and width."""
    with imageio.get_reader(path) as reader:
        width, height = reader.get_meta_data()["size"]
        return reader.count_frames(), height, width


def test_training_ends_with_what_to_do_next(run, dataset, tmp_path, capsys):
    args = ["--method", "ppo", "--epochs", "1", "--num-envs", "2", "--horizon", "2"]
    assert main(["train", "open-drawer", *args, "--run", str(tmp_path / "a run")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"run: {tmp_path / 'a run'}, 1 epochs")
    assert "no episode has ended" in lines[1]
    assert lines[-2] == f"curve: {tmp_path / 'a run' / 'learning_curve.png'}"
    assert lines[-1] == f"next: gym-grasp evaluate '{tmp_path / 'a run'}'"


def test_inside_a_run_folder_the_film_shows_both_views(run, monkeypatch, capsys):
    monkeypatch.chdir(run)
    assert main(["evaluate", ".", *SHORT, *SMALL, "--fps", "10"]) == 0
    said = capsys.readouterr()
    assert "95 % interval" in said.out
    count, height, width = frames(run / "video.mp4")
    assert (height, width) == (48, 128)
    assert count == 4 + 5  # 12 steps at a third of 30 Hz, and the end held for half a second
    assert imageio.imread(run / "still.png").shape == (48, 128, 3)
    assert "drawn by" in said.err


@pytest.mark.parametrize(
    ("as_json", "fault"),
    [
        (False, OSError(28, "No space left on device")),
        (True, OSError(28, "No space left on device")),
        (False, mujoco.FatalError("Offscreen framebuffer is not complete")),
        (False, ImportError("No module named 'OpenGL.EGL'")),
    ],
)
def test_a_fault_of_the_film_does_not_lose_the_success(run, monkeypatch, capsys, as_json, fault):
    told = []

    def fail(*args, **kwargs):
        told.append(capsys.readouterr().out)
        raise fault

    monkeypatch.setattr("gym_grasp.envs.render.write_video", fail)
    assert main(["evaluate", str(run), *SHORT, *["--json"] * as_json]) == 1
    (before,) = told
    if as_json:
        assert json.loads(before)["episodes"] == 2
    else:
        assert "success 0.000, 95 % interval" in before
    message = capsys.readouterr().err.splitlines()[-1]
    assert "The success above stands" in message
    assert str(fault) in message
    assert "--no-video" in message


def test_without_opengl_the_success_is_told(run, monkeypatch, capsys):
    monkeypatch.setattr("gym_grasp.envs.opengl._backends", lambda: ())
    monkeypatch.setattr("gym_grasp.envs.opengl.drawn_by", lambda: "nobody")
    assert main(["evaluate", str(run), *SHORT]) == 1
    said = capsys.readouterr()
    assert "95 % interval" in said.out
    assert "Nothing can be drawn" in said.err


def test_a_film_that_cannot_be_written_leaves_the_one_before(run, tmp_path):
    from gym_grasp.envs.render import write_video

    film = tmp_path / "film.mp4"
    film.write_bytes(b"before")

    def broken():
        yield np.zeros((48, 64, 3), np.uint8)
        raise OSError(28, "No space left on device")

    with pytest.raises(GymGraspError, match="No space left"):
        write_video(film, broken(), 10)
    assert film.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [film]
    with pytest.raises(GymGraspError, match="Cannot write the video"):
        write_video(film / "film.mp4", [np.zeros((48, 64, 3), np.uint8)], 10)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--width", "7680"), "The width is 7680; it must be from 1 to 3840"),
        (("--width", "130"), "multiple of 4"),
        (("--fps", "29"), "such as 30, 15, 10, 6"),
        (("--fps", "0"), "--fps is 0"),
        (("--camera", "clsoe"), "Did you mean 'close'"),
        (("--video-episodes", "0"), "--video-episodes is 0"),
        (("--no-video", "--fps", "10"), "--no-video"),
    ],
)
def test_what_cannot_be_filmed_is_refused_before_evaluating(run, capsys, args, message):
    assert main(["evaluate", str(run), *SHORT, *args]) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert not said.out


def test_recorded_episodes_are_filmed(dataset, tmp_path, capsys):
    out = tmp_path / "two.mp4"
    look = ("--camera", "close", "--width", "64", "--height", "48", "--fps", "1")
    args = ["demos", "film", str(dataset), "--out", str(out), *look, "--episode"]
    assert main([*args, "1,3", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"path": str(out), "episodes": [1, 3]}
    from gym_grasp.demos.reader import open_dataset

    lengths = [len(open_dataset(dataset).summaries[index]) for index in (1, 3)]
    assert frames(out)[0] == sum(-(-length // 30) + 1 for length in lengths)
    for episode, message in (("4", "has 4 episodes, 0 to 3"), ("a", "expected N")):
        assert main([*args, episode]) == 2
        assert message in capsys.readouterr().err


def test_pictures_of_4k_and_of_both_cameras():
    from gym_grasp.envs.render import Camera
    from gym_grasp.envs.vector import GraspVectorEnv

    env = GraspVectorEnv("open-drawer", 1)
    env.reset(seed=0)
    with Camera(env, "close", 3840, 2160) as lens:
        frame = lens.frame()
    assert frame.shape == (2160, 3840, 3)
    assert frame[-200:].std() > 5  # drawn to its edges
    views = []
    for name in ("overview", "close", DEFAULT.check(env).options["camera"]):
        with Camera(env, name, 64, 48) as lens:
            views.append(lens.frame())
    assert np.array_equal(views[2], np.hstack(views[:2]))
    assert not np.array_equal(*views[:2])
    env.close()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_for_terminals(monkeypatch):
    for stream, shown in ((io.StringIO(), False), (Terminal(), True)):
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setenv("TERM", "xterm")
        with progress.bar("filming", 3) as tell:
            assert progress.is_shown() is shown
            tell(2)
            with progress.bar("inner", 3) as inner:
                inner(1)
        assert ("filming" in stream.getvalue()) is shown
        assert "2/3" in stream.getvalue() or not shown
        assert "inner" not in stream.getvalue()
        assert not progress.is_shown()


def test_divergence_says_which_why_and_what_to_do():
    from gym_grasp.envs.judge import diverged_text

    text = diverged_text([3, 17], [5, 6])
    assert "environments 3 (seed 5), 17 (seed 6) diverged" in text
    assert "velocity beyond" in text
    assert "reset_to" in text
    assert "and 2 more" in diverged_text(range(7), range(7))


@pytest.mark.parametrize(
    ("command", "choices"),
    [
        (("train",), ("cpu,cuda", "ur5-sih", "open-drawer", "{True,False}", "bc,ppo,dapg")),
        (("demos", "record"), ("ur5-sih", "open-drawer")),
        (("demos", "export"), ("{overview,close}", "robomimic,lerobot,minari")),
        (("sweep",), ("cpu,cuda", "ur5-sih", "open-drawer", "dapg-sparse")),
        (("reproduce",), ("cpu,cuda", "open-drawer", "table1")),
        (("evaluate",), ("cpu,cuda", "ur5-sih", "both,overview,close")),
        (("benchmark",), ("cpu,cuda", "ur5-sih", "open-drawer")),
        (("audit",), ("ur5-sih", "open-drawer", "random,press")),
        (("render",), ("ur5-sih", "open-drawer", "{overview,close}")),
        (("teleop",), ("ur5-sih", "open-drawer", "webxr,keyboard")),
    ],
)
def test_help_names_the_choices(command, choices, capsys):
    with pytest.raises(SystemExit):
        main([*command, "--help"])
    text = capsys.readouterr().out
    assert "None}" not in text
    assert "{None" not in text
    for names in choices:
        assert re.search(rf"\{{[^{{}}]*{names.strip('{}')}[^{{}}]*\}}", text), names


def test_a_renderer_that_fails_is_one_error_in_a_film_of_demonstrations_too(
    dataset, monkeypatch, capsys
):
    def fail(*args, **kwargs):
        raise mujoco.FatalError("Offscreen framebuffer is not complete")

    monkeypatch.setattr("gym_grasp.envs.render.write_video", fail)
    assert main(["demos", "film", str(dataset)]) == 1
    assert "could not be filmed: Offscreen framebuffer" in capsys.readouterr().err

"""What a command prints to: terminals that lack characters, readers that have read enough."""

import io
import os
import sys

import pytest

from gym_grasp.cli.main import SUBCOMMANDS, main
from gym_grasp.physics import memory


def test_a_terminal_that_lacks_characters_is_printed_to(monkeypatch):
    for name in SUBCOMMANDS:
        printed = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed, "ascii"))
        with pytest.raises(SystemExit) as asked:
            main([name, "--help"])
        assert asked.value.code == 0
        assert b"usage: gym-grasp" in printed.getvalue()


@pytest.mark.parametrize("args", [["--help"], ["--version"], ["train", "--help"]])
def test_a_reader_that_has_read_enough_is_no_error(monkeypatch, capfd, args):
    reading, writing = os.pipe()
    os.close(reading)
    pipe = os.fdopen(writing, "w")
    monkeypatch.setattr(sys, "stdout", pipe)
    assert main(args) == 1
    pipe.close()  # as Python does in the end
    assert capfd.readouterr().err == ""


def test_what_mujoco_cannot_draw_with_is_refused(monkeypatch, capsys):
    monkeypatch.setenv("MUJOCO_GL", "foo")
    assert main(["render", "open-drawer"]) == 2
    assert "MUJOCO_GL is 'foo'" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["train", "benchmark"])
def test_too_many_environments_are_refused_before_memory_is_taken(
    monkeypatch, capsys, tmp_path, command
):
    monkeypatch.setattr(memory, "_free", lambda: 2 * 10**9)
    own = ["--method", "ppo", "--run", str(tmp_path / "run")] if command == "train" else []
    assert main([command, "open-drawer", "--num-envs", "2000000", *own]) == 2
    message = capsys.readouterr().err
    assert "2,000,000 environments need about 50.0 GB of memory" in message
    assert "2.0 GB are free; at most about" in message
    assert message.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_the_free_memory_is_that_of_this_system():
    free = memory._free()
    if free is None:
        pytest.skip("the system does not say")
    assert 10**7 < free < 10**14

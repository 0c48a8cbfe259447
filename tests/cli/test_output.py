"""What a command prints to: terminals that lack characters, readers that have read enough."""

import io
import json
import os
import shutil
import sys
from pathlib import Path

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


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        (("demos", "info", "drawer.hdf5", "--plot"), ".png"),
        (("demos", "info", "drawer.hdf5", "--card"), ".md"),
        (("demos", "info", "drawer.hdf5", "--segments"), ".json"),
        (("demos", "film", "drawer.hdf5", "--out"), ".mp4"),
        (("export", "run", "--to"), ".onnx"),
        (("render", "open-drawer", "--out"), ".png"),
        (("benchmark", "open-drawer", "--num-envs", "1", "--plot"), ".png"),
        (("sweep", "--tasks", "open-drawer", "--csv"), ".csv"),
        (("sweep", "--tasks", "open-drawer", "--plot"), ".png"),
    ],
    ids=" ".join,
)
def test_no_output_replaces_a_file_of_another_kind(
    monkeypatch, capsys, tmp_path, recorded, command, kind
):
    monkeypatch.chdir(tmp_path)
    shutil.copy(recorded, "drawer.hdf5")
    for name in ("drawer.hdf5", ".", "picture"):
        assert main([*command, name]) == 2
        assert f"let its name end in {kind}" in capsys.readouterr().err
    assert Path("drawer.hdf5").read_bytes() == recorded.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["drawer.hdf5"]


def test_what_describes_a_dataset_is_written_where_it_was_asked_for(
    monkeypatch, capsys, tmp_path, recorded
):
    monkeypatch.chdir(tmp_path)
    wanted = {"--plot": "new/a.PNG", "--card": "new/a.md", "--segments": "new/a.json"}
    options = [word for pair in wanted.items() for word in pair]
    assert main(["demos", "info", str(recorded), *options]) == 0
    assert sorted(map(str, Path("new").iterdir())) == sorted(wanted.values())
    assert Path("new/a.PNG").read_bytes().startswith(b"\x89PNG")
    assert "# " in Path("new/a.md").read_text(encoding="utf-8")
    assert json.loads(Path("new/a.json").read_bytes())
    capsys.readouterr()
    assert main(["demos", "info", str(recorded), "--card", str(recorded / "a.md")]) == 1
    assert "Cannot write" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["", ".", "..", "/", "pipe"])
@pytest.mark.parametrize(
    "command",
    [
        ("demos", "info"),
        ("demos", "validate"),
        ("demos", "multiply"),
        ("demos", "recover"),
        ("demos", "retarget", "--robot", "panda-leap"),
        ("demos", "export", "--format", "robomimic", "--to", "new"),
        ("learn", "--no-video"),
        ("train", "open-drawer", "--method", "bc", "--demos"),
        ("demos", "record", "open-drawer", "--episodes", "1", "--overwrite", "--out"),
        ("demos", "record", "open-drawer", "--episodes", "1", "--out"),
        ("demos", "multiply", "drawer.hdf5", "--overwrite", "--to", "1", "--out"),
        ("demos", "retarget", "drawer.hdf5", "--overwrite", "--robot", "panda-leap", "--out"),
        ("view",),
        ("evaluate",),
        ("resume",),
        ("export", "--to", "a.onnx"),
    ],
    ids=" ".join,
)
def test_a_path_that_names_no_file_is_refused(
    monkeypatch, capsys, tmp_path, recorded, command, name
):
    monkeypatch.chdir(tmp_path)
    shutil.copy(recorded, "drawer.hdf5")
    os.mkfifo("pipe")
    assert main([*command, name]) in (1, 2)
    message = capsys.readouterr().err
    assert message.startswith("gym-grasp: error: ")
    assert message.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"drawer.hdf5", "pipe"}

"""Files that are read within bounds, and modules that end as the command line does."""

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

from gym_grasp.errors import GymGraspError
from gym_grasp.files import MOST_JSON, locked, read_json, write_atomically


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "huge", "deep", "no text"])
def test_what_is_no_json_of_ours_is_neither_waited_for_nor_read_whole(tmp_path, kind):
    path = tmp_path / "a.json"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    elif kind == "huge":
        with path.open("wb") as file:
            file.truncate(MOST_JSON + 1)
    else:
        path.write_bytes(b"[" * 200_000 if kind == "deep" else b"\xff\xfe\x00")
    with pytest.raises((OSError, ValueError), match=r"no file|MiB|deeply|decode"):
        read_json(path)


def test_a_file_where_a_folder_would_be_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(GymGraspError, match="a file stands where its folder would be"):
        write_atomically(tmp_path / "file/a", b"")
    with (
        pytest.raises(GymGraspError, match="a file stands where its folder would be"),
        locked(tmp_path / "file/lock", "busy"),
    ):
        pass


def test_a_pipe_in_place_of_a_lock_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "lock")
    with pytest.raises(GymGraspError, match="Cannot write"), locked(tmp_path / "lock", "busy"):
        pass


@pytest.mark.parametrize(
    ("module", "package"),
    [("integrations.robomimic", "robomimic"), ("bench.sb3", "stable_baselines3")],
)
def test_what_a_module_lacks_is_one_line(module, package):
    if find_spec(package) is not None:
        pytest.skip(f"{package} is installed")
    command = [sys.executable, "-m", f"gym_grasp.{module}", "open-drawer"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("gym-grasp: error: ")
    assert done.stderr.count("\n") == 1

"""Without the package that a module adapts, `python -m` says in a line what to install."""

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("module", "package", "install"),
    [
        ("integrations.sb3", "stable_baselines3", "'gym-grasp[sb3]'"),
        ("integrations.skrl", "skrl", "'gym-grasp[skrl]'"),
        ("integrations.robomimic", "robomimic", "robomimic"),
        ("integrations.lerobot.batch", "lerobot", "lerobot"),
        ("bench.rsl_rl", "rsl_rl", "'gym-grasp[rsl-rl]'"),
        ("bench.sb3", "stable_baselines3", "'gym-grasp[sb3]'"),
    ],
)
def test_a_package_that_is_missing_is_named_in_a_line(tmp_path, module, package, install):
    (tmp_path / f"{package}.py").write_text(f"raise ModuleNotFoundError(name={package!r})")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", f"gym_grasp.{module}"]
    command += ["open-drawer"] * module.startswith("bench")
    env = os.environ | {"PYTHONPATH": path.rstrip(os.pathsep)}
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    (line,) = done.stderr.splitlines()
    assert line.startswith("gym-grasp: error: ")
    assert line.endswith(f"pip install {install}.")
    assert done.returncode == 1

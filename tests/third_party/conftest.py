"""Installs the package of this folder as a user would, away from the repository."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

import gym_grasp

SOURCE = Path(__file__).parent / "my_package"
Command = Callable[..., CompletedProcess[str]]


def install(source: Path, site: Path, work: Path) -> None:
    """Put a package into the folder `site`; setuptools leaves its traces in `work`."""
    copy = work / source.name
    shutil.copytree(source, copy)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    where = ["--no-index", "--disable-pip-version-check", "--target", str(site), str(copy)]
    subprocess.run([*pip, *where], check=True, capture_output=True, text=True)


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Path:
    """Where the package is installed."""
    site = tmp_path_factory.mktemp("site")
    install(SOURCE, site, tmp_path_factory.mktemp("build"))
    return site


@pytest.fixture(scope="session")
def work(tmp_path_factory) -> Path:
    """Where the commands run and leave their files."""
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="session")
def python(site, work) -> Command:
    """Run Python with the package installed, and what else is in `sites`; it exits with `code`."""

    def run(*args: str, code: int = 0, sites: tuple[Path, ...] = ()) -> CompletedProcess[str]:
        folders = [*sites, site, Path(gym_grasp.__file__).parents[1]]
        paths = {"PYTHONPATH": os.pathsep.join(map(str, folders)), "OMP_WAIT_POLICY": "PASSIVE"}
        done = subprocess.run(
            [sys.executable, *args],
            cwd=work,
            env={**os.environ, **paths},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == code, done.stderr
        return done

    return run


@pytest.fixture(scope="session")
def gym_grasp_command(python) -> Command:
    """Run `gym-grasp` in the same way."""

    def run(*args: str, **how: Any) -> CompletedProcess[str]:
        return python("-m", "gym_grasp.cli.main", *args, **how)

    return run

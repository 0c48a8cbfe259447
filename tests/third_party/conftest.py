"""Installs the package of this folder as a user would, away from the repository."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import PIPE, CompletedProcess

import pytest

import gym_grasp

SOURCE = Path(__file__).parent / "my_package"
Command = Callable[..., CompletedProcess[str]]

# One process for many commands: what it imports takes longer than most of them.
COMMANDS = """
import contextlib, io, json, sys, traceback
from gym_grasp.cli.main import main
answers = sys.stdout
for line in sys.stdin:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(json.loads(line))
        except SystemExit as end:
            code = end.code or 0
        except BaseException:
            code = "crashed"
            traceback.print_exc()
    print(json.dumps([code, out.getvalue(), err.getvalue()]), file=answers, flush=True)
"""


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Path:
    """Where the package is installed."""
    site, copy = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("build") / "my_package"
    shutil.copytree(SOURCE, copy)  # setuptools leaves its traces beside what it builds
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    alone = ["--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, *alone, "--target", str(site), str(copy)], check=True)
    return site


@pytest.fixture(scope="session")
def work(tmp_path_factory) -> Path:
    """Where the commands run and leave their files."""
    return tmp_path_factory.mktemp("work")


def environment(*sites: Path) -> dict[str, str]:
    paths = [*map(str, sites), str(Path(gym_grasp.__file__).parents[1])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_WAIT_POLICY": "PASSIVE"}


@pytest.fixture(scope="session")
def python(site, work) -> Command:
    """Run Python with the package installed, and what else is in `sites`; it has to exit with 0."""

    def run(*args: str, sites: tuple[Path, ...] = ()) -> CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, *args],
            cwd=work,
            env=environment(*sites, site),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done

    return run


@pytest.fixture(scope="session")
def cli(site, work) -> Iterator[Command]:
    """Run `gym-grasp` with the package installed; it has to exit with `code`."""
    with subprocess.Popen(
        [sys.executable, "-c", COMMANDS],
        cwd=work,
        env=environment(site),
        stdin=PIPE,
        stdout=PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def run(*args: str, code: int = 0) -> CompletedProcess[str]:
            print(json.dumps(args), file=process.stdin, flush=True)
            done = CompletedProcess(args, *json.loads(process.stdout.readline()))
            assert done.returncode == code, done.stderr
            return done

        yield run
        process.stdin.close()

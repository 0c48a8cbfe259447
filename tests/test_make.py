"""What the Makefile says where npm is missing or fails."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CLIENT = Path("src/gym_grasp/teleop/webxr")


@pytest.fixture
def make(tmp_path):
    """Return a function that runs make in a copy of what it builds the client of."""
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("find", "grep", "touch"):
        (tools / name).symlink_to(str(shutil.which(name)))
    copy = tmp_path / "copy"
    for part in ("src", "public"):
        shutil.copytree(ROOT / CLIENT / part, copy / CLIENT / part)
    for name in ("Makefile", "constraints.txt", CLIENT / "package-lock.json"):
        shutil.copy(ROOT / name, copy / name)

    def run(npm: str = "") -> subprocess.CompletedProcess:
        if npm:
            (tools / "npm").write_text(f"#!/bin/sh\n{npm}\n")
            (tools / "npm").chmod(0o755)
        command = [str(shutil.which("make")), "client"]
        env = {"PATH": str(tools)}
        return subprocess.run(command, cwd=copy, env=env, capture_output=True, text=True)

    return run


def test_without_npm_it_is_said(make):
    done = make()
    assert done.returncode == 2
    assert "make: npm is not installed" in done.stdout
    assert "apt-get install npm" in done.stdout
    assert "make: without npm there is no client" in done.stdout


def test_what_npm_says_when_it_fails_is_seen(make):
    """With `--silent`, it would say nothing."""
    done = make('case "$*" in *--silent*) ;; *) echo no such registry >&2 ;; esac; exit 1')
    assert done.returncode == 2
    assert "make: installing what builds the browser client" in done.stdout
    assert "no such registry" in done.stderr

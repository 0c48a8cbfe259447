"""What a clone costs."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LIMIT = 16_000_000
"""Bytes of all tracked files; larger things are made by a command or attached to a release."""


def test_the_tracked_tree_is_small():
    if not (ROOT / ".git").exists():
        pytest.skip("not a clone")
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    sizes = {path: path.stat().st_size for path in paths if path.is_file()}
    largest = sorted(sizes, key=lambda path: -sizes[path])[:5]
    assert len(sizes) > 100
    assert sum(sizes.values()) <= LIMIT, f"largest: {[str(p.relative_to(ROOT)) for p in largest]}"

"""What tests of several subcommands begin with."""

from pathlib import Path

import pytest

from gym_grasp.demos.record import record


@pytest.fixture(scope="session")
def recorded(tmp_path_factory) -> Path:
    """Two episodes of OpenDrawer by an expert; to be read only."""
    path = tmp_path_factory.mktemp("recorded") / "drawer.hdf5"
    record("open-drawer", path, episodes=2, seed=4, skill=1.0)
    return path

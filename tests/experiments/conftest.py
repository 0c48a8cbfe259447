"""Small runs, and results made by hand."""

import json
from pathlib import Path

import pytest

from gym_grasp.demos.record import record
from gym_grasp.experiments.sweep import Place, Run

TINY = (("horizon", 4), ("hidden_sizes", (8,)), ("checkpoint_interval", 1))


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> Path:
    """Return a folder with six demonstrations of opening the drawer."""
    folder = tmp_path_factory.mktemp("data")
    record("open-drawer", folder / "open-drawer.hdf5", episodes=6)
    return folder


@pytest.fixture
def place(tmp_path, data) -> Place:
    """Return where tiny runs are performed."""
    return Place(tmp_path / "runs", data, episodes=2)


@pytest.fixture
def tiny():
    """Return a function that describes a tiny run."""

    def make(variant="ppo-sparse", seed=0, **fields) -> Run:
        tiny = TINY[variant == "bc" :]  # it has no horizon
        defaults = {"num_envs": 2, "epochs": 2, "overrides": tiny, "max_episode_steps": 8}
        return Run("open-drawer", variant, seed, **{**defaults, **fields})

    return make


@pytest.fixture
def publish_by_hand():
    """Return a function that writes a published result with chosen counts and curve."""

    def write(out: Path, run: Run, successes: int, success=(), episodes=(), **fields) -> None:
        count = len(success)
        content = {
            "epochs": run.epochs,
            "smoke": False,
            "run": run.to_dict(),
            "config": {"horizon": 32},
            "spec": {**run.spec.to_dict(), "max_episode_steps": 64},
            "demonstrations": run.demos or 180,
            "device": "abacus",
            "runs_per_gpu": 1,
            "versions": {"git": "0123abc"},
            "steps": 1_000_000 * count,
            "seconds": 60.0 * count,
            "episodes": 100,
            "successes": successes,
            "curve": {
                "steps": [1_000_000 * (i + 1) for i in range(count)],
                "seconds": [60 * (i + 1) for i in range(count)],
                "success": list(success),
                "episodes": list(episodes) or [100] * count,
                "steps_per_second": [500_000] * count,
            },
        }
        path = out / "runs" / f"{run.name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content | fields))

    return write

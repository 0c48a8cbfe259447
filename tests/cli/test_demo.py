"""`gym-grasp demo`: what it says of its time, and that success outlives its film."""

import contextlib
import json
from types import SimpleNamespace

import pytest

from gym_grasp.cli import demo, demos, evaluate, train
from gym_grasp.cli.main import main
from gym_grasp.envs import render


@pytest.fixture
def played(monkeypatch, tmp_path):
    """Everything but the telling is left out; returns what training was asked for."""
    told = SimpleNamespace(epochs=7, config=None)

    def trained(spec, config, **kw):
        told.config = config
        return {"epochs": told.epochs}

    found = {"success": 0.99, "episodes": 100}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(render, "Camera", lambda env: contextlib.nullcontext())
    monkeypatch.setattr(demos, "record_one", lambda *args, **kw: None)
    monkeypatch.setattr(train, "train_one", trained)
    monkeypatch.setattr(evaluate, "evaluate_runs", lambda runs: dict(found))
    monkeypatch.setattr(evaluate, "film_run", lambda run: (run / "video.mp4", run / "still.png"))
    return told


def test_the_time_cap_is_told(played, capsys):
    """Before training, in help, and, where it was met, after."""
    assert main(["demo"]) == 0
    said = capsys.readouterr()
    assert "DAPG on sparse reward, 10 epochs or 4 minutes, whichever ends first" in said.err
    assert "the time was up after 7 of 10 epochs" in said.err
    assert "success rate: 99% of 100 episodes" in said.out
    assert said.out.splitlines()[-1].startswith("next: gym-grasp evaluate runs/demo/dapg")
    assert (played.config.max_minutes, played.config.epochs) == (4.0, 10)
    assert (played.config.horizon, played.config.gae_lambda) == (128, 0.98)
    assert "after 4 minutes" in " ".join((demo.demo.__doc__ or "").split())
    played.epochs = 12
    assert main(["demo", "--epochs", "12"]) == 0
    said = capsys.readouterr()
    assert "12 epochs or 4 minutes" in said.err
    assert "time was up" not in said.err


@pytest.mark.parametrize("as_json", [False, True])
def test_success_outlives_the_film(played, monkeypatch, capsys, as_json):
    monkeypatch.setattr(evaluate, "film_run", lambda run: film_fault())
    assert main(["demo", *["--json"] * as_json]) == 1
    said = capsys.readouterr()
    assert "The success above stands" in said.err
    if as_json:
        assert json.loads(said.out)["success"] == 0.99
        assert "video" not in json.loads(said.out)
    assert "success rate: 99% of 100 episodes" in (said.err if as_json else said.out)


def film_fault():
    from gym_grasp.errors import GymGraspError

    raise GymGraspError("The success above stands, but it could not be filmed: no space.")

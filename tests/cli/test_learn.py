"""`gym-grasp learn`: never a policy worse than its clone."""

import contextlib
import json
from types import SimpleNamespace

import pytest

from gym_grasp.cli import evaluate, learn, main, train
from gym_grasp.demos.record import record
from gym_grasp.envs import render
from gym_grasp.errors import GymGraspError


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("learn") / "one.hdf5"
    record("open-drawer", path, 1, seed=3, skill=1.0)
    return path


@pytest.mark.parametrize(
    ("clone", "dapg", "best", "steps"),
    [(0.99, None, "bc", 1), (0.5, 0.4, "bc", 2), (0.5, 0.5, "bc", 2), (0.5, 0.8, "dapg", 2)],
)
def test_the_better_policy_is_returned(
    file, tmp_path, monkeypatch, capsys, clone, dapg, best, steps
):
    rates, trained = {"bc": clone, "dapg": dapg}, []

    def measured(runs, episodes, device):
        rate = rates[runs[0].name]
        return {"success": rate, "interval": [rate, rate], "episodes": episodes}

    report = SimpleNamespace(to_dict=dict)
    monkeypatch.setattr(evaluate, "evaluate_runs", measured)
    monkeypatch.setattr(train, "train_one", lambda spec, config, **kw: trained.append((config, kw)))
    monkeypatch.setattr(learn, "told", lambda report: "")

    def copy(file, path, *args, **kw):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.read_bytes())
        return report

    monkeypatch.setattr(learn, "multiply_one", copy)
    out = tmp_path / "out"
    assert main.main(["learn", str(file), "--out", str(out), "--no-video", "--json"]) == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    assert result["run"] == str(out / best)
    assert result["success"] == max(rate for rate in (clone, dapg) if rate is not None)
    assert [one["step"] for one in result["steps"]] == ["bc", "dapg"][:steps]
    assert all(kw["demos"] == out / "multiplied.hdf5" for _, kw in trained)
    assert [one.horizon for one, _ in trained] == [32, 128][:steps], "long rollouts keep a clone"
    assert f"the clone succeeds in {clone:.0%}" in printed.err
    if dapg == 0.4:
        assert "-10%: left" in printed.err


@pytest.mark.parametrize("as_json", [False, True])
def test_a_fault_of_the_film_costs_the_film_alone(file, tmp_path, monkeypatch, capsys, as_json):
    found = {"success": 0.99, "interval": [0.98, 1.0], "episodes": 100}

    def fail(run):
        raise GymGraspError("The success above stands, but it could not be filmed.")

    monkeypatch.setattr(evaluate, "evaluate_runs", lambda runs, episodes, device: dict(found))
    monkeypatch.setattr(evaluate, "film_run", fail)
    monkeypatch.setattr(render, "Camera", lambda env: contextlib.nullcontext())
    monkeypatch.setattr(train, "train_one", lambda spec, config, **kw: None)
    monkeypatch.setattr(learn, "told", lambda report: "")
    report = SimpleNamespace(to_dict=dict)

    def copy(file, path, *args, **kw):
        path.parent.mkdir(parents=True)
        path.write_bytes(file.read_bytes())
        return report

    monkeypatch.setattr(learn, "multiply_one", copy)
    out = tmp_path / "out"
    assert main.main(["learn", str(file), "--out", str(out), *["--json"] * as_json]) == 1
    printed = capsys.readouterr()
    assert "could not be filmed" in printed.err
    if as_json:
        assert json.loads(printed.out)["success"] == 0.99
    else:
        assert f"policy: {out / 'bc'}" in printed.out


def test_no_dapg_where_none_is_wanted(file, capsys):
    assert main.main(["learn", str(file), "--max-minutes", "-1"]) == 2
    assert "max_minutes is -1" in capsys.readouterr().err

"""`gym-grasp sweep`: skips, goes on, and tells of failures."""

import json

from gym_grasp.cli.main import main
from gym_grasp.demos.record import record


def test_a_sweep(tmp_path, capsys):
    record("open-drawer", tmp_path / "open-drawer.hdf5", episodes=4)
    arguments = [
        "sweep", "--tasks", "open-drawer", "--methods", "bc", "--seeds", "0", "1",
        "--epochs", "1", "--episodes", "1", "--set", "hidden_sizes=[8]", "--json",
        "--data", str(tmp_path), "--runs", str(tmp_path / "runs"),
        "--csv", str(tmp_path / "table.csv"), "--plot", str(tmp_path / "table.png"),
    ]  # fmt: skip
    assert main(arguments) == 0
    first = capsys.readouterr()
    results = json.loads(first.out)["results"]
    (row,) = json.loads(first.out)["summary"]
    assert (row["method"], row["runs"]) == ("bc", 2)
    assert row["low"] <= row["success"] == sum(one["successes"] for one in results) / 2
    table = (tmp_path / "table.csv").read_text().splitlines()
    assert table[0].startswith("task,method,seed,success,episodes")
    assert table[2].startswith("open-drawer,bc,1,")
    assert (tmp_path / "table.png").read_bytes().startswith(b"\x89PNG")
    assert [result["run"]["seed"] for result in results] == [0, 1]
    assert results[0]["config"]["hidden_sizes"] == [8]
    assert "2 runs, 2 to do" in first.err
    assert main(arguments) == 0
    assert "2 runs, 0 to do" in capsys.readouterr().err
    for other in (("--episodes", "2"), ("--epochs", "2")):  # never old results under new settings
        assert main([*arguments, *other]) == 1
        refused = capsys.readouterr()
        assert json.loads(refused.out)["results"] == []
        assert "holds a run with other settings" in refused.err
    record("open-drawer", tmp_path / "open-drawer.hdf5", episodes=4, seed=9, overwrite=True)
    assert main(arguments) == 1
    refused = capsys.readouterr()
    assert json.loads(refused.out)["results"] == []
    assert "demonstrations: was" in refused.err
    assert main([*arguments, "--demos", "99"]) == 1
    again = capsys.readouterr()
    assert "2 of 2 runs failed" in again.err.splitlines()[-1]
    assert "open-drawer/bc-99-demos/seed-0" in json.loads(again.out)["failed"]


def test_runs_in_another_environment_stand_apart(tmp_path, capsys):
    arguments = [
        "sweep", "--tasks", "open-drawer", "--methods", "ppo-sparse", "--seeds", "0",
        "--epochs", "1", "--num-envs", "2", "--episodes", "1", "--set", "horizon=2", "--json",
        "--data", str(tmp_path), "--runs", str(tmp_path / "runs"), "--max-episode-steps", "4",
    ]  # fmt: skip
    for more in ((), ("--control.interval", "6")):
        assert main([*arguments, *more]) == 0
    lines = capsys.readouterr().out.splitlines()
    default, slower = (json.loads(line)["results"][0] for line in lines)
    assert default["spec"]["control"]["interval"] == 3
    assert slower["spec"]["control"]["interval"] == 6
    assert slower["spec"]["max_episode_steps"] == 4
    assert len(list((tmp_path / "runs/open-drawer").iterdir())) == 2


def test_refusals(tmp_path, capsys):
    base = ["sweep", "--runs", str(tmp_path), "--tasks", "open-drawer"]
    for more, message in (
        (["--set", "learning_rat=1"], "Did you mean 'learning_rate'"),
        (["--set", "learning_rate"], "expected SETTING=NUMBER"),
        (["--set", "discount=2"], "discount is 2"),
        (["--tasks", "open-drawr"], "Did you mean 'open-drawer'"),
        (["--workers", "0"], "workers is 0"),
        (["--control.interval", "0"], "control.interval is 0"),
    ):
        assert main([*base, *more]) == 2
        assert message in capsys.readouterr().err

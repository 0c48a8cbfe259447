"""`gym-grasp reproduce --smoke`: a table from nothing, labelled so, then from what is there."""

import json

from gym_grasp.cli.main import main


def test_smoke_of_a_table(tmp_path, capsys):
    arguments = [
        "reproduce", "table3", "--smoke", "--tasks", "open-drawer", "--methods", "bc", "ppo-dense",
        "--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "results"),
    ]  # fmt: skip
    assert main(arguments) == 0
    shown = capsys.readouterr()
    assert "SMOKE: 2 runs, 2 to do" in shown.err
    assert all(line.startswith("SMOKE: ") for line in shown.out.splitlines())
    text = (tmp_path / "results/table3.md").read_text()
    assert text.startswith("# SMOKE: ")
    assert "| bc |" in text
    for name in ("bc", "ppo-dense"):
        path = tmp_path / f"results/runs/open-drawer/{name}/seed-0.json"
        assert json.loads(path.read_text())["smoke"] is True
    assert main([*arguments, "--gather", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["smoke"] is True
    policy = tmp_path / "results/policies/open-drawer/ppo-dense.safetensors"
    assert sorted(policy.parent.iterdir()) == [policy]  # clones are made anew as quickly
    assert main(["evaluate", str(policy), "--episodes", "1", "--no-video", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["task"] == "open-drawer"
    # Published results need no repetition, wherever they were made.
    elsewhere = [
        text.replace(str(tmp_path / "runs"), str(tmp_path / "other")) for text in arguments
    ]
    assert main(elsewhere) == 0
    assert "SMOKE: 2 runs, 0 to do" in capsys.readouterr().err


def test_refusals(tmp_path, capsys):
    out = ["--out", str(tmp_path), "--runs", str(tmp_path / "none")]
    assert main(["reproduce", "fig7", "--gather", *out]) == 1
    assert "reproduce fig7 --tasks pour-cup" in capsys.readouterr().err
    assert main(["reproduce", "fig7", "--seeds", "1", *out]) == 2
    assert "--seeds" in capsys.readouterr().err
    assert main(["reproduce", "table3", "--robots", "ur5-leap", *out]) == 2
    assert "--robots" in capsys.readouterr().err
    assert main(["reproduce", "demos", "--methods", "bc", *out]) == 2
    assert "--methods" in capsys.readouterr().err
    assert main(["reproduce", "table3", "--tasks", "open-drawr", *out]) == 2
    assert "Did you mean 'open-drawer'" in capsys.readouterr().err

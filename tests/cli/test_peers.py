"""`benchmark --peers`: who is measured, in which order, and what the ratios mean."""

import json
import sys

import pytest

from gym_grasp.bench.peers import OURS, commands, compare, peers_table
from gym_grasp.cli.main import main
from gym_grasp.errors import GymGraspError


def says(tmp_path, name: str, *outputs: dict) -> list[str]:
    """Return a command that prints the next output each time it is run, and notes its turn."""
    script = tmp_path / f"{name.replace(' ', '')}.py"
    script.write_text(
        "import json, pathlib\n"
        f"log = pathlib.Path({str(tmp_path / 'order')!r})\n"
        "order = log.read_text().split(',') if log.exists() else []\n"
        f"outputs = {list(outputs)!r}\n"
        f"print('a warning first'); print(json.dumps(outputs[order.count({name!r})]))\n"
        f"log.write_text(','.join([*order, {name!r}]))\n"
    )
    return [sys.executable, str(script)]


def ours(training: float, stepping: float) -> dict:
    return {"results": [{"epoch": training, "env_step": stepping}]}


def test_in_turn_and_paired(tmp_path):
    mjlab = {"task": "lift", "physics_steps": 4, "dofs": 14}
    learners = {
        OURS: says(tmp_path, OURS, ours(100.0, 200.0), ours(120.0, 220.0), ours(80.0, 180.0)),
        "rsl_rl on it": says(
            tmp_path,
            "rsl_rl on it",
            *({"rsl_rl": {"steps_per_second": one}} for one in (50.0, 80.0, 20.0)),
        ),
        "mjlab": says(
            tmp_path, "mjlab", *({**mjlab, "training": 40.0, "stepping": 90.0} for _ in range(3))
        ),
    }
    result = compare(learners, interval=3, repeats=3)
    assert (tmp_path / "order").read_text().split(",") == [*learners] * 3
    own = result[OURS]["training"]
    assert own == {"control_steps": 100, "spread": [80, 120], "ours": 1.0, "ours_physics": 1.0}
    # Each round by itself: 2, 1.5 and 4, not 100 over 50.
    assert result["rsl_rl on it"]["training"]["ours"] == 2.0
    assert "stepping" not in result["rsl_rl on it"]
    training = result["mjlab"]["training"]
    assert training["ours"] == pytest.approx(100 / 40)
    assert training["ours_physics"] == pytest.approx(3 * 100 / (4 * 40))
    lines = peers_table(result).splitlines()
    assert lines[-2] == "| mjlab | training | 40 (40 to 40) | 160 | 2.50 | 1.88 |"


def test_what_fails_is_said(tmp_path):
    broken = [sys.executable, "-c", "raise SystemExit('no GPU here')"]
    with pytest.raises(GymGraspError, match=r"'mjlab' could not be measured.*no GPU here"):
        compare({OURS: says(tmp_path, OURS, ours(1.0, 1.0)), "mjlab": broken}, 3, 1)


def test_commands_and_options(tmp_path, capsys):
    found = commands("lift-object", 16, "cpu", 2, tmp_path, tmp_path / "python")
    assert found[OURS][-3:] == ["--run", str(tmp_path), "--json"]
    assert found["mjlab"][:2] == [str(tmp_path / "python"), "-I"]
    assert "mjlab" not in commands("lift-object", 16, "cpu", 2, None, None)
    for wrong, words in (
        (("--peers",), "in one task"),
        (("--peers", "lift-object", "--num-envs", "2", "4"), "at one --num-envs"),
        (("--peers", "lift-object", "--size", "fixed"), "leave these options out"),
        (("--peers", "lift-object", "--repeats", "0"), "--repeats is 0"),
        (("lift-object", "--mjlab", "python"), "--mjlab goes with --peers"),
    ):
        assert main(["benchmark", *wrong]) == 2
        assert words in capsys.readouterr().err


def test_ours_is_measured_by_its_command(capsys):
    command = commands("open-drawer", 2, "cpu", 1, None, None)[OURS]
    assert main(command[3:]) == 0
    (result,) = json.loads(capsys.readouterr().out.splitlines()[-1])["results"]
    assert result["epoch"] > 0
    assert result["env_step"] > 0

"""`train --robust`, `--perturbation.…` and `evaluate --perturb`: what they do, and say they did."""

import json

import pytest

from gym_grasp.cli.main import main
from gym_grasp.envs.spec import EnvSpec
from gym_grasp.experiments.perturbed import NOMINAL, World, evaluate_worlds, worlds
from gym_grasp.experiments.sweep import Run
from gym_grasp.perturbation import NONE, ROBUST, Perturbation

SMALL = ("--method", "ppo", "--num-envs", "2", "--horizon", "2", "--hidden-sizes", "4")


@pytest.fixture(scope="module")
def robust(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "robust"
    assert (
        main(["train", "lift-object", *SMALL, "--robust", "--epochs", "1", "--run", str(folder)])
        == 0
    )
    return folder


def settings(folder) -> dict:
    return json.loads((folder / "config.json").read_text())


def test_robust_training_is_recorded_and_goes_on(robust, capsys):
    kept = settings(robust)
    path = robust / "config.json"
    whole = path.read_text()
    other = kept["settings"]["perturbation"] | {"mass": [1.0, 1.0]}
    edited = kept | {"settings": kept["settings"] | {"perturbation": other}}
    path.write_text(json.dumps(edited))
    assert main(["resume", str(robust), "--epochs", "2"]) == 1
    assert "perturbation.mass: was [0.5, 2.2], is [1.0, 1.0]" in capsys.readouterr().err
    path.write_text(whole)
    assert Perturbation.from_dict(kept["settings"]["perturbation"]) == ROBUST
    assert kept["train"]["privileged_critic"] is True
    assert main(["resume", str(robust), "--epochs", "2"]) == 0
    again = settings(robust)
    assert again["settings"]["perturbation"] == kept["settings"]["perturbation"]
    assert json.loads((robust / "metrics.json").read_text())["summary"]["epochs"] == 2


def test_a_perturbation_of_ones_own(tmp_path, capsys):
    own = ("--perturbation.mass", "1", "2", "--perturbation.latency", "0", "0.012")
    folder = tmp_path / "run"
    assert main(["train", "lift-object", *SMALL, *own, "--epochs", "1", "--run", str(folder)]) == 0
    kept = Perturbation.from_dict(settings(folder)["settings"]["perturbation"])
    assert kept == Perturbation(mass=(1.0, 2.0), latency=(0.0, 0.012))
    assert main(["train", "lift-object", *own, "--robust"]) == 2
    assert "leave --perturbation" in capsys.readouterr().err
    assert main(["train", "lift-object", "--method", "bc", "--robust"]) != 0
    assert "bc" in capsys.readouterr().err


def test_a_matrix_of_worlds(robust, capsys):
    short = ("--episodes", "2", "--max-episode-steps", "3", "--json")
    assert main(["evaluate", str(robust), "--perturb", *short]) == 0
    result = json.loads(capsys.readouterr().out)
    names = [row["world"] for row in result["worlds"]]
    assert names[:3] == ["nominal", "mass × 1.3", "mass × 2"]
    assert {"size × 0.9", "size × 1.1", "elliptic cone", "180 Hz physics"} <= set(names)
    assert len(names) == len(set(names)) == 13
    assert all(row["runs"][0]["episodes"] == 2 for row in result["worlds"])
    assert json.loads((robust / "perturbed.json").read_text()) == result
    assert "| mass × 2 | 0.000 |" in (robust / "perturbed.md").read_text()
    assert (robust / "perturbed.png").stat().st_size > 5000
    assert not (robust / "video.mp4").exists()
    file = robust / "checkpoints" / "policy.pt"
    before = {path.name for path in file.parent.iterdir()}
    assert main(["evaluate", str(file), "--perturb", *short]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [row["success"] for row in said["worlds"]] == [0.0] * 13
    made = {path.name for path in file.parent.iterdir()} - before
    assert made == {f"policy-perturbed{suffix}" for suffix in (".json", ".md", ".png")}
    assert main(["evaluate", str(robust), "--perturb", "--perturbation.mass", "2", "2"]) == 2
    assert "leave out --perturb" in capsys.readouterr().err
    assert main(["evaluate", str(robust), "--perturb", "--video-episodes", "2"]) == 2
    assert "films nothing" in capsys.readouterr().err


def test_one_world(robust, capsys):
    args = ("--episodes", "2", "--max-episode-steps", "3", "--no-video", "--json")
    assert main(["evaluate", str(robust), *args, "--perturbation.finer", "2"]) == 0
    assert json.loads(capsys.readouterr().out)["perturbation"]["finer"] == 2


def test_columns_are_what_a_task_can_differ_in():
    assert "bowl ± 4 cm" not in [one.name for one in worlds(EnvSpec("pour-cup"))]  # unseen
    seen = worlds(EnvSpec("pour-cup", {"bowl": "varied"}), "cpu", "cuda")
    assert [one.name for one in seen[-3:]] == ["pyramidal cone", "bowl ± 4 cm", "cuda for cpu"]
    assert "furniture ± 5 cm, 15°" in [one.name for one in worlds(EnvSpec("open-door"))]
    asked = []

    def evaluate(spec, perturbation, device):
        asked.append((spec.options, perturbation, device))
        return {"success": 0.5, "interval": [0.4, 0.6], "runs": [], "device": device, "more": 1}

    columns = [NOMINAL, World("large", options={"size": "large"}), World("gpu", engine="cuda")]
    rows = list(evaluate_worlds(columns, EnvSpec("stack-cubes"), "cpu", evaluate))
    assert asked == [
        ({"size": "fixed"}, NONE, "cpu"),
        ({"size": "large"}, NONE, "cpu"),
        ({"size": "fixed"}, NONE, "cuda"),
    ]
    assert "more" not in rows[0]
    assert rows[2]["device"] == "cuda"


def test_robust_runs_of_a_sweep():
    run = Run("lift-object", "dapg-sparse", robust=True)
    assert run.label == "dapg-sparse-robust"
    assert run.config().privileged_critic
    assert Run.from_dict(run.to_dict()) == run
    assert not Run("lift-object", "dapg-sparse").config().privileged_critic

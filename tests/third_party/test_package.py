"""An installed package's task, operator and device, from the recording to the film."""

import json
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HIGH = ("--clearance", "0.08")

MAKE = """
import gymnasium
env = gymnasium.make("my_package:my_package/LiftPeg-v0", task_options={"clearance": 0.05})
observation, _ = env.reset(seed=3)
assert env.observation_space.contains(observation)
assert observation.shape == (11 + 1 + 9 + 9,), observation.shape
for _ in range(5):
    observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
assert reward == -1.0
assert env.unwrapped.spec.id == "my_package/LiftPeg-v0"
vector = gymnasium.make_vec("my_package/LiftPeg-v0", num_envs=3)
assert vector.env_spec.options == {"clearance": 0.1}
assert vector.reset(seed=0)[0].shape == (3, 30)
"""


@pytest.fixture(scope="module", autouse=True)
def untouched():
    """The whole way touches no file of the repository."""
    status = ["git", "-C", str(ROOT), "status", "--porcelain"]
    before = subprocess.run(status, capture_output=True, text=True)
    yield
    assert subprocess.run(status, capture_output=True, text=True).stdout == before.stdout


@pytest.fixture(scope="module")
def dataset(cli, work) -> Path:
    record = ("demos", "record", "lift-peg", "--episodes", "6", "--out", "peg.hdf5", "--json")
    result = json.loads(cli(*record, *HIGH).stdout.splitlines()[-1])
    assert result["lift-peg"]["episodes"] == 6
    assert result["lift-peg"]["failures"] <= 1
    return work / "peg.hdf5"


@pytest.fixture(scope="module")
def trained(cli, dataset, work) -> Path:
    cli(
        *("train", "lift-peg", "--method", "bc", "--epochs", "3", "--hidden-sizes", "32"),
        *("--demos", str(dataset), "--run", "run", *HIGH),
    )
    return work / "run"


def test_gymnasium_makes_it_by_the_packages_name(python):
    python("-c", MAKE)


def test_the_command_line_lists_it(cli):
    assert "lift-peg" in cli("--help").stdout
    assert "--clearance" in cli("demos", "record", "lift-peg", "--help").stdout


def test_what_was_recorded_replays(cli, dataset):
    report = json.loads(cli("demos", "replay", str(dataset), "--json").stdout)
    assert report["bit_exact"] == 6
    assert "clearance" in cli("demos", "info", str(dataset)).stdout


def test_demonstrations_of_other_options_are_refused(cli, dataset):
    train = ("train", "lift-peg", "--method", "bc", "--epochs", "1", "--run", "other")
    done = cli(*train, "--demos", str(dataset), "--clearance", "0.2", code=1)
    assert "options.clearance" in done.stderr
    assert "0.08" in done.stderr
    assert "0.2" in done.stderr


def test_a_value_out_of_range_is_one_line(cli):
    done = cli("render", "lift-peg", "--clearance", "3", code=2)
    assert done.stderr.strip() == (
        "gym-grasp: error: clearance is 3.0; it must be within [0.02, 0.3] m."
    )


def test_policies_are_trained_evaluated_and_filmed(cli, trained):
    evaluate = ("evaluate", str(trained), "--episodes", "2", "--max-episode-steps", "10", "--json")
    result = json.loads(cli(*evaluate).stdout.splitlines()[-1])
    assert result
    assert (trained / "video.mp4").stat().st_size > 1000


def test_a_picture(cli, work):
    cli("render", "lift-peg", "--out", "peg.png", "--camera", "close")
    assert (work / "peg.png").stat().st_size > 10_000


@pytest.mark.parametrize("device", [("operator",), ("stirrer", "--radius", "0.02")])
def test_teleoperation(cli, device):
    pytest.importorskip("aiohttp")
    teleop = ("teleop", "lift-peg", "--seconds", "4", "--port", "0", "--json", "--device")
    result = json.loads(cli(*teleop, *device).stdout.splitlines()[-1])
    assert result["clock"]["ticks"] > 90


@pytest.mark.parametrize(
    "task", ["open-drawer", pytest.param("lift-object", marks=pytest.mark.slow)]
)
def test_its_hand_is_operated_replays_and_stays_within_limits(cli, task):
    """Of a gripper with one motor, whose three other joints mimic the first."""
    data = ("--robot", "ur5-gripper", "--episodes", "3", "--out", f"{task}.hdf5", "--json")
    assert json.loads(cli("demos", "record", task, *data).stdout)[task]["failures"] <= 1
    assert json.loads(cli("demos", "replay", f"{task}.hdf5", "--json").stdout)["bit_exact"] == 3
    audit = ("audit", task, "--demos", f"{task}.hdf5", "--json", "--strict")
    assert json.loads(cli(*audit).stdout)["exceeded"] == []


def test_its_hand_is_drawn_and_driven(cli, work):
    gripper = ("lift-object", "--robot", "ur5-gripper")
    cli("render", *gripper, "--out", "gripper.png")
    assert (work / "gripper.png").stat().st_size > 10_000
    pytest.importorskip("aiohttp")
    teleop = ("teleop", *gripper, "--seconds", "4", "--port", "0", "--json")
    result = json.loads(cli(*teleop, "--device", "operator").stdout.splitlines()[-1])
    assert result["clock"]["ticks"] > 90


@pytest.mark.parametrize(("task", "kind"), [("pour-cup", "cup"), ("stack-cubes", "cube")])
def test_what_its_hand_has_no_grasp_for_is_one_line(cli, task, kind):
    record = ("demos", "record", task, "--robot", "ur5-gripper", "--episodes", "1")
    done = cli(*record, "--out", "refused.hdf5", code=2)
    (line,) = done.stderr.strip().splitlines()
    assert f"The hand 'gripper' has no grasp of a {kind}" in line
    assert "object, round, rod, bar" in line


def test_a_package_that_fails_is_left_out_with_one_line(python, tmp_path):
    broken = tmp_path / "site"
    info = broken / "broken-1.0.dist-info"
    info.mkdir(parents=True)
    (broken / "broken.py").write_text('raise RuntimeError("no licence")\n')
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[gym_grasp]\nbroken = broken\n")
    done = python("-m", "gym_grasp.cli.main", "--help", sites=(broken,))
    assert done.stderr.splitlines() == [
        "The package behind the entry point 'broken' (broken) is left out: RuntimeError: no licence"
    ]
    assert "lift-peg" in done.stdout

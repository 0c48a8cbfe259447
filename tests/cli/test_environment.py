"""Options of an environment: each takes effect wherever one is made, or is refused."""

import json
from dataclasses import dataclass
from types import SimpleNamespace

import mujoco
import pytest

from gym_grasp.bench import throughput
from gym_grasp.cli.environment import EnvironmentOptions, call
from gym_grasp.cli.main import main
from gym_grasp.demos.reader import open_dataset
from gym_grasp.envs import render
from gym_grasp.envs.control import ControlConfig
from gym_grasp.envs.spec import EnvSpec
from gym_grasp.errors import UsageError
from gym_grasp.tasks import load_task
from gym_grasp.tasks.lift_object import OBJECTS


def probe(*, task: str, environment: EnvironmentOptions, out: int = 0) -> EnvSpec:
    """Return what the options say.

    Args:
        task: which task.
        environment: it.
        out: something of the subcommand's own.
    """
    return environment.spec(task)


def options(*args: str, base: EnvSpec | None = None) -> EnvSpec:
    return call(probe, ["--task", *args], "gym-grasp probe", base)


def refusal(capsys, *args: str) -> str:
    """Return the message of a command that is refused with exit code 2."""
    assert main(args) == 2
    return capsys.readouterr().err


def test_every_option_becomes_a_part_of_the_spec():
    assert options("lift-object") == EnvSpec("lift-object")
    spec = options(
        "lift-object", "--object", "sphere", "--robot", "ur5-sih", "--control.interval", "6",
        "--control.method", "jacobian-transpose", "--control.linear-speed", "0.3",
        "--control.workspace-low", "0.25", "-0.5", "0.1", "--max-episode-steps=77",
    )  # fmt: skip
    control = ControlConfig(6, "jacobian-transpose", 0.3, workspace_low=(0.25, -0.5, 0.1))
    assert spec == EnvSpec("lift-object", {"object": "sphere"}, "ur5-sih", control, 77)
    assert options("open-drawer", "--control.interval", "6").max_episode_steps == 300


def test_options_begin_with_those_of_what_was_trained():
    control = ControlConfig(linear_speed=0.2)
    base = EnvSpec("lift-object", {"object": "sphere"}, control=control)
    assert options("lift-object", base=base) == base
    assert options("lift-object", "--object", "box", base=base).options["object"] == "box"
    slower = options("lift-object", "--control.interval", "6", base=base)
    assert (slower.control.linear_speed, slower.max_episode_steps) == (0.2, 300)  # 20 s
    longer = base.replace(max_episode_steps=310)
    assert options("lift-object", "--control.interval", "6", base=longer).max_episode_steps == 310


def test_a_tasks_option_must_not_be_one_of_the_subcommand(monkeypatch):
    @dataclass(frozen=True)
    class Taken:
        out: int = 3

    monkeypatch.setattr(load_task("open-drawer"), "Options", Taken)
    with pytest.raises(UsageError, match="'--out' of the task 'open-drawer' is one of"):
        options("open-drawer")


def test_an_option_of_another_task_is_refused(capsys):
    for args in (
        ("render", "open-drawer", "--object", "sphere"),
        ("render", "--object", "sphere", "open-drawer"),
        ("train", "open-drawer", "--object=sphere"),
        ("demos", "record", "--all", "--object", "sphere"),
        ("sweep", "--tasks", "open-drawer", "lift-object", "--object", "sphere"),
        ("benchmark", "open-drawer", "lift-object", "--object", "sphere"),
        ("demo", "--object", "sphere"),
    ):
        message = refusal(capsys, *args)
        assert "'--object' is one of lift-object, and goes with that task alone" in message, args
        assert "--control.interval" in message  # what is allowed
        assert len(message.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--objct", "sphere"), "Did you mean '--object'?"),
        (("--control.intervall", "6"), "Did you mean '--control.interval'?"),
        (("--object", "spere"), "Did you mean 'sphere'?"),
        (("--robot", "ur5-shi"), "Did you mean 'ur5-sih'?"),
        (("--control.interval", "0"), "control.interval is 0; it must be within [1, 90]"),
        (("--max-episode-steps", "0"), "max_episode_steps is 0"),
    ],
)
def test_what_does_not_exist_is_refused(capsys, args, message):
    assert message in refusal(capsys, "render", "lift-object", *args)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("render", "lift-object", "--control.method", "transpose"), "'jacobian-transpose'"),
        (("render", "lift-object", "--control.interval", "six"), "--control.interval"),
        (("render", "lift-object", "extra"), "extra"),
        (("render", "lift-object", "--seed"), "--seed"),
        (("train",), "Task to learn"),
        (("demos", "film"), "the dataset"),
        (("demos", "export", "a", "--format", "zarr", "--to", "b"), "'robomimic'"),
        (("study", "new", "a", "--order", "none"), "'latin-square'"),
        (("teleop", "open-drawer", "--device", "playback", "--port", "x"), "--port"),
    ],
)
def test_what_cannot_be_parsed_is_refused_in_one_line(capsys, args, message):
    said = refusal(capsys, *args)
    assert message in said
    assert said.count("\n") == 1
    assert "--help` tells more." in said


def test_subcommands_that_make_no_environment_take_no_options_of_one(capsys):
    for args in (
        ("demos", "replay", "some.hdf5"),
        ("demos", "validate", "some.hdf5"),
        ("reproduce", "table3"),
    ):
        assert "Unknown option of" in refusal(capsys, *args, "--control.interval", "6")


@pytest.mark.parametrize("args", [("train",), ("render",), ("demos", "record")])
def test_help_shows_the_options_of_the_task(capsys, args):
    def help_of(*words: str) -> str:
        with pytest.raises(SystemExit):
            main([*args, *words, "--help"])
        return " ".join(capsys.readouterr().out.split())

    general = help_of()
    assert "--control.method {damped-least-squares,jacobian-transpose}" in general
    assert "--robot" in general
    assert "--object" not in general
    assert "--object" not in help_of("open-drawer")
    own = help_of("lift-object")
    assert "--object" in own
    assert "What lies on the table: box, sphere" in own  # the field's docstring


def test_a_sphere_is_drawn(tmp_path, monkeypatch):
    drawn = []

    class Lens:
        def __init__(self, env, camera, width, height, fine):
            drawn.append(env.physics.model)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def frame(self):
            pass

    monkeypatch.setattr(render, "Camera", Lens)
    monkeypatch.setattr(render, "write_picture", lambda path, frame: None)
    for args in (("--object", "sphere"), ()):
        assert main(["render", "lift-object", "--out", str(tmp_path / "a.png"), *args]) == 0
    kinds = [model.geom_type[model.body("object").geomadr[0]] for model in drawn]
    assert kinds == [mujoco.mjtGeom.mjGEOM_SPHERE, mujoco.mjtGeom.mjGEOM_BOX]


def test_the_environment_asked_for_is_measured(capsys, monkeypatch):
    monkeypatch.setattr(throughput, "WARM_UP", 1)
    args = ("--num-envs", "2", "--rounds", "1", "--no-train", "--json", "--control.interval", "6")
    assert main(["benchmark", "lift-object", "--object", "sphere", *args]) == 0
    (row,) = json.loads(capsys.readouterr().out)["results"]
    assert row["spec"]["options"]["object"] == "sphere"
    assert row["spec"]["control"]["interval"] == 6


@pytest.fixture(scope="module")
def sphere(tmp_path_factory) -> SimpleNamespace:
    """Demonstrations of lifting a sphere at 15 Hz, and a policy that has learned from them."""
    folder = tmp_path_factory.mktemp("sphere")
    dataset, run = folder / "data.hdf5", folder / "run"
    spec = ("--object", "sphere", "--control.interval", "6")
    record = ("demos", "record", "lift-object", "--out", str(dataset), "--episodes", "3")
    assert main([*record, *spec]) == 0
    learn = ("train", "lift-object", "--demos", str(dataset), "--method", "bc", "--epochs", "1")
    assert main([*learn, "--run", str(run), *spec]) == 0
    return SimpleNamespace(dataset=dataset, run=run, learn=learn)


def test_what_is_recorded_says_so_and_replays(sphere, capsys):
    dataset = open_dataset(sphere.dataset)
    assert dataset.meta.control_rate == 15
    assert dataset.env_spec().options["object"] == "sphere"
    assert main(["demos", "replay", str(sphere.dataset), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["bit_exact"] == 3


def test_training_refuses_demonstrations_of_another_environment(sphere, capsys, tmp_path):
    args = [*sphere.learn, "--run", str(tmp_path / "run")]
    assert main([*args, "--object", "sphere", "--control.linear-speed", "0.5"]) == 1
    message = capsys.readouterr().err
    assert "control.interval: dataset 6, environment 3" in message
    assert "control.linear_speed: dataset 0.6, environment 0.5" in message
    assert "options.object" not in message
    assert main(args) == 1
    assert "options.object: dataset sphere, environment box" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_run_is_resumed_in_its_own_environment(sphere, capsys):
    for args in (("--object", "box"), ("--control.interval", "3")):
        assert main(["resume", str(sphere.run), "--epochs", "2", *args]) == 2
        message = capsys.readouterr().err
        assert "leave these options out" in message
        assert f"{args[0].strip('-')}: run " in message.replace("options.object", "object")
    assert main(["resume", str(sphere.run), "--epochs", "2", "--object", "sphere"]) == 0
    settings = json.loads((sphere.run / "config.json").read_text())["settings"]
    assert settings["spec"]["control"]["interval"] == 6


def test_a_policy_is_evaluated_in_its_own_environment_or_in_another(sphere, capsys, tmp_path):
    def evaluated(*args: str) -> dict:
        call = ["evaluate", str(sphere.run), "--episodes", "2", "--no-video", "--json", *args]
        assert main(call) == 0
        return json.loads(capsys.readouterr().out)

    trained = evaluated()
    assert trained["spec"]["options"]["object"] == "sphere"
    assert trained["spec"]["control"]["interval"] == 6
    assert "trained_spec" not in trained
    other = evaluated("--object", "capsule", "--control.linear-speed", "0.1")
    assert other["trained_spec"] == trained["spec"]
    assert other["spec"]["options"] == {"object": "capsule", "size": "varied"}
    assert other["spec"]["control"]["linear_speed"] == 0.1
    assert other["spec"]["control"]["interval"] == 6


def test_a_run_whose_settings_are_damaged_is_refused(sphere, capsys):
    path = sphere.run / "config.json"
    whole = path.read_text()
    for name, value in (("demos", 3), ("reward", None), ("spec", []), ("spec", {"task": 3})):
        config = json.loads(whole)
        config["settings"][name] = value
        if value is None:
            del config["settings"][name]
        path.write_text(json.dumps(config))
        assert main(["resume", str(sphere.run)]) == 1, name
        assert "cannot be" in capsys.readouterr().err
    path.write_text(whole)


def test_what_behavioural_cloning_has_no_use_for_is_refused(sphere, capsys, tmp_path):
    args = [*sphere.learn, "--run", str(tmp_path / "run"), "--object", "sphere"]
    for option in (("--num-envs", "7"), ("--reward", "dense")):
        message = refusal(capsys, *args, *option)
        assert f"{option[0]}" in message
        assert "the method 'bc' steps no environment" in message


def test_an_object_that_was_changed_or_moved(capsys, tmp_path):
    scene, dataset = tmp_path / "mine.xml", tmp_path / "mine.hdf5"
    scene.write_text((OBJECTS / "sphere.xml").read_text())
    record = ["demos", "record", "lift-object", "--object", str(scene), "--episodes", "2"]
    assert main([*record, "--out", str(dataset)]) == 0
    scene.write_text(scene.read_text().replace('size="0.03"', 'size="0.02"'))
    assert main(["demos", "validate", str(dataset)]) == 1
    assert "The scene has changed since it was recorded." in capsys.readouterr().err
    scene.unlink()
    assert main(["demos", "validate", str(dataset)]) == 1
    assert f"There is no object {scene}; give the path" in capsys.readouterr().err


def test_counts_and_seeds_out_of_range(capsys):
    for option, value in (("episodes", 0), ("seed", -1)):
        args = "demos", "record", "open-drawer", f"--{option}", str(value)
        assert f"{option} is {value}; it must be at least" in refusal(capsys, *args)

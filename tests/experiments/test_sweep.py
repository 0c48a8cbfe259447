"""Sweeps: what is done is skipped, what was cut goes on, what fails stops nothing else."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from gym_grasp.demos.reader import open_dataset
from gym_grasp.envs.control import ControlConfig
from gym_grasp.envs.spec import EnvSpec
from gym_grasp.errors import DatasetError, DependencyError, GymGraspError, UsageError
from gym_grasp.experiments import perform as performing
from gym_grasp.experiments.executors import Execution, cpu_slots, in_processes, serially
from gym_grasp.experiments.perform import load_demonstrations, only_one, perform
from gym_grasp.experiments.sweep import Place, Run, is_done, sweep
from gym_grasp.learning.checkpoint import load
from gym_grasp.learning.config import PUBLISHED_SEED
from gym_grasp.learning.record import stored_dataset


def test_names_are_stable(tiny):
    assert Run("open-drawer", "dapg-sparse").name == "open-drawer/dapg-sparse/seed-0"
    assert Run("open-door", "dapg-sparse", 2, demos=5).name == (
        "open-door/dapg-sparse-5-demos/seed-2"
    )
    assert Run("lift-object", "bc").name == "lift-object/bc/seed-0"
    run = tiny("dapg-sparse", demos=3)
    assert Run.from_dict(json.loads(json.dumps(run.to_dict()))) == run
    assert run.config().hidden_sizes == (8,)
    assert run.config().method == "dapg"


def test_an_environment_of_its_own_has_a_name_of_its_own():
    options = (("object", "sphere"),)
    sphere = Run("lift-object", "bc", options=options)
    slow = Run("lift-object", "bc", control=ControlConfig(interval=6))
    assert Run("lift-object", "bc", options=(("object", "box"),)) == Run("lift-object", "bc")
    assert sphere.name == "lift-object/bc-125f551d/seed-0"
    assert slow.name == "lift-object/bc-affb42f7/seed-0"
    assert Run("lift-object", "bc", max_episode_steps=8).name == "lift-object/bc/seed-0"
    for run in (sphere, slow):
        assert Run.from_dict(json.loads(json.dumps(run.to_dict()))) == run
        assert hash(Run.from_dict(run.to_dict())) == hash(run)
    assert sphere.spec == EnvSpec("lift-object", {"object": "sphere"})
    place = Place(Path("runs"), Path("data"))
    assert place.dataset(Run("lift-object", "bc")) == Path("data/lift-object.hdf5")
    assert place.dataset(sphere) == Path("data/lift-object-125f551d.hdf5")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"task": "open-drawr"}, "Did you mean 'open-drawer'"),
        ({"variant": "ppo"}, "Unknown method"),
        ({"overrides": (("learning_rat", 1.0),)}, "Did you mean 'learning_rate'"),
        ({"overrides": (("seed", 1),)}, "Unknown training setting 'seed'"),
        ({"demos": 3, "variant": "ppo-dense"}, "learns from demonstrations"),
        ({"num_envs": 0}, "at least 1"),
        ({"options": (("object", "box"),)}, "Unknown option of the task 'open-drawer'"),
        ({"robot": "ur5-shi"}, "Did you mean 'ur5-sih'"),
    ],
)
def test_runs_that_cannot_be(fields, message):
    with pytest.raises(UsageError, match=message):
        Run(**{"task": "open-drawer", "variant": "ppo-sparse", **fields})


def test_result_of_a_run(tiny, place):
    run = tiny("dapg-sparse", demos=3)
    result = perform(run, place)
    assert result == json.loads((place.folder(run) / "result.json").read_text())
    assert (result["epochs"], result["steps"]) == (2, 2 * 4 * 2)
    assert (result["episodes"], len(result["outcomes"])) == (2, 2)
    assert result["successes"] == result["outcomes"].count("1")
    assert result["demonstrations"] == 3
    assert result["evaluation_seed"] == PUBLISHED_SEED  # not what choices are made by
    assert result["config"]["method"] == "dapg"
    assert result["spec"] == run.spec.to_dict()
    assert result["spec"]["max_episode_steps"] == 8
    assert is_done(run, place)


def test_what_is_done_is_skipped(tiny, place, capsys):
    run = tiny()
    assert sweep([run], place, serially) == []
    before = (place.folder(run) / "result.json").stat().st_mtime_ns
    other = tiny(seed=1)
    assert sweep([run, other, run], place, serially, published=[other]) == []
    assert (place.folder(run) / "result.json").stat().st_mtime_ns == before
    assert not place.folder(other).exists()
    assert "0 to do" in capsys.readouterr().err
    (failed,) = sweep([tiny(epochs=3)], place, serially)
    assert "epochs: was 2, is 3" in failed[1]
    (failed,) = sweep([tiny(max_episode_steps=9)], place, serially)
    assert "spec.max_episode_steps: was 8, is 9" in failed[1]


def test_the_result_of_another_environment_is_not_this_run_s(tiny, place):
    run = tiny()
    path = place.folder(run) / "result.json"
    path.parent.mkdir(parents=True)
    content = {"run": run.to_dict(), "spec": run.spec.to_dict(), "episodes": place.episodes}
    path.write_text(json.dumps(content))
    assert is_done(run, place)
    content["spec"]["version"] = 9
    content["spec"]["control"]["linear_speed"] = 0.5
    path.write_text(json.dumps(content))
    with pytest.raises(UsageError) as refused:
        is_done(run, place)
    assert f"spec.version: was 9, is {run.spec.version}" in str(refused.value)
    assert "spec.control.linear_speed: was 0.5, is 0.6" in str(refused.value)
    path.write_text(json.dumps({"run": run.to_dict()}))  # as written before there were specs
    with pytest.raises(UsageError, match="has none"):
        is_done(run, place)


def test_a_cut_run_goes_on(tiny, place, monkeypatch):
    run = tiny(epochs=4)
    whole = perform(run, replace(place, runs=place.runs.parent / "whole"))

    def cut(*args, on_epoch=None, **options):
        def stop(epoch, metrics):
            if epoch == 1:
                raise GymGraspError("the power failed")

        return train(*args, on_epoch=stop, **options)

    train = performing.train
    monkeypatch.setattr(performing, "train", cut)
    assert sweep([run], place, serially) == [(run, "the power failed")]
    assert not is_done(run, place)
    assert load(place.folder(run) / "checkpoints/last.pt", "training")["epoch"] == 2
    monkeypatch.undo()
    assert sweep([run], place, serially) == []
    resumed = json.loads((place.folder(run) / "result.json").read_text())
    assert resumed["outcomes"] == whole["outcomes"]
    assert [p["policy/std"] for p in epochs(place, run)] == [
        p["policy/std"] for p in epochs(Place(place.runs.parent / "whole", place.data), run)
    ]


def epochs(place, run):
    return json.loads((place.folder(run) / "metrics.json").read_text())["epochs"]


def test_failures_stop_nothing_else(tiny, place):
    runs = [tiny("bc", demos=99), tiny("bc")]
    slots = cpu_slots(2)
    failed = sweep(runs, place, lambda todo, where: in_processes(todo, where, slots))
    ((run, reason),) = failed
    assert run == runs[0]
    assert "5 episodes to train on and 99 are wanted" in reason
    assert "exit code 1" in reason
    assert is_done(runs[1], place)
    assert "99 are wanted" in (place.folder(runs[0]) / "log.txt").read_text()


def test_a_killed_process_is_a_failure(tiny, place, monkeypatch):
    monkeypatch.setattr(
        "gym_grasp.experiments.executors._command",
        lambda *_: [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"],
    )
    ((_, reason),) = in_processes([tiny()], place, cpu_slots(1))
    assert "killed by signal 9" in reason


def test_demonstrations_are_drawn_by_the_seed(tiny, place):
    drawn = [load_demonstrations(tiny("bc", seed, demos=2), place)[0] for seed in (0, 0, 1)]
    assert drawn[0].fingerprint == drawn[1].fingerprint != drawn[2].fingerprint
    demonstrations, path, about = load_demonstrations(tiny("bc"), place)
    assert path == place.data / "open-drawer.hdf5"
    assert about == {
        "attempts": 6 + about["failures"],
        "failures": about["failures"],
        "demonstrations": 5,
        "dataset": demonstrations.fingerprint,
    }
    with pytest.raises(DatasetError, match="99 are wanted"):
        load_demonstrations(tiny("bc", demos=99), place)


def test_a_missing_dataset_is_recorded_once(tiny, place, tmp_path, monkeypatch):
    calls = []
    record = performing.record
    monkeypatch.setattr(performing, "record", lambda *a, **k: calls.append(a) or record(*a, **k))
    for _ in range(2):
        few = replace(place, data=tmp_path, recorded=4)
        assert load_demonstrations(tiny("bc"), few)[2]["demonstrations"] > 0
    assert len(calls) == 1


def test_demonstrations_of_another_hand_are_carried_over(tiny, place, data, tmp_path):
    shutil.copy(data / "open-drawer.hdf5", tmp_path)
    place = replace(place, data=tmp_path)
    leap = tiny("bc", robot="ur5-leap")
    carried = replace(leap, retargeted_from="ur5-sih")
    assert leap.label == "bc-ur5-leap"
    assert carried.label == "bc-from-ur5-sih-ur5-leap"
    assert (
        place.dataset(carried) != place.dataset(leap) == tmp_path / f"open-drawer{leap.digest}.hdf5"
    )
    demonstrations, path, about = load_demonstrations(carried, place)
    made = open_dataset(path)
    assert (made.env_spec().robot, made.meta.origin.kind) == ("ur5-leap", "retargeted")
    assert about["attempts"] == 6
    assert about["failures"] == 6 - len(made)
    assert demonstrations.actions.shape[1] == 22
    assert sorted(tmp_path.glob("*.hdf5")) == sorted([tmp_path / "open-drawer.hdf5", path])
    with pytest.raises(UsageError, match="name another robot"):
        replace(leap, retargeted_from="ur5-leap")


def test_one_process_at_a_time(tmp_path):
    lock = tmp_path / "lock"
    with (
        only_one(lock, wait=False),
        pytest.raises(GymGraspError, match="Another process"),
        only_one(lock, wait=False),
    ):
        pass
    with only_one(lock, wait=True):
        pass


def test_cores_are_shared_out(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3, 4})
    assert [slot.cores for slot in cpu_slots(2)] == [(0, 1), (2, 3, 4)]
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    assert sorted(core for slot in cpu_slots(4) for core in slot.cores)[::2] == [0, 1]


def test_gpus_are_handed_out(monkeypatch):
    seen = []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    monkeypatch.setattr(
        "gym_grasp.experiments.executors.in_processes",
        lambda runs, place, slots: seen.extend(slots),
    )
    Execution(runs_per_gpu=2).make("cuda")([], None)
    assert [slot.gpu for slot in seen] == ["4", "6", "4", "6"]
    seen.clear()
    Execution().make("cuda:1")([], None)
    assert [slot.gpu for slot in seen] == ["6"]
    with pytest.raises(UsageError, match="workers is 0"):
        Execution(workers=0).make("cpu")


def test_without_ray_the_error_names_the_extra(tiny, place, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(DependencyError, match=r"gym-grasp\[cluster\]"):
        list(Execution("ray").make("cpu")([tiny()], place))


@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")
def test_ray_performs_runs(tiny, place):
    runs = [tiny(seed=0), tiny("bc", demos=99)]
    code = (
        "import json, sys\n"
        "from gym_grasp.experiments.executors import Execution\n"
        "from gym_grasp.experiments.sweep import Place, Run, sweep\n"
        "runs = [Run.from_dict(run) for run in json.loads(sys.argv[1])]\n"
        "execute = Execution('ray', cores_per_run=1).make('cpu')\n"
        "failed = sweep(runs, Place.from_dict(json.loads(sys.argv[2])), execute)\n"
        "print(json.dumps([reason for _, reason in failed]))\n"
    )
    arguments = [json.dumps([run.to_dict() for run in runs]), json.dumps(place.to_dict())]
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    (reason,) = json.loads(result.stdout.splitlines()[-1])
    assert "99 are wanted" in reason
    assert is_done(runs[0], place)


def test_demonstrations_are_found_beside_a_run_that_has_moved(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    settings = {"demos": str(old / "data" / "a.hdf5"), "demos_from_run": "../../data/a.hdf5"}
    assert stored_dataset(new / "runs" / "r", settings) == old / "data" / "a.hdf5"
    for folder in (old, new):
        (folder / "data").mkdir(parents=True)
        (folder / "runs" / "r").mkdir(parents=True)
    (new / "data" / "a.hdf5").write_text("")
    assert stored_dataset(new / "runs" / "r", settings).samefile(new / "data" / "a.hdf5")
    (old / "data" / "a.hdf5").write_text("")
    assert stored_dataset(new / "runs" / "r", settings) == old / "data" / "a.hdf5"
    assert stored_dataset(new, {"demos": None}) is None

"""What a dataset says about its environment, and where it is refused; see also test_recorder."""

import dataclasses
import json

import gymnasium
import h5py
import mujoco
import pytest
import torch

from gym_grasp.demos.episode import sparse_rewards
from gym_grasp.demos.reader import open_dataset
from gym_grasp.demos.record import describe
from gym_grasp.demos.recorder import EpisodeRecorder
from gym_grasp.demos.writer import DatasetWriter
from gym_grasp.envs.build import compile_scene
from gym_grasp.envs.control import ControlConfig
from gym_grasp.envs.scene import model_digest, scene_xml, state_parts
from gym_grasp.envs.spec import EnvSpec
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import DatasetError
from gym_grasp.tasks import gym_id, load_task
from gym_grasp.tasks.features import Feature
from gym_grasp.tasks.lift_object import LiftObject
from gym_grasp.tasks.pour_cup import PourCup

STEPS = 3
SPHERE = EnvSpec(
    "lift-object",
    options={"object": "sphere"},
    control=ControlConfig(interval=2, linear_speed=0.5, method="jacobian-transpose"),
    max_episode_steps=500,
)


def write(path, spec, changes=lambda meta: meta):
    """Write a dataset of one episode of random actions that counts as a success."""
    env = GraspVectorEnv(spec, 1, num_threads=1, autoreset=False)
    env.reset(seed=0)
    recorder = EpisodeRecorder(env)
    generator = torch.Generator().manual_seed(0)
    for _ in range(STEPS):
        actions = 2 * torch.rand(1, env.action_size, generator=generator) - 1
        recorder.add(actions, env.step(actions)[-1], {})
    episode = recorder.episode(0, {})
    won = dataclasses.replace(episode, success=True, rewards=sparse_rewards(STEPS, True))
    with DatasetWriter(path, changes(describe(env, "synthetic", 0))) as writer:
        writer.add(won)
    env.close()
    return path


@pytest.fixture(scope="module")
def sphere(tmp_path_factory):
    return write(tmp_path_factory.mktemp("sphere") / "a.hdf5", SPHERE)


@pytest.fixture(scope="module")
def drawer(tmp_path_factory):
    return write(tmp_path_factory.mktemp("drawer") / "a.hdf5", EnvSpec("open-drawer"))


def refused(path, spec):
    """Return the lines of differences; opening and asking afterwards refuse alike."""
    with pytest.raises(DatasetError) as caught:
        open_dataset(path, spec)
    with pytest.raises(DatasetError) as again:
        open_dataset(path).require(spec)
    first, *lines = str(caught.value).splitlines()
    assert str(again.value) == str(caught.value)
    assert first.startswith(f"{path} was recorded in another environment")
    assert f"`gym-grasp demos record {spec.task}`" in first
    return [line.strip() for line in lines]


def test_meta_holds_the_whole_environment(sphere):
    meta = open_dataset(sphere).meta
    assert meta.spec == json.loads(json.dumps(SPHERE.to_dict()))
    assert (meta.task, meta.task_version, meta.robot) == (
        "lift-object",
        LiftObject.version,
        "ur5-sih",
    )
    assert (meta.env_name, meta.control_rate) == (gym_id("lift-object"), 45.0)
    assert meta.features == SPHERE.features
    assert meta.action_names == SPHERE.action_names
    assert meta.states["targets"] == (("wrist position", 3), ("wrist quaternion", 4), ("drives", 5))
    assert meta.states["physics"][:3] == (("time", 1), ("qpos", 24), ("qvel", 23))
    assert meta.model_digest == model_digest(compile_scene(SPHERE))
    assert mujoco.MjModel.from_xml_string(meta.scene).nq == 24


def test_states_are_of_the_size_that_is_said(sphere):
    dataset = open_dataset(sphere)
    states = dataset.episode(0).states
    assert set(states) == set(dataset.meta.states)
    for name, parts in dataset.meta.states.items():
        assert states[name][0].size == sum(width for _, width in parts), name
    model = compile_scene(SPHERE)
    width = mujoco.mj_stateSize(model, int(mujoco.mjtState.mjSTATE_INTEGRATION))
    assert sum(width for _, width in state_parts(model)) == width
    # qpos stands where it is said: the object's height is that of a settled sphere.
    height = states["physics"][0, 1 + model.joint("object").qposadr[0] + 2]
    assert 0.01 < height < 0.1


def test_scene_is_stored_beside_the_attributes(sphere):
    with h5py.File(sphere) as file:
        assert file["scene"][()].decode() == scene_xml(SPHERE)
        assert len(file["scene"][()]) > 20_000
        assert "<mujoco" not in file.attrs["meta"]


def test_the_same_environment_is_made_again(sphere):
    assert open_dataset(sphere).env_spec() == SPHERE
    assert len(open_dataset(sphere, SPHERE)) == 1


def test_gymnasium_makes_the_same_environment(sphere):
    with h5py.File(sphere) as file:
        args = json.loads(file["data"].attrs["env_args"])
    assert args["env_name"] == gym_id("lift-object")
    env = gymnasium.make(args["env_name"], **args["env_kwargs"])
    assert env.unwrapped.env_spec == SPHERE
    env.close()


def test_the_episode_limit_may_differ(sphere):
    open_dataset(sphere, SPHERE.replace(max_episode_steps=20))


def test_every_difference_has_a_line(sphere):
    spec = EnvSpec("lift-object", control=ControlConfig(angular_speed=2.0))
    assert refused(sphere, spec) == [
        "options.object: dataset sphere, environment box",
        "control.interval: dataset 2, environment 3",
        "control.method: dataset jacobian-transpose, environment damped-least-squares",
        "control.linear_speed: dataset 0.5, environment 0.6",
        "control.angular_speed: dataset 3.0, environment 2.0",
    ]


def test_another_task_is_refused(drawer):
    assert refused(drawer, EnvSpec("open-door")) == [
        "task: dataset open-drawer, environment open-door",
        "options.placement: dataset fixed, environment varied",
    ]


def test_another_version_opens_but_is_refused(tmp_path):
    def older(meta):
        return dataclasses.replace(
            meta, spec={**meta.spec, "version": 0}, env_name="gym_grasp/PourCup-v0"
        )

    dataset = open_dataset(write(tmp_path / "a.hdf5", "pour-cup", older))
    assert (dataset.meta.task_version, dataset.meta.env_name) == (0, "gym_grasp/PourCup-v0")
    assert refused(dataset.path, EnvSpec("pour-cup")) == [
        f"version: dataset 0, environment {PourCup.version}"
    ]
    with pytest.raises(DatasetError, match="version 0 of the task 'pour-cup', which has version"):
        dataset.env_spec()


def test_a_task_that_does_not_exist_opens_too(tmp_path):
    def gone(meta):
        return dataclasses.replace(meta, spec={**meta.spec, "task": "close-drawer"})

    dataset = open_dataset(write(tmp_path / "a.hdf5", "open-drawer", gone))
    assert dataset.meta.task == "close-drawer"
    with pytest.raises(DatasetError, match=r"a\.hdf5 .*Unknown task 'close-drawer'"):
        dataset.env_spec()


def test_other_features_are_refused(tmp_path):
    def other(meta):
        opening = dataclasses.replace(meta.features["drawer_opening"], unit="mm")
        pose = dataclasses.replace(meta.features["wrist_pose"], description="other words")
        critic = Feature("weight", "kg", ("value",), dtype="float64", groups=("critic",))
        new = {"drawer_opening": opening, "wrist_pose": pose, "weight": critic}
        return dataclasses.replace(meta, features={**meta.features, **new})

    env = EnvSpec("open-drawer")
    meta = other(describe(GraspVectorEnv(env, 1, num_threads=1), "synthetic", 0))
    path = tmp_path / "a.hdf5"
    with DatasetWriter(path, meta) as writer:
        source = open_dataset(write(tmp_path / "b.hdf5", env)).episode(0)
        weight = torch.zeros(STEPS + 1, 1, dtype=torch.float64).numpy()
        writer.add(
            dataclasses.replace(source, observations={**source.observations, "weight": weight})
        )
    assert refused(path, env) == [
        "features.drawer_opening.unit: dataset mm, environment m",
        "features.weight: dataset has it, environment has not",
    ]


def test_a_changed_scene_is_refused(drawer, monkeypatch):
    spec = EnvSpec("open-drawer")
    open_dataset(drawer, spec)
    build = load_task("open-drawer").build_scene.__func__

    def slippery(cls, options):
        scene = build(cls, options)
        scene.geoms[-1].friction[0] *= 0.999
        return scene

    monkeypatch.setattr(load_task("open-drawer"), "build_scene", classmethod(slippery))
    assert refused(drawer, spec) == ["the scene has changed since"]


def test_digest_is_of_the_scene_not_of_last_bits_or_places():
    spec = EnvSpec("open-drawer")
    model = compile_scene(spec)
    digest = model_digest(model)
    assert model_digest(compile_scene(spec)) == digest
    model.body_mass[3] *= 1 + 1e-15
    model.geom_pos[0] -= 1e-17
    assert model_digest(model) == digest
    for change in ("model.body_mass[3] *= 1.001", "model.opt.timestep *= 1.001"):
        model = compile_scene(spec)
        exec(change)
        assert model_digest(model) != digest, change


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"spec": {"task": None, "version": 0, "robot": "ur5-sih"}}, "the task of its environment"),
        ({"spec": {"task": "a", "version": "0", "robot": "b"}}, "the version of its environment"),
        ({"spec": {"task": "a", "version": 0, "robot": "b", "control": 3}}, "control is 3"),
        ({"spec": {"task": "a", "version": 0, "robot": "b", "options": [1]}}, "options is"),
        ({"control_rate": "30"}, "the control rate is '30'"),
        ({"control_rate": 0.0}, "the control rate is 0.0"),
        ({"base_seed": -1}, "base_seed is -1"),
        ({"attempts": -1}, "attempts is -1"),
        ({"versions": []}, "versions is"),
        ({"units": None}, "units is None"),
    ],
)
def test_metadata_that_a_card_could_not_show_are_refused(make_meta, changes, message):
    with pytest.raises(ValueError, match=message):
        make_meta(**changes)

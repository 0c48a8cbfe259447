"""One description of an environment: what it fills in, what it refuses, and how two differ."""

import copy
import dataclasses
import json
import pickle

import gymnasium
import numpy as np
import pytest

from gym_grasp.differences import differences
from gym_grasp.envs.control import ControlConfig
from gym_grasp.envs.spec import EnvSpec
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import UsageError
from gym_grasp.tasks import gym_id
from gym_grasp.tasks.lift_object import LiftObject
from gym_grasp.tasks.pour_cup import PourCup


def test_it_says_everything():
    spec = EnvSpec("lift-object")
    assert spec.to_dict() == {
        "task": "lift-object",
        "version": LiftObject.version,
        "options": {"object": "box", "size": "varied"},
        "robot": "ur5-sih",
        "control": {
            "interval": 3,
            "method": "damped-least-squares",
            "linear_speed": 0.6,
            "angular_speed": 3.0,
            "finger_speed": 3.0,
            "position_leash": 0.04,
            "rotation_leash": 0.3,
            "workspace_low": [0.20, -0.60, 0.03],
            "workspace_high": [0.90, 0.60, 0.75],
        },
        "max_episode_steps": 600,
    }
    assert spec.control_rate == pytest.approx(30.0)
    assert EnvSpec("open-drawer", control=ControlConfig(interval=6)).max_episode_steps == 300
    assert EnvSpec("pour-cup").version == PourCup.version


def test_it_survives_json():
    spec = EnvSpec(
        "lift-object",
        {"object": "sphere"},
        control=ControlConfig(interval=2, workspace_low=(0.25, -0.5, 0.05)),
        max_episode_steps=17,
    )
    assert EnvSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_the_environment_is_what_the_spec_says():
    spec = EnvSpec("lift-object", {"object": "sphere"}, control=ControlConfig(interval=2))
    env = GraspVectorEnv(spec, 1, num_threads=1)
    assert env.env_spec == spec
    assert env.task.options.object == "sphere"
    assert env.control_rate == pytest.approx(45.0)
    assert env.physics.model.geom("object_sphere").type[0] == 2
    named = GraspVectorEnv(
        "lift-object", 1, task_options={"object": "sphere"}, control={"interval": 2}
    )
    assert named.env_spec == spec


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"task": "lift-objct"}, "Did you mean 'lift-object'"),
        ({"options": {"shape": "box"}}, "Unknown option of the task 'lift-object' 'shape'"),
        ({"options": {"object": "bix"}}, "Unknown object 'bix'. Did you mean 'box'"),
        ({"options": {"object": 3}}, "'object' of the task 'lift-object' is 3; expected str"),
        ({"robot": "ur5-claw"}, "Unknown robot 'ur5-claw'"),
        ({"max_episode_steps": 0}, "max_episode_steps is 0"),
        ({"max_episode_steps": 2.5}, "whole number"),
        ({"task": None}, "Unknown task 'None'"),
        ({"robot": ["ur5"]}, "expected the name of one: ARM-HAND"),
        ({"options": ["sphere"]}, "expected names with values"),
        ({"control": {"interval": 6}}, "expected a ControlConfig"),
        ({"version": True}, "version True of the task"),
        ({"version": 77}, "version 77 of the task 'lift-object', which has version"),
    ],
)
def test_what_does_not_exist_is_refused_at_construction(arguments, message):
    with pytest.raises(UsageError, match=message):
        EnvSpec(**{"task": "lift-object", **arguments})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": "red"}, "Unknown part of a specification 'colour'"),
        ({"control": {"speed": 1.0}}, "Unknown control setting 'speed'"),
        ({"control": 3}, "A control setting is 3"),
        ({"version": 0, "task": "pour-cup", "options": {}}, "version 0 of the task 'pour-cup'"),
    ],
)
def test_a_stored_spec_of_another_kind_is_refused(change, message):
    with pytest.raises(UsageError, match=message):
        EnvSpec.from_dict({**EnvSpec("lift-object").to_dict(), **change})


@pytest.mark.parametrize("value", [None, "open-drawer", [1]])
def test_what_is_no_stored_spec_is_refused(value):
    with pytest.raises(UsageError, match="expected names with values"):
        EnvSpec.from_dict(value)


@pytest.mark.parametrize(
    "settings",
    [
        {"method": None},
        {"linear_speed": "fast"},
        {"linear_speed": None},
        {"linear_speed": True},
        {"workspace_low": None},
        {"workspace_low": ("a", "b", "c")},
    ],
)
def test_settings_of_another_type_are_refused(settings):
    with pytest.raises(UsageError, match=f"{next(iter(settings))}|method of inverse"):
        ControlConfig(**settings)


def test_numbers_of_other_types_become_plain_ones():
    odd = ControlConfig(linear_speed=np.float32(0.5), workspace_low=[0, -0.5, 0.03])
    plain = ControlConfig(linear_speed=0.5, workspace_low=(0.0, -0.5, 0.03))
    assert json.dumps(EnvSpec("open-drawer", control=odd).to_dict()) == json.dumps(
        EnvSpec("open-drawer", control=plain).to_dict()
    )


def test_a_spec_and_parts_of_one_do_not_go_together():
    with pytest.raises(UsageError, match="An EnvSpec is given, and robot besides"):
        GraspVectorEnv(EnvSpec("open-drawer"), 1, robot="ur5-sih")
    with pytest.raises(UsageError, match="An EnvSpec is given, and control besides"):
        GraspVectorEnv(EnvSpec("open-drawer"), 1, control={"interval": 6})


def test_each_difference_has_a_line():
    first = EnvSpec("lift-object", control=ControlConfig(interval=6)).to_dict()
    second = EnvSpec("lift-object", {"object": "sphere"}, max_episode_steps=5).to_dict()
    names = ("dataset", "environment")
    assert differences(first, second, names) == [
        "options.object: dataset box, environment sphere",
        "control.interval: dataset 6, environment 3",
    ]
    assert differences(first, first, names) == []
    assert "max_episode_steps: dataset 300, environment 5" in differences(first, second, names, ())
    del first["robot"]
    assert "robot: dataset has none, environment ur5-sih" in differences(first, second, names)
    whole = EnvSpec("lift-object").to_dict()
    for field in dataclasses.fields(ControlConfig):  # a setting that is left out would be lost
        assert field.name in whole["control"]


def test_gymnasium_ids_carry_the_version():
    env = gymnasium.make(gym_id("pour-cup"))
    assert env.unwrapped.observation_space.shape == (29,)
    env.close()
    with pytest.raises(gymnasium.error.Error):
        gymnasium.make("gym_grasp/PourCup-v0")


def test_a_spec_cannot_be_changed_and_can_be_a_key():
    spec = EnvSpec("lift-object", {"object": "sphere"})
    for change in (
        lambda options: options.update(object="box"),
        lambda options: options.__setitem__("object", "box"),
        lambda options: options.pop("object"),
        lambda options: options.clear(),
        lambda options: options.__ior__({"object": "box"}),
    ):
        with pytest.raises(UsageError, match="cannot change"):
            change(spec.options)
    again = EnvSpec("lift-object", {"object": "sphere"})
    other = spec.replace(robot="panda-leap")
    assert {spec, again, other} == {again, other}
    for copied in (pickle.loads(pickle.dumps(spec)), copy.deepcopy(spec)):
        assert copied == spec
        assert hash(copied) == hash(spec)

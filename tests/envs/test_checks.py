"""What callers hand to an environment is refused in one line where it cannot take effect."""

import math

import numpy as np
import pytest
import torch

from gym_grasp.envs.render import Camera
from gym_grasp.envs.single import GraspEnv
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import UsageError
from gym_grasp.tasks import register_task
from gym_grasp.tasks.open_drawer import OpenDrawer
from gym_grasp.tasks.scene import SCENES


@pytest.fixture(scope="module")
def env():
    env = GraspVectorEnv("open-drawer", 2, num_threads=1)
    env.reset(seed=0)
    yield env
    env.close()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_envs": 0}, "num_envs is 0; it must be at least 1"),
        ({"num_envs": 1.5}, "num_envs is 1.5; it must be a whole number"),
        ({"num_threads": -1}, "num_threads is -1"),
        ({"first_env": -1}, "first_env is -1"),
        ({"max_episode_steps": 10**30}, "it must be below"),
        ({"device": "tpu"}, "Unknown device 'tpu'"),
        ({"device": None}, "Unknown device None"),
        ({"reward": None}, "Unknown reward 'None'"),
        ({"render_mode": "rgb_array"}, "a batch of tensors draws nothing"),
    ],
)
def test_arguments_of_a_batch(arguments, message):
    with pytest.raises(UsageError, match=message):
        GraspVectorEnv("open-drawer", **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"render_mode": "human"}, "Unknown render_mode 'human'"),
        ({"num_envs": 2}, "num_envs is given"),
        ({"autoreset": True}, "autoreset is given"),
        ({"device": "cuda"}, "One environment runs on the CPU"),
    ],
)
def test_arguments_of_one(arguments, message):
    with pytest.raises(UsageError, match=message):
        GraspEnv("open-drawer", **arguments)


EMPTY = {
    "meta": torch.zeros(2, dtype=torch.int64, device="meta"),
    "sparse": torch.ones(2, dtype=torch.int64).to_sparse(),
    "nested": torch.nested.as_nested_tensor([torch.ones(1), torch.ones(1)], layout=torch.jagged),
}
"""Tensors without a number in each place."""


@pytest.mark.parametrize(
    "seed",
    [
        *(-1, 1.5, 2**70, "a", True, math.inf, np.array([[1], [2]]), [1, -2], [1.5, 2]),
        *(torch.tensor(True), b"12", bytearray(b"12"), memoryview(b"12"), *EMPTY.values()),
    ],
    ids=lambda seed: type(seed).__name__,
)
def test_seeds(env, seed):
    with pytest.raises(UsageError, match="The seed is"):
        env.reset(seed=seed)


def test_options_of_a_reset(env):
    before = env.episode_seed.clone()
    with pytest.raises(UsageError, match=r"Unknown option of reset\(\) 'reset_maskk'"):
        env.reset(options={"reset_maskk": torch.ones(2)})
    with pytest.raises(UsageError, match=r"reset_mask has shape \(1,\) .*; expected \(2,\)"):
        env.reset(options={"reset_mask": np.array([True])})
    for mask in (torch.ones(2), [0, 1], np.array([0, 1])):  # indices, perhaps
        with pytest.raises(UsageError, match=r"reset_mask has shape \(2,\) and torch"):
            env.reset(options={"reset_mask": mask})
    for mask in (["a", "b"], *EMPTY.values()):
        with pytest.raises(UsageError, match="expected a bool per environment"):
            env.reset(options={"reset_mask": mask})
    with pytest.raises(UsageError, match="stagger is 2"):
        env.reset(options={"stagger": 2})
    with pytest.raises(UsageError, match="options is 'all'"):
        env.reset(options="all")
    assert torch.equal(env.episode_seed, before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: {}, "'physics' is missing"),
        (lambda state: None, "expected what get_state"),
        (lambda state: {**state, "more": state["elapsed"]}, "it has 'more'"),
        (lambda state: {k: v for k, v in state.items() if k != "elapsed"}, "'elapsed' is missing"),
        (
            lambda state: {**state, "targets": state["targets"][:1]},
            "'targets' has shape",
        ),
        (lambda state: {**state, "elapsed": state["elapsed"] - 9}, "'elapsed' has negative"),
        (lambda state: {**state, "episode_seed": EMPTY["meta"]}, "'episode_seed' is not dense"),
    ],
)
def test_states_of_others(env, change, message):
    with pytest.raises(UsageError, match=message):
        env.set_state(change(env.get_state()))


def test_actions_without_numbers(env):
    for actions in EMPTY.values():
        with pytest.raises(UsageError, match=r"expected real numbers|are on meta"):
            env.step(actions)
    with pytest.raises(UsageError, match="An episode seed is -3"):
        env.reset_to(torch.tensor([-3, 4]))


def test_what_is_no_tensor(env):
    for call in (
        lambda: env.step("x"),
        lambda: env.reset_to([1, 2]),
        lambda: env.physics.set_field("geom_friction", 1.0),
        lambda: env.physics.set_field("geom_friction", torch.ones(2), [True, False]),
    ):
        with pytest.raises(UsageError, match=r"no numbers|expected a tensor"):
            call()


def test_what_is_not_there(env):
    with pytest.raises(UsageError, match="No feature is of the group 'critic'"):
        env.observation("critic")
    for index in (-1, 2):
        with pytest.raises(UsageError, match=rf"simulation is {index}; it must be within \[0, 1\]"):
            env.physics.model_of(index)
    with pytest.raises(UsageError, match="Unknown camera of this scene 'nowhere'"):
        Camera(env, "nowhere")


class Undeclared(OpenDrawer):
    name = "undeclared"

    @classmethod
    def scene(cls):
        return SCENES / "open_drawer.xml"

    def observe_scene(self, physics):
        return {**super().observe_scene(physics), "colour": torch.ones(2, 3)}


class Misdeclared(Undeclared):
    name = "misdeclared"

    def observe_scene(self, physics):
        return {"drawer_opening": torch.ones(2, 3)}


def test_a_task_observes_what_it_declares():
    register_task("undeclared", f"{__name__}:Undeclared", version=Undeclared.version)
    register_task("misdeclared", f"{__name__}:Misdeclared", version=Undeclared.version)
    with pytest.raises(UsageError, match="does not declare, the feature 'colour'"):
        GraspVectorEnv("undeclared", 2, num_threads=1)
    with pytest.raises(UsageError, match=r"'drawer_opening' as float32 of shape \(2, 3\)"):
        GraspVectorEnv("misdeclared", 2, num_threads=1)

"""Environments, whatever the caller does with torch, with processes and with copies."""

import copy
import gc
import os
import pickle
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from gym_grasp.envs.arrays import ArrayVectorEnv
from gym_grasp.envs.single import GraspEnv
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import UsageError
from gym_grasp.insulated import insulated

STILL = torch.zeros(2, 11)


def make() -> GraspVectorEnv:
    return GraspVectorEnv("lift-object", 2, num_threads=1, max_episode_steps=2)


def rollout() -> torch.Tensor:
    env = make()
    rows = [env.reset(seed=0)[0], *(env.step(STILL.float())[0] for _ in range(4))]
    env.close()
    return torch.stack(rows)


@pytest.fixture(scope="module")
def expected():
    return rollout()


def test_the_default_type_changes_nothing(expected):
    torch.set_default_dtype(torch.float64)
    try:
        found = rollout()
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)


@pytest.mark.parametrize(
    "mode", [torch.inference_mode, torch.no_grad, lambda: torch.autocast("cpu", torch.bfloat16)]
)
def test_nor_do_modes_and_they_may_come_and_go(mode, expected):
    with mode():
        found = rollout()
        env = make()
        rows = [env.reset(seed=0)[0], env.step(STILL)[0]]
    rows += [env.step(STILL)[0]]
    with mode():
        rows += [env.step(STILL)[0]]
    env.set_state(env.get_state())
    rows += [env.step(STILL)[0]]
    env.close()
    assert torch.equal(found, expected)
    assert torch.equal(torch.stack(rows), expected)
    assert not rows[1].is_inference()


def test_what_carries_a_gradient_is_only_read(expected):
    env = make()
    net = torch.nn.Linear(expected.shape[-1], 11)
    observation, _ = env.reset(seed=0)
    env.step(net(observation))
    friction = env.physics.get_field("geom_friction").requires_grad_()
    env.physics.set_field("geom_friction", friction * 1.0)
    with pytest.raises(UsageError, match="carries a gradient"):
        env.set_state({**env.get_state(), "targets": env.get_state()["targets"].requires_grad_()})
    rows = [env.reset(seed=0)[0], *(env.step(STILL)[0] for _ in range(4))]
    assert torch.equal(torch.stack(rows), expected)
    assert not any(value.requires_grad for value in env.get_state().values())
    env.close()


def test_settings_come_back_after_an_error():
    threads = torch.get_num_threads()

    @insulated
    def fail():
        assert not torch.is_grad_enabled()
        raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert torch.is_grad_enabled()
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("kind", ["tensors", "arrays", "one", "physics"])
def test_copies_are_refused_in_words(kind):
    one = {"num_threads": 1}
    env = {
        "tensors": lambda: make(),
        "arrays": lambda: ArrayVectorEnv("lift-object", 1, **one),
        "one": lambda: GraspEnv("lift-object"),
        "physics": lambda: make().physics,
    }[kind]()
    for way in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(UsageError, match="cannot be copied or pickled"):
            way(env)
    env.close()


ACTIONS = {
    "a list": [[0.0] * 11] * 2,
    "an array": np.zeros((2, 11)),
    "whole numbers": np.zeros((2, 11), np.int64),
    "float64": torch.zeros(2, 11, dtype=torch.float64),
    "an array not in one piece": np.zeros((11, 2), np.float32).T,
}
NOT_ACTIONS = {
    "None": None,
    "a name": "left",
    "names": np.full((2, 11), "left"),
    "a dictionary": {"a": 1},
    "objects": np.full((2, 11), None),
    "a device that is not ours": torch.zeros(2, 11, device="meta"),
    "complex": torch.zeros(2, 11, dtype=torch.complex64),
    "complex array": np.zeros((2, 11), complex),
    "sparse": torch.zeros(2, 11).to_sparse(),
    "ragged": [[0.0] * 11, [0.0] * 10],
    "one row": torch.zeros(11),
    "a row too many": np.zeros((3, 11)),
    "a number": 0.0,
    "NaN": [[float("nan")] * 11] * 2,
}


@pytest.mark.parametrize("name", ACTIONS)
def test_numbers_of_the_right_shape_are_actions(name, expected):
    env = make()
    env.reset(seed=0)
    assert torch.equal(env.step(ACTIONS[name])[0], expected[1])
    env.close()


@pytest.fixture(scope="module")
def env():
    env = make()
    env.reset(seed=0)
    yield env
    env.close()


@pytest.mark.parametrize("name", NOT_ACTIONS)
def test_anything_else_is_one_line(env, name):
    before = env.get_state()
    with pytest.raises(UsageError, match=r"^[^\n]*$"):
        env.step(NOT_ACTIONS[name])
    assert all(torch.equal(before[key], value) for key, value in env.get_state().items())


def forked(work) -> int:
    """Return the exit status of a forked process that does some work; -1 where it hangs."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            os._exit(1)
    for _ in range(100):
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.1)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return -1


def test_a_fork_after_close_and_a_fork_with_open_simulations():
    tasks = len(os.listdir("/proc/self/task"))
    env = GraspVectorEnv("open-drawer", 4, num_threads=3)
    env.reset(seed=0)
    assert len(os.listdir("/proc/self/task")) >= tasks + 4
    before = env.observation()

    def use() -> None:
        nonlocal env
        with pytest.raises(UsageError, match="forked from"):
            env.step(torch.zeros(4, 11))
        with pytest.raises(UsageError, match="forked from"):
            env.reset(seed=0)
        env.close()
        env = GraspVectorEnv("open-drawer", 4, num_threads=3)
        assert torch.equal(env.reset(seed=0)[0], before)
        env.close()
        env = None
        gc.collect()

    assert forked(use) == 0
    assert torch.equal(env.reset(seed=0)[0], before)
    env.close()
    assert len(os.listdir("/proc/self/task")) <= tasks
    with pytest.raises(UsageError, match="closed"):
        env.step(torch.zeros(4, 11))
    env.close()
    assert forked(gc.collect) == 0


LEFT_OPEN = """
import math, os, sys, gymnasium, torch, gym_grasp
from gym_grasp.envs.vector import GraspVectorEnv
one = gymnasium.make("gym_grasp/OpenDrawer-v5", render_mode="rgb_array")
one.reset(seed=0)
one.render()
env = GraspVectorEnv("open-drawer", 2, num_threads=2)
env.reset(seed=0)
state = env.get_state()
state["physics"][1, 1 + env.physics.model.nq] = math.nan
env.set_state(state)
assert env.step(torch.zeros(2, 11))[4]["diverged"].any()
if os.fork() == 0:
    sys.exit(0)  # with all of Python's farewell
assert os.wait()[1] == 0
"""


def test_a_process_ends_without_traces(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", LEFT_OPEN],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "ignored" not in done.stderr
    assert list(tmp_path.iterdir()) == []

import mujoco
import numpy as np
import pytest
import torch

from building import ROBOT, build_model
from gym_grasp.physics.cpu import CpuPhysics
from gym_grasp.tasks.open_drawer import OpenDrawer

SERVED = [ROBOT.joints.index(name) for name in ROBOT.actuators]
"""Joints with an actuator."""


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return build_model(OpenDrawer)


def start(model, physics, seed=0):
    rng = np.random.default_rng(seed)
    qpos = np.tile(model.qpos0, (physics.num_envs, 1))
    qpos[:, :6] += [-0.38, -1.8, 2.13, -0.33, 1.19, 1.57]
    qpos[:, :6] += rng.uniform(-0.05, 0.05, (physics.num_envs, 6))
    mask = torch.ones(physics.num_envs, dtype=torch.bool)
    physics.reset(mask, torch.from_numpy(qpos))
    return qpos, rng


def test_agrees_with_plain_mujoco_and_speaks_of_the_end_of_the_step(model):
    physics = CpuPhysics(model, 3, num_threads=2)
    sites, bodies = physics.bind("site_xpos"), physics.bind("xquat")
    qpos, rng = start(model, physics)
    data = [mujoco.MjData(model) for _ in range(3)]
    for one, row in zip(data, qpos, strict=True):
        one.qpos[:] = row
    for _ in range(20):
        ctrl = (qpos[:, SERVED] + rng.uniform(-0.2, 0.2, (3, 11))).astype(np.float32)
        physics.step(torch.from_numpy(ctrl), 3)
        for one, row in zip(data, ctrl, strict=True):
            one.ctrl[:] = row
            mujoco.mj_step(model, one, 3)
            mujoco.mj_kinematics(model, one)
    for index, one in enumerate(data):
        np.testing.assert_array_equal(physics.bind("qpos")[index], one.qpos.astype(np.float32))
        np.testing.assert_array_equal(sites[index], one.site_xpos.astype(np.float32))
        np.testing.assert_array_equal(bodies[index], one.xquat.astype(np.float32))


def test_state_round_trip_continues_bit_exactly(model):
    one, other = CpuPhysics(model, 2, 1), CpuPhysics(model, 2, 1)
    qpos, _ = start(model, one)
    start(model, other, seed=5)
    ctrl = torch.from_numpy(qpos[:, SERVED].astype(np.float32))
    one.step(ctrl, 3)
    other.set_state(one.get_state())
    for _ in range(10):
        one.step(ctrl, 3)
        other.step(ctrl, 3)
    assert torch.equal(one.get_state(), other.get_state())


def test_restoring_does_not_change_the_state(model):
    physics = CpuPhysics(model, 2, 1)
    qpos, _ = start(model, physics)
    physics.step(torch.from_numpy(qpos[:, SERVED].astype(np.float32)), 3)
    state = physics.get_state()
    physics.set_state(state)
    assert torch.equal(physics.get_state(), state)


def test_absurd_speed_counts_as_diverged(model):
    physics = CpuPhysics(model, 2, 1)
    qpos, _ = start(model, physics)
    state = physics.get_state()
    state[1, 1 + model.nq + model.jnt_dofadr[model.joint("drawer").id]] = 1e7
    physics.set_state(state)
    physics.step(torch.from_numpy(qpos[:, SERVED].astype(np.float32)), 1)
    assert physics.diverged.tolist() == [False, True]

"""The door's latch, its start, its observation and its rewards."""

from math import pi, radians

import mujoco
import numpy as np
import pytest
import torch

from building import ROBOT, build_model, build_task
from gym_grasp.demos.record import perform
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import UsageError
from gym_grasp.physics.cpu import CpuPhysics
from gym_grasp.tasks.open_door import OPEN, OpenDoor
from gym_grasp.tasks.placement import SHIFT, TURN

RETRACTED = (pi / 2, *ROBOT.arm.home[1:])
"""Arm joints, in rad, that keep the hand out of the door's way."""


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return build_model(OpenDoor)


def retract(data: mujoco.MjData) -> None:
    """Put the robot there, and let its servos hold it."""
    home = [*RETRACTED, *ROBOT.hand.joint_targets(torch.tensor(ROBOT.hand.home)).tolist()]
    data.qpos[: len(home)] = home
    data.ctrl[:] = [home[ROBOT.joints.index(name)] for name in ROBOT.actuators]


def pull(model: mujoco.MjModel, force: float, lever: float, seconds: float = 2.0) -> float:
    """Largest door angle, in rad, under a pull at the handle along the leaf's normal.

    Args:
        force: in N, on the middle of the grip.
        lever: angle, in rad, at which a servo holds the lever; 0 leaves it free.
    """
    data = mujoco.MjData(model)
    retract(data)
    body, dof = model.body("lever").id, model.joint("lever").dofadr[0]
    largest = 0.0
    for _ in range(round(seconds / model.opt.timestep)):
        mujoco.mj_forward(model, data)
        normal = data.body("door").xmat.reshape(3, 3)[:, 0]
        data.qfrc_applied[:] = 0.0
        mujoco.mj_applyFT(
            model, data, -force * normal, np.zeros(3), data.xpos[body], body, data.qfrc_applied
        )
        if lever:
            error = lever - float(data.joint("lever").qpos[0])
            data.qfrc_applied[dof] += 20.0 * error + lever - 0.3 * data.qvel[dof]
        mujoco.mj_step(model, data)
        largest = max(largest, float(data.joint("door").qpos[0]))
    return largest


@pytest.mark.parametrize("force", [20.0, 50.0, 200.0])
def test_door_stays_shut_while_the_lever_is_free(model: mujoco.MjModel, force: float) -> None:
    assert pull(model, force, lever=0.0) < radians(2.0)


def test_door_stays_shut_while_the_lever_is_pressed_too_little(model: mujoco.MjModel) -> None:
    assert pull(model, 30.0, lever=0.25) < radians(2.0)


@pytest.mark.parametrize("lever", [0.45, 0.6])
def test_door_opens_once_the_lever_is_pressed(model: mujoco.MjModel, lever: float) -> None:
    assert pull(model, 30.0, lever) > OPEN


def test_lever_springs_back(model: mujoco.MjModel) -> None:
    data = mujoco.MjData(model)
    retract(data)
    data.joint("lever").qpos[0] = 0.6
    mujoco.mj_step(model, data, 180)
    assert abs(float(data.joint("lever").qpos[0])) < 0.02


def test_latch_and_strike_meet_nothing_but_each_other(model: mujoco.MjModel) -> None:
    latch = {model.geom("latch_collision").id, model.geom("strike_collision").id}
    for first in range(model.ngeom):
        for second in range(first + 1, model.ngeom):
            meet = (model.geom_contype[first] & model.geom_conaffinity[second]) | (
                model.geom_contype[second] & model.geom_conaffinity[first]
            )
            if meet and {first, second} & latch:
                assert {first, second} == latch


def test_start_is_settled() -> None:
    """Wherever the door stands."""
    env = GraspVectorEnv("open-door", 4)
    env.reset(seed=3)
    before = env.physics.bind("qpos").clone()
    for _ in range(30):
        env.step(torch.zeros(4, 11))
    joints = [int(env.task.model.joint(name).qposadr[0]) for name in ("door", "lever")]
    assert (env.physics.bind("qpos") - before)[:, joints].abs().max() < 1e-4


def placed(door: float, lever: float = 0.0) -> tuple[OpenDoor, CpuPhysics]:
    """The task with its door and lever at the given angles, in rad."""
    task = build_task(OpenDoor)
    physics = CpuPhysics(task.model, 1, 1)
    qpos = task.start_qpos[None].clone()
    qpos[0, task.hinge] = door
    qpos[0, int(task.model.joint("lever").qposadr[0])] = lever
    task.observe(physics)  # binds what it reads
    physics.reset(torch.ones(1, dtype=torch.bool), qpos)
    return task, physics


def test_handle_pose_of_the_closed_door() -> None:
    task, physics = placed(door=0.0)
    pose = task.observe(physics)["handle_pose"][0]
    # front .81 − .065 out; hinge −.22 + .265 along the leaf
    expected = torch.tensor([0.745, 0.045, 0.27, 1, 0, 0, 0, 1, 0], dtype=torch.float32)
    torch.testing.assert_close(pose, expected, atol=1e-5, rtol=0)


def test_handle_pose_shows_the_lever_and_the_door() -> None:
    task, physics = placed(door=0.5, lever=0.3)
    pose = task.observe(physics)["handle_pose"][0]
    # the lever turns about the leaf's normal, 65 mm beside the grip: it sinks by .065·sin .3
    assert pose[2].item() == pytest.approx(0.27 - 0.065 * np.sin(0.3), abs=1e-5)
    normal = torch.tensor([np.cos(0.5), np.sin(0.5), 0.0], dtype=torch.float32)
    torch.testing.assert_close(pose[3:6], normal, atol=1e-5, rtol=0)
    # the lever's own y points from its free end to its axis, so it rises as the end sinks
    assert pose[8].item() == pytest.approx(np.sin(0.3), abs=1e-5)


@pytest.mark.parametrize(
    ("degrees", "progress", "success"),
    [(0, 0, False), (44.9, 44.9 / 45, False), (45.1, 45.1 / 45, True)],
)
def test_progress_and_success(degrees: float, progress: float, success: bool) -> None:
    task, physics = placed(door=radians(degrees))
    assert task.progress(physics).item() == pytest.approx(progress, abs=1e-4)
    assert task.success(physics).item() is success


def test_hand_distance() -> None:
    task, physics = placed(door=radians(30.0))
    palm = physics.bind("site_xpos")[0, task.palm]
    distance = (palm - physics.bind("xpos")[0, task.handle]).norm().item()
    assert task.hand_distance(physics).item() == pytest.approx(distance, abs=1e-4)


def test_operator_opens_the_door_by_the_lever() -> None:
    env = GraspVectorEnv("open-door", 10, autoreset=False)
    env.reset(seed=11)
    lever = 1 + int(env.task.model.joint("lever").qposadr[0])  # time comes first in a state
    opened = [episode for episode in perform(env, skill=1.0) if episode.success]
    assert len(opened) >= 9
    assert all(episode.states["physics"][:, lever].max() > 0.33 for episode in opened)


def test_the_handle_moves_by_five_centimetres_and_fifteen_degrees() -> None:
    """Evenly about where it stands in the scene; the frame follows, its height stays."""
    count = 512
    env = GraspVectorEnv("open-door", count)
    env.reset(seed=0)
    pose = env.observe()["handle_pose"].numpy()
    moved = pose[:, :2] - [0.745, 0.045]
    yaw = np.arctan2(pose[:, 4], pose[:, 3])
    for values, most in ((moved[:, 0], SHIFT), (moved[:, 1], SHIFT), (yaw, TURN)):
        assert np.abs(values).max() <= most + 1e-6
        assert np.abs(values).max() > 0.98 * most
        assert values.mean() == pytest.approx(0.0, abs=0.1 * most)
        assert values.std() == pytest.approx(most / 3**0.5, rel=0.06)
    assert np.abs(np.corrcoef([*moved.T, yaw]) - np.eye(3)).max() < 0.15
    np.testing.assert_allclose(pose[:, 2], 0.27, atol=1e-6)
    frame = env.physics.bind("xpos")[:, env.task.model.body("frame").id].numpy()
    arm = np.array([0.81, -0.22]) - [0.745, 0.045]
    cosine, sine = np.cos(yaw), np.sin(yaw)
    expected = [cosine * arm[0] - sine * arm[1], sine * arm[0] + cosine * arm[1]]
    np.testing.assert_allclose(frame[:, :2] - pose[:, :2], np.transpose(expected), atol=1e-6)


def test_the_door_stands_where_its_seed_says() -> None:
    env, other = GraspVectorEnv("open-door", 5), GraspVectorEnv("open-door", 2)
    first, _ = env.reset(seed=1)
    again = other.reset_to(env.episode_seed[[4, 0]])
    assert torch.equal(again, first[[4, 0]])
    env.reset(seed=2)
    assert torch.equal(
        env.reset_to(torch.cat([other.episode_seed, other.episode_seed[:1].repeat(3)]))[:2], again
    )


def test_a_fixed_door_stands_still() -> None:
    env = GraspVectorEnv("open-door", 8, task_options={"placement": "fixed"})
    env.reset(seed=0)
    assert env.physics.fields() == {}
    pose = env.observe()["handle_pose"]
    torch.testing.assert_close(pose[:, :2], torch.tensor([[0.745, 0.045]]).expand(8, 2))
    with pytest.raises(UsageError, match="Unknown placement 'vary'"):
        GraspVectorEnv("open-door", task_options={"placement": "vary"})


def test_autoreset_moves_the_door_of_the_ended_episode_alone() -> None:
    env = GraspVectorEnv("open-door", 3, max_episode_steps=4)
    env.reset(seed=0)
    env.elapsed[1] = 3
    frame = env.task.model.body("frame").id
    before = env.physics.bind("xpos")[:, frame].clone()
    *_, info = env.step(torch.zeros(3, 11))
    after = env.physics.bind("xpos")[:, frame]
    assert info["_final_obs"].tolist() == [False, True, False]
    assert torch.equal(after[[0, 2]], before[[0, 2]])
    assert (after[1] - before[1]).abs().max() > 1e-3

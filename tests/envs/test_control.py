import dataclasses
import math

import mujoco
import numpy as np
import pytest
import torch

from gym_grasp.envs import kinematics
from gym_grasp.envs.build import compile_scene
from gym_grasp.envs.control import ControlConfig, Controller
from gym_grasp.envs.spec import EnvSpec
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import UsageError
from gym_grasp.math.rotations import (
    quat_conjugate,
    quat_from_rotvec,
    quat_multiply,
    rotvec_from_quat,
)
from gym_grasp.physics.cpu import CpuPhysics
from gym_grasp.robots import load_robot
from gym_grasp.robots.robot import Robot


def make(count=1, **control) -> GraspVectorEnv:
    env = GraspVectorEnv("open-drawer", count, control=ControlConfig(**control), num_threads=1)
    env.reset(seed=3)
    return env


def angle_between(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return rotvec_from_quat(quat_multiply(a, quat_conjugate(b))).norm(dim=-1)


def turned_since(env: GraspVectorEnv, before: torch.Tensor) -> torch.Tensor:
    return rotvec_from_quat(quat_multiply(env.controller.wrist_pose()[1], quat_conjugate(before)))


def test_actions_are_named():
    assert make().env_spec.action_names == (
        *(f"wrist translation {axis}" for axis in "xyz"),
        *(f"wrist rotation about {axis}" for axis in "xyz"),
        *(f"drive {name}" for name in ("thumb_rotation", "thumb", "index", "middle", "ring")),
    )


def test_measured_wrist_pose_is_mujocos():
    """By plain MuJoCo from the joint angles: position, and columns (not rows) of the rotation."""
    env = make(2)
    action = torch.zeros(2, 11)
    action[:, 3:6] = torch.tensor([0.5, -0.7, 0.9])
    for _ in range(8):
        env.step(action)
    data = mujoco.MjData(env.task.model)
    data.qpos[:] = env.physics.bind("qpos")[1].numpy()
    mujoco.mj_kinematics(env.task.model, data)
    site = data.site("hand/wrist")
    matrix = site.xmat.reshape(3, 3)
    expected = np.concatenate([site.xpos, matrix[:, 0], matrix[:, 1]])
    observed = env.packer.unpack(env.observation())["wrist_pose"][1]
    np.testing.assert_allclose(observed, expected, atol=1e-5)
    assert np.abs(matrix - matrix.T).max() > 0.3  # rows would differ from columns


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_full_rotation_turns_at_the_stated_speed(axis):
    """1.5 rad/s: after 6 steps of 1/30 s, 0.3 rad about that axis, give or take the servo's lag."""
    env = make(angular_speed=1.5)
    before = env.controller.wrist_pose()[1].clone()
    action = torch.zeros(1, 11)
    action[0, 3 + axis] = 1.0
    for _ in range(6):
        env.step(action)
    target = quat_multiply(env.controller.targets.orientation, quat_conjugate(before))
    assert rotvec_from_quat(target)[0, axis] == pytest.approx(0.3, abs=0.01)
    turned = turned_since(env, before)[0]
    assert 0.25 < turned[axis] < 0.325
    assert turned[torch.arange(3) != axis].abs().max() < 0.025


@pytest.mark.parametrize(("axis", "least"), [(0, 2.0), (1, 1.5), (2, 1.5)])
def test_faster_than_the_joints_may_turn_the_wrist_lags(axis, least):
    """At 3 rad/s it follows as fast as its joints may, up to the leash behind."""
    env = make()
    before = env.controller.wrist_pose()[1].clone()
    action = torch.zeros(1, 11)
    action[0, 3 + axis] = 1.0
    angles, fastest = [], torch.zeros(6)
    for _ in range(10):
        env.step(action)
        angles.append(float(turned_since(env, before)[0, axis]))
        fastest = torch.maximum(fastest, env.physics.bind("qvel")[0, :6].abs())
    assert (angles[-1] - angles[3]) * 5 > least
    assert 0.5 * math.pi < fastest.max() < math.pi


@pytest.fixture
def strong(monkeypatch):
    """An arm that may press as hard as it can."""
    monkeypatch.setattr(kinematics, "START_FORCE", 1e9)
    monkeypatch.setattr(kinematics, "FORCE", 1e9)


def test_leashes_and_joint_steps_have_their_stated_length(strong):
    """Without physics in between, actions pile up until the leash: 4 cm an axis, 0.3 rad."""
    env = make()
    action = torch.zeros(1, 11)
    action[0, [0, 1, 4]] = torch.tensor([1.0, -1.0, 1.0])
    for _ in range(10):
        env.controller.apply(action)
    position, orientation = env.controller.wrist_pose()
    targets = env.controller.targets
    offset = (targets.position - position)[0].tolist()
    assert offset == pytest.approx([0.04, -0.04, 0.0], abs=1e-6)
    assert angle_between(targets.orientation, orientation).item() == pytest.approx(0.3, abs=1e-4)
    targets.position += torch.tensor([0.0, 0.0, 0.4])  # farther than any leash, and upwards
    step = env.controller.joint_targets()[0, :6] - env.physics.bind("qpos")[0, :6]
    assert step.abs().max() == pytest.approx(math.pi / 30, abs=1e-6)  # π rad/s for a control step


def test_a_joint_step_that_is_too_large_keeps_its_direction(strong):
    env = make()
    action = torch.zeros(1, 11)
    action[0, :6] = torch.tensor([0.3, -0.2, 0.4, 0.1, 0.05, -0.1])
    env.controller.apply(action)
    arm = env.physics.bind("qpos")[0, :6]
    small = env.controller.joint_targets()[0, :6] - arm
    position, orientation = env.controller.wrist_pose()
    targets, times = env.controller.targets, 20.0
    turn = rotvec_from_quat(quat_multiply(targets.orientation, quat_conjugate(orientation)))
    targets.position.copy_(position + times * (targets.position - position))
    targets.orientation.copy_(quat_multiply(quat_from_rotvec(times * turn), orientation))
    large = env.controller.joint_targets()[0, :6] - arm
    assert small.abs().max() < math.pi / 30
    assert large.abs().max() == pytest.approx(math.pi / 30, abs=1e-6)
    torch.testing.assert_close(large / large.norm(), small / small.norm(), atol=2e-3, rtol=0)


@pytest.mark.parametrize("robot", ["ur5-sih", "ur5-three"])
def test_the_limits_are_those_of_arm_and_hand(robot, strong):
    """Half the speed of a part, half the step of its targets."""
    full = load_robot(robot)
    slow = tuple(speed / 2 for speed in full.arm.speeds)
    arm = dataclasses.replace(full.arm, speeds=slow)
    hand = dataclasses.replace(full.hand, speeds=tuple(speed / 2 for speed in full.hand.speeds))
    spec = EnvSpec("open-drawer", robot=robot)
    physics = CpuPhysics(compile_scene(spec), 1, 1)
    at_home = torch.zeros(1, physics.model.nq)
    at_home[0, :6] = torch.tensor(full.arm.home)
    physics.reset(torch.ones(1, dtype=torch.bool), at_home)
    steps, drives = [], []
    for one in (full, Robot(arm, hand)):
        controller = Controller(physics, spec.control, one)
        controller.targets.position += 1.0
        wanted = controller.joint_targets()[0, :6] - physics.bind("qpos")[0, :6]
        steps.append(wanted.abs().max().item())
        controller.targets.fingers.zero_()
        controller.apply(torch.ones(1, one.action_size))
        drives.append(controller.targets.fingers[0].clone())
    assert steps == pytest.approx([math.pi / 30, math.pi / 60], abs=1e-6)
    torch.testing.assert_close(drives[0], torch.tensor(full.hand.drive_speeds) / 30)
    torch.testing.assert_close(drives[1], drives[0] / 2)


def test_joints_keep_their_speeds_whatever_is_asked():
    """Random and held full actions high above the table: at most 1.1 times the limits."""
    env = make(16)
    limits = torch.tensor(env.robot.arm.speeds + env.robot.hand.speeds)
    generator = torch.Generator().manual_seed(0)
    fastest = torch.zeros(17)
    for step in range(90):
        if step < 15:
            action = torch.zeros(16, 11)
            action[:, 2] = 1.0
        elif step % 10 == 5 or step >= 60:
            action = (torch.rand(16, 11, generator=generator) * 2 - 1).sign()
            action[:, :3] *= 0.3  # it stays there
        env.begin_step(action)
        for _ in range(3):
            env.advance()
            fastest = torch.maximum(fastest, env.physics.bind("qvel")[:, :17].abs().amax(0))
        env.end_step()
    assert (fastest / limits).max() < 1.1
    assert (fastest / limits)[3:].min() > 0.6


def test_workspace_has_a_floor_and_a_ceiling():
    env = make(2, workspace_low=(0.2, -0.6, 0.2))  # the table would hold the hand above less
    action = torch.zeros(2, 11)
    action[0, 2], action[1, 2] = -1.0, 1.0
    heights = []
    for _ in range(45):
        env.step(action)
        heights.append(env.controller.targets.position[:, 2].clone())
    low, high = torch.stack(heights).aminmax(dim=0)
    assert low[0] == pytest.approx(0.2, abs=1e-6)
    assert high[1] == pytest.approx(0.75, abs=1e-6)


@pytest.mark.parametrize("method", ["damped-least-squares", "jacobian-transpose"])
def test_joint_targets_by_mujocos_own_jacobian(method):
    """q + p + W⁻¹Jᵀ(JW⁻¹Jᵀ + 1)⁻¹(e − Jp), where W = 0.05² kᵢ / max k, k are the servos' gains and
    p = 0.02 (home − q); or q + JᵀKe + Wp with gains 8 (position) and 0.7 (rotation)."""
    env = make(method=method)
    action = torch.zeros(1, 11)
    action[0, :6] = torch.tensor([0.3, -0.2, 0.4, 0.5, 0.1, -0.3])
    env.controller.apply(action)
    data = mujoco.MjData(env.task.model)
    data.qpos[:] = env.physics.bind("qpos")[0].numpy()
    mujoco.mj_kinematics(env.task.model, data)
    mujoco.mj_comPos(env.task.model, data)
    jacobian = np.zeros((6, env.task.model.nv))
    site = env.task.model.site("hand/wrist").id
    mujoco.mj_jacSite(env.task.model, data, jacobian[:3], jacobian[3:], site)
    J = jacobian[:, :6]
    error = np.array([0.006, -0.004, 0.008, 0.05, 0.01, -0.03])
    gains = env.task.model.actuator_gainprm[:6, 0]
    weight = 0.05**2 * gains / gains.max()
    posture = 0.02 * (np.array(env.robot.arm.home) - data.qpos[:6])
    if method == "jacobian-transpose":
        step = J.T @ (np.array([8.0, 8.0, 8.0, 0.7, 0.7, 0.7]) * error) + weight * posture
    else:
        soft = J.T / weight[:, None]
        rest = error - J @ posture
        step = posture + soft @ np.linalg.solve(J @ soft + np.eye(6), rest)
    found = env.controller.joint_targets()[0, :6].numpy() - data.qpos[:6]
    np.testing.assert_allclose(found, step, atol=2e-4)
    assert np.abs(step).max() > 0.01


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "transpose"}, "Unknown method of inverse kinematics 'transpose'"),
        ({"interval": 0}, r"control.interval is 0; it must be within \[1, 90\]"),
        ({"interval": 1.5}, "whole number"),
        ({"linear_speed": -1.0}, "control.linear_speed is -1.0; it must be positive"),
        ({"rotation_leash": math.nan}, "control.rotation_leash is nan"),
        ({"workspace_low": (0.0, 0.0, 0.9)}, "corners of a box"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        ControlConfig(**settings)


def test_wrist_reaches_a_commanded_pose():
    """Within 1 mm and 5 mrad, from 10 start states, after moving through free space."""
    env = make(10)
    position, orientation = env.controller.wrist_pose()
    turn = torch.tensor([0.9689, 0.0, 0.2474, 0.0])  # 0.5 rad about y
    goal = position + torch.tensor([-0.05, 0.12, 0.1])
    goal_orientation = quat_multiply(turn.expand_as(orientation), orientation)
    fingers = env.controller.targets.fingers.clone()
    for _ in range(60):
        env.step(env.controller.retarget(goal, goal_orientation, fingers))
    position, orientation = env.controller.wrist_pose()
    assert (position - goal).norm(dim=-1).max() < 1e-3
    assert angle_between(orientation, goal_orientation).max() < 5e-3


def test_full_action_moves_at_the_stated_speed():
    """0.6 m/s: after 10 steps of 1/30 s, 0.2 m, less the servo's lag of at most 2 cm."""
    env = make()
    start = env.controller.wrist_pose()[0].clone()
    action = torch.zeros(1, 11)
    action[0, 2] = 1.0
    for _ in range(10):
        env.step(action)
    moved = env.controller.wrist_pose()[0] - start
    assert 0.18 < moved[0, 2] < 0.2005
    assert moved[0, :2].abs().max() < 5e-3


def test_targets_are_held_without_action():
    env = make()
    env.step(torch.full((1, 11), 0.5))
    held = env.controller.targets.flat().clone()
    for _ in range(5):
        env.step(torch.zeros(1, 11))
    torch.testing.assert_close(env.controller.targets.flat(), held, atol=1e-5, rtol=0)


def test_pressing_on_the_table_neither_winds_up_nor_slides():
    env = make()
    down = torch.zeros(1, 11)
    down[0, 2] = -1.0
    for _ in range(60):
        env.step(down)
    position, _ = env.controller.wrist_pose()
    assert (env.controller.targets.position - position).abs().max() <= 0.0401
    pressed = position.clone()
    for _ in range(30):
        env.step(down)
    position, _ = env.controller.wrist_pose()
    assert (position - pressed)[0, :2].norm() < 5e-3


def test_desired_pose_stays_in_the_workspace():
    env = make(2)
    action = torch.zeros(2, 11)
    action[0, 1], action[1, 1] = 1.0, -1.0
    for _ in range(60):
        env.step(action)
        y = env.controller.targets.position[:, 1]
        assert y.abs().max() <= 0.6
    assert y[0] > 0.5
    assert y[1] < -0.5


def test_finger_commands_follow_and_stop_at_the_ends():
    env = make()
    close = torch.zeros(1, 11)
    close[0, 8] = 1.0  # index
    env.step(close)
    once = 2.094 / 1.45 / 30  # rad/s, rad, Hz
    expected = pytest.approx([1, 0, once, 0, 0], abs=1e-5)
    assert env.controller.targets.fingers[0].tolist() == expected
    for _ in range(25):
        env.step(close)
    assert env.controller.targets.fingers[0, 2] == 1.0


def test_coupled_joints_follow_in_the_simulation():
    """Distal joints settle at their proximal ones, the little finger at the ring finger."""
    env = make()
    close = torch.zeros(1, 11)
    close[0, 7:] = 1.0
    for _ in range(10):
        env.step(close)
    for _ in range(30):
        env.step(torch.zeros(1, 11))
    hand = env.physics.bind("qpos")[0, 6:17]
    proximal, distal = hand[[1, 3, 5, 7, 9]], hand[[2, 4, 6, 8, 10]]
    torch.testing.assert_close(distal, proximal, atol=0.005, rtol=0)
    torch.testing.assert_close(hand[9:], hand[7:9], atol=0.005, rtol=0)
    assert hand[3] == pytest.approx(-10 * 2.094 / 30, abs=0.02)


def test_a_slower_finger_speed_is_kept():
    env = make(finger_speed=0.6)
    close = torch.zeros(1, 11)
    close[0, 7:] = 1.0
    env.step(close)
    assert env.controller.targets.fingers[0].tolist() == pytest.approx([1, *4 * [0.02]], abs=1e-5)


def test_interval_sets_the_rate():
    env = make(interval=1)
    assert env.control_rate == pytest.approx(90.0)
    assert env.max_episode_steps == 3 * make().max_episode_steps


def test_jacobian_transpose_reaches_too_but_lags():
    env = make(4, method="jacobian-transpose")
    position, orientation = (part.clone() for part in env.controller.wrist_pose())
    goal = position + torch.tensor([0.0, 0.1, 0.08])
    fingers = env.controller.targets.fingers.clone()
    for _ in range(90):
        env.step(env.controller.retarget(goal, orientation, fingers))
    assert (env.controller.wrist_pose()[0] - goal).norm(dim=-1).max() < 0.01

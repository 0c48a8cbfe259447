import math

import mujoco
import numpy as np
import pytest
import torch

from gym_grasp.envs.control import ControlConfig
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import UsageError
from gym_grasp.math.rotations import quat_conjugate, quat_multiply, rotvec_from_quat


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
    """3 rad/s: after 6 steps of 1/30 s, 0.6 rad about that axis, give or take the servo's lag."""
    env = make()
    before = env.controller.wrist_pose()[1].clone()
    action = torch.zeros(1, 11)
    action[0, 3 + axis] = 1.0
    for _ in range(6):
        env.step(action)
    target = quat_multiply(env.controller.targets.orientation, quat_conjugate(before))
    assert rotvec_from_quat(target)[0, axis] == pytest.approx(0.6, abs=0.02)
    turned = turned_since(env, before)[0]
    assert 0.5 < turned[axis] < 0.65
    assert turned[torch.arange(3) != axis].abs().max() < 0.05


def test_leashes_and_joint_steps_have_their_stated_length():
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
    targets.position += torch.tensor([0.3, 0.2, -0.2])  # farther than any leash
    step = env.controller.joint_targets()[0, :6] - env.physics.bind("qpos")[0, :6]
    assert step.abs().max() == pytest.approx(0.3, abs=1e-6)


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
    """q + Jᵀ(JJᵀ + 0.05²)⁻¹e, or q + JᵀKe with gains 8 (position) and 0.7 (rotation)."""
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
    if method == "jacobian-transpose":
        step = J.T @ (np.array([8.0, 8.0, 8.0, 0.7, 0.7, 0.7]) * error)
    else:
        step = J.T @ np.linalg.solve(J @ J.T + 0.05**2 * np.eye(6), error)
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
    assert env.controller.targets.fingers[0].tolist() == pytest.approx([1, 0, 0.1, 0, 0], abs=1e-5)
    for _ in range(15):
        env.step(close)
    assert env.controller.targets.fingers[0, 2] == 1.0


def test_coupled_joints_follow_in_the_simulation():
    """Distal joints settle at their proximal ones, the little finger at the ring finger."""
    env = make()
    close = torch.zeros(1, 11)
    close[0, 7:] = 1.0
    for _ in range(5):
        env.step(close)
    for _ in range(30):
        env.step(torch.zeros(1, 11))
    hand = env.physics.bind("qpos")[0, 6:17]
    proximal, distal = hand[[1, 3, 5, 7, 9]], hand[[2, 4, 6, 8, 10]]
    torch.testing.assert_close(distal, proximal, atol=0.02, rtol=0)
    torch.testing.assert_close(hand[9:], hand[7:9], atol=0.02, rtol=0)
    assert hand[3] == pytest.approx(-0.5 * 1.45, abs=0.02)


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

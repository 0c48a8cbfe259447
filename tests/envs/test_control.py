import pytest
import torch

from gym_grasp.envs.control import ControlConfig, action_names
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.math.rotations import quat_conjugate, quat_multiply, rotvec_from_quat


def make(count=1, **control) -> GraspVectorEnv:
    env = GraspVectorEnv("open-drawer", count, control=ControlConfig(**control), num_threads=1)
    env.reset(seed=3)
    return env


def angle_between(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return rotvec_from_quat(quat_multiply(a, quat_conjugate(b))).norm(dim=-1)


def test_eleven_actions_are_named():
    assert len(action_names()) == 11
    assert action_names()[0] == "wrist translation x"


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

"""The Panda against its published figures, its seventh joint, and what hands it carries."""

import dataclasses

import mujoco
import numpy as np
import pytest
import torch

from gym_grasp.demos.operators.human import FLAT, tilt
from gym_grasp.demos.operators.pour_cup import ON_EDGE
from gym_grasp.demos.reader import open_dataset
from gym_grasp.demos.record import record
from gym_grasp.demos.replay import replay
from gym_grasp.envs import kinematics
from gym_grasp.envs.audit import Meter
from gym_grasp.envs.spec import EnvSpec
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import UsageError
from gym_grasp.math.rotations import (
    np_rotate,
    quat_conjugate,
    quat_multiply,
    rotvec_from_quat,
)
from gym_grasp.robots import load_robot, robot_names
from gym_grasp.robots.panda import PANDA
from gym_grasp.robots.robot import Robot
from gym_grasp.teleop.web.scene import Scene

ROBOTS = ("panda-sih", "panda-leap")
ONE = ("panda-sih", pytest.param("panda-leap", marks=pytest.mark.slow))
# Of each link: place in its parent and quarter turns about x; every joint turns about its own z.
CHAIN = (
    *(((0, 0, 0.333), 0), ((0, 0, 0), -1), ((0, -0.316, 0), 1), ((0.0825, 0, 0), 1)),
    *(((-0.0825, 0.384, 0), -1), ((0, 0, 0), 1), ((0.088, 0, 0), 1)),
)
MASSES = (0.6298, 4.971, 0.6469, 3.229, 3.588, 1.226, 1.667, 0.7355 + 0.2)
"""Of the links, the bracket with the last, in kg."""
BARS = ((0.735, 0.0, 0.22), (0.535, 0.0, 0.22), (0.745, 0.045, 0.27))
"""Handle of the drawer, closed and open, and lever of the door."""
OBJECTS = tuple((x, y, 0.025) for x in (0.45, 0.65) for y in (-0.2, 0.2))
"""Corners of where things to lift lie."""
CUPS = tuple((x, y, 0.0) for x in (0.54, 0.66) for y in (-0.16, -0.04))
"""Corners of where the cup stands."""


def turned(axis: int, angle: float) -> np.ndarray:
    matrix, quaternion = np.empty(9), np.zeros(4)
    mujoco.mju_axisAngle2Quat(quaternion, np.eye(3)[axis], angle)
    mujoco.mju_quat2Mat(matrix, quaternion)
    return matrix.reshape(3, 3)


def published_flange(joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the published chain has its flange, from its foot: position and axes."""
    place, turn = np.zeros(3), np.eye(3)
    for (offset, quarters), angle in zip(CHAIN, joints, strict=True):
        place = place + turn @ offset
        turn = turn @ turned(0, quarters * np.pi / 2) @ turned(2, angle)
    return place + turn @ [0, 0, 0.107], turn


def make(count: int, robot: str = "panda-sih", task: str = "lift-object") -> GraspVectorEnv:
    env = GraspVectorEnv(
        task, count, num_threads=1, autoreset=False, robot=robot, max_episode_steps=3000
    )
    env.reset(seed=0)
    return env


def test_flange_and_masses_are_as_published():
    model = mujoco.MjModel.from_xml_path(str(PANDA.mjcf))
    data, rng = mujoco.MjData(model), np.random.default_rng(0)
    foot = model.body("link0").pos
    for _ in range(20):
        data.qpos[:] = rng.uniform(*np.array(PANDA.limits).T)
        mujoco.mj_kinematics(model, data)
        place, turn = published_flange(data.qpos)
        np.testing.assert_allclose(data.body("bracket").xpos - foot, place, atol=1e-9)
        np.testing.assert_allclose(data.body("link7").xmat.reshape(3, 3), turn, atol=1e-9)
        # The bracket's face: a right angle to the flange, beneath it.
        face = data.site("flange")
        axes = face.xmat.reshape(3, 3)
        assert abs(axes[:, 2] @ turn[:, 2]) < 1e-9
        assert turn[:, 2] @ (face.xpos - foot - place) == pytest.approx(0.055)
    masses = [model.body(f"link{index}").mass[0] for index in range(8)]
    assert masses == pytest.approx(MASSES)


def test_servos_and_limits_are_those_of_the_data():
    model = mujoco.MjModel.from_xml_path(str(PANDA.mjcf))
    np.testing.assert_allclose(model.jnt_range, PANDA.limits)
    np.testing.assert_allclose(model.actuator_ctrlrange, PANDA.limits)
    np.testing.assert_allclose(model.jnt_actfrcrange[:, 1], PANDA.torques)
    assert model.jnt_actgravcomp.all()
    assert (model.body_gravcomp[1:-1] == 1).all()
    # No servo drives a joint faster than it may turn, however far its target is.
    fastest = model.actuator_forcerange[:, 1] / model.dof_damping
    assert (fastest <= np.array(PANDA.speeds) * 1.01).all()
    for angle, (low, high) in zip(PANDA.home, PANDA.reach.comfort, strict=True):
        assert low < angle < high
    for (low, high), (least, most) in zip(PANDA.reach.comfort, PANDA.limits, strict=True):
        assert least < low < high < most


@pytest.mark.parametrize("name", ROBOTS)
def test_it_carries_the_hands_level_and_meets_nothing_at_the_start(name):
    env = make(1, name)
    model, data = env.physics.model, mujoco.MjData(env.physics.model)
    data.qpos[:] = env.task.start_qpos
    data.qpos[:7] = PANDA.home
    mujoco.mj_forward(model, data)
    wrist = data.site("hand/wrist")
    np.testing.assert_allclose(
        wrist.xmat.reshape(3, 3)[:, 1:].T, [[0, 0, -1], [1, 0, 0]], atol=1e-3
    )
    np.testing.assert_allclose(wrist.xpos, [0.42, 0.0, 0.28], atol=1e-3)
    assert Meter(model, env.robot).measure(data).self_depth == 0.0


@pytest.mark.parametrize("joint4", [-2.95, -2.4])
def test_the_hand_meets_the_forearm_only_where_it_is_folded(joint4):
    """Turned round under the flange the fingers come to the forearm, which they do not pass."""
    env = make(1)
    model, data = env.physics.model, mujoco.MjData(env.physics.model)
    data.qpos[:] = env.task.start_qpos
    data.qpos[:7] = (0.0, 0.0, 0.0, joint4, 0.0, 0.5 if joint4 < -2.9 else 2.4, -0.785 + np.pi / 2)
    mujoco.mj_forward(model, data)
    met = {tuple(sorted(model.geom(g).name.split("/")[0] for g in c.geom)) for c in data.contact}
    assert (("arm", "hand") in met) == (joint4 < -2.9)


def test_joint_targets_by_mujocos_own_jacobian():
    """The step of any arm, and in the null space W⁻¹-weighted a tenth of the way home: with
    A = W⁻¹Jᵀ(JW⁻¹Jᵀ + 0.2²)⁻¹, (1 − AJ) 0.1 (home − q)."""
    env = make(1, task="open-drawer")
    start = env.task.start_qpos[None].clone()
    start[0, :7] += torch.tensor([0.5, 0.1, -0.6, 0.2, 0.4, -0.2, 0.3])
    env.physics.reset(torch.ones(1, dtype=torch.bool), start)
    data = mujoco.MjData(env.task.model)
    data.qpos[:] = start[0].numpy()
    mujoco.mj_kinematics(env.task.model, data)
    mujoco.mj_comPos(env.task.model, data)
    J = np.zeros((6, env.task.model.nv))
    site = env.task.model.site("hand/wrist").id
    mujoco.mj_jacSite(env.task.model, data, J[:3], J[3:], site)
    J = J[:, :7]
    error = np.array([0.003, -0.002, 0.004, 0.02, 0.01, -0.02])
    gains = env.task.model.actuator_gainprm[:7, 0]
    weight = 0.05**2 * gains / gains.max()
    q, home = data.qpos[:7], np.array(PANDA.home)
    soft, posture = J.T / weight[:, None], 0.02 * (home - q)
    step = posture + soft @ np.linalg.solve(J @ soft + np.eye(6), error - J @ posture)
    free = 0.1 * (home - q)
    free = free - soft @ np.linalg.solve(J @ soft + 0.04 * np.eye(6), J @ free)
    ik = env.controller._kinematics
    Jt = torch.tensor(J.T, dtype=torch.float32)[..., None]
    now, wanted = (torch.tensor(part, dtype=torch.float32)[:, None] for part in (q, error))
    found = ik._step(now, Jt, wanted)[:, 0].numpy()
    np.testing.assert_allclose(found, step + free, atol=2e-5)
    assert np.abs(free).max() > 5e-3
    assert np.abs(J @ free).max() < 2e-4  # the hand hardly feels it


@pytest.mark.parametrize(
    "share", [kinematics.FREE_POSTURE, pytest.param(0.0, marks=pytest.mark.slow)]
)
def test_the_elbow_comes_home_and_the_hand_stays(share, monkeypatch):
    """Swung out by 0.2 rad, it is back within 3 s, the hand within 1 mm; without it is not."""
    env = make(2)
    controller, qpos = env.controller, env.physics.bind("qpos")
    home = controller._kinematics._home
    position, orientation = (part.clone() for part in controller.wrist_pose())
    drives = controller.targets.fingers.clone()

    def hold(steps: int) -> torch.Tensor:
        for _ in range(steps):
            env.step(controller.approach(position, orientation, drives))
        assert (controller.wrist_pose()[0] - position).norm(dim=1).max() < 1e-3
        return qpos[:, :7].clone()

    rest = hold(45)
    home[0] = 0.6
    out = hold(75)
    assert (out - rest).abs().amax(1).min() > 0.2
    home[0] = 0.0
    monkeypatch.setattr(kinematics, "FREE_POSTURE", share)
    away = (hold(90) - rest).abs().max()
    assert away < 0.03 if share else away > 0.05


@pytest.mark.parametrize("name", ONE)
def test_it_reaches_what_every_task_wants_grasped(name):
    """Within 5 mm and 0.03 rad, no joint at its limit; bars, levers, boxes and cups."""
    hand = load_robot(name).hand
    wanted = []
    for kind, places in (("bar", BARS), ("object", OBJECTS), ("cup", CUPS)):
        for grasp in hand.grasps_of(kind).values():
            turn = ON_EDGE if kind == "cup" else FLAT
            turn = tilt(tilt(turn, (1, 0, 0), grasp.roll), (0, 1, 0), grasp.pitch)
            for place in places:
                lifted = np.array(place) + [0.0, 0.0, 0.04]  # nothing of the table in the way
                wanted.append((lifted - np_rotate(turn, grasp.place), turn))
    env = make(len(wanted), name)
    start = env.task.start_qpos.repeat(len(wanted), 1)
    start[:, env.task.model.nq - 7] = 1.1  # the object, out of the way
    env.physics.reset(torch.ones(len(wanted), dtype=torch.bool), start)
    position, orientation = (
        torch.tensor(np.array(part), dtype=torch.float32) for part in zip(*wanted, strict=True)
    )
    drives = env.controller.targets.fingers.clone()
    above = position + torch.tensor([-0.05, 0.0, 0.1])
    for goal, steps in ((above, 60), (position, 60)):
        for _ in range(steps):
            env.step(env.controller.approach(goal, orientation, drives))
    found, turned_to = env.controller.wrist_pose()
    angle = rotvec_from_quat(quat_multiply(orientation, quat_conjugate(turned_to))).norm(dim=1)
    assert (found - position).norm(dim=1).max() < 5e-3
    assert angle.max() < 0.03
    assert not env.controller.at_limit.any()


def test_joints_keep_their_speeds_whatever_is_asked():
    env = make(12, task="open-drawer")
    limits, generator = torch.tensor(PANDA.speeds), torch.Generator().manual_seed(0)
    qvel, fastest = env.physics.bind("qvel"), torch.zeros(7)
    for step in range(75):
        if step < 15:
            action = torch.zeros(12, 11)
            action[:, 2] = 1.0
        elif step % 10 == 5 or step >= 60:
            action = (torch.rand(12, 11, generator=generator) * 2 - 1).sign()
        env.begin_step(action)
        for _ in range(3):
            env.advance()
            fastest = torch.maximum(fastest, qvel[:, :7].abs().amax(0))
        env.end_step()
    assert (fastest / limits).max() < 1.1
    assert (fastest / limits).max() > 0.5


def test_the_same_bits_for_any_number_of_arms():
    actions = torch.rand(20, 5, 11, generator=torch.Generator().manual_seed(0)) * 2 - 1
    many, one = make(5), make(1)
    many.reset_to(torch.arange(5))
    one.reset_to(torch.tensor([4]))
    for action in actions:
        many.step(action)
        one.step(action[4:])
    assert torch.equal(many.physics.bind("qpos")[4], one.physics.bind("qpos")[0])


@pytest.mark.parametrize("name", ONE)
def test_what_is_recorded_replays_bit_for_bit_and_names_its_robot(name, tmp_path):
    path = tmp_path / "data.hdf5"
    spec = EnvSpec("open-drawer", robot=name)
    record(spec, path, 2, seed=11, num_threads=1)
    data = open_dataset(path)
    assert data.meta.robot == name
    env = GraspVectorEnv(spec, 2, num_threads=1, autoreset=False)
    assert replay(data, env).bit_exact == 2


def test_every_hand_makes_a_robot_with_it_and_the_scene_shows_it():
    assert set(ROBOTS) <= set(robot_names())
    scene = Scene(make(1, "panda-leap", "open-drawer"))
    bodies = scene.manifest["bodies"]
    assert [f"arm/link{index}" for index in range(1, 8)] == [
        body for body in bodies if body.startswith("arm/link") and body != "arm/link0"
    ]


def test_a_hand_that_is_too_heavy_is_refused(tmp_path):
    hand = load_robot("panda-sih").hand
    text = hand.mjcf.read_text()
    assert 'mass="0.19"' in text
    heavy = tmp_path / "heavy.xml"
    heavy.write_text(text.replace('mass="0.19"', 'mass="2.5"'))
    with pytest.raises(UsageError, match=r"'sih' weighs 2\.9\d kg; the arm 'panda' carries 2.8 kg"):
        Robot(PANDA, dataclasses.replace(hand, mjcf=heavy)).check_payload()
    Robot(PANDA, hand).check_payload()

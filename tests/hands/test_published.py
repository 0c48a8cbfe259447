"""Hands against their published figures: chains, masses, postures, limits, operators."""

import mujoco
import numpy as np
import pytest
import torch
from published import PUBLISHED

from gym_grasp.demos.reader import open_dataset
from gym_grasp.demos.record import record
from gym_grasp.demos.replay import replay
from gym_grasp.envs.audit import Meter
from gym_grasp.envs.spec import EnvSpec
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.robots import load_robot
from gym_grasp.robots.base import HUMAN_FLEXIONS
from gym_grasp.tasks.scene import load_scene

HANDS = pytest.mark.parametrize("hand", list(PUBLISHED))


def turned(quaternion) -> np.ndarray:
    matrix = np.empty(9)
    unit = np.array(quaternion, dtype=float)
    mujoco.mju_quat2Mat(matrix, unit / np.linalg.norm(unit))
    return matrix.reshape(3, 3)


def expected_tip(hand: str, finger: str, joints: dict[str, float]) -> np.ndarray:
    place, turn = np.zeros(3), np.eye(3)
    for link in PUBLISHED[hand].chains[finger]:
        place = place + turn @ link.at
        half = joints[link.joint] / 2
        turn = (
            turn @ turned(link.turn) @ turned((np.cos(half), *(np.sin(half) * np.array(link.axis))))
        )
    return place + turn @ PUBLISHED[hand].tips[finger]


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, mujoco.MjModel]:
    path = tmp_path_factory.mktemp("alone") / "scene.xml"
    path.write_text('<mujoco><include file="gym_grasp.physics.xml"/></mujoco>')
    found = {}
    for hand in PUBLISHED:
        scene = load_scene(path)
        load_robot(f"ur5-{hand}").attach(scene)
        found[hand] = scene.compile()
    return found


def commanded(hand: str, joints: np.ndarray) -> np.ndarray:
    """Return what the servos are told to hold these joints, the arm's home included."""
    robot = load_robot(f"ur5-{hand}")
    own = [robot.hand.joints.index(name) for name in robot.hand.actuated]
    return np.array([*robot.arm.home, *joints[own]])


def posed(models, hand: str, **joints: float) -> mujoco.MjData:
    robot = load_robot(f"ur5-{hand}")
    data = mujoco.MjData(models[hand])
    data.qpos[:6] = robot.arm.home
    for name, angle in (PUBLISHED[hand].still | joints).items():
        data.qpos[6 + robot.hand.joints.index(name)] = angle
    data.ctrl[:] = commanded(hand, data.qpos[6:])
    mujoco.mj_forward(models[hand], data)
    return data


def in_palm(data: mujoco.MjData, name: str) -> np.ndarray:
    wrist = data.site("hand/wrist")
    return wrist.xmat.reshape(3, 3).T @ (data.site(name).xpos - wrist.xpos)


@HANDS
def test_fingertips_are_where_the_published_chain_puts_them(hand, models):
    rng, data_of = np.random.default_rng(0), load_robot(f"ur5-{hand}").hand
    assert set(PUBLISHED[hand].tips) == {finger.name for finger in data_of.fingers}
    for _ in range(5):
        angles = rng.uniform(*np.array(data_of.limits).T)
        joints = dict(zip(data_of.joints, angles.tolist(), strict=True))
        data = posed(models, hand, **joints)
        for finger in PUBLISHED[hand].tips:
            tip = in_palm(data, f"hand/{finger}_tip")
            np.testing.assert_allclose(tip, expected_tip(hand, finger, joints), atol=1e-5)


@HANDS
def test_masses_and_sizes(hand, models):
    robot, published = load_robot(f"ur5-{hand}"), PUBLISHED[hand]
    base = models[hand].site(robot.wrist).bodyid[0]
    assert models[hand].body(base).subtreemass[0] == pytest.approx(published.mass, abs=5e-4)
    assert len(robot.hand.drives) == len(robot.hand.actuated) == published.drives
    assert robot.action_size == 6 + published.drives
    spans = {name: robot.hand.angles(name) for name in robot.hand.drives}
    limits = dict(zip(robot.hand.joints, robot.hand.limits, strict=True))
    assert spans == {name: limits[name] for name in robot.hand.drives}


@HANDS
def test_thumb_and_index_finger_meet_in_the_published_pinch(hand, models):
    model, data = models[hand], posed(models, hand, **PUBLISHED[hand].pinch)
    pads = [model.geom(f"hand/{finger}_distal_collision").id for finger in ("thumb", "index")]
    assert abs(mujoco.mj_geomDistance(model, data, *pads, 0.1, None)) < 5e-3


@HANDS
def test_thumb_and_fingers_touch_a_cylinder_in_the_published_posture(hand, models):
    """Its surface is within 5 mm of a link of each finger."""
    model, data = models[hand], posed(models, hand, **PUBLISHED[hand].around)
    wrist = data.site("hand/wrist")
    frame = wrist.xmat.reshape(3, 3)
    for finger in PUBLISHED[hand].tips:
        links = [
            geom
            for geom in range(model.ngeom)
            if model.geom_contype[geom]
            and model.geom(geom).name.startswith(f"hand/{finger}")
            and model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_CAPSULE
        ]
        gaps = []
        for geom in links:
            middle = frame.T @ (data.geom_xpos[geom] - wrist.xpos)
            axis = frame.T @ data.geom_xmat[geom].reshape(3, 3)[:, 2] * model.geom_size[geom, 1]
            points = middle + np.linspace(-1, 1, 21)[:, None] * axis
            away = np.linalg.norm(points[:, 1:] - PUBLISHED[hand].cylinder, axis=1)
            gaps.append(away.min() - model.geom_size[geom, 0] - 0.03)
        assert abs(min(gaps)) < 5e-3, finger


@HANDS
@pytest.mark.parametrize("posture", ["pinch", "around"])
def test_servos_bring_the_fingertips_into_these_postures(hand, posture, models):
    goal = dict(getattr(PUBLISHED[hand], posture))
    if posture == "pinch":
        goal["index_proximal"] -= 0.05  # not yet touching
    data, wanted = posed(models, hand), posed(models, hand, **goal)
    data.ctrl[:] = wanted.ctrl
    mujoco.mj_step(models[hand], data, 270)
    for tip in load_robot(f"ur5-{hand}").fingertips:
        away = np.linalg.norm(in_palm(data, tip) - in_palm(wanted, tip))
        assert away < 5e-3, tip


@HANDS
def test_no_joint_exceeds_its_speed_or_torque_and_no_link_passes_another(hand, models):
    """Drives that go anywhere at their full speed, into one another too.

    Gravity compensation is the servos' work. What follows stays with what it follows.
    """
    model, robot = models[hand], load_robot(f"ur5-{hand}")
    data, rng, meter = posed(models, hand), np.random.default_rng(0), Meter(model, robot)
    joints, speeds = slice(6, 6 + len(robot.hand.joints)), np.array(robot.hand.speeds)
    assert model.jnt_actgravcomp[joints].all()
    most = torch.tensor(robot.hand.drive_speeds) * model.opt.timestep
    drives = robot.hand.drive_positions(torch.from_numpy(data.qpos[joints]))
    fastest = torque = deepest = apart = 0.0
    for step in range(450):
        if step % 30 == 0:
            goal = torch.from_numpy(rng.uniform(0, 1, len(drives)))
        drives = drives + (goal - drives).clamp(-most, most)
        data.ctrl[:] = commanded(hand, robot.hand.joint_targets(drives).numpy())
        mujoco.mj_step(model, data)
        fastest = max(fastest, (np.abs(data.qvel[joints]) / speeds).max())
        share = np.abs(data.qfrc_actuator[joints]) / model.jnt_actfrcrange[joints, 1]
        torque = max(torque, share.max())
        if step % 5 == 0:
            mujoco.mj_forward(model, data)
            instant = meter.measure(data)
            deepest = max(deepest, instant.self_depth)
            apart = max(apart, instant.coupling)
    assert 0.35 < fastest < 1
    assert torque <= 1 + 1e-9
    assert deepest < 4e-3
    assert apart < 0.5  # degrees


@HANDS
def test_a_joint_turns_with_no_more_than_its_servo_has(hand, models):
    robot = load_robot(f"ur5-{hand}")
    turning = dict(zip(robot.hand.joints, models[hand].jnt_actfrcrange[6:, 1], strict=True))
    own = dict(zip(robot.hand.joints, robot.hand.torques, strict=True))
    for joint, leader, _, times in robot.hand.couplings:
        own[leader] += abs(times) * own[joint]
    for joint in robot.hand.actuated:
        assert 0.97 * own[joint] < turning[joint] < 1.0001 * own[joint]


@HANDS
def test_what_a_person_does_opens_closes_and_opposes(hand):
    published, data = PUBLISHED[hand], load_robot(f"ur5-{hand}").hand
    assert set(published.synergy) == set(HUMAN_FLEXIONS)
    opened = dict.fromkeys(data.joints, 0.0) | published.still
    for row, flexion in enumerate([*HUMAN_FLEXIONS, None]):
        one = torch.eye(6, dtype=torch.float64)[row, :5]
        joints = data.joint_targets(data.drives_from_flexion(one)).tolist()
        expected = dict(opened)
        for joint, gain in published.synergy.get(flexion, {}).items():
            expected[joint] += gain
        assert dict(zip(data.joints, joints, strict=True)) == pytest.approx(expected, abs=1e-6)


@HANDS
def test_the_brake_of_a_finger_resists_what_its_flexion_drives(hand):
    """The little finger's is the ring finger's."""
    for finger in load_robot(f"ur5-{hand}").hand.fingers:
        flexion = "ring" if finger.name == "little" else finger.name
        moved = PUBLISHED[hand].synergy[flexion]
        assert finger.drive in moved
        assert finger.drive.startswith(finger.name)
        assert finger.pads == (f"{finger.name}_distal_collision",)


@HANDS
def test_between_frames_of_a_moving_hand_no_target_jumps(hand):
    """A hand closes in .3 s, seen 90 times a second; .2 rad at most."""
    data = load_robot(f"ur5-{hand}").hand
    flexion = torch.linspace(0, 1, 27)[:, None].repeat(1, 5)
    joints = data.joint_targets(data.drives_from_flexion(flexion))
    assert joints.diff(dim=0).abs().max() < 0.2


@pytest.mark.parametrize(
    "task",
    [
        "open-drawer",
        *(
            pytest.param(task, marks=pytest.mark.slow)
            for task in ("lift-object", "open-door", "pour-cup", "stack-cubes", "study-scene")
        ),
    ],
)
@HANDS
def test_the_operator_manages_and_what_it_did_replays_exactly(hand, task, tmp_path):
    path = tmp_path / "data.hdf5"
    spec, count = EnvSpec(task, robot=f"ur5-{hand}"), 3 if task == "open-drawer" else 6
    failed = 2 if task == "study-scene" else 1
    assert record(spec, path, count, seed=11, num_threads=1).attempts <= count + failed
    env = GraspVectorEnv(spec, count, num_threads=1)
    assert replay(open_dataset(path), env).bit_exact == count
    env.close()

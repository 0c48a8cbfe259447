"""What holds of every robot, of the SIH and of a hand that shares none of its names or sizes."""

import dataclasses
from pathlib import Path

import mujoco
import numpy as np
import pytest
import torch
from three import THREE

from gym_grasp.errors import UsageError
from gym_grasp.robots import load_robot, register_hand, robot_names
from gym_grasp.robots.base import Finger, Hand
from gym_grasp.robots.robot import Robot
from gym_grasp.robots.sih import SIH
from gym_grasp.robots.ur5 import UR5
from gym_grasp.tasks.scene import load_scene

ROBOTS = ["ur5-sih", "ur5-three", "ur5-leap", "ur5-allegro", "ur5-shadow"]
PALMS = ("ur5-sih", "ur5-leap", "ur5-allegro")
"""Robots whose palm frame is that of a body of this name."""
SCENE = """
<mujoco>
  <include file="gym_grasp.physics.xml"/>
  <worldbody>
    <body name="ball" pos=".6 .3 .04">
      <freejoint name="ball"/>
      <geom name="ball" class="scene_object" size=".03" mass=".1"/>
    </body>
  </worldbody>
</mujoco>"""


def compiled(robot: Robot, folder: Path) -> mujoco.MjModel:
    path = folder / "scene.xml"
    path.write_text(SCENE)
    scene = load_scene(path)
    robot.attach(scene)
    return scene.compile()


def test_any_arm_with_any_hand_has_a_name():
    assert {"ur5-sih", "ur5-three"} <= set(robot_names())
    robot = load_robot("ur5-three")
    assert (robot.arm, robot.hand, robot.name) == (UR5, THREE, "ur5-three")
    for wrong in ("ur5", "ur5-", "-three", "sih-ur5", "ur5-tree"):
        with pytest.raises(UsageError, match=rf"Unknown robot '{wrong}'.*ur5-sih"):
            load_robot(wrong)
    with pytest.raises(UsageError, match=r"hand 'three' is registered already, as three:THREE"):
        register_hand("three", "other:THREE")


@pytest.mark.parametrize("name", ROBOTS)
def test_its_joints_and_actuators_come_first_and_say_what_the_data_say(name, tmp_path):
    robot = load_robot(name)
    model = compiled(robot, tmp_path)
    count = len(robot.joints)
    assert count == model.nq - 7
    assert model.nu == len(robot.actuators)
    for kind, expected in (("joint", robot.joints), ("actuator", robot.actuators)):
        names = [getattr(model, kind)(index).name for index in range(len(expected))]
        assert names == list(expected)
    assert model.jnt_qposadr[:count].tolist() == list(range(count))
    assert model.jnt_dofadr[:count].tolist() == list(range(count))
    actuated = robot.indices(model).actuated
    assert [robot.joints[joint] for joint in actuated] == list(robot.actuators)
    assert model.actuator_trnid[:, 0].tolist() == actuated
    np.testing.assert_allclose(model.jnt_range[:count], robot.limits)
    np.testing.assert_allclose(model.actuator_ctrlrange, np.array(robot.limits)[actuated])
    share = model.actuator_forcerange[6:, 1] / carried(robot.hand)
    assert ((share > 0.94) & (share < 1.0001)).all()  # gravity compensation may have the rest
    low, high = np.array(robot.hand.limits).T
    for posture in (robot.hand.open, robot.hand.closed):
        assert (low <= posture).all()
        assert (posture <= high).all()


def carried(hand: Hand) -> list[float]:
    """Torque of each servo, in N·m: its own joint's and those of the joints that follow it."""
    own = dict(zip(hand.joints, hand.torques, strict=True))
    total = {name: own[name] for name in hand.actuated}
    for joint, leader, _, times in hand.couplings:
        total[leader] += abs(times) * own[joint]
    return list(total.values())


def test_sizes_follow_from_the_hand():
    sih, three = load_robot("ur5-sih"), load_robot("ur5-three")
    assert (sih.action_size, three.action_size) == (11, 10)
    assert three.action_names[6:] == ("drive index", "drive middle", "drive thumb", "drive turn")
    assert three.wrist == "hand/frame"
    assert three.palm == "hand/pad"
    assert three.fingertips == ("hand/thumb_end", "hand/index_end", "hand/middle_end")


def test_another_hand_leaves_the_arm_as_it_is(tmp_path):
    models = [compiled(load_robot(name), tmp_path) for name in ROBOTS[:2]]
    arm = slice(0, 6)
    for field in ("jnt_range", "jnt_axis", "jnt_pos", "dof_armature", "actuator_gainprm"):
        sih, three = (getattr(model, field)[arm] for model in models)
        np.testing.assert_array_equal(sih, three, err_msg=field)
    for field in ("actuator_biasprm", "actuator_forcerange", "actuator_ctrlrange"):
        sih, three = (getattr(model, field)[arm] for model in models)
        np.testing.assert_array_equal(sih, three, err_msg=field)
    bodies = [i for i in range(models[0].nbody) if models[0].body(i).name.startswith("arm/")]
    assert len(bodies) == 7
    for body in bodies:
        sih, three = (model.body(models[0].body(body).name) for model in models)
        for field in ("mass", "inertia", "pos", "quat", "ipos", "iquat"):
            np.testing.assert_array_equal(getattr(sih, field), getattr(three, field))


@pytest.mark.parametrize("name", ROBOTS)
def test_the_palm_frame_stands_where_the_hand_says(name, tmp_path):
    robot = load_robot(name)
    model = compiled(robot, tmp_path)
    data = mujoco.MjData(model)
    data.qpos[:6] = np.random.default_rng(0).uniform(-1, 1, 6)
    mujoco.mj_kinematics(model, data)
    flange, wrist = data.site("arm/flange"), data.site(robot.wrist)
    turn = np.empty(9)
    mujoco.mju_quat2Mat(turn, np.array(robot.hand.mount_quaternion))
    rotation = flange.xmat.reshape(3, 3)
    np.testing.assert_allclose(wrist.xpos - flange.xpos, rotation @ robot.hand.mount_position)
    np.testing.assert_allclose(wrist.xmat.reshape(3, 3), rotation @ turn.reshape(3, 3), atol=1e-6)
    indices = robot.indices(model)
    body = model.body(indices.wrist_body).name
    assert body == f"hand/{'palm' if name in PALMS else 'base'}"
    np.testing.assert_allclose(data.xmat[indices.wrist_body], wrist.xmat)
    assert [model.site(tip).name for tip in indices.fingertips] == list(robot.fingertips)


@pytest.mark.parametrize("hand", [SIH, THREE], ids=lambda hand: hand.name)
def test_drives_are_read_back_from_the_joints_that_they_ask_for(hand):
    drives = torch.rand(9, len(hand.drives), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(hand.drive_positions(hand.joint_targets(drives)), drives)
    ends = torch.stack([torch.zeros(len(hand.drives)), torch.ones(len(hand.drives))])
    opened, closed = hand.joint_targets(ends)
    torch.testing.assert_close(opened, torch.tensor(hand.open))
    torch.testing.assert_close(closed, torch.tensor(hand.closed))
    beyond = hand.drive_positions(torch.tensor(hand.limits).T)
    assert (beyond >= 0).all()
    assert (beyond <= 1).all()


def test_postures_of_the_other_hand():
    targets = THREE.joint_targets(torch.tensor([0.5, 0.0, 1.0, 0.25]))
    expected = [0.735, 0.745, 0.02, 0.04, 0.39275, 1.1, 1.1]
    assert targets.tolist() == pytest.approx(expected)


def test_joints_without_a_servo_follow_by_open_and_closed_angles(tmp_path):
    """Of a hand whose joints bend by different angles, open and closed."""
    servos = ("index_lower", "middle_lower", "thumb_turn", "thumb_lower")
    text = THREE.mjcf.read_text()
    for joint in ("index_upper", "middle_upper", "thumb_upper"):
        line = f'<position name="{joint}" joint="{joint}" class="three"/>'
        assert line in text
        text = text.replace(line, "")
    (tmp_path / "three.xml").write_text(text)
    closed = (1.0, 0.6, 1.0, 1.5, 1.571, 1.1, 0.55)
    hand = dataclasses.replace(THREE, mjcf=tmp_path / "three.xml", actuated=servos, closed=closed)
    robot = Robot(UR5, hand)
    model = compiled(robot, tmp_path)
    assert [model.actuator(index).name for index in range(6, 10)] == [f"hand/{s}" for s in servos]
    drives = torch.tensor([0.5, 0.4, 0.8, 0.3], dtype=torch.float64)
    wanted = hand.joint_targets(drives).numpy()
    data = mujoco.MjData(model)
    data.qpos[:6] = data.ctrl[:6] = UR5.home
    data.qpos[6:13] = hand.open
    data.ctrl[6:] = wanted[[hand.joints.index(servo) for servo in servos]]
    mujoco.mj_step(model, data, 180)
    np.testing.assert_allclose(data.qpos[6:13], wanted, atol=0.02)


def test_drives_are_as_fast_as_their_slowest_joint():
    assert SIH.drive_speeds == pytest.approx([2.094 / 1.571, 2.094 / 1.1, *3 * [2.094 / 1.45]])
    assert THREE.drive_speeds == pytest.approx([2.5 / 1.43, 2.5 / 1.43, 2.5 / 1.05, 2.5 / 1.571])


@pytest.mark.parametrize(
    "actuated", [("index_upper", *THREE.joints[2:]), THREE.joints[::-1], ("elbow",)]
)
def test_servos_that_cannot_be_are_refused(actuated):
    with pytest.raises(UsageError, match="actuated"):
        dataclasses.replace(THREE, actuated=actuated)


def test_a_persons_fingers_move_the_drives_that_the_rows_name():
    flexion = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.8])
    assert SIH.drives_from_flexion(flexion).tolist() == pytest.approx(flexion.tolist())
    assert THREE.drives_from_flexion(flexion).tolist() == pytest.approx([0.3, 0.6, 0.2, 0.1])
    many = THREE.drives_from_flexion(torch.tensor([[0.0] * 5, [2.0] * 5]))
    assert many.tolist() == [[0.0] * 4, [1.0] * 4]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"speeds": (1.0,)}, "has 7 joints, but 1 speeds"),
        ({"drive_of_joint": 7 * ("turn",)}, "names every drive"),
        ({"fingers": THREE.fingers[1:]}, "the thumb, then others"),
        ({"fingers": (THREE.fingers[0], Finger("toe", "a", (), "thumb"))}, "fingers are of thumb"),
        ({"fingers": (THREE.fingers[0], Finger("ring", "a", (), "x"))}, "drive is of drives"),
        ({"home": (0.0,)}, "home has a value"),
        ({"home": (0.0, 0.0, 0.0, 1.5)}, "home is within"),
        ({"flexion_to_drives": ((1.0, 0.0),) * 4}, "a row for each drive, of 5 values"),
        ({"open": THREE.closed}, "each joint moves"),
        ({"open": (*(0.0,) * 6, THREE.closed[6])}, "each joint moves"),
        ({"flexion_offset": (0.0,)}, "flexion_offset has a value"),
        ({"grasps": {"spoon": {}}}, "grasps are of object"),
    ],
)
def test_data_that_contradict_themselves_are_refused(changes, message):
    with pytest.raises(UsageError, match=f"three' .*{message}"):
        dataclasses.replace(THREE, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"joints": THREE.joints[::-1], "actuated": ()},
            "in another order: expected 'hand/thumb_upper'",
        ),
        ({"limits": 7 * ((0.0, 1.0),)}, r"limit the joint 'hand/index_lower' to \(0.0, 1.0\)"),
        ({"wrist": "nowhere"}, "no site 'hand/nowhere'"),
        ({"palm": "index_end"}, None),
        (
            {"fingers": (Finger("thumb", "x_end", (), "thumb"), THREE.fingers[1])},
            "no site 'hand/x_end'",
        ),
        (
            {"fingers": (Finger("thumb", "thumb_end", ("x_pad",), "thumb"), THREE.fingers[1])},
            "no geom 'hand/x_pad'",
        ),
        ({"wrist": "pad"}, "is not its body's frame"),
        ({"mjcf": Path("nowhere.xml")}, "cannot read nowhere.xml of 'three'"),
    ],
)
def test_data_that_the_mjcf_contradicts_are_refused(changes, message, tmp_path):
    robot = Robot(UR5, dataclasses.replace(THREE, **changes))
    if message is None:
        robot.indices(compiled(robot, tmp_path))
        return
    with pytest.raises(UsageError, match=message):
        robot.indices(compiled(robot, tmp_path))


def test_a_hand_that_the_arm_does_not_carry_is_refused(tmp_path):
    weak = dataclasses.replace(UR5, payload=0.4)
    with pytest.raises(UsageError, match=r"'three' weighs 0\.\d\d kg; the arm 'ur5' carries 0.4"):
        compiled(Robot(weak, THREE), tmp_path)


def test_an_open_hand_whose_drives_are_not_zero():
    hand = dataclasses.replace(THREE, flexion_offset=(0.1, 0.2, 0.0, 0.9))
    drives = hand.drives_from_flexion(torch.tensor([[0.0] * 5, [0.5, 0.5, 0.5, 0.5, 0.5]]))
    torch.testing.assert_close(drives, torch.tensor([[0.1, 0.2, 0, 0.9], [0.6, 0.7, 0.5, 1.0]]))


def test_what_is_registered_has_to_be_what_the_registry_says():
    register_hand("other-three", "three:THREE")
    register_hand("path", "three:Path")
    with pytest.raises(UsageError, match=r"is a Hand 'three'; expected Hand 'other-three'"):
        load_robot("ur5-other-three")
    with pytest.raises(UsageError, match=r"expected Hand 'path'"):
        load_robot("ur5-path")

"""The robot model against the published figures, and the couplings of its fingers."""

import dataclasses
from pathlib import Path

import mujoco
import numpy as np
import pytest
import torch

from gym_grasp.robots import load_robot
from gym_grasp.robots.robot import Robot
from gym_grasp.robots.sih import SIH
from gym_grasp.robots.ur5 import UR5
from gym_grasp.tasks.scene import SCENES, load_scene

ROBOT = load_robot("ur5-sih")
ALONE = '<mujoco><include file="gym_grasp.physics.xml"/></mujoco>'
SCENE = """
<mujoco>
  <include file="gym_grasp.physics.xml"/>
  <worldbody>
    <geom name="table" class="scene_furniture" type="plane" size="2 2 .1"/>
    <body name="ball" pos=".6 .3 .04">
      <freejoint name="ball"/>
      <geom name="ball" class="scene_object" size=".03" mass=".1"/>
    </body>
  </worldbody>
</mujoco>"""

# Masses in kg: UR5 as in ur_description; the hand's .65 kg is split palm .35, thumb .1, finger .05.
MASSES = {
    "arm/base": 4.0,
    "arm/shoulder": 3.7,
    "arm/upper_arm": 8.393,
    "arm/forearm": 2.275,
    "arm/wrist_1_link": 1.219,
    "arm/wrist_2_link": 1.219,
    "arm/wrist_3_link": 0.1879,
    "hand/palm": 0.35,
}

# Origin in m and fixed roll, pitch, yaw in rad of each joint, then what carries the palm.
UR5_CHAIN = [
    ((0, 0, 0.089159), (0, 0, 0)),
    ((0, 0, 0), (np.pi / 2, 0, 0)),
    ((-0.425, 0, 0), (0, 0, 0)),
    ((-0.39225, 0, 0.10915), (0, 0, 0)),
    ((0, -0.09465, 0), (np.pi / 2, 0, 0)),
    ((0, 0.0823, 0), (np.pi / 2, np.pi, np.pi)),
]
SENSOR_IN_FLANGE = ((0, 0, -0.0065), (0, 0, 0))
PALM_IN_SENSOR = ((0, 0, 0.04875), (0, 0, 1.571))

SIMPLE_SHAPES = (
    mujoco.mjtGeom.mjGEOM_SPHERE,
    mujoco.mjtGeom.mjGEOM_CAPSULE,
    mujoco.mjtGeom.mjGEOM_BOX,
)

JOINTS = (
    *("arm/shoulder_pan", "arm/shoulder_lift", "arm/elbow", "arm/wrist_1", "arm/wrist_2"),
    *("arm/wrist_3", "hand/thumb_rotation", "hand/thumb_proximal", "hand/thumb_distal"),
    *("hand/index_proximal", "hand/index_distal", "hand/middle_proximal", "hand/middle_distal"),
    *("hand/ring_proximal", "hand/ring_distal", "hand/little_proximal", "hand/little_distal"),
)

SERVOS = (
    *JOINTS[:6],
    *("hand/thumb_rotation", "hand/thumb_proximal", "hand/index_proximal"),
    *("hand/middle_proximal", "hand/ring_proximal"),
)
DRIVEN = [JOINTS.index(name) for name in SERVOS]
FOLLOWS = {  # published: distal proximal, the little finger the ring finger, all by 1
    "hand/thumb_distal": "hand/thumb_proximal",
    "hand/index_distal": "hand/index_proximal",
    "hand/middle_distal": "hand/middle_proximal",
    "hand/ring_distal": "hand/ring_proximal",
    "hand/little_proximal": "hand/ring_proximal",
    "hand/little_distal": "hand/ring_proximal",
}
LIMITS = np.array(UR5.speeds + SIH.speeds)
FINGERS = ("index", "middle", "ring", "little")

HOME_POINT = (0.42, 0.0, 0.28)  # m


def compiled(xml: str, folder: Path) -> mujoco.MjModel:
    """Compile a scene as a task does, from a file that may lie anywhere."""
    path = folder / "scene.xml"
    path.write_text(xml)
    scene = load_scene(path)
    ROBOT.attach(scene)
    return scene.compile()


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> mujoco.MjModel:
    """The robot alone."""
    return compiled(ALONE, tmp_path_factory.mktemp("alone"))


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> mujoco.MjModel:
    """The robot with things to touch."""
    return compiled(SCENE, tmp_path_factory.mktemp("scene"))


def hand(*drives: float) -> np.ndarray:
    return SIH.joint_targets(torch.tensor(drives, dtype=torch.float64)).numpy()


def at_home(model: mujoco.MjModel, fingers=SIH.home) -> mujoco.MjData:
    data = mujoco.MjData(model)
    data.qpos[:6] = UR5.home
    data.qpos[6:17] = hand(*fingers)
    data.ctrl[:] = data.qpos[DRIVEN]
    mujoco.mj_forward(model, data)
    return data


def in_palm(data: mujoco.MjData, site: str) -> np.ndarray:
    wrist = data.site(ROBOT.wrist)
    return wrist.xmat.reshape(3, 3).T @ (data.site(site).xpos - wrist.xpos)


def transform(xyz, rpy) -> np.ndarray:
    (cr, cp, cy), (sr, sp, sy) = np.cos(rpy), np.sin(rpy)
    T = np.eye(4)
    T[:3, :3] = (
        np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
        @ np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
        @ np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    )
    T[:3, 3] = xyz
    return T


def test_joints_and_actuators_come_in_the_published_order(model, scene):
    for m in (model, scene):
        assert tuple(m.joint(i).name for i in range(17)) == JOINTS
        assert tuple(m.actuator(i).name for i in range(11)) == SERVOS
        assert m.jnt_qposadr[:17].tolist() == list(range(17))
        assert m.actuator_trnid[:, 0].tolist() == DRIVEN
    assert (model.nq, model.nv, model.nu) == (17, 17, 11)
    np.testing.assert_allclose(model.jnt_range, ROBOT.limits)
    np.testing.assert_allclose(model.actuator_ctrlrange, np.array(ROBOT.limits)[DRIVEN])
    assert model.jnt_limited.all()


def test_gains_and_torque_limits(model):
    """A finger's servo has kp 8 and .95 × .75 N·m for each joint that it carries."""
    for servos, kp, kv, torque in (
        ([0, 1, 2], 4000, 130, 60),
        ([3, 4, 5], 457, 16, 16),
        ([6], 8, 0, 0.7125),  # thumb rotation
        ([7, 8, 9], 16, 0, 1.425),  # thumb, index, middle
        ([10], 32, 0, 2.85),  # ring and little
    ):
        assert (model.actuator_gainprm[servos, 0] == kp).all()
        assert (model.actuator_biasprm[servos, 1:3] == (-kp, -kv)).all()
        assert (model.actuator_forcerange[servos] == (-torque, torque)).all()
    joints = slice(0, 3), slice(3, 6), slice(6, 17)
    for part, damping, armature in zip(joints, (20, 2, 0.38), (0.5, 0.1, 0.002), strict=True):
        assert (model.dof_damping[part] == damping).all()
        assert (model.dof_armature[part] == armature).all()


def test_finger_servos_alone_drive_no_joint_faster_than_its_limit(model):
    """Damping times the speed limit is at least the torque that a servo has for the joint."""
    assert (model.dof_damping[6:17] * SIH.speeds >= SIH.torques).all()


def test_followers_are_coupled_as_published(model):
    assert (model.eq_type == mujoco.mjtEq.mjEQ_JOINT).all()
    pairs = zip(model.eq_obj1id, model.eq_obj2id, strict=True)
    assert {JOINTS[a]: JOINTS[b] for a, b in pairs} == FOLLOWS
    assert (model.eq_data[:, :5] == (0, 1, 0, 0, 0)).all()


def test_torques_with_gravity_compensation_stay_within_the_published(model):
    data = mujoco.MjData(model)
    rng = np.random.default_rng(0)
    most = np.zeros(6)
    for _ in range(500):
        data.qpos[:6] = rng.uniform(-np.pi, np.pi, 6)
        mujoco.mj_forward(model, data)
        most = np.maximum(most, np.abs(data.qfrc_gravcomp[:6]))
    assert (most + model.actuator_forcerange[:6, 1] < UR5.torques).all()
    assert most[1] > 40  # the arm is heavy


def test_servos_leave_what_gravity_compensation_takes_of_published_torques(model):
    force = model.actuator_forcerange[:, 1]
    assert SIH.torques == 11 * (0.75,)
    assert force[6:] == pytest.approx(0.95 * 0.75 * np.array([1, 2, 2, 2, 4]))  # joints
    assert UR5.torques == (150.0, 150.0, 150.0, 28.0, 28.0, 28.0)
    assert force[:6].tolist() == [60, 60, 60, 16, 16, 16]
    assert UR5.speeds == 6 * (np.pi,)
    assert SIH.speeds == 11 * (2.094,)


def test_every_element_is_named(model):
    kinds = {
        "BODY": model.nbody,
        "JOINT": model.njnt,
        "GEOM": model.ngeom,
        "SITE": model.nsite,
        "ACTUATOR": model.nu,
        "EQUALITY": model.neq,
        "MATERIAL": model.nmat,
    }
    for kind, count in kinds.items():
        names = [
            mujoco.mj_id2name(model, getattr(mujoco.mjtObj, f"mjOBJ_{kind}"), i)
            for i in range(count)
        ]
        assert all(names), kind
    for site in (ROBOT.wrist, ROBOT.palm, *ROBOT.fingertips):
        assert model.site(site).id >= 0


def test_masses_are_the_published_ones(model):
    for body, mass in MASSES.items():
        assert model.body(body).mass[0] == pytest.approx(mass), body
    assert model.body("hand/palm").subtreemass[0] == pytest.approx(0.65)
    assert model.body("arm/base").subtreemass[0] == pytest.approx(20.9939 + 0.65)
    assert model.body("arm/upper_arm").inertia.tolist() == pytest.approx(
        [0.01511, 0.13389, 0.13389]
    )
    assert model.body(1).name == "robot"  # where it stands, without mass
    assert (model.body_inertia[2:] > 0).all()


def test_geoms_are_either_drawn_or_simple_to_collide(model):
    simple = {int(shape) for shape in SIMPLE_SHAPES}
    for i in range(model.ngeom):
        geom = model.geom(i)
        kind = geom.name.rsplit("_", 1)[1]
        bits = (geom.contype[0], geom.conaffinity[0])
        if kind == "collision":
            assert geom.type[0] in simple, geom.name
            assert bits == bits_of(geom.name)
            assert geom.group[0] == 3
            assert geom.condim[0] == (4 if "distal" in geom.name else 3)
        else:
            assert kind == "visual"
            assert bits == (0, 0)
            assert geom.group[0] == 2


def bits_of(geom: str) -> tuple[int, int]:
    """As in physics.xml: 8 thumb against fingers, 16 upper arm and forearm against the hand."""
    part, name = geom.split("/")
    first = name.split("_")[0]
    if part == "arm":
        upper, lower = first in ("upper", "forearm"), name[:7] in ("wrist_2", "wrist_3")
        return 1 | 16 * upper, 2 | 16 * lower
    return 1 | 8 * (first == "thumb"), 2 | 16 | 8 * (first in FINGERS)


def meet(model, a, b) -> bool:
    a, b = model.geom(a), model.geom(b)
    return bool(a.contype[0] & b.conaffinity[0] | b.contype[0] & a.conaffinity[0])


def test_robot_meets_the_scene(scene):
    assert meet(scene, "hand/index_distal_collision", "table")
    assert meet(scene, "hand/thumb_distal_collision", "ball")
    assert meet(scene, "arm/forearm_collision", "ball")
    assert meet(scene, "ball", "table")


def test_the_robot_meets_of_itself_what_can_meet(model):
    """Thumb and fingers; upper arm and forearm with all after wrist_1. Never neighbours."""
    solid = [model.geom(i).name for i in range(model.ngeom) if model.geom_contype[i]]
    found = {
        frozenset((a, b))
        for number, a in enumerate(solid)
        for b in solid[number:]
        if a != b and meet(model, a, b)
    }
    thumb = [name for name in solid if name.startswith("hand/thumb")]
    fingers = [name for name in solid if name.split("/")[1].startswith(FINGERS)]
    arm = ["arm/upper_arm_collision", "arm/forearm_collision"]
    after = [name for name in solid if name.startswith(("arm/wrist_2", "arm/wrist_3", "hand/"))]
    pairs = [(a, b) for a in thumb for b in fingers] + [(a, b) for a in arm for b in after]
    assert found == {frozenset(pair) for pair in pairs}
    assert len(found) == 3 * 8 + 2 * 15
    for a, b in pairs:
        bodies = [int(model.geom_bodyid[model.geom(name).id]) for name in (a, b)]
        assert model.body_parentid[bodies[0]] != bodies[1] != bodies[0]
        assert model.body_parentid[bodies[1]] != bodies[0]


def test_the_thumb_does_not_pass_through_the_fingers(model):
    data = at_home(model, (1, 0, 0, 0, 0))
    data.ctrl[6:] = hand(1, 1, 1, 1, 1)[np.array(DRIVEN[6:]) - 6]
    thumb = [model.geom(f"hand/thumb_{link}_collision").id for link in ("proximal", "distal")]
    fingers = [
        model.geom(f"hand/{finger}_{link}_collision").id
        for finger in FINGERS
        for link in ("proximal", "distal")
    ]
    touched = False
    for _ in range(180):
        mujoco.mj_step(model, data)
        touched |= data.ncon > 0
        for a in thumb:
            for b in fingers:
                assert mujoco.mj_geomDistance(model, data, a, b, 0.01, None) > -0.002
    assert touched


def test_followers_keep_up_and_no_joint_exceeds_its_speed(model):
    """Drives that jump from end to end, in free space: 1° and 1.05 times the limit."""
    data = at_home(model)
    followers, leaders = ([JOINTS.index(n) for n in names] for names in (FOLLOWS, FOLLOWS.values()))
    rng = np.random.default_rng(0)
    fastest, apart = np.zeros(11), 0.0
    for step in range(450):
        if step % 45 == 0:
            drives = [1.0, 0.0, *rng.integers(0, 2, 3)]  # the thumb out of the fingers' way
            data.ctrl[6:] = hand(*drives)[np.array(DRIVEN[6:]) - 6]
        mujoco.mj_step(model, data)
        fastest = np.maximum(fastest, np.abs(data.qvel[6:17]))
        apart = max(apart, np.abs(data.qpos[followers] - data.qpos[leaders]).max())
    assert apart < np.radians(1.0)
    assert fastest.max() < 1.05 * 2.094
    assert fastest[3:].min() > 0.8 * 2.094


def test_wrist_pose_is_the_product_of_the_published_transforms(model):
    data = mujoco.MjData(model)
    rng = np.random.default_rng(0)
    for _ in range(5):
        q = rng.uniform(-np.pi, np.pi, 6)
        expected = transform((0, 0, 0), (0, 0, np.pi))
        for (xyz, rpy), angle in zip(UR5_CHAIN, q, strict=True):
            expected = expected @ transform(xyz, rpy) @ transform((0, 0, 0), (0, 0, angle))
        expected = expected @ transform(*SENSOR_IN_FLANGE) @ transform(*PALM_IN_SENSOR)
        data.qpos[:6] = q
        mujoco.mj_kinematics(model, data)
        wrist = data.site(ROBOT.wrist)
        np.testing.assert_allclose(wrist.xpos, expected[:3, 3], atol=1e-6)
        np.testing.assert_allclose(wrist.xmat.reshape(3, 3), expected[:3, :3], atol=1e-6)


def test_home_is_palm_down_with_the_fingers_along_x(model):
    data = at_home(model)
    wrist = data.site(ROBOT.wrist)
    axes = wrist.xmat.reshape(3, 3)
    np.testing.assert_allclose(wrist.xpos, HOME_POINT, atol=1e-4)
    np.testing.assert_allclose(axes[:, 2], (1, 0, 0), atol=1e-3)  # along the fingers
    np.testing.assert_allclose(axes[:, 1], (0, 0, -1), atol=1e-3)  # out of the palm
    # A right hand, palm down and pointing away: its index finger lies on the left (+y).
    assert data.site("hand/index_tip").xpos[1] > data.site("hand/little_tip").xpos[1] + 0.05


def test_gravity_compensation_holds_the_home_pose(scene):
    data = at_home(scene)
    robot = slice(0, 17)
    np.testing.assert_allclose(data.qfrc_gravcomp[robot], data.qfrc_bias[robot], atol=1e-9)
    for _ in range(90):
        mujoco.mj_step(scene, data)
    assert np.abs(data.qpos[:6] - UR5.home).max() < 1e-3
    assert np.abs(data.qpos[6:17] - hand(*SIH.home)).max() < 1e-3


def test_closing_the_hand_brings_the_tips_to_the_palm(model):
    opened = at_home(model, (1, 0, 0, 0, 0))
    closed = at_home(model, (1, 1, 1, 1, 1))
    for tip in ROBOT.fingertips:
        before = np.linalg.norm(in_palm(opened, tip) - in_palm(opened, ROBOT.palm))
        after = np.linalg.norm(in_palm(closed, tip) - in_palm(closed, ROBOT.palm))
        assert after < before, tip
        assert in_palm(closed, tip)[1] > 0.018, tip  # still in front of the palm's surface


def test_the_opposed_thumb_pinches_between_index_and_middle_finger(model):
    beside = in_palm(at_home(model, (0, 0, 0, 0, 0)), "hand/thumb_tip")
    opposed = in_palm(at_home(model, (1, 0, 0, 0, 0)), "hand/thumb_tip")
    assert beside[0] < -0.1
    assert opposed[1] > 0.1
    gaps = {}
    for closing in (0.3, 0.65):
        data = at_home(model, (1, closing, closing, closing, closing))
        thumb = in_palm(data, "hand/thumb_tip")
        gaps[closing] = [
            np.linalg.norm(in_palm(data, f"hand/{finger}_tip") - thumb)
            for finger in ("index", "middle")
        ]
        assert in_palm(data, "hand/index_tip")[0] < thumb[0] < in_palm(data, "hand/middle_tip")[0]
    assert min(gaps[0.3]) > 0.05  # a 5 cm box fits in
    assert max(gaps[0.65]) < 0.03  # and is held long before the fingers are closed


@pytest.mark.parametrize(("grip", "most"), [(0.7, 0.006), (1.0, 0.02)])
def test_a_pinched_box_is_held_for_two_seconds(grip, most, tmp_path):
    """A full grip presses the thumb open; it turns the box, and holds it too."""
    box = SCENE.replace(
        '<geom name="ball" class="scene_object" size=".03" mass=".1"/>',
        '<geom name="ball" class="scene_object" type="box" size=".025 .025 .025" mass=".1"/>',
    )
    model = compiled(box, tmp_path)
    data = at_home(model, (1, 0.15, 0.15, 0.15, 0.15))
    wrist = data.site(ROBOT.wrist)
    start = wrist.xpos + wrist.xmat.reshape(3, 3) @ (-0.025, 0.06, 0.15)
    for step in range(60 + 90 + 180):
        closing = min(grip, 0.15 + step / 60)
        data.ctrl[6:] = hand(1, closing, closing, closing, closing)[np.array(DRIVEN[6:]) - 6]
        if step < 60:  # someone holds it out until the hand has closed
            data.qpos[17:24] = [*start, 1, 0, 0, 0]
            data.qvel[17:23] = 0
        if step == 60 + 90:
            settled = data.qpos[17:20].copy()
            assert np.linalg.norm(settled - start) < 0.03
        mujoco.mj_step(model, data)
    assert np.linalg.norm(data.qpos[17:20] - settled) < most


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_random_full_range_targets_stay_stable(scene, seed):
    rng = np.random.default_rng(seed)
    data = at_home(scene)
    low, high = scene.actuator_ctrlrange.T
    for _ in range(300):
        data.ctrl[:] = rng.uniform(low, high)
        mujoco.mj_step(scene, data)
        assert np.abs(data.qvel[:17]).max() < 100  # rad/s
    assert np.isfinite(data.qpos).all()
    assert data.warning.number.sum() == 0


def test_couplings():
    targets = SIH.joint_targets(torch.tensor([[1.0, 0.5, 0.2, 0.0, 1.0]]))
    expected = [-1.571, 0.55, 0.55, -0.29, -0.29, 0.0, 0.0, -1.45, -1.45, -1.45, -1.45]
    assert targets.shape == (1, 11)
    assert targets[0].tolist() == pytest.approx(expected, abs=1e-6)


def test_targets_stay_within_the_joint_ranges():
    low, high = torch.tensor(SIH.limits).T
    for fingers in (torch.zeros(5), torch.ones(5)):
        targets = SIH.joint_targets(fingers)
        assert (targets >= low).all()
        assert (targets <= high).all()


def test_finger_positions_invert_the_targets_and_stay_in_range():
    fingers = torch.rand(7, 5, generator=torch.Generator().manual_seed(0))
    measured = SIH.drive_positions(SIH.joint_targets(fingers))
    torch.testing.assert_close(measured, fingers)
    beyond = torch.tensor(SIH.limits).T
    for qpos in beyond:
        measured = SIH.drive_positions(qpos)
        assert (measured >= 0).all()
        assert (measured <= 1).all()


def test_only_the_driving_joints_are_measured():
    qpos = SIH.joint_targets(torch.full((5,), 0.5))
    before = SIH.drive_positions(qpos)
    qpos[[2, 4, 6, 8, 9, 10]] = 0.0
    assert torch.equal(SIH.drive_positions(qpos), before)


def test_the_hand_sits_where_the_flange_is(tmp_path):
    """With the flange moved and turned, the palm follows: flange times mount."""
    text = ROBOT.arm.mjcf.read_text()
    moved = '<site name="flange" pos="0.02 -0.01 0.05" quat="0.9238795 0 0 0.3826834"/>'
    assert '<site name="flange"/>' in text
    file = tmp_path / "arm.xml"
    file.write_text(text.replace('<site name="flange"/>', moved))
    robot = Robot(dataclasses.replace(ROBOT.arm, mjcf=file), ROBOT.hand)
    scene = load_scene(SCENES / "open_drawer.xml")
    robot.attach(scene)
    model = scene.compile()
    data = mujoco.MjData(model)
    data.qpos[:6] = ROBOT.arm.home
    mujoco.mj_kinematics(model, data)
    flange, wrist = data.site("arm/flange"), data.site("hand/wrist")
    axes = flange.xmat.reshape(3, 3)
    np.testing.assert_allclose(wrist.xpos, flange.xpos + axes @ [0, 0, 0.04225], atol=1e-9)
    turn = transform((0, 0, 0), (0, 0, 1.571))[:3, :3]
    np.testing.assert_allclose(wrist.xmat.reshape(3, 3), axes @ turn, atol=1e-6)

"""The LEAP hand against its published figures: chain, masses, postures, limits, operators."""

import mujoco
import numpy as np
import pytest
import torch

from gym_grasp.demos.reader import open_dataset
from gym_grasp.demos.record import record
from gym_grasp.demos.replay import replay
from gym_grasp.envs.audit import Meter
from gym_grasp.envs.spec import EnvSpec
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.robots import load_robot
from gym_grasp.robots.base import HUMAN_FLEXIONS
from gym_grasp.robots.leap import LEAP
from gym_grasp.tasks.scene import load_scene

ROBOT = load_robot("ur5-leap")
# Of each link: place in its parent, turn (w x y z, unnormalised), axis; all as published.
FINGER = (((0, 0, 0), None, (-1, 0, 0)), ((0, 0.0008, 0.0381), None, (0, 1, 0)))
FINGER += (((0, 0, 0.015), None, (-1, 0, 0)), ((0, 0, 0.0361), None, (-1, 0, 0)))
THUMB = (((-0.0358, 0.0101, 0.0307), (0.5, 0.5, -0.5, -0.5), (0, -1, 0)),)
THUMB += (((0, -0.013, 0.0143), None, (0, 0, 1)), ((0, 0, 0.017), None, (-1, 0, 0)))
THUMB += (((0, 0, 0.0466), None, (-1, 0, 0)),)
KNUCKLES = {
    "index": (-0.0455, 0.0072, 0.093),
    "middle": (-0.0001, 0.0072, 0.0929),
    "ring": (0.0453, 0.0072, 0.09291),
}
TIPS = {"thumb": (0.0002, 0.0130, 0.0506)}  # on the pad; the fingers' are alike
TIPS |= dict.fromkeys(KNUCKLES, (0.0004, 0.0125, 0.0386))
PINCH = {"thumb_rotation": 1.451, "thumb_twist": 0.058, "f": 0.495, "f_t": 0.298}
AROUND = {"proximal": 0.11, "middle": 1.35, "distal": 0.82}
"""Of all fingers around a cylinder of 6 cm that lies across at `CYLINDER`, in rad."""
THUMB_AROUND = {"rotation": 1.62, "twist": 0.07, "proximal": 0.75, "distal": 0.53}
CYLINDER = (0.047, 0.098)
"""Its y and z, palm frame, in m."""


def turned(quaternion) -> np.ndarray:
    matrix = np.empty(9)
    unit = np.array(quaternion, dtype=float)
    mujoco.mju_quat2Mat(matrix, unit / np.linalg.norm(unit))
    return matrix.reshape(3, 3)


def expected_tip(finger: str, joints: dict[str, float]) -> np.ndarray:
    place, turn = np.zeros(3), np.eye(3)
    links = ("rotation", "twist") if finger == "thumb" else ("proximal", "spread")
    links += ("proximal", "distal") if finger == "thumb" else ("middle", "distal")
    for link, (offset, quaternion, axis) in zip(
        links, THUMB if finger == "thumb" else FINGER, strict=True
    ):
        at = KNUCKLES[finger] if finger != "thumb" and link == links[0] else offset
        place = place + turn @ at
        turn = turn @ turned(quaternion or (1, 0, 0, 0))
        half = joints[f"{finger}_{link}"] / 2
        turn = turn @ turned((np.cos(half), *(np.sin(half) * np.array(axis))))
    return place + turn @ TIPS[finger]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> mujoco.MjModel:
    path = tmp_path_factory.mktemp("alone") / "scene.xml"
    path.write_text('<mujoco><include file="gym_grasp.physics.xml"/></mujoco>')
    scene = load_scene(path)
    ROBOT.attach(scene)
    return scene.compile()


def posed(model: mujoco.MjModel, **joints: float) -> mujoco.MjData:
    data = mujoco.MjData(model)
    data.qpos[:6] = ROBOT.arm.home
    for name, angle in joints.items():
        data.qpos[6 + LEAP.joints.index(name)] = angle
    data.ctrl[:] = data.qpos
    mujoco.mj_forward(model, data)
    return data


def in_palm(data: mujoco.MjData, name: str) -> np.ndarray:
    wrist = data.site(ROBOT.wrist)
    return wrist.xmat.reshape(3, 3).T @ (data.site(name).xpos - wrist.xpos)


def pinch() -> dict[str, float]:
    f, thumb = PINCH["f"], PINCH["f_t"]
    joints = {name: PINCH[name] for name in ("thumb_rotation", "thumb_twist")}
    joints |= {"thumb_proximal": 1.4 * thumb, "thumb_distal": 1.0 * thumb}
    for part, gain in (("proximal", 1.9), ("middle", 1.5), ("distal", 0.9)):
        joints[f"index_{part}"] = gain * f
    return joints


def around() -> dict[str, float]:
    joints = {f"{finger}_{part}": q for finger in KNUCKLES for part, q in AROUND.items()}
    return joints | {f"thumb_{part}": q for part, q in THUMB_AROUND.items()}


def test_fingertips_are_where_the_published_chain_puts_them(model):
    rng = np.random.default_rng(0)
    for _ in range(5):
        angles = rng.uniform(*np.array(LEAP.limits).T)
        joints = dict(zip(LEAP.joints, angles.tolist(), strict=True))
        data = posed(model, **joints)
        for finger in TIPS:
            tip = in_palm(data, f"hand/{finger}_tip")
            np.testing.assert_allclose(tip, expected_tip(finger, joints), atol=1e-6)


def test_masses_and_sizes(model):
    assert model.body("hand/palm").subtreemass[0] == pytest.approx(0.746, abs=5e-4)
    assert ROBOT.action_size == 6 + 16
    assert len(LEAP.drives) == len(LEAP.actuated) == 16
    spans = {name: LEAP.angles(name) for name in LEAP.drives}
    assert spans == dict(zip(LEAP.joints, LEAP.limits, strict=True))


def test_thumb_and_index_finger_meet_in_the_published_pinch(model):
    data = posed(model, **pinch())
    pads = [model.geom(f"hand/{finger}_distal_collision").id for finger in ("thumb", "index")]
    assert abs(mujoco.mj_geomDistance(model, data, *pads, 0.1, None)) < 5e-3


def test_thumb_and_fingers_touch_a_cylinder_in_the_published_posture(model):
    """Its surface is within 5 mm of a link of each finger."""
    data = posed(model, **around())
    wrist = data.site(ROBOT.wrist)
    frame = wrist.xmat.reshape(3, 3)
    for finger in TIPS:
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
            away = np.linalg.norm(points[:, 1:] - CYLINDER, axis=1)
            gaps.append(away.min() - model.geom_size[geom, 0] - 0.03)
        assert abs(min(gaps)) < 5e-3, finger


@pytest.mark.parametrize("posture", [pinch, around])
def test_servos_bring_the_fingertips_into_these_postures(model, posture):
    goal = posture()
    if posture is pinch:
        goal["index_proximal"] -= 0.05  # not yet touching
    data = posed(model)
    wanted = posed(model, **goal)
    data.ctrl[:] = wanted.qpos
    mujoco.mj_step(model, data, 270)
    for tip in ROBOT.fingertips:
        away = np.linalg.norm(in_palm(data, tip) - in_palm(wanted, tip))
        assert away < 5e-3, tip


def test_no_joint_exceeds_its_speed_or_torque_and_no_link_passes_another(model):
    """Drives that go anywhere at their full speed, into one another too.

    Gravity compensation is the servos' work.
    """
    data = posed(model)
    rng = np.random.default_rng(0)
    limits = np.array(LEAP.limits)
    fastest = torque = deepest = 0.0
    hand = slice(6, 22)
    assert model.jnt_actgravcomp[hand].all()
    meter = Meter(model, ROBOT)
    most = np.array(LEAP.drive_speeds) * np.ptp(limits, axis=1) * model.opt.timestep
    for step in range(450):
        if step % 30 == 0:
            goal = rng.uniform(*limits.T)
        data.ctrl[hand] += np.clip(goal - data.ctrl[hand], -most, most)
        mujoco.mj_step(model, data)
        fastest = max(fastest, np.abs(data.qvel[hand]).max())
        torque = max(torque, np.abs(data.qfrc_actuator[hand]).max())
        if step % 5 == 0:
            mujoco.mj_forward(model, data)
            deepest = max(deepest, meter.measure(data).self_depth)
    assert 1.4 < fastest < LEAP.speeds[0]
    assert torque <= 0.7 + 1e-9
    assert deepest < 4e-3


def test_what_a_person_does_opens_closes_and_opposes():
    names = list(LEAP.joints)
    opened, closed = LEAP.joint_targets(
        LEAP.drives_from_flexion(torch.tensor([[0.0] * 5, [1.0] * 5]))
    )
    torch.testing.assert_close(opened, torch.zeros(16), atol=1e-6, rtol=0)
    assert closed[names.index("index_spread")].abs() < 1e-6
    assert closed[names.index("ring_proximal")] == pytest.approx(1.9)
    for row, flexion in enumerate(HUMAN_FLEXIONS):
        one = torch.eye(5)[row]
        moved = LEAP.joint_targets(LEAP.drives_from_flexion(one)).abs() > 1e-3
        expected = {"thumb_rotation": ("thumb_rotation", "thumb_twist")}
        expected["thumb"] = ("thumb_proximal", "thumb_distal")
        for finger in ("index", "middle", "ring"):
            expected[finger] = tuple(f"{finger}_{part}" for part in AROUND)
        assert {names[i] for i in moved.nonzero()[:, 0]} == set(expected[flexion])


def test_between_frames_of_a_moving_hand_no_target_jumps():
    """A hand closes in .3 s, seen 90 times a second; .2 rad at most."""
    flexion = torch.linspace(0, 1, 27)[:, None].repeat(1, 5)
    joints = LEAP.joint_targets(LEAP.drives_from_flexion(flexion))
    assert joints.diff(dim=0).abs().max() < 0.2


@pytest.mark.parametrize(
    "task", ["open-drawer", pytest.param("lift-object", marks=pytest.mark.slow)]
)
def test_the_operator_manages_and_what_it_did_replays_exactly(task, tmp_path):
    path = tmp_path / "data.hdf5"
    spec = EnvSpec(task, robot="ur5-leap")
    assert record(spec, path, 6, seed=11, num_threads=1).attempts <= 7
    env = GraspVectorEnv(spec, 6, num_threads=1)
    assert replay(open_dataset(path), env).bit_exact == 6
    env.close()

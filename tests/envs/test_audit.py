"""The audit against states whose speeds, forces and depths are known."""

from types import SimpleNamespace

import mujoco
import numpy as np
import pytest
import torch

from gym_grasp.envs.audit import Auditor, Meter
from gym_grasp.envs.audit_figures import figures, markdown
from gym_grasp.envs.scene import state_parts
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import UsageError


def make(task: str = "lift-object", count: int = 1, **settings) -> GraspVectorEnv:
    env = GraspVectorEnv(task, count, num_threads=1, autoreset=False, **settings)
    env.reset(seed=0)
    return env


@pytest.fixture
def scene() -> SimpleNamespace:
    """The start state of lifting a sphere: environment, model, data, meter."""
    env = make(task_options={"object": "sphere"})
    model = env.physics.model
    data = mujoco.MjData(model)
    data.qpos[:] = env.physics.bind("qpos")[0]
    data.ctrl[:] = data.qpos[env.task.indices.actuated]
    yield SimpleNamespace(env=env, model=model, data=data, meter=Meter(model, env.robot))
    env.close()


def measure(scene: SimpleNamespace):
    mujoco.mj_forward(scene.model, scene.data)
    return scene.meter.measure(scene.data)


def put(scene: SimpleNamespace, position: np.ndarray) -> None:
    """Put the sphere somewhere."""
    scene.data.joint("object").qpos[:3] = position


def figure(auditor: Auditor, name: str):
    (found,) = [one for one in figures(auditor) if one.name == name]
    return found


def deepest(model: mujoco.MjModel, data: mujoco.MjData, one: str, other: str) -> float:
    """Return the depth of two capsules in one another, from points along their axes."""
    lines = []
    for name in (one, other):
        geom, at = model.geom(name), data.geom(name)
        along = np.linspace(-1, 1, 2001)[:, None] * geom.size[1]
        lines.append(at.xpos + along * at.xmat.reshape(3, 3)[:, 2])
    apart = np.linalg.norm(lines[0][:, None] - lines[1], axis=-1).min()
    return float(model.geom(one).size[0] + model.geom(other).size[0] - apart)


def test_a_joint_at_twice_its_limit(scene):
    for joint, limit in ((1, np.pi), (9, 2.094)):
        scene.data.qvel[:] = 0.0
        scene.data.qvel[joint] = -2 * limit
        expected = np.zeros(17)
        expected[joint] = 2.0
        np.testing.assert_allclose(measure(scene).speed, expected)


def test_torque_counts_gravity_compensation(scene):
    home = measure(scene)
    arm = scene.env.robot.arm
    needed = scene.data.qfrc_bias[:6] / arm.torques  # at rest it is gravity alone
    np.testing.assert_allclose(home.arm_torque, np.abs(needed), atol=1e-9)
    assert home.arm_torque.max() > 0.1
    scene.data.ctrl[1] += 0.01  # kp 4000
    assert measure(scene).arm_torque[1] == pytest.approx(abs(needed[1] + 40 / 150))


def test_torques_of_coupled_joints_are_shared(scene):
    ring = [name for name in scene.env.robot.hand.joints if name.startswith(("ring", "little"))]
    assert len(ring) == 4
    scene.data.ctrl[scene.model.actuator("hand/ring_proximal").id] = -1.5
    instant = measure(
        scene
    )  # its motor at .95 × the limit of four joints, and gravity compensation
    weight = scene.data.qfrc_gravcomp[scene.env.task.indices.hand][-4:].sum()
    assert 0.01 < abs(weight) < 0.1
    assert instant.hand_torque[4] == pytest.approx((2.85 - weight) / 3.0)
    assert instant.hand_torque[:4].max() < 0.02


def test_a_weight_on_the_hand():
    env = make()
    model, data = env.physics.model, mujoco.MjData(env.physics.model)
    data.qpos[:] = env.physics.bind("qpos")[0]
    data.qpos[env.task.indices.arm] = env.robot.arm.home
    data.ctrl[:] = data.qpos[env.task.indices.actuated]
    mujoco.mj_forward(model, data)
    palm = [data.geom(f"hand/palm_{side}_side_collision").xpos for side in ("index", "little")]
    model_box = model.geom(model.body("object").geomadr[0])
    data.joint("object").qpos[:3] = np.mean(palm, axis=0) + [0, 0, 0.018 + model_box.size[2]]
    for _ in range(180):
        mujoco.mj_step(model, data)
    mujoco.mj_forward(model, data)
    instant = Meter(model, env.robot).measure(data)
    box = model.body("object")
    assert instant.touching
    assert instant.force[box.id] == pytest.approx(box.mass[0] * 9.81, rel=0.02)
    assert np.delete(instant.force, box.id).max() == 0.0
    env.close()


def test_joints_of_a_drive_that_are_apart(scene):
    assert measure(scene).coupling == pytest.approx(0.0, abs=1e-4)
    joint = scene.data.joint("hand/index_distal")
    joint.qpos[:] = -np.radians(20)
    assert measure(scene).coupling == pytest.approx(20.0, abs=1e-4)
    scene.data.joint("hand/index_proximal").qpos[:] = -np.radians(20)
    assert measure(scene).coupling == pytest.approx(0.0, abs=1e-4)
    scene.data.joint("hand/little_distal").qpos[:] = -np.radians(30)  # with the ring finger
    assert measure(scene).coupling == pytest.approx(30.0, abs=1e-4)


def test_a_fingertip_in_a_sphere(scene):
    measure(scene)
    name = "hand/little_distal_collision"
    capsule, at = scene.model.geom(name), scene.data.geom(name)
    axis = at.xmat.reshape(3, 3)[:, 2]
    aside = at.xpos - scene.data.geom("hand/ring_distal_collision").xpos  # away from the others
    aside -= (aside @ axis) * axis
    aside /= np.linalg.norm(aside)
    reach = capsule.size[0] + scene.model.geom(scene.model.body("object").geomadr[0]).size[0]
    put(scene, at.xpos + (reach - 0.0021) * aside)
    instant = measure(scene)
    np.testing.assert_allclose(instant.tip_depth, [0.0, 0.0021], atol=1e-6)
    assert instant.touching
    put(scene, at.xpos + (reach + 0.001) * aside)  # in the pad, not in the tip
    instant = measure(scene)
    np.testing.assert_allclose(instant.tip_depth, 0.0)
    assert not instant.touching
    put(scene, scene.data.geom("hand/palm_little_side_collision").xpos + [0, 0, 0.03])
    instant = measure(scene)
    np.testing.assert_allclose(instant.tip_depth, 0.0)  # in the palm, not in a tip
    assert instant.touching


def test_a_sphere_in_the_table(scene):
    radius = scene.model.geom(scene.model.body("object").geomadr[0]).size[0]
    put(scene, np.array([0.6, 0.4, radius - 0.004]))
    instant = measure(scene)
    assert instant.thing_depth == pytest.approx(0.004)
    assert not instant.touching


def test_a_thumb_in_the_fingers(scene):
    hand = scene.env.robot.hand
    closed = hand.joint_targets(torch.ones(len(hand.drives)))
    assert measure(scene).self_depth == 0.0
    scene.data.qpos[scene.env.task.indices.hand] = closed
    instant = measure(scene)
    names = [scene.model.geom(geom).name for geom in scene.meter.pairs[instant.self_pair]]
    assert instant.self_depth > 0.005
    assert instant.self_depth == pytest.approx(deepest(scene.model, scene.data, *names), abs=1e-5)


def test_pairs_are_those_that_could_meet(scene):
    names = {
        frozenset(scene.model.geom(geom).name.partition("/")[2] for geom in pair)
        for pair in scene.meter.pairs
    }
    for one, other, may in (
        ("thumb_distal", "index_distal", True),
        ("forearm", "wrist_2", True),
        ("forearm", "wrist_1", False),  # parent and child
        ("index_proximal", "palm_index_side", False),
        ("wrist_3", "palm_index_side", False),  # one body
        ("palm_index_side", "palm_little_side", False),
    ):
        assert (frozenset({f"{one}_collision", f"{other}_collision"}) in names) == may


def test_how_fast_a_contact_begins(scene):
    measure(scene)
    name = "hand/palm_index_side_collision"
    top = scene.data.geom(name).xpos + [0, 0, scene.model.geom(name).size[0]]
    radius = scene.model.geom(scene.model.body("object").geomadr[0]).size[0]
    put(scene, top + [0, 0, radius - 1e-5])
    scene.data.joint("object").qvel[:3] = [0.0, 0.0, -0.7]
    mujoco.mj_forward(scene.model, scene.data)
    body = scene.model.body("object").id
    assert np.flatnonzero(scene.meter.touched(scene.data)).tolist() == [body]
    assert scene.meter.approach(scene.data, body) == pytest.approx(0.7, rel=0.01)
    scene.data.joint("object").qvel[:3] = [0.0, 0.0, 0.7]
    mujoco.mj_forward(scene.model, scene.data)
    assert scene.meter.approach(scene.data, body) == pytest.approx(-0.7, rel=0.01)
    put(scene, top + [0, 0, radius + 0.01])
    mujoco.mj_forward(scene.model, scene.data)
    assert not scene.meter.touched(scene.data).any()


def test_the_force_of_many_contacts_on_a_thing(scene):
    measure(scene)
    tips = [scene.data.site(f"hand/{name}_tip").xpos for name in ("index", "middle", "little")]
    put(scene, np.mean(tips, axis=0))
    scene.data.joint("object").qvel[:3] = [0.3, -0.2, 0.1]
    instant, body = measure(scene), scene.model.body("object").id
    assert scene.data.ncon > 2
    place = int(scene.model.joint("object").dofadr[0])
    expected = np.linalg.norm(scene.data.qfrc_constraint[place : place + 3])
    assert expected > 1.0
    assert instant.force[body] == pytest.approx(expected)


def test_contacts_begin_once(scene):
    auditor = Auditor(scene.env)
    state = scene.env.physics.get_state().numpy()[0]
    measure(scene)
    top = scene.data.geom("hand/palm_index_side_collision").xpos + [0, 0, 0.018]
    place = {name: at for name, at, _ in parts(scene.env)}["qpos"]
    place += int(scene.model.joint("object").qposadr[0])
    model = scene.env.physics.model_of(0)  # with the size of the episode's ball
    radius = model.geom(model.body("object").geomadr[0]).size[0]
    near, far = (state.copy() for _ in range(2))
    near[place : place + 3] = top + [0, 0, radius - 1e-4]
    counts = []
    for reached in [near, near, far, near, *9 * [far], near, *8 * [far], near]:
        auditor._measure(0, reached)
        counts.append(len(auditor.samples.approaches))
        auditor._steps += 1
    assert counts == [1] * 13 + [2] * 10  # anew after 9 substeps of 1/90 s apart
    assert auditor.samples.approaches[0] == (True, pytest.approx(0.0, abs=1e-6))


# Whole episodes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "settings"),
    [
        ("open-drawer", {}),
        ("pour-cup", {"control": {"method": "jacobian-transpose"}}),
        ("open-drawer", {"robot": "ur5-three"}),
        ("lift-object", {}),
    ],
)
def test_every_substep_is_the_engines_own(task, settings, monkeypatch):
    env, plain = make(task, 2, **settings), make(task, 2, **settings)
    if task == "lift-object":  # episodes may differ in fields of the model
        for one in (env, plain):
            mass = one.physics.get_field("body_mass")
            mass[1] *= 1.5
            one.physics.set_field("body_mass", mass)
    auditor = Auditor(env)
    own, original = [], Auditor._measure

    def and_step(self, index, state):
        original(self, index, state)
        torque = self._data.qfrc_actuator.copy()
        mujoco.mj_step(env.physics.model_of(index), self._data)
        own.append(np.array_equal(torque, self._data.qfrc_actuator))
        reached = env.physics.get_state()[index].numpy()
        start = {name: at for name, at, _ in parts(env)}["qvel"]
        own.append(np.array_equal(reached[start : start + env.physics.model.nv], self._data.qvel))

    monkeypatch.setattr(Auditor, "_measure", and_step)
    generator = torch.Generator().manual_seed(0)
    for _ in range(10):
        action = 2 * torch.rand(2, env.action_size, generator=generator) - 1
        audited, *_ = auditor.step(action)
        stepped, *_ = plain.step(action)
        assert torch.equal(audited, stepped)
    assert len(own) == 2 * 2 * 10 * 3
    assert all(own)
    assert auditor.samples.valid.sum() == 2 * 10 * 3


def parts(env: GraspVectorEnv) -> list[tuple[str, int, int]]:
    """Return name, place and width of what a state of the physics holds."""
    found, place = [], 0
    for name, width in state_parts(env.physics.model):
        found.append((name, place, width))
        place += width
    return found


def test_speed_of_one_episode_is_counted():
    env = make("open-drawer", 2)
    state = env.physics.get_state()
    start = {name: at for name, at, _ in parts(env)}["qvel"]
    state[1, start + 2] = 2 * np.pi
    env.physics.set_state(state)
    auditor = Auditor(env)
    auditor.step(torch.zeros(2, env.action_size))
    arm = figure(auditor, "arm speed free: max")
    assert arm.measured == pytest.approx(2.0)
    assert (arm.limit, arm.ok) == (1.1, False)
    share = figure(auditor, "arm speed free: substeps above 1.1 ×").measured
    fast = (auditor.samples.speed[:3, :, :6].max(-1) > 1.1).sum()
    assert share == pytest.approx(100 * fast / 6)
    assert not auditor.samples.speed[:3, 0, :6].max() > 1.0


def test_forces_are_peaks_and_means():
    auditor = Auditor(make(count=2))
    samples, model = auditor.samples, auditor.meter.model
    table = model.body("table").id
    samples.force[40, 0, model.body("object").id] = 600.0
    samples.valid[:90] = True
    samples.force[40, 0, table] = 450.0  # one substep: 50 N over 100 ms
    samples.force[20:60, 1, table] = 200.0
    found = {one.name: one for one in figures(auditor)}
    name = "force on furniture, {}"
    assert found[name.format("peak: max")].measured == 450.0
    assert found[name.format("peak: max")].note == "table"
    assert not found[name.format("peak: p99 of episodes")].ok
    assert found[name.format("peak: episodes above 300 N")].measured == 50.0
    assert found[name.format("100 ms: max")].measured == pytest.approx(200.0)
    assert found[name.format("100 ms: p50 of episodes")].measured == pytest.approx(200.0)
    assert found[name.format("100 ms: episodes above 150 N")].measured == 50.0
    assert found["force on objects, peak: max"].measured == 600.0
    samples.force[20:60] = 0.0
    samples.force[40, 0, table] = 450.0
    assert figure(auditor, name.format("100 ms: max")).measured == pytest.approx(50.0)


def test_speed_after_a_blow_is_not_free_motion():
    auditor = Auditor(make("open-drawer"))
    samples = auditor.samples
    samples.valid[:10] = True
    samples.touching[3] = True
    samples.speed[4, :, -1] = 3.0
    assert figure(auditor, "hand speed free: max").measured == 0.0
    assert figure(auditor, "hand speed in contact: max").measured == 3.0
    samples.speed[5, :, -1] = 2.0
    assert figure(auditor, "hand speed free: max").measured == 2.0


def test_things_that_are_lost():
    env = make(count=4)
    qpos = env.physics.bind("qpos").clone()
    model = env.physics.model
    place = int(model.joint("object").qposadr[0])
    qpos[0, place : place + 3] = torch.tensor([0.5, 0.1, -0.5])  # below the table
    qpos[1, place : place + 3] = torch.tensor([1.3, 0.9, 0.3])  # far away
    qpos[2, place : place + 3] = torch.tensor([0.5, 0.1, 0.5])
    env.physics.reset(torch.ones(4, dtype=torch.bool), qpos)
    auditor = Auditor(env)
    auditor.step(torch.zeros(4, env.action_size))
    auditor.stop(np.ones(4, dtype=bool))
    assert auditor.samples.lost.tolist() == [1, 1, 0, 0]
    assert figure(auditor, "episodes that lose an object").measured == 2
    assert figure(auditor, "lowest end of an object").measured == pytest.approx(-0.5, abs=0.01)
    auditor.step(torch.zeros(4, env.action_size))
    assert auditor.samples.valid.sum() == 4 * 3  # what is over is not measured


def test_particles_that_end_beside():
    env = make("pour-cup", 2)
    qpos = env.physics.bind("qpos").clone()
    model, xpos = env.physics.model, env.physics.bind("xpos")
    at = [xpos[0, body].clone() for body in range(env.task.particles.start, model.nbody)]
    for particle, x, y, z in (
        (0, 0.4, 0.3, 0.01),  # on the table
        (1, 0.6, 0.0, -0.4),  # on the floor
        (2, 0.6, 0.12, 0.01),  # in the bowl
        (3, 0.6, 0.0, 0.2),  # in flight
    ):
        place = int(model.joint(f"particle_{particle:02}_x").qposadr[0])
        qpos[0, place : place + 3] += torch.tensor([x, y, z]) - at[particle]
    env.physics.reset(torch.ones(2, dtype=torch.bool), qpos)
    auditor = Auditor(env)
    auditor.stop(np.ones(2, dtype=bool))
    np.testing.assert_allclose(auditor.samples.spilled, [2 / 10, 0.0], atol=1e-6)
    name = "particles that end beside cup and bowl"
    assert figure(auditor, name).measured == pytest.approx(100 * 2 / 20)


def test_a_diverged_simulation_is_counted_and_not_measured():
    env = make("open-drawer", 2)
    state = env.physics.get_state()
    start = {name: at for name, at, _ in parts(env)}["qvel"]
    state[1, start] = 1e9
    env.physics.set_state(state)
    auditor = Auditor(env)
    auditor.step(torch.zeros(2, env.action_size))
    assert auditor.samples.valid[:3].sum(0).tolist() == [3, 0]
    found = figure(auditor, "diverged episodes")
    assert (found.measured, found.ok) == (1.0, False)


def test_the_table_marks_what_is_exceeded():
    auditor = Auditor(make("stack-cubes"))
    auditor.samples.valid[:5] = True
    auditor.samples.tip_depth[2, 0] = [0.001, 0.006]
    rows = markdown(figures(auditor))
    assert "| fingertip in objects: p99.9 where it is, mm | 5 | 6 | **no** |" in rows
    assert "| fingertip in furniture: p99.9 where it is, mm | 5 | 1 | yes |" in rows


def test_an_environment_that_begins_anew_by_itself_is_refused():
    with pytest.raises(UsageError, match="autoreset=False"):
        Auditor(GraspVectorEnv("open-drawer", 1))

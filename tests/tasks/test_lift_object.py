"""The objects, where they lie, what counts as lifted, and its rewards."""

from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import pytest
import torch

from building import ROBOT, build_model, build_task
from gym_grasp.cli.train import train_one
from gym_grasp.demos.reader import open_dataset
from gym_grasp.demos.record import perform, record
from gym_grasp.demos.replay import replay
from gym_grasp.envs.spec import EnvSpec
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import UsageError
from gym_grasp.learning.config import TrainConfig
from gym_grasp.physics.cpu import CpuPhysics
from gym_grasp.tasks.lift_object import (
    AREA_HIGH,
    AREA_LOW,
    HELD_OUT,
    OBJECTS,
    LiftObject,
)
from gym_grasp.tasks.random import episode_seeds

SHIPPED = sorted(file.stem for file in OBJECTS.glob("*.xml"))
HELD_OUT_SHAPES = sorted(file.stem for file in HELD_OUT.glob("*.xml"))
CPU = torch.device("cpu")


def placed(name: str, pose: list[float]) -> tuple[LiftObject, CpuPhysics]:
    """The task with its object at a pose: position, quaternion."""
    task = build_task(LiftObject, object=name)
    physics = CpuPhysics(task.model, 1, 1)
    qpos = task.start_qpos[None].clone()
    qpos[0, task.free : task.free + 7] = torch.tensor(pose)
    for read in (task.observe, task.progress, task.hand_distance):
        read(physics)  # binds what it needs
    physics.reset(torch.ones(1, dtype=torch.bool), qpos)
    return task, physics


def sizes(env: GraspVectorEnv) -> torch.Tensor:
    """Length of the object's first solid geom in each environment, as a share of its file's."""
    solid = env.task.solid
    found = env.physics.get_field("geom_size")[:, solid, 0]
    return found / env.task.model.geom_size[solid, 0]


@pytest.mark.parametrize("name", [*SHIPPED, *HELD_OUT_SHAPES])
def test_start_is_settled(name: str) -> None:
    """Whatever its size, it neither falls nor jumps by 0.1 mm."""
    env = GraspVectorEnv("lift-object", 32, task_options={"object": name})
    env.reset(seed=3)
    assert sizes(env).min() < 0.9
    assert sizes(env).max() > 1.1
    pose = env.task.observe_scene(env.physics)["object_pose"].clone()
    assert env.task.progress(env.physics).abs().max() < 0.005
    for _ in range(30):
        env.step(torch.zeros(32, 11))
    drift = (env.task.observe_scene(env.physics)["object_pose"] - pose).abs().amax(0)
    assert drift[:3].max() < 1e-4
    assert drift[3:].max() < 1e-3


@pytest.mark.parametrize(("z", "progress"), [(0.125, 0.5), (0.225, 1.0)])
def test_progress_is_the_height(z: float, progress: float) -> None:
    task, physics = placed("box", [0.6, 0.0, z, 1, 0, 0, 0])
    assert task.progress(physics).item() == pytest.approx(progress, abs=1e-4)


def test_starts_cover_the_area_and_every_face() -> None:
    task = build_task(LiftObject)
    start = task.start(torch.arange(2000))[:, task.free : task.free + 7]
    for axis in range(2):
        low, high = AREA_LOW[axis], AREA_HIGH[axis]
        assert low <= start[:, axis].min() < low + 0.01
        assert high - 0.01 < start[:, axis].max() <= high
    assert (start[:, 2] - 0.025 * task.sizes(torch.arange(2000))).abs().max() < 1e-3
    torch.testing.assert_close(start[:, 3:].norm(dim=-1), torch.ones(2000), atol=1e-5, rtol=0)
    w, x, y, z = start[:, 3:].unbind(-1)
    # third row of the rotation matrix: which of the cube's axes points up
    up = torch.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], dim=-1)
    faces = torch.cat([up > 0.99, up < -0.99], dim=-1).float().mean(0)
    assert faces.sum() == pytest.approx(1.0, abs=1e-3)
    assert faces.min() > 0.05


def test_start_depends_on_the_seed_alone() -> None:
    first = build_task(LiftObject).start(torch.arange(50))
    again = build_task(LiftObject).start(torch.tensor([7, 3]))
    assert torch.equal(again, first[[7, 3]])


@pytest.mark.parametrize(
    ("name", "quaternion", "lowest"),
    [
        ("box", [1.0, 0, 0, 0], 0.3 - 0.025),
        ("box", [np.cos(np.pi / 8), np.sin(np.pi / 8), 0, 0], 0.3 - 0.025 * np.sqrt(2)),
        ("sphere", [0.6, 0.8, 0, 0], 0.3 - 0.03),
        ("capsule", [1.0, 0, 0, 0], 0.3 - 0.045),
        ("capsule", [np.sqrt(0.5), np.sqrt(0.5), 0, 0], 0.3 - 0.025),
        ("dumbbell", [np.sqrt(0.5), 0, np.sqrt(0.5), 0], 0.3 - 0.07),
    ],
)
def test_height_is_that_of_the_lowest_point(
    name: str, quaternion: list[float], lowest: float
) -> None:
    task, physics = placed(name, [0.5, 0.0, 0.3, *quaternion])
    assert task.height(physics).item() == pytest.approx(lowest, abs=1e-5)
    assert task.progress(physics).item() == pytest.approx(lowest / 0.2, abs=1e-4)


@pytest.mark.parametrize(("z", "success"), [(0.2249, False), (0.2251, True)])
def test_success(z: float, success: bool) -> None:
    task, physics = placed("box", [0.5, 0.0, z, 1, 0, 0, 0])
    assert task.success(physics).item() is success


def test_object_pose() -> None:
    half = np.pi / 6
    task, physics = placed("box", [0.5, 0.1, 0.3, np.cos(half), 0, 0, np.sin(half)])
    cos, sin = np.cos(np.pi / 3), np.sin(np.pi / 3)
    expected = torch.tensor([0.5, 0.1, 0.3, cos, sin, 0, -sin, cos, 0], dtype=torch.float32)
    torch.testing.assert_close(task.observe(physics)["object_pose"][0], expected, atol=1e-5, rtol=0)


def test_hand_distance_is_smallest_between_the_fingertips() -> None:
    task, physics = placed("box", [0.5, 0.1, 0.15, 1, 0, 0, 0])
    sites = physics.bind("site_xpos")[0]
    thumb, *fingertips = (sites[physics.model.site(tip).id] for tip in ROBOT.fingertips)
    fingers = torch.stack(fingertips).mean(0)
    middle, gap = (thumb + fingers) / 2, (thumb - fingers).norm().item()
    for place, expected in ((middle, gap / 4), (thumb, 3 * gap / 4), (fingers, 3 * gap / 4)):
        task, physics = placed("box", [*place.tolist(), 1, 0, 0, 0])
        assert task.hand_distance(physics).item() == pytest.approx(expected, abs=1e-5)


def test_users_object(tmp_path: Path) -> None:
    file = tmp_path / "brick.xml"
    file.write_text(
        '<mujoco><worldbody><body name="brick"><geom name="brick" type="box" '
        'size=".02 .03 .04" mass=".1"/></body></worldbody></mujoco>'
    )
    task = build_task(LiftObject, object=str(file))
    heights = set((task.settled[:, 0] * 100).round().int().tolist())
    assert heights <= {2, 3, 4}
    assert 2 in heights  # it mostly lies on its largest face
    geom = task.model.geom("object_brick")
    assert (geom.contype[0], geom.conaffinity[0], geom.condim[0]) == (2, 3, 4)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("", "no object"),
        ('<body><geom type="cylinder" size=".02 .02"/></body>', "spheres, capsules and boxes"),
        ('<body><joint/><geom size=".02"/></body>', "no single rigid body"),
        ("<bodi/>", "cannot read"),
    ],
)
def test_unfit_objects_are_refused(tmp_path: Path, body: str, message: str) -> None:
    file = tmp_path / "bad.xml"
    file.write_text(f"<mujoco><worldbody>{body}</worldbody></mujoco>")
    with pytest.raises(UsageError, match=message):
        build_model(LiftObject, object=str(file))


def test_rolling_friction_is_an_objects_own() -> None:
    for name, condim in (("box", 4), ("dumbbell", 6)):
        task = build_task(LiftObject, object=name)
        model = task.model
        solid = (model.geom_bodyid == task.object) & (model.geom_contype != 0)
        assert (model.geom_condim[solid] == condim).all()


def test_unknown_options() -> None:
    with pytest.raises(UsageError, match="Did you mean 'box'"):
        GraspVectorEnv("lift-object", task_options={"object": "bix"})
    with pytest.raises(UsageError, match="Did you mean 'object'"):
        GraspVectorEnv("lift-object", task_options={"objekt": "box"})


@pytest.mark.parametrize(
    "name", [one if one == "box" else pytest.param(one, marks=pytest.mark.slow) for one in SHIPPED]
)
def test_operator_lifts_every_object(name: str) -> None:
    env = GraspVectorEnv("lift-object", 16, autoreset=False, task_options={"object": name})
    env.reset(seed=0)
    assert sum(episode.success for episode in perform(env, skill=1.0)) >= 13  # 95 % of many


def test_a_light_grip_does_not_sink_in(depths_of_fingertips) -> None:
    """While the box is in the air, no fingertip is 3 mm deep in it; with impacts, 99 % are not."""
    env = GraspVectorEnv("lift-object", 16, autoreset=False)
    env.reset(seed=100)
    model, held, always = env.task.model, [], []
    z = 1 + int(model.joint("object").qposadr[0]) + 2  # time comes first in a state
    for episode in perform(env):
        physics = episode.states["physics"]
        lifted = {**episode.states, "physics": physics[physics[:, z] > 0.035]}
        held.append(depths_of_fingertips(model, replace(episode, states=lifted)))
        always.append(depths_of_fingertips(model, episode))
    assert len(np.concatenate(held)) > 1000
    assert np.concatenate(held).max() < 3e-3
    assert np.percentile(np.concatenate(always), 99) < 3e-3


def test_sizes_spread_evenly_and_follow_from_the_seed_alone() -> None:
    task = build_task(LiftObject)
    found = task.sizes(episode_seeds(0, torch.arange(4000), torch.zeros(4000, dtype=torch.int64)))
    assert 0.85 <= found.min() < 0.853
    assert 1.147 < found.max() <= 1.15
    assert found.mean() == pytest.approx(1.0, abs=0.005)
    assert found.std() == pytest.approx(0.3 / 12**0.5, rel=0.03)
    env, other = (GraspVectorEnv("lift-object", count) for count in (6, 2))
    env.reset(seed=4)
    other.reset_to(env.episode_seed[[5, 1]])
    for name, values in other.physics.fields().items():
        assert torch.equal(values, env.physics.fields()[name][[5, 1]]), name


def test_mass_and_inertia_are_those_of_one_density() -> None:
    """The same as MuJoCo compiles of geoms of the drawn size: s³ and s⁵, as far as float32 goes."""
    env = GraspVectorEnv("lift-object", 4, task_options={"object": "dumbbell"})
    env.reset(seed=1)
    for index, size in enumerate(sizes(env).tolist()):
        spec = mujoco.MjSpec.from_file(str(OBJECTS / "dumbbell.xml"))
        for geom in spec.geoms:
            if np.isfinite(geom.fromto[0]):  # the bar
                geom.fromto = np.array(geom.fromto) * size
            geom.size, geom.pos = np.array(geom.size) * size, np.array(geom.pos) * size
            geom.mass *= size**3
        wanted, found = spec.compile(), env.physics.model_of(index)
        body = env.task.object
        assert found.body_mass[body] == pytest.approx(wanted.body_mass[1], rel=1e-5)
        assert found.body_inertia[body] == pytest.approx(wanted.body_inertia[1], rel=1e-4)
        geoms = found.geom_bodyid == body
        np.testing.assert_allclose(found.geom_size[geoms], wanted.geom_size, rtol=1e-5, atol=1e-9)
        np.testing.assert_allclose(found.geom_pos[geoms], wanted.geom_pos, rtol=1e-5, atol=1e-9)
        rest = ~geoms
        np.testing.assert_allclose(found.geom_size[rest], env.task.model.geom_size[rest], rtol=1e-6)


def test_height_is_that_of_the_objects_own_size() -> None:
    env = GraspVectorEnv("lift-object", 8)
    env.reset(seed=2)
    lifted = env.physics.bind("qpos").clone()
    lifted[:, env.task.free : env.task.free + 7] = torch.tensor([0.5, 0, 0.3, 1, 0, 0, 0])
    env.physics.reset(torch.ones(8, dtype=torch.bool), lifted)
    expected = 0.3 - 0.025 * sizes(env).float()
    torch.testing.assert_close(env.task.height(env.physics), expected, atol=1e-6, rtol=0)


def test_a_fixed_size_draws_nothing() -> None:
    env = GraspVectorEnv("lift-object", 4, task_options={"size": "fixed"})
    env.reset(seed=0)
    assert env.physics.fields() == {}
    assert (sizes(env) == 1.0).all()
    with pytest.raises(UsageError, match=r"Unknown size 'varid'. Did you mean 'varied'"):
        GraspVectorEnv("lift-object", task_options={"size": "varid"})


def test_recordings_of_any_size_replay_bit_by_bit(tmp_path: Path) -> None:
    record("lift-object", tmp_path / "set.hdf5", episodes=4, seed=9)
    dataset = open_dataset(tmp_path / "set.hdf5")
    recorded = [episode.fields["geom_size"] for episode in dataset.summaries]
    assert not np.array_equal(recorded[0], recorded[1])
    report = replay(dataset, GraspVectorEnv(dataset.env_spec(), 3))
    assert (report.bit_exact, report.reproduced) == (4, 4)
    fixed = GraspVectorEnv("lift-object", 4, task_options={"size": "fixed"})
    assert "geom_size" in replay(dataset, fixed).to_dict()["other_fields"]


def test_held_out_shapes_are_not_learned_from() -> None:
    assert HELD_OUT_SHAPES == ["brick", "snowman", "tee"]
    for name in HELD_OUT_SHAPES:
        assert GraspVectorEnv("lift-object", task_options={"object": name})
        with pytest.raises(UsageError, match=f"object={name}, size=varied is kept for eval"):
            train_one(EnvSpec("lift-object", {"object": name}), TrainConfig(method="ppo"))
    assert not LiftObject.held_out(LiftObject.choose({"object": "box"}))


def test_a_mesh_keeps_its_size(tmp_path: Path) -> None:
    file = tmp_path / "meshed.xml"
    file.write_text(
        '<mujoco><asset><mesh name="m" vertex="0 0 0 .1 0 0 0 .1 0 0 0 .1"/></asset><worldbody>'
        '<body><geom name="g" size=".02"/><geom name="d" type="mesh" mesh="m" contype="0" '
        'conaffinity="0" mass="0"/></body></worldbody></mujoco>'
    )
    with pytest.raises(UsageError, match=r"drawn by a mesh.*size='fixed'"):
        build_model(LiftObject, object=str(file))
    build_model(LiftObject, object=str(file), size="fixed")


@pytest.mark.parametrize("name", ["box", "dumbbell", "snowman"])
def test_constants_are_those_that_mujoco_derives(name: str) -> None:
    """For a GPU, which derives none; the world's total mass apart, which nothing reads."""
    env = GraspVectorEnv("lift-object", 4, task_options={"object": name})
    env.reset(seed=6)
    found = env.task.constants(env.episode_seed)
    same = True
    for index in range(4):
        derived = env.physics.model_of(index)
        for field, values in found.items():
            wanted = np.array(getattr(derived, field)).reshape(values[index].shape)
            if field == "body_subtreemass":
                wanted[0] = values[index, 0]
            np.testing.assert_allclose(values[index], wanted, rtol=2e-4, atol=1e-7, err_msg=field)
            same &= np.allclose(getattr(env.task.model, field), wanted, rtol=1e-3)
    assert not same

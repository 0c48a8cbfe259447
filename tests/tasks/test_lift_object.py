"""The objects, where they lie, what counts as lifted, and its rewards."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from building import ROBOT, build_model, build_task
from gym_grasp.demos.record import perform
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import UsageError
from gym_grasp.physics.cpu import CpuPhysics
from gym_grasp.tasks.lift_object import (
    AREA_HIGH,
    AREA_LOW,
    OBJECTS,
    LiftObject,
)

SHIPPED = sorted(file.stem for file in OBJECTS.glob("*.xml"))
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


@pytest.mark.parametrize("name", SHIPPED)
def test_start_is_settled(name: str) -> None:
    env = GraspVectorEnv("lift-object", 32, task_options={"object": name})
    env.reset(seed=3)
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
    assert (start[:, 2] - 0.025).abs().max() < 1e-3
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


@pytest.mark.parametrize("name", SHIPPED)
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

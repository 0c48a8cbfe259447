"""The three tasks of the user study in one scene: where they stand, and what counts as done."""

import math

import pytest
import torch

from building import build_model, build_task
from gym_grasp.demos.operators.operator import SyntheticOperator
from gym_grasp.demos.record import perform
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.physics.cpu import CpuPhysics
from gym_grasp.tasks.study_scene import PARTS, StudyScene

CPU = torch.device("cpu")
CUBES, DOOR, POUR = range(3)


@pytest.fixture(scope="module")
def scene() -> tuple[StudyScene, CpuPhysics]:
    task = build_task(StudyScene)
    physics = CpuPhysics(task.model, 1, 1)
    for read in (task.observe, task.success, task.hand_distance):
        read(physics)  # binds what it needs
    return task, physics


def place(scene: tuple[StudyScene, CpuPhysics], *done: int) -> None:
    """Put the scene into a state in which the given parts are done."""
    task, physics = scene
    model = task.model
    qpos = task.start_qpos[None].clone()
    if CUBES in done:
        for level, cube in enumerate(("blue_cube", "red_cube", "green_cube")):
            free = model.joint(cube).qposadr[0]
            qpos[0, free : free + 3] = torch.tensor([0.42, -0.35, 0.03 + 0.06 * level])
    if DOOR in done:
        qpos[0, model.joint("door").qposadr[0]] = math.radians(45.1)
    if POUR in done:
        for axis, shift in zip("xyz", (0.0, 0.22, 0.01), strict=True):
            for particle in range(10):
                qpos[0, model.joint(f"particle_{particle:02}_{axis}").qposadr[0]] = shift
    physics.reset(torch.ones(1, dtype=torch.bool), qpos)


@pytest.mark.parametrize("done", [(), (CUBES,), (DOOR,), (POUR,), (CUBES, POUR), (0, 1, 2)])
def test_it_is_done_when_all_parts_are(scene, done: tuple[int, ...]) -> None:
    task, physics = scene
    place(scene, *done)
    expected = [float(part in done) for part in range(len(PARTS))]
    if POUR not in done:
        expected[POUR] = 0.0138  # some particles are nearer to the bowl than the cup's middle
    assert task.parts_done(physics)[0].tolist() == pytest.approx(expected, abs=1e-3)
    assert task.progress(physics).item() == pytest.approx(sum(expected) / 3, abs=1e-3)
    assert task.success(physics).item() is (len(done) == 3)


def test_distance_is_that_of_the_nearest_thing_left_to_do(scene) -> None:
    task, physics = scene
    apart = [part.hand_distance(physics).item() for part in task.parts]
    for done in ((), (CUBES,), (CUBES, DOOR), (POUR,)):
        place(scene, *done)
        apart = [part.hand_distance(physics).item() for part in task.parts]
        nearest = min(apart[part] for part in range(3) if part not in done)
        assert task.hand_distance(physics).item() == pytest.approx(nearest)
    place(scene, CUBES, DOOR, POUR)
    assert task.hand_distance(physics).item() == 0.0


def test_things_start_apart_and_settled() -> None:
    env = GraspVectorEnv("study-scene", 32)
    env.reset(seed=3)
    before = {key: pose.clone() for key, pose in env.task.observe_scene(env.physics).items()}
    assert before["parts_done"][:, [CUBES, DOOR]].abs().max() < 1e-3
    assert before["parts_done"][:, POUR].max() < 0.15  # of cups near the bowl
    for cube in ("red", "green", "blue"):
        pose = before[f"{cube}_cube_pose"]
        assert (pose[:, 1] < -0.1).all()
        assert (pose[:, :2].abs() <= 0.61).all()
    assert (before["cup_pose"][:, 1] > 0.2).all()
    for _ in range(30):
        env.step(torch.zeros(32, 11))
    for key, pose in env.task.observe_scene(env.physics).items():
        assert (pose - before[key]).abs().max() < 1e-3, key


def test_parts_start_independently_of_one_another() -> None:
    task = build_task(StudyScene)
    start = task.start(torch.arange(500))
    cube, cup = (int(task.model.joint(name).qposadr[0]) for name in ("red_cube", "cup"))
    assert abs(torch.corrcoef(start[:, [cube, cup]].T)[0, 1]) < 0.15
    assert torch.equal(task.start(torch.tensor([5])), start[5:6])


def test_the_parts_keep_their_own_physics() -> None:
    for part in PARTS:
        alone, together = build_model(part), build_model(StudyScene)
        for index in range(alone.ngeom):
            geom = alone.geom(index)
            same = together.geom(geom.name)
            for field in ("contype", "conaffinity", "condim", "priority", "friction", "solimp"):
                assert getattr(geom, field).tolist() == getattr(same, field).tolist(), geom.name


def test_the_operator_pours() -> None:
    env = GraspVectorEnv("study-scene", 4, autoreset=False)
    env.reset(seed=100)
    operator = SyntheticOperator(env, skill=1.0)
    poured = torch.zeros(4, dtype=torch.bool)
    for _ in range(450):
        env.step(operator.act()[0])
        poured |= env.task.parts_done(env.physics)[:, POUR] == 1.0
    assert poured.sum() >= 3


@pytest.mark.slow
def test_the_operator_does_all_three() -> None:
    env = GraspVectorEnv("study-scene", 32, autoreset=False)
    env.reset(seed=100)
    assert sum(episode.success for episode in perform(env, skill=1.0)) >= 29

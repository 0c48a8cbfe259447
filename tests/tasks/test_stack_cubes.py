"""Where the cubes start, what counts as a tower, and its rewards."""

import numpy as np
import pytest
import torch

from building import build_task
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.physics.cpu import CpuPhysics
from gym_grasp.tasks.stack_cubes import CUBES, StackCubes

CPU = torch.device("cpu")
TOWER = [[0.6, 0.2, 0.03], [0.6, 0.2, 0.09], [0.6, 0.2, 0.15]]


def placed(positions: list[list[float]]) -> tuple[StackCubes, CpuPhysics]:
    """The task with red, green and blue cube, not turned, at the given positions in m."""
    task = build_task(StackCubes)
    physics = CpuPhysics(task.model, 1, 1)
    qpos = task.start_qpos[None].clone()
    for free, position in zip(task.free, positions, strict=True):
        qpos[0, free : free + 7] = torch.tensor([*position, 1.0, 0.0, 0.0, 0.0])
    for read in (task.observe, task.success, task.hand_distance):
        read(physics)  # binds what it needs
    physics.reset(torch.ones(1, dtype=torch.bool), qpos)
    return task, physics


def test_start_is_settled_and_far_from_a_tower() -> None:
    env = GraspVectorEnv("stack-cubes", 64)
    env.reset(seed=3)
    before = {k: v.clone() for k, v in env.task.observe_scene(env.physics).items()}
    assert env.task.progress(env.physics).abs().max() == 0
    for _ in range(30):
        env.step(torch.zeros(64, 11))
    for key, pose in env.task.observe_scene(env.physics).items():
        drift = (pose - before[key]).abs().amax(0)
        assert drift[:2].max() < 1e-4
        assert drift[2] < 2e-4
        assert drift[3:].max() < 1e-3


def test_starts_are_spread() -> None:
    task = build_task(StackCubes)
    start = task.start(torch.arange(1000))
    for free, y in zip(task.free, (-0.16, 0.0, 0.16), strict=True):
        offset = start[:, free : free + 2] - torch.tensor([0.55, y])
        assert 0.039 < offset.abs().amax() <= 0.04 + 1e-6
        assert 0.29 < 2 * torch.asin(start[:, free + 6]).abs().max() <= 0.3 + 1e-6
    assert torch.equal(task.start(torch.tensor([5])), start[5:6])


@pytest.mark.parametrize("order", [[0, 1, 2], [1, 0, 2], [2, 1, 0], [2, 0, 1]])
def test_any_order_makes_a_tower(order: list[int]) -> None:
    task, physics = placed([TOWER[order.index(cube)] for cube in range(3)])
    assert task.success(physics).item() is True
    assert task.progress(physics).item() == pytest.approx(1.0, abs=1e-6)
    assert task.tower(physics)[1].tolist() == [order]


@pytest.mark.parametrize(
    ("index", "moved"),
    [
        (2, [0.031, 0.0, 0.0]),  # the top one, too far out
        (1, [0.0, 0.031, 0.0]),  # the middle one
        (2, [0.0, 0.0, 0.01]),  # still above
        (2, [0.1, 0.0, -0.12]),  # beside
    ],
)
def test_what_is_no_tower(index: int, moved: list[float]) -> None:
    positions = [list(place) for place in TOWER]
    positions[index] = (np.array(positions[index]) + moved).tolist()
    task, physics = placed(positions)
    assert task.success(physics).item() is False
    assert task.progress(physics).item() < 1.0


def test_a_tower_in_the_air_does_not_count() -> None:
    task, physics = placed([[x, y, z + 0.06] for x, y, z in TOWER])
    assert task.success(physics).item() is False


def test_the_hand_must_be_off() -> None:
    task, physics = placed(TOWER)
    tip = physics.bind("site_xpos")[0, task.points[1]].tolist()  # the thumb's
    for gap, off in ((0.019, False), (0.021, True)):
        beside = [tip[0], tip[1] + 0.03 + gap, tip[2]]
        cubes = [[*beside[:2], z] for z in (0.03, 0.09, 0.15)]
        task, physics = placed(cubes)
        assert task.hand_off(physics).item() == pytest.approx(gap, abs=1e-4)
        assert task.success(physics).item() is off


def test_the_tower_must_stand_still() -> None:
    env = GraspVectorEnv("stack-cubes", 2)
    env.reset(seed=0)
    qpos = env.task.start_qpos.repeat(2, 1)
    for row in range(2):
        for free, place in zip(env.task.free, TOWER, strict=True):
            qpos[row, free : free + 3] = torch.tensor(place)
    env.physics.reset(torch.ones(2, dtype=torch.bool), qpos)
    for _ in range(20):
        env.physics.step(env.controller.joint_targets(), 3)  # no autoreset
    qpos[1, env.task.free[2] + 2] += 0.004  # it falls by 4 mm: level, but moving
    env.physics.reset(torch.tensor([False, True]), qpos)
    env.physics.step(env.controller.joint_targets(), 2)
    assert env.task.speed_of_cubes(env.physics)[1] > 0.1
    assert env.task.success(env.physics).tolist() == [True, False]


@pytest.mark.parametrize(
    ("positions", "progress", "grasp"),
    [
        # green below, red 5 cm from its place, blue at the start: half of one half
        ([[0.55, 0.05, 0.09], [0.55, 0.0, 0.03], [0.55, 0.3, 0.03]], 0.25, 0),
        # red in place: blue is what remains
        ([[0.55, 0.0, 0.09], [0.55, 0.0, 0.03], [0.55, 0.3, 0.03]], 0.5, 2),
        # blue 7 cm above its place
        ([[0.55, 0.0, 0.09], [0.55, 0.0, 0.03], [0.55, 0.0, 0.22]], 0.75, 2),
    ],
)
def test_progress_and_hand_distance(
    positions: list[list[float]], progress: float, grasp: int
) -> None:
    task, physics = placed(positions)
    assert task.progress(physics).item() == pytest.approx(progress, abs=1e-4)
    palm = physics.bind("site_xpos")[0, task.palm]
    distance = (palm - torch.tensor(positions[grasp])).norm().item()
    assert task.hand_distance(physics).item() == pytest.approx(distance, abs=1e-4)


def test_poses() -> None:
    task, physics = placed(TOWER)
    poses = task.observe(physics)
    for cube, place in zip(CUBES, TOWER, strict=True):
        expected = torch.tensor([*place, 1, 0, 0, 0, 1, 0], dtype=torch.float32)
        torch.testing.assert_close(poses[f"{cube}_pose"][0], expected, atol=1e-5, rtol=0)

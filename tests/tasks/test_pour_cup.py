"""The cup's and the bowl's walls, settled starts, what counts as poured, the operator's grasp."""

from collections.abc import Callable

import mujoco
import numpy as np
import pytest
import torch
from torch import Tensor

from building import build_model
from gym_grasp.demos.operators.operator import SyntheticOperator
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.tasks.pour_cup import BOWL_HEIGHT, CUP_HEIGHT, CUP_OFFSET, PourCup

PARTICLES = 16
OUTSIDE = 0.06
"""Distance from the cup's axis at which a particle is beyond its wall, in m."""
MOUTH = CUP_HEIGHT - 0.02
"""Height in the cup, in m, from which a particle may leave through the mouth in two steps."""


class Leaks:
    """Follows every particle and counts those that left the cup, or sank, through a wall."""

    def __init__(self, env: GraspVectorEnv) -> None:
        self.env = env
        self.inside = env.task.in_cup(env.physics)
        self.count = 0

    def update(self, done: Tensor) -> None:
        task, physics = self.env.task, self.env.physics
        world = physics.bind("xpos")[:, task.particles]
        x, y, z = task.in_cup_frame(physics).unbind(-1)
        self.inside &= z < MOUTH
        through_cup = self.inside & ((x.hypot(y) > OUTSIDE) | (z < -0.02))
        over_table = ((world[..., :2] - torch.tensor([0.6, 0.0])).abs() < 0.58).all(-1)
        leaked = (through_cup | (over_table & (world[..., 2] < -0.02))) & ~done[:, None]
        self.count += int(leaked.any(-1).sum())
        self.inside = (self.inside & ~leaked) | (task.in_cup(physics) & (z < MOUTH))


def place(env: GraspVectorEnv, poured: int, lift: float = 0.0) -> None:
    """Put the first `poured` particles side by side above the bowl's floor, all at rest."""
    qpos = env.task.start(env.episode_seed).clone()
    model = env.task.model
    for index in range(poured):
        body = model.body(f"particle_{index:02d}")
        spot = np.array([0.0162 * (index % 4 - 1.5), 0.0162 * (index // 4 - 1.5), 0.014 + lift])
        joint = model.joint(f"particle_{index:02d}_x").qposadr[0]
        target = model.body("bowl").pos + spot - body.pos
        qpos[:, joint : joint + 3] = torch.tensor(target, dtype=torch.float32)
    env.physics.reset(torch.ones(env.num_envs, dtype=torch.bool), qpos)


@pytest.fixture
def env() -> GraspVectorEnv:
    env = GraspVectorEnv("pour-cup", 4, reward="dense", num_threads=1)
    env.reset(seed=3)
    return env


def test_particles_start_in_the_cup_and_stay_where_they_are(env: GraspVectorEnv) -> None:
    start = env.physics.bind("xpos").clone()
    cup = start[:, env.task.cup, :2]
    assert (cup - torch.tensor([0.6, -0.1])).abs().max() <= CUP_OFFSET + 1e-6
    assert (cup[0] - cup[1]).abs().max() > 1e-3
    assert env.task.in_cup(env.physics).all()
    for _ in range(30):
        env.step(torch.zeros(4, 11))
    moved = (env.physics.bind("xpos") - start).norm(dim=-1)
    assert moved[:, env.task.particles].max() < 5e-4
    assert moved[:, env.task.cup].max() < 1e-4


def test_cup_observation_is_the_pose_of_its_bottom(env: GraspVectorEnv) -> None:
    pose = env.packer.unpack(env.observation())["cup_pose"]
    expected = torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]).expand(4, 6)
    torch.testing.assert_close(pose[:, 3:], expected, atol=1e-6, rtol=0)
    assert pose[:, 2].abs().max() < 3e-4


def move_cup(env: GraspVectorEnv, place: list[float]) -> None:
    """Put the cup with what lies in it elsewhere on the table."""
    qpos = env.task.start(env.episode_seed)
    shift = torch.tensor(place) - env.physics.bind("xpos")[:, env.task.cup, :2]
    qpos += shift[:, :1] * env.task.shift[0] + shift[:, 1:] * env.task.shift[1]
    env.physics.reset(torch.ones(4, dtype=torch.bool), qpos)


@pytest.mark.parametrize(("poured", "success"), [(0, False), (12, False), (13, True), (16, True)])
def test_success_takes_80_percent(env: GraspVectorEnv, poured: int, success: bool) -> None:
    place(env, poured)
    share = torch.full((4,), poured / PARTICLES)
    torch.testing.assert_close(env.task.share_poured(env.physics), share)
    assert ((env.task.progress(env.physics) >= 1.0) == success).all()
    assert (env.task.success(env.physics) == success).all()


def test_particles_above_the_rim_do_not_count(env: GraspVectorEnv) -> None:
    place(env, PARTICLES, lift=BOWL_HEIGHT)
    assert (env.task.share_poured(env.physics) == 0).all()


def test_a_cup_put_into_the_bowl_does_not_count(env: GraspVectorEnv) -> None:
    move_cup(env, [0.6, 0.12])
    assert env.task.in_cup(env.physics).all()
    assert (env.task.share_poured(env.physics) == 0).all()


@pytest.mark.parametrize(
    ("distance", "progress"), [(0.25, 0.0), (0.165, 0.125), (0.11, 0.25), (0.055, 0.375)]
)
def test_progress_grows_as_the_particles_come_near(
    env: GraspVectorEnv, distance: float, progress: float
) -> None:
    move_cup(env, [0.6, 0.12 - distance])
    found = env.task.progress(env.physics)
    torch.testing.assert_close(found, torch.full((4,), progress), atol=0.01, rtol=0)


def test_progress_is_what_is_poured_and_half_of_how_close_the_others_are(
    env: GraspVectorEnv,
) -> None:
    place(env, 4)
    positions = env.physics.bind("xpos")[:, env.task.particles, :2] - torch.tensor([0.6, 0.12])
    close = (1 - positions.norm(dim=-1) / 0.22).clamp_min(0).mean(-1)
    expected = 0.3125 + 0.6875 * 0.5 * close
    torch.testing.assert_close(env.task.progress(env.physics), expected)


def test_the_hand_is_near(env: GraspVectorEnv) -> None:
    distance = env.task.hand_distance(env.physics)
    assert ((distance > 0.1) & (distance < 0.5)).all()


@pytest.mark.parametrize(
    ("episodes", "steps"), [(16, 150), pytest.param(1000, 315, marks=pytest.mark.slow)]
)
def test_nothing_leaks_under_random_actions(episodes: int, steps: int) -> None:
    env = GraspVectorEnv("pour-cup", episodes)
    env.reset(seed=1)
    leaks = Leaks(env)
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        actions = torch.rand(episodes, 11, generator=generator) * 2 - 1
        done = torch.stack(env.step(actions)[2:4]).any(0)
        leaks.update(done)
    assert leaks.count == 0


def let_operator_pour(
    env: GraspVectorEnv, each_step: Callable[[int, Tensor], None] = lambda step, over: None
) -> tuple[int, int]:
    """Return in how many environments the operator pours, and how many particles leak."""
    operator, leaks = SyntheticOperator(env), Leaks(env)
    poured = torch.zeros(env.num_envs, dtype=torch.bool)
    over = torch.zeros(env.num_envs, dtype=torch.bool)
    for step in range(env.max_episode_steps):
        _, _, terminated, truncated, _ = env.step(operator.act()[0])
        done = terminated | truncated
        poured |= terminated & ~over
        over |= done
        operator.rest(done)
        leaks.update(over)
        each_step(step, over)
        if over.all():
            break
    return int(poured.sum()), leaks.count


def test_operator_pours_without_a_leak_and_holds_the_cup_gently() -> None:
    env = GraspVectorEnv("pour-cup", 8)
    env.reset(seed=0)
    depths: list[float] = []
    model = build_model(PourCup)
    data = mujoco.MjData(model)

    def measure(step: int, over: Tensor) -> None:
        if step % 10 == 0:
            for index in (~over).nonzero()[:, 0].tolist():
                depths.extend(penetrations(env, model, data, index))

    poured, leaked = let_operator_pour(env, measure)
    assert poured >= 7
    assert leaked == 0
    assert np.median(depths) < 0.0015
    assert np.quantile(depths, 0.95) < 0.003


@pytest.mark.slow
def test_operator_pours_a_thousand_times_without_a_leak() -> None:
    env = GraspVectorEnv("pour-cup", 1000)
    env.reset(seed=7)
    poured, leaked = let_operator_pour(env)
    assert poured >= 900
    assert leaked == 0


def penetrations(
    env: GraspVectorEnv, model: mujoco.MjModel, data: mujoco.MjData, index: int
) -> list[float]:
    """How deep each touching fingertip is in the cup in one environment, in m."""
    data.qpos[:] = env.physics.bind("qpos")[index].numpy()
    mujoco.mj_kinematics(model, data)
    mujoco.mj_collision(model, data)
    depths = []
    for contact in data.contact[: data.ncon]:
        names = sorted(model.geom(int(geom)).name for geom in contact.geom)
        if names[0].startswith("cup") and names[1].endswith("distal_collision"):
            depths.append(-float(contact.dist))
    return depths

"""The cup's and the bowl's walls, settled starts, what counts as poured, the operator's grasp."""

from collections.abc import Callable

import mujoco
import numpy as np
import pytest
import torch
from torch import Tensor

from building import build_model
from gym_grasp.demos.operators.operator import SyntheticOperator
from gym_grasp.envs.scene import state_parts
from gym_grasp.envs.spec import EnvSpec
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import UsageError
from gym_grasp.math.rotations import quat_rotate
from gym_grasp.tasks.pour_cup import BOWL_HEIGHT, CUP_HEIGHT, CUP_OFFSET, PourCup

PARTICLES = 10
RADIUS = 0.0075
"""Radius of a particle, in m."""
OUTSIDE = 0.05
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
        spot = np.array([0.0162 * (index % 4 - 1.5), 0.0162 * (index // 4 - 1), 0.0145 + lift])
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


@pytest.mark.parametrize(("poured", "success"), [(0, False), (7, False), (8, True), (10, True)])
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
    place(env, 3)
    positions = env.physics.bind("xpos")[:, env.task.particles, :2] - torch.tensor([0.6, 0.12])
    close = (1 - positions.norm(dim=-1) / 0.22).clamp_min(0).mean(-1)
    expected = 0.375 + 0.625 * 0.5 * close
    torch.testing.assert_close(env.task.progress(env.physics), expected)


def test_nothing_invisible_touches() -> None:
    model = build_model(PourCup)
    touching = (model.geom_contype | model.geom_conaffinity) != 0
    robot = model.body_rootid[model.geom_bodyid] == model.body("robot").id
    shown = (model.geom_group < 3) & (model.geom_rgba[:, 3] > 0)
    assert (shown | ~touching | robot).all()
    assert model.geom_margin[~robot].max() == 0.0


def rest(env: GraspVectorEnv, seconds: float) -> None:
    for _ in range(round(seconds * 30)):
        env.step(torch.zeros(env.num_envs, env.action_size))


@pytest.mark.parametrize("gap", [0.001, 0.01, 0.03])
def test_a_particle_beside_the_standing_cup_stays(env: GraspVectorEnv, gap: float) -> None:
    """Where an invisible lining once reached, which shot it 3.8 m away."""
    qpos = env.task.start(env.episode_seed).clone()
    model = env.task.model
    cup = env.physics.bind("xpos")[:, env.task.cup]
    particle = int(model.joint("particle_00_x").qposadr[0])
    home = torch.tensor(model.body("particle_00").pos, dtype=torch.float32)
    angle = torch.tensor([0.0, 0.4, 2.0, 4.0])  # at a corner of the octagon it is wider
    out = 0.0464 + RADIUS + gap
    beside = torch.stack([out * angle.cos(), out * angle.sin(), torch.full((4,), RADIUS)], 1)
    qpos[:, particle : particle + 3] = cup + beside - home
    env.physics.reset(torch.ones(4, dtype=torch.bool), qpos)
    before = env.physics.bind("xpos")[:, env.task.particles.start].clone()
    rest(env, 0.5)
    moved = (env.physics.bind("xpos")[:, env.task.particles.start] - before).norm(dim=-1)
    assert moved.max() < 1e-3


def depths(env: GraspVectorEnv, index: int) -> list[float]:
    """How deep each touching particle is in another or in a vessel in one environment, in m."""
    model = env.task.model
    data = mujoco.MjData(model)
    data.qpos[:] = env.physics.bind("qpos")[index].numpy()
    mujoco.mj_kinematics(model, data)
    mujoco.mj_collision(model, data)
    bodies = model.geom_bodyid[data.contact.geom]
    loose = (bodies >= env.task.particles.start) & (bodies < env.task.particles.stop)
    return (-data.contact.dist[loose.any(1)]).tolist()


def test_particles_fall_and_settle_without_sinking_in(env: GraspVectorEnv) -> None:
    """From 30 cm: never faster than a radius a physics step, never deeper than a radius."""
    place(env, PARTICLES, lift=0.3)
    deepest, falling = 0.0, 0.0
    held = env.controller.joint_targets()
    for _ in range(120):
        env.physics.step(held, 1)
        falling = max(falling, -env.physics.bind("qvel")[:, -3 * PARTICLES :].min().item())
        deepest = max([deepest, *depths(env, 0), *depths(env, 1)])
    assert 0.6 < falling < RADIUS / PourCup.timestep + 0.02
    assert 0.004 < deepest < RADIUS
    for _ in range(90):
        env.physics.step(held, 1)
    assert max(d for index in range(4) for d in depths(env, index)) < 0.002
    assert (env.task.share_poured(env.physics) == 1.0).all()


@pytest.mark.parametrize("speed", [0.5, 1.0, 1.5])
def test_nothing_leaks_from_a_cup_that_is_struck(speed: float) -> None:
    env = GraspVectorEnv("pour-cup", 32, autoreset=False)
    env.reset(seed=0)
    generator = torch.Generator().manual_seed(0)
    direction = torch.randn(32, 3, generator=generator)
    direction[:, 2].abs_()  # not into the table
    start = int(env.task.model.joint("cup").dofadr[0])
    state = env.physics.get_state()
    place = 0
    for name, width in state_parts(env.task.model):
        if name == "qvel":
            moving = direction / direction.norm(dim=1, keepdim=True) * speed
            state[:, place + start : place + start + 3] = moving.to(state.dtype)
        place += width
    env.physics.set_state(state)
    leaks = Leaks(env)
    for _ in range(20):
        env.step(torch.zeros(32, env.action_size))
        leaks.update(torch.zeros(32, dtype=torch.bool))
    assert leaks.count == 0


def test_nothing_leaks_from_a_cup_that_is_dropped() -> None:
    """Turned any way, from 10 to 40 cm; one that fell freely overtook its particles."""
    count = 64
    env = GraspVectorEnv("pour-cup", count, autoreset=False)
    env.reset(seed=0)
    generator = torch.Generator().manual_seed(1)
    place = torch.rand(count, 3, generator=generator) * torch.tensor([0.2, 0.15, 0.3])
    place += torch.tensor([0.5, 0.17, 0.1])  # some strike the bowl's rim
    turn = torch.randn(count, 4, generator=generator)
    turn /= turn.norm(dim=1, keepdim=True)
    home = torch.tensor(env.task.model.body_pos, dtype=torch.float32)
    cup, particles = home[env.task.cup], home[env.task.particles]
    lain = quat_rotate(turn[:, None].expand(-1, PARTICLES, 4), particles - cup)
    qpos = env.task.start(env.episode_seed).clone()
    address = int(env.task.model.joint("cup").qposadr[0])
    qpos[:, address : address + 7] = torch.cat([place - cup, turn], 1)
    qpos[:, address + 7 :] = (place[:, None] + lain - particles).flatten(1)
    env.physics.reset(torch.ones(count, dtype=torch.bool), qpos)
    assert env.task.in_cup(env.physics).all()
    leaks, held = Leaks(env), env.controller.joint_targets()
    for _ in range(100):
        env.physics.step(held, 1)
        leaks.update(torch.zeros(count, dtype=torch.bool))
    assert leaks.count == 0
    assert (env.physics.bind("xpos")[:, env.task.cup, 2] < 0.2).all()


def test_the_bowl_varies_and_is_observed() -> None:
    env = GraspVectorEnv(EnvSpec("pour-cup", {"bowl": "varied"}), 64, reward="dense")
    env.reset(seed=0)
    bowl = env.observe()["bowl_position"]
    assert torch.equal(bowl, env.physics.bind("xpos")[:, env.task.bowl])
    offset = bowl - torch.tensor([0.6, 0.16, 0.0])
    assert 0.035 < offset[:, :2].abs().amax() <= 0.04 + 1e-6
    assert (offset[:, 2] == 0).all()
    cup = env.physics.bind("xpos")[:, env.task.cup]
    assert (bowl[:, 1] - cup[:, 1]).min() > 0.105 + 0.042  # rim and cup do not meet
    assert bowl[:, :2].var(0).min() > 1e-4
    assert abs(torch.corrcoef(torch.stack([bowl[:, 0], cup[:, 0]]))[0, 1]) < 0.4
    # What is in this bowl counts.
    task, qpos = env.task, env.task.start(env.episode_seed).clone()
    for index in range(8):
        body = task.model.body(f"particle_{index:02d}")
        spot = torch.tensor([0.0162 * (index % 4 - 1.5), 0.0162 * (index // 4 - 1), 0.0145])
        joint = int(task.model.joint(f"particle_{index:02d}_x").qposadr[0])
        home = torch.tensor(body.pos, dtype=torch.float32)
        qpos[:, joint : joint + 3] = bowl + spot - home
    env.physics.reset(torch.ones(64, dtype=torch.bool), qpos)
    assert task.success(env.physics).all()
    assert (task.progress(env.physics) >= 1.0).all()
    assert "bowl_position" not in GraspVectorEnv("pour-cup", 1).features
    with pytest.raises(UsageError, match="Unknown bowl 'round'"):
        EnvSpec("pour-cup", {"bowl": "round"})


def test_the_hand_is_near(env: GraspVectorEnv) -> None:
    distance = env.task.hand_distance(env.physics)
    assert ((distance > 0.1) & (distance < 0.5)).all()


@pytest.mark.parametrize(
    ("episodes", "steps"), [(16, 150), pytest.param(4000, 1260, marks=pytest.mark.slow)]
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
    operator, leaks = SyntheticOperator(env, skill=1.0), Leaks(env)
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

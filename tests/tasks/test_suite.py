"""What holds for every registered task."""

import re

import mujoco
import numpy as np
import pytest
import torch

from building import ROBOT, SHIPPED, build_model, build_task
from gym_grasp.bench.cards import card
from gym_grasp.demos.episode import Episode
from gym_grasp.demos.record import perform
from gym_grasp.envs.build import compile_scene
from gym_grasp.envs.spec import EnvSpec
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.tasks import load_task
from gym_grasp.tasks.base import Task
from gym_grasp.tasks.random import episode_seeds, uniform

NAMED = ("body", "jnt", "geom", "site", "actuator", "cam", "light", "mat", "tex")
SOLID = {
    mujoco.mjtGeom.mjGEOM_PLANE,
    mujoco.mjtGeom.mjGEOM_SPHERE,
    mujoco.mjtGeom.mjGEOM_CAPSULE,
    mujoco.mjtGeom.mjGEOM_BOX,
}
EXPERTS = 8
"""Operators at work in the shared recording, of a skill that makes hardly any mistake."""
MOST_FAILURES = 1
"""Of these attempts, so that the test is of the code and not of one seed."""

STUDY_STEPS = 300
"""Of the scene for people, whose operator takes long: enough to see that it is recorded."""


@pytest.fixture(params=SHIPPED, scope="module")
def task(request) -> type[Task]:
    return load_task(request.param)


@pytest.fixture(scope="module")
def model(task) -> mujoco.MjModel:
    return build_model(task)


@pytest.fixture(scope="module")
def episodes(task) -> list[Episode]:
    """One recording of several operators, failures included."""
    env = make_for_experts(task)
    env.reset(seed=100)
    return perform(env, skill=1.0)


def make_for_experts(task: type[Task]) -> GraspVectorEnv:
    limit = STUDY_STEPS if task.for_people else None
    return GraspVectorEnv(task.name, EXPERTS, autoreset=False, max_episode_steps=limit)


def make(task: type[Task], count: int, **kwargs) -> GraspVectorEnv:
    return GraspVectorEnv(task.name, count, **kwargs)


def test_names(task):
    assert task.scene().stem == task.name.replace("-", "_")
    assert task.title == task.name.title().replace("-", "")
    assert task.summary.endswith(".")


def test_the_robot_comes_first(model):
    assert [model.joint(i).name for i in range(17)] == list(ROBOT.joints)
    assert [model.actuator(i).name for i in range(model.nu)] == list(ROBOT.actuators)
    assert model.nu == 11


def test_every_element_is_named(model):
    for kind in NAMED:
        count = getattr(model, f"n{kind}", None) or getattr(model, f"n{kind}s", 0)
        kind_name = {"jnt": "joint", "cam": "camera", "mat": "material", "tex": "texture"}
        names = [getattr(model, kind_name.get(kind, kind))(i).name for i in range(count)]
        assert all(names), f"{kind} without a name"


def test_collision_is_made_of_primitives(model):
    solid = (model.geom_contype != 0) | (model.geom_conaffinity != 0)
    assert set(model.geom_type[solid]) <= {int(kind) for kind in SOLID}


def test_features_are_what_is_observed(task):
    env = make(task, 2)
    observation, _ = env.reset(seed=0)
    assert observation.shape == (2, env.observation_size)
    assert {"finger_positions", "wrist_pose"} <= set(env.features)
    assert list(env.features) == sorted(env.features)
    found = env.observe()
    assert set(found) == set(env.features)
    for key, feature in env.features.items():
        assert found[key].shape == (2, *feature.shape), key
        assert str(found[key].dtype) == f"torch.{feature.dtype}", key
        assert feature.unit, key
    parts = env.packer.unpack(observation)
    assert torch.equal(env.packer.pack(parts), observation)
    assert all(torch.equal(part, found[key]) for key, part in parts.items())


def test_the_robots_own_features_are_joint_angles_and_the_wrist_pose(task):
    env = make(task, 2)
    env.reset(seed=0)
    env.step(torch.full((2, 11), 0.2))
    found = env.observe()
    assert torch.equal(found["finger_positions"], env.physics.bind("qpos")[:, 6:17])
    site = env.physics.model.site("hand/wrist").id
    matrix = env.physics.bind("site_xmat")[:, site].view(2, 3, 3)
    assert torch.equal(found["wrist_pose"][:, :3], env.physics.bind("site_xpos")[:, site])
    assert torch.equal(found["wrist_pose"][:, 3:6], matrix[:, :, 0])
    assert torch.equal(found["wrist_pose"][:, 6:], matrix[:, :, 1])


def test_the_arm_starts_at_home_give_or_take_its_noise(task):
    """Uniform within 0.04 rad of each joint's home, all of which is used; the hand is open."""
    seeds = episode_seeds(0, torch.arange(512), torch.zeros(512, dtype=torch.int64))
    start = build_task(task).start(seeds)
    offset = start[:, :6] - torch.tensor(ROBOT.arm.home)
    assert offset.abs().max() <= 0.04 + 1e-6
    assert offset.std(0).numpy() == pytest.approx(0.04 / 3**0.5, rel=0.1)
    fingers = ROBOT.hand.joint_targets(torch.tensor(ROBOT.hand.home))
    assert torch.equal(start[:, 6:17], fingers.expand(512, -1))


def test_start_states_depend_on_the_seed_alone(task):
    env = make(task, 3)
    env.reset(seed=0)
    seeds = env.episode_seed.clone()
    first = env.physics.bind("qpos").clone()
    env.reset(seed=1)
    other = env.physics.bind("qpos").clone()
    env.reset_to(seeds)
    assert torch.equal(env.physics.bind("qpos"), first)
    assert not torch.equal(first, other)
    assert not torch.equal(first[0], first[1])


def test_nothing_moves_while_the_hand_is_still(task):
    env = make(task, 8, autoreset=False)
    env.reset(seed=0)
    start = env.physics.bind("qpos")[:, 17:].clone()
    for _ in range(30):
        env.step(torch.zeros(8, 11))
    assert (env.physics.bind("qpos")[:, 17:] - start).abs().max() < 0.01


def test_progress_begins_at_nothing(task):
    env = make(task, 8, autoreset=False)
    env.reset(seed=0)
    *_, info = env.step(torch.zeros(8, 11))
    assert info["progress"].abs().max() < 0.15
    assert not info["success"].any()


def test_state_restores_and_continues_bit_exactly(task):
    env, twin = make(task, 2), make(task, 2)
    env.reset(seed=1)
    twin.reset(seed=2)
    actions = torch.rand(20, 2, 11, generator=torch.Generator().manual_seed(0)) * 2 - 1
    for action in actions[:10]:
        env.step(action)
    twin.set_state(env.get_state())
    for action in actions[10:]:
        for a, b in zip(env.step(action)[:4], twin.step(action)[:4], strict=True):
            assert torch.equal(a, b)


def test_the_operator_succeeds(task, episodes):
    if task.for_people:
        pytest.skip("its operator takes 1,500 steps: test_study_scene.py")
    assert sum(not episode.success for episode in episodes) <= MOST_FAILURES


def test_sparse_reward_is_zero_exactly_at_success(episodes):
    for episode in episodes:
        expected = np.full(len(episode), -1.0)
        expected[-1] = 0.0 if episode.success else -1.0
        np.testing.assert_array_equal(episode.rewards, expected)


def test_recorded_actions_succeed_again_bit_by_bit(task, episodes):
    env = make_for_experts(task)
    env.reset_to(torch.tensor([episode.seed for episode in episodes]))
    longest = max(map(len, episodes))
    actions = torch.zeros(longest, EXPERTS, 11)
    for index, episode in enumerate(episodes):
        actions[: len(episode), index] = torch.from_numpy(episode.actions)
    for step in range(longest):
        *_, info = env.step(actions[step])
        for index, episode in enumerate(episodes):
            if step == len(episode) - 1:
                assert bool(info["success"][index]) == episode.success
                assert bool(info["progress"][index] >= 1.0) == episode.success
                np.testing.assert_array_equal(
                    info["final_obs"][index].numpy(), episode.flat_observations(env.packer)[-1]
                )


def test_dense_reward_is_what_is_missing_and_a_bounded_distance(task):
    env = make(task, 4)
    env.reset(seed=5)
    terms = env.task.reward_terms(env.physics, torch.tensor([0.0, 0.25, 1.0, 1.5]))
    assert set(terms) == {"progress", "hand_distance"}
    reward = sum(terms.values())
    distance = env.task.hand_distance(env.physics).numpy()
    assert (distance > 0.05).all()
    expected = [-1.0, -0.75, 0.0, 0.0] - 0.3 * np.tanh(distance / 0.3)
    np.testing.assert_allclose(reward.numpy(), expected, atol=1e-5)


def test_dense_reward_rises_along_a_demonstration(episodes):
    """Spearman correlation with the time into each successful episode, over 0.5 in the median."""
    if not any(episode.success for episode in episodes):
        pytest.skip("nobody finishes here, see `test_the_operator_succeeds`")
    correlations = [
        np.corrcoef(ranks(episode.dense_rewards), np.arange(len(episode)))[0, 1]
        for episode in episodes
        if episode.success
    ]
    assert np.median(correlations) > 0.5, correlations


def ranks(values: np.ndarray) -> np.ndarray:
    """Twice the rank, ties at their middle."""
    ordered = np.sort(values)
    return np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")


def shake(task: type[Task], count: int, steps: int) -> None:
    """Apply random actions; nothing may become NaN and no simulation may break."""
    env = make(task, count)
    env.reset(seed=0)
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        action = torch.rand(count, 11, generator=generator) * 2 - 1
        observation, reward, *_ = env.step(action)
        assert observation.isfinite().all()
        assert reward.isfinite().all()
    assert env.counters()["diverged"] == 0


def test_random_actions_break_nothing(task):
    shake(task, count=64, steps=60)


def test_a_floor_holds_what_falls_off_the_table(task, model):
    """Whatever moves freely, dropped beside the table: it rests on the floor at −.75 m."""
    loose = [i for i in range(model.njnt) if model.joint(i).type[0] == mujoco.mjtJoint.mjJNT_FREE]
    slides = r"particle_\d+_x|cup"
    loose += [i for i in range(model.njnt) if re.fullmatch(slides, model.joint(i).name)]
    data = mujoco.MjData(model)
    data.qpos[:6] = data.ctrl[:6] = ROBOT.arm.home
    for place, joint in enumerate(loose):
        address = model.jnt_qposadr[joint]
        body = model.jnt_bodyid[joint]
        start = np.array([1.4 + 0.3 * (place % 5), -0.6 + 0.3 * (place // 5), -0.5])
        sliding = model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_SLIDE
        data.qpos[address : address + 3] = start - (model.body_pos[body] if sliding else 0.0)
    mujoco.mj_step(model, data, 120)
    bodies = model.jnt_bodyid[loose]
    assert (data.xpos[bodies, 2] < -0.6).all()
    assert (data.xpos[bodies, 2] > -0.755).all()


@pytest.mark.slow
def test_random_actions_break_nothing_for_long(task):
    shake(task, count=256, steps=10_000)


def test_fingertips_do_not_sink_into_what_they_hold(task, episodes, depths_of_fingertips):
    """Of all contacts of the experts' fingertips, impacts included, 99 of 100 are under 3 mm.

    docs/measurements.md has each task's figures up to the deepest.
    """
    model = compile_scene(EnvSpec(task.name))
    found = np.concatenate([depths_of_fingertips(model, episode) for episode in episodes[:8]])
    assert found.size > 100, "the experts hardly hold anything"
    assert np.percentile(found, 99) < 3e-3


def test_the_card_in_the_docs_is_the_code(task, pytestconfig):
    path = pytestconfig.rootpath / "docs" / "tasks" / f"{task.name}.md"
    assert path.read_text() == card(task.name), "run `make cards`"


def test_the_dataset_card_in_the_docs_is_of_this_task(task, pytestconfig):
    path = pytestconfig.rootpath / "docs" / "datasets" / f"{task.name}.md"
    assert path.exists() is not task.for_people
    if path.exists():
        text = path.read_text()
        assert f"# {task.name} v{task.version}: 200 demonstrations" in text, "run `make datasets`"
        for key, feature in task.features(ROBOT).items():
            assert f"| `obs/{key}` | (T, {feature.shape[0]}) float32 |" in text


def test_seeds_are_spread_and_reproducible():
    index, count = torch.arange(1000), torch.zeros(1000, dtype=torch.int64)
    seeds = episode_seeds(0, index, count)
    assert len(set(seeds.tolist())) == 1000
    assert (seeds >= 0).all()
    assert torch.equal(seeds, episode_seeds(0, index, count))
    assert not torch.isin(episode_seeds(1, index, count), seeds).any()


def test_uniform_is_uniform():
    seeds = episode_seeds(3, torch.arange(20_000), torch.zeros(20_000, dtype=torch.int64))
    values = uniform(seeds, torch.tensor([0.0, -1.0]), torch.tensor([1.0, 3.0]))
    assert values.mean(0).tolist() == pytest.approx([0.5, 1.0], abs=0.03)
    assert values.std(0).tolist() == pytest.approx([0.2887, 1.1547], rel=0.03)
    assert abs(torch.corrcoef(values.T)[0, 1]) < 0.03
    other = uniform(seeds, torch.tensor([0.0]), torch.tensor([1.0]), stream=1)
    assert abs(torch.corrcoef(torch.stack([values[:, 0], other[:, 0]]))[0, 1]) < 0.03

"""Worlds that differ from the model: each part where it should, and drawn from the seed."""

import dataclasses
import math

import mujoco
import pytest
import torch

from gym_grasp.envs.control import ControlConfig
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import UsageError
from gym_grasp.perturbation import NONE, ROBUST, Perturbation

ALL = Perturbation(
    mass=(0.5, 2.0),
    friction=(0.5, 1.5),
    gains=(0.8, 1.2),
    latency=(0.0, 1 / 30),
    observation_noise=(0.002, 0.0175),
)


def make(perturbation=NONE, count=8, task="lift-object", **kwargs) -> GraspVectorEnv:
    env = GraspVectorEnv(task, count, perturbation=perturbation, **kwargs)
    env.reset(seed=5)
    return env


def run(env: GraspVectorEnv, steps: int = 12) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        action = torch.rand(env.num_envs, env.action_size, generator=generator) * 2 - 1
        observation, *_ = env.step(action)
    return observation


def test_factors_are_as_wide_as_asked_and_of_the_seed() -> None:
    worlds = make(ALL, 1).perturber
    seeds = torch.arange(20_000)
    factors = worlds.factors(seeds)
    for name in ("mass", "friction", "gains"):
        low, high = getattr(ALL, name)
        values = factors[name]
        assert values.min() == pytest.approx(low, abs=0.01)
        assert values.max() == pytest.approx(high, abs=0.01)
        assert values.mean() == pytest.approx((low + high) / 2, abs=0.01)
    assert torch.corrcoef(torch.cat([*factors.values()], 1).T).triu(1).abs().max() < 0.03
    counts = worlds.delay(seeds).bincount() / len(seeds)
    assert counts.tolist() == pytest.approx([1 / 6, 1 / 3, 1 / 3, 1 / 6], abs=0.02)
    chosen = worlds.factors(seeds[7:9])
    assert all(torch.equal(chosen[name], values[7:9]) for name, values in factors.items())


@pytest.mark.parametrize("task", ["lift-object", "open-drawer", "pour-cup"])
def test_mass_of_all_that_moves_but_the_robot(task) -> None:
    env, plain = make(Perturbation(mass=(2.0, 2.0)), 2, task), make(NONE, 2, task)
    heavy, light = env.physics.model_of(1), plain.physics.model_of(1)
    ours = light.body_rootid == light.body_rootid[env.task.indices.wrist_body]
    still = light.body_weldid == 0
    expected = torch.where(torch.tensor(ours | still), 1.0, 2.0).double().numpy()
    assert heavy.body_mass == pytest.approx(expected * light.body_mass, rel=1e-6)
    assert heavy.body_inertia == pytest.approx(expected[:, None] * light.body_inertia, rel=1e-6)
    assert (expected * (light.body_mass > 0) > 1).any()
    # and what follows from it
    mujoco.mj_setConst(light, mujoco.MjData(light))
    assert not math.isclose(heavy.body_subtreemass[0], light.body_subtreemass[0], rel_tol=1e-4)


def test_friction_and_gains() -> None:
    env, plain = make(Perturbation(friction=(0.5, 0.5), gains=(1.5, 1.5))), make()
    other, model = env.physics.model_of(3), plain.physics.model_of(3)
    assert other.geom_friction[:, 0] == pytest.approx(0.5 * model.geom_friction[:, 0])
    assert other.geom_friction.min() >= min(mujoco.mjMINMU, model.geom_friction.min())
    assert other.actuator_gainprm == pytest.approx(1.5 * model.actuator_gainprm)
    assert other.actuator_biasprm == pytest.approx(1.5 * model.actuator_biasprm)
    assert other.actuator_forcerange == pytest.approx(model.actuator_forcerange)
    gains = make(Perturbation(gains=(0.8, 1.2)), 4).physics.get_field("actuator_gainprm")
    assert len(gains[:, :, 0].div(torch.tensor(model.actuator_gainprm[:, 0])).unique()) > 40


@pytest.mark.parametrize("substeps", [1, 2, 3])
def test_late_commands(substeps) -> None:
    """A command acts as many physics steps later, the one before it until then."""
    late = make(Perturbation(latency=(substeps / 90, substeps / 90)), 1)
    env = make(count=1)
    hold = env.controller.holding()
    action = torch.ones(1, env.action_size)
    before = hold
    for _ in range(3):
        # What the late one is about to command, from where it is now.
        env.set_state({k: v for k, v in late.get_state().items() if k != "command"})
        env.begin_step(action)
        command = env.commands._present.clone()
        for step in range(3):
            env.physics.step(before if step < substeps else command, 1)
        late.step(action)
        expected, got = env.physics.bind("qpos"), late.physics.bind("qpos")
        assert torch.equal(got, expected)
        assert not torch.equal(before, command)
        before = command


def test_late_commands_go_on_from_a_state() -> None:
    env, other = make(ALL), make(ALL)
    run(env, 5)
    state = env.get_state()
    other.set_state(state)
    assert torch.equal(run(env), run(other))


def test_a_new_episode_forgets_the_last_command() -> None:
    env, fresh = make(ALL), make(ALL)
    run(env, 5)
    env.reset(seed=5)
    assert torch.equal(run(env), run(fresh))


def test_nothing_asked_for_changes_nothing() -> None:
    assert torch.equal(run(make(NONE)), run(make()))
    once = Perturbation(mass=(1.0, 1.0), latency=(0.0, 0.0), finer=1)
    assert once == NONE
    assert torch.equal(run(make(once)), run(make()))


def test_finer_steps_and_another_cone() -> None:
    plain = make()
    env = make(Perturbation(finer=2, cone="elliptic"))
    model = env.physics.model
    assert model.opt.timestep == pytest.approx(1 / 180)
    assert model.opt.cone == mujoco.mjtCone.mjCONE_ELLIPTIC != plain.physics.model.opt.cone
    assert env.control_rate == pytest.approx(plain.control_rate)
    assert env.controller.config.interval == 6
    assert env.max_episode_steps == plain.max_episode_steps
    # the same motion, but for what the steps leave of it
    wrist = [one.observe()["wrist_pose"] for one in (env, plain) if run(one) is not None]
    assert 1e-6 < (wrist[0] - wrist[1]).abs().max() < 0.05
    assert env.description == plain.description


def test_what_a_critic_may_see() -> None:
    env = make(ALL, privileged=True)
    assert env.privileged_size == env.physics.model.nv + 3 + env.physics.model.nu - 0 + (
        env.observation_size
    )
    run(env, 3)
    seen = env.privileged()
    assert torch.equal(seen[:, : env.physics.model.nv], env.physics.bind("qvel"))
    clean = env.packer.pack(env.observe())
    assert torch.equal(seen[:, -env.observation_size :], clean)
    described = seen[:, env.physics.model.nv : -env.observation_size]
    assert torch.equal(described, env.perturber.described(env.episode_seed))
    *_, info = env.step(torch.zeros(8, env.action_size))
    assert torch.equal(info["final_privileged"], env.privileged())
    assert make().privileged_size == 0


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"mass": (2.0, 1.0)}, "perturbation.mass is"),
        ({"friction": (0.0, 1.0)}, "perturbation.friction is"),
        ({"gains": 1.0}, "perturbation.gains is"),
        ({"latency": (-0.1, 0.0)}, "perturbation.latency is"),
        ({"finer": 0}, "perturbation.finer is"),
        ({"finer": True}, "perturbation.finer is"),
        ({"cone": "round"}, "Unknown friction cone 'round'"),
    ],
)
def test_wrong_ranges_are_refused(wrong, match) -> None:
    with pytest.raises(UsageError, match=match):
        Perturbation(**wrong)


@pytest.mark.parametrize(
    ("perturbation", "match"),
    [
        (Perturbation(latency=(0.0, 0.05)), "at most a control step"),
        (Perturbation(latency=(0.0, 0.005)), "would have no effect"),
        ("robust", "expected a Perturbation"),
    ],
)
def test_what_cannot_take_effect_is_refused(perturbation, match) -> None:
    with pytest.raises(UsageError, match=match):
        make(perturbation, 1)
    transposed = ControlConfig(method="jacobian-transpose")
    with pytest.raises(UsageError, match="leave one of them out"):
        make(ROBUST, 1, control=transposed)


def test_it_survives_json() -> None:
    assert Perturbation.from_dict(ROBUST.to_dict()) == ROBUST
    with pytest.raises(UsageError, match="Unknown perturbation 'weight'"):
        Perturbation.from_dict({"weight": [1, 2]})
    assert {one.name for one in dataclasses.fields(ROBUST)} == ROBUST.to_dict().keys()

"""Noise on what policies observe: by unit, by episode and step, and nowhere else."""

import pytest
import torch

from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import UsageError
from gym_grasp.perturbation import Perturbation
from gym_grasp.tasks.features import Feature, pose
from gym_grasp.tasks.random import normal

NOISE = (0.002, 0.0175)


def make(count: int, noise=NOISE, **kwargs) -> GraspVectorEnv:
    perturbation = Perturbation(observation_noise=noise)
    return GraspVectorEnv("open-door", count, perturbation=perturbation, **kwargs)


def errors(env: GraspVectorEnv) -> torch.Tensor:
    return env.observation() - env.packer.pack(env.observe())


def test_units_of_each_value() -> None:
    assert pose("cup").units == ("m",) * 3 + ("1",) * 6
    assert Feature("angles", "rad", ("a", "b")).units == ("rad", "rad")
    env = make(1)
    by_name = dict(zip(env.packer.names, env.observation_units, strict=True))
    assert by_name["handle_pose.z"] == "m"
    assert by_name["wrist_pose.rotation zy"] == "1"
    assert {unit for name, unit in by_name.items() if name.startswith("finger")} == {"rad"}


def test_deviations_are_those_asked_for() -> None:
    env = make(400)
    env.reset(seed=0)
    found = [errors(env)]
    for _ in range(3):
        env.step(torch.zeros(400, 11))
        found.append(errors(env))
    every = torch.cat(found)
    expected = [NOISE[0] if unit == "m" else NOISE[1] for unit in env.observation_units]
    assert every.std(0).tolist() == pytest.approx(expected, rel=0.1)
    assert (every.mean(0) / every.std(0)).abs().max() < 0.12
    assert abs(torch.corrcoef(torch.stack([found[0][:, 0], found[1][:, 0]]))[0, 1]) < 0.15
    assert abs(torch.corrcoef(every[:, :2].T)[0, 1]) < 0.1


def test_noise_follows_from_episode_and_step_alone() -> None:
    env, other = make(5), make(2)
    first, _ = env.reset(seed=3)
    again = other.reset_to(env.episode_seed[[4, 1]])
    assert torch.equal(again, first[[4, 1]])
    actions = torch.full((5, 11), 0.3)
    first, again = env.step(actions)[0], other.step(actions[:2])[0]
    assert torch.equal(again, first[[4, 1]])
    twin = make(5)
    twin.reset(seed=8)
    twin.set_state(env.get_state())
    assert torch.equal(twin.observation(), env.observation())


def test_physics_and_rewards_know_nothing_of_it() -> None:
    noisy, clean = make(3), make(3, noise=(0.0, 0.0))
    noisy.reset(seed=1)
    clean.reset(seed=1)
    for _ in range(5):
        seen, *outcome = noisy.step(torch.full((3, 11), 0.2))
        true, *expected = clean.step(torch.full((3, 11), 0.2))
        assert torch.equal(outcome[0], expected[0])
        assert (seen - true).abs().max() > 1e-3
        assert (outcome[3]["final_obs"] - expected[3]["final_obs"]).abs().max() > 1e-3
    assert torch.equal(noisy.physics.get_state(), clean.physics.get_state())
    assert torch.equal(clean.observation(), clean.packer.pack(clean.observe()))


def test_an_ended_episode_shows_the_next_ones_noise() -> None:
    env = make(2, max_episode_steps=1)
    env.reset(seed=0)
    observation, *_ = env.step(torch.zeros(2, 11))
    assert torch.equal(env.reset_to(env.episode_seed.clone()), observation)


def test_normal_numbers_are_normal() -> None:
    values = normal(torch.arange(20_000), torch.zeros(20_000, dtype=torch.int64), 2)
    assert values.isfinite().all()
    assert values.mean(0).abs().max() < 0.03
    assert values.std(0).tolist() == pytest.approx([1.0, 1.0], rel=0.02)
    share = (values.abs() > 1.96).float().mean()
    assert share.item() == pytest.approx(0.05, abs=0.005)


@pytest.mark.parametrize("noise", [0.1, (0.1,), (-0.1, 0.0), "ab", (float("inf"), 0.0)])
def test_other_noise_is_refused(noise) -> None:
    with pytest.raises(UsageError, match=r"observation_noise is .* expected two standard dev"):
        make(1, noise=noise)


@pytest.mark.parametrize("seed", ["abc", ["a", "b"], [1, -2], [1.5, 2]])
def test_seeds_that_are_none_are_refused_in_one_line(seed) -> None:
    with pytest.raises(UsageError, match=r"The seed is .* expected a whole number"):
        make(2).reset(seed=seed)

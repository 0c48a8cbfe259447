"""Synthetic operators beside people: pace, rest, strategies, mended mistakes, tremor, skill."""

from dataclasses import fields

import numpy as np
import pytest

from gym_grasp.demos.behaviour import behaviour, rest_steps, thumb_range, tremor
from gym_grasp.demos.episode import Episode
from gym_grasp.demos.operators.operator import SyntheticOperator
from gym_grasp.demos.operators.traits import Traits
from gym_grasp.demos.record import describe, perform, record
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import UsageError

ATTEMPTS = 32
SECONDS = {"open-drawer": 6.5, "open-door": 6.5, "lift-object": 6.5}
"""Of people: the paper's for the door; the others' paces are held against it."""
SUCCEED = 0.9
"""Share of attempts."""


@pytest.fixture(params=SECONDS, scope="module")
def attempts(request) -> tuple[GraspVectorEnv, list[Episode]]:
    env = GraspVectorEnv(request.param, ATTEMPTS, autoreset=False)
    env.reset(seed=100)
    return env, perform(env)


def test_operators_behave_as_people_do(attempts):
    env, episodes = attempts
    kept = [episode for episode in episodes if episode.success]
    assert len(kept) >= SUCCEED * ATTEMPTS
    meta = describe(env, "synthetic", 100)
    found = behaviour(kept, meta)
    assert 1 / 1.5 < found.seconds / SECONDS[env.task_name] < 1.5
    assert 0.10 <= found.rest <= 0.35
    kinds = {"open-drawer": "bar", "open-door": "lever", "lift-object": "object"}
    ways = env.robot.hand.grasps_of(kinds[env.task_name])
    assert len(ways) >= 3
    assert set(found.strategies) == set(ways)
    assert 0.12 <= found.mended <= 0.45  # 15 to 40 % of many
    assert min(thumb_range(episode, meta) for episode in kept) > 20.0
    assert 0.05e-3 <= found.tremor <= 0.2e-3
    assert found.skill[0] < 0.15
    assert found.skill[2] > 0.85
    assert [episode.events["skill"] for episode in kept] != sorted(found.skill)


def test_a_mended_mistake_takes_time(attempts):
    _, episodes = attempts
    kept = [episode for episode in episodes if episode.success]
    erred = np.array([episode.events["mistakes"] > 0 for episode in kept])
    length = np.array([len(episode) for episode in kept])
    assert np.median(length[erred]) > 1.3 * np.median(length[~erred])


def test_experts_are_faster_than_novices_and_make_fewer_mistakes():
    env = GraspVectorEnv("open-drawer", 8, autoreset=False)
    seconds, mistakes = [], []
    for skill in (0.0, 0.5, 1.0):
        env.reset(seed=100)
        kept = [episode for episode in perform(env, skill) if episode.success]
        assert {episode.events["skill"] for episode in kept} == {skill}
        seconds.append(float(np.median([len(episode) for episode in kept])) / env.control_rate)
        mistakes.append(sum(episode.events["mistakes"] for episode in kept))
    assert seconds[0] > 1.2 * seconds[1] > 1.2**2 * seconds[2]
    assert mistakes[0] > mistakes[2]


def test_every_trait_follows_skill():
    drawn = {
        skill: [Traits.sample(np.random.default_rng(seed), skill) for seed in range(50)]
        for skill in (0.0, 0.3, 0.7, 1.0)
    }
    for trait in fields(Traits):
        means = [np.mean([getattr(one, trait.name) for one in few]) for few in drawn.values()]
        rises = trait.name in ("skill", "speed")
        if trait.name != "tremor_frequency":
            assert (np.diff(means) > 0).all() if rises else (np.diff(means) < 0).all(), trait.name
    assert {one.skill for one in drawn[0.3]} == {0.3}
    anyone = [Traits.sample(np.random.default_rng(seed)) for seed in range(200)]
    assert np.histogram([one.skill for one in anyone], 4, (0, 1))[0].min() > 30
    # a skill that is given changes nothing else that is drawn
    again = Traits.sample(np.random.default_rng(3), anyone[3].skill)
    assert again == anyone[3]


@pytest.mark.parametrize("skill", [-0.1, 1.01, float("nan")])
def test_a_skill_out_of_range_is_refused(tmp_path, skill):
    with pytest.raises(UsageError, match=r"must be within 0 \(novice\) and 1 \(expert\)"):
        record("open-drawer", tmp_path / "a.hdf5", episodes=1, skill=skill)
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def human():
    env = GraspVectorEnv("open-drawer", 1, num_threads=1, autoreset=False)
    env.reset(seed=0)
    return SyntheticOperator(env).humans[0]


def test_tremor_has_its_band_and_its_size(human):
    human.care = 1.0  # no drift
    sent = np.array([human.sent()[0] for _ in range(6000)])
    assert sent.std(0) == pytest.approx(human.traits.tremor, rel=0.1)
    power = (np.abs(np.fft.rfft(sent - sent.mean(0), axis=0)) ** 2).sum(1)
    frequency = np.fft.rfftfreq(len(sent), 1 / 30)
    band = (frequency >= 8) & (frequency <= 12)
    assert power[band].sum() > 0.8 * power.sum()
    assert frequency[power.argmax()] == pytest.approx(human.traits.tremor_frequency, abs=0.5)
    assert tremor(sent, 30.0) == pytest.approx(human.traits.tremor, rel=0.2)


def test_a_hand_that_drifts_corrects_itself_and_hardly_trembles(human):
    human.care, human.traits.tremor = 0.0, 0.0
    sent = np.array([human.sent()[0] for _ in range(6000)]) - human.position
    assert 0.3 < sent.std() / human.traits.drift < 1.0  # at rest
    off, back = sent[:-6].ravel(), (sent[6:] - sent[:-6]).ravel()
    assert (off @ back) / (off @ off) < -0.2  # a fifth in 0.2 s
    assert tremor(sent, 30.0) < 0.2e-3


def test_tremor_is_told_from_movement():
    time = np.arange(300) / 30
    movement = 0.3 * np.sin(2 * np.pi * 0.3 * time)
    shake = np.sqrt(2) * 1e-4 * np.sin(2 * np.pi * 9.7 * time)
    still = np.zeros_like(time)
    assert tremor(np.stack([movement] * 3, 1), 30.0) < 1e-6
    both = movement + shake
    assert tremor(np.stack([both] * 3, 1), 30.0) == pytest.approx(1e-4, rel=0.05)
    assert tremor(np.stack([both, still, still], 1), 30.0) == pytest.approx(1e-4 / 3**0.5, rel=0.05)
    assert np.isnan(tremor(np.stack([both] * 3, 1)[:20], 30.0))
    assert np.isnan(tremor(np.stack([both] * 3, 1), 15.0))


def test_rest_is_counted_in_steps(make_episode):
    pose = np.zeros((6, 9), dtype=np.float32)
    pose[:, 0] = np.cumsum([0, 0.0005, 0.001, 0, 0.0006, 0.003])  # at 30 Hz: 1.5, 3, 0, 1.8, 9 cm/s
    episode = make_episode(0, steps=5, observations={"wrist_pose": pose})
    assert rest_steps(episode, 30.0) == 3

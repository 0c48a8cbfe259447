"""Demonstrations multiplied: what parts are found, what is carried over, and what comes of it."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from gym_grasp.demos.card import dataset_card
from gym_grasp.demos.multiply import attempts
from gym_grasp.demos.multiply import segments as parts
from gym_grasp.demos.multiply.frames import motion_between, symmetries, turned
from gym_grasp.demos.multiply.multiply import multiply
from gym_grasp.demos.multiply.segments import Segment, find_segments, read_corrections, to_json
from gym_grasp.demos.multiply.source import Source, Track, read_sources, smoothed
from gym_grasp.demos.reader import check, open_dataset
from gym_grasp.demos.record import record
from gym_grasp.demos.replay import replay
from gym_grasp.demos.starts import begin_within
from gym_grasp.envs.build import compile_scene
from gym_grasp.envs.demo_starts import GROWTH, DemoStarts, DemoStates
from gym_grasp.envs.spec import EnvSpec
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import DatasetError, GymGraspError, UsageError
from gym_grasp.math.rotations import quat_from_rotvec
from gym_grasp.perturbation import Perturbation

FAR = 0.04
"""Least distance of start states, in m, of which some have to be left out."""
SPEC = EnvSpec("open-drawer", {"placement": "varied"})


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """A single demonstration of an expert."""
    path = tmp_path_factory.mktemp("one") / "one.hdf5"
    record(SPEC, path, 1, seed=3, skill=1.0)
    return open_dataset(path)


@pytest.fixture(scope="module")
def many(one, tmp_path_factory):
    path = tmp_path_factory.mktemp("many") / "many.hdf5"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attempts, "APART", FAR)
        report = multiply(one, path, 8, seed=1)
    return open_dataset(path), report


# Frames -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "options", "body", "count"),
    [
        ("lift-object", {"object": "box"}, "object", 24),
        ("lift-object", {"object": "dumbbell"}, "object", 48),
        ("open-drawer", {}, "drawer", 1),
        ("open-door", {}, "lever", 1),
        ("pour-cup", {}, "cup", 4),
        ("pour-cup", {}, "bowl", 1),
        ("stack-cubes", {}, "red_cube", 24),
    ],
)
def test_turns_that_look_the_same(task, options, body, count):
    model = compile_scene(EnvSpec(task, options))
    turns = symmetries(model, model.body(body).id)
    assert len(turns) == count
    assert turns[0].tolist() == [1, 0, 0, 0]


def test_a_cube_turns_by_less_than_an_eighth():
    model = compile_scene(EnvSpec("lift-object"))
    turns = torch.tensor(symmetries(model, model.body("object").id), dtype=torch.float32)
    yaw = torch.linspace(-3.1, 3.1, 50)
    place = torch.rand(50, 3)
    lying = quat_from_rotvec(torch.tensor([[torch.pi / 2, 0.0, 0.0]])).expand(50, 4)
    up = quat_from_rotvec(torch.stack([0 * yaw, 0 * yaw, yaw], 1))
    motion, tilt = motion_between((place, lying), (place + 1, up), turns.expand(50, -1, -1))
    quarter = torch.pi / 2
    expected = (yaw + quarter / 2) % quarter - quarter / 2
    torch.testing.assert_close(motion.yaw, expected, atol=1e-4, rtol=0)
    assert tilt.max() < 1e-3
    moved = turned(place, motion.yaw) + motion.shift
    torch.testing.assert_close(moved, place + 1, atol=1e-5, rtol=0)


def test_a_smoothed_way_neither_lags_nor_slows_at_its_ends():
    line = np.linspace(0.0, 1.0, 30)[:, None]
    np.testing.assert_allclose(smoothed(line, 3.0), line, atol=1e-9)


# Segments -----------------------------------------------------------------------------------------


def at_rest(rows):
    return np.repeat([[1.0, 0.0, 0.0, 0.0]], rows, axis=0)


def made_up(wrist, **things):
    rows = len(wrist)
    hand = Track(wrist, at_rest(rows))
    tracks = {name: Track(path, at_rest(rows)) for name, path in things.items()}
    return Source(0, 0, 30.0, hand, hand, np.zeros((rows, 5)), tracks, np.zeros(3))


def ramp(*corners):
    """A way (R, 3) through points, each with its moment."""
    moments = [moment for moment, _ in corners]
    rows = np.arange(moments[-1] + 1)
    columns = [np.interp(rows, moments, [point[axis] for _, point in corners]) for axis in range(3)]
    return np.stack(columns, axis=1)


def test_one_drawer_one_segment(one):
    (source,) = read_sources(one, [0])
    (segment,) = find_segments(source)
    (hold,) = parts.find_holds(source)
    assert (segment.frame, segment.holds, segment.end) == ("drawer", "", len(source) - 1)
    assert 0 < segment.begin < hold.begin < segment.end
    gap = source.wrist.position[segment.begin] - source.wrist.position[hold.begin]
    assert 0.1 <= np.linalg.norm(gap) < 0.13


def test_a_cup_is_brought_to_the_bowl():
    away, cup, bowl = (0.3, 0.3, 0.3), (0.6, 0.0, 0.0), (0.6, 0.4, 0.0)
    wrist = ramp((0, away), (40, cup), (60, cup), (100, bowl))
    source = made_up(
        wrist, cup=ramp((0, cup), (60, cup), (100, bowl)), bowl=ramp((0, bowl), (100, bowl))
    )
    first, second = find_segments(source)
    assert (first.frame, first.holds, second.frame, second.holds) == ("cup", "", "bowl", "cup")
    assert first.end == second.begin
    assert second.begin == pytest.approx(60, abs=3)


def test_what_was_dropped_and_taken_again_is_left_out():
    low, high, away = (0.5, 0.0, 0.0), (0.5, 0.0, 0.08), (0.3, 0.0, 0.3)
    top = (0.5, 0.0, 0.25)
    wrist = ramp((0, away), (30, low), (50, high), (80, away), (110, low), (150, top))
    thing = ramp((0, low), (30, low), (50, high), (56, low), (110, low), (150, top))
    source = made_up(wrist, object=thing)
    assert len(parts.find_holds(source)) == 2
    (segment,) = find_segments(source)
    assert 85 < segment.begin < 110
    assert segment.end == 150


def test_a_file_corrects_segments(one, tmp_path):
    sources = read_sources(one, [0])
    mine = [Segment(5, 30, "world"), Segment(30, 60, "drawer", "drawer")]
    path = tmp_path / "segments.json"
    path.write_text(to_json({0: mine}))
    assert read_corrections(path, sources) == {0: mine}
    for wrong, why in (
        ({"0": [dataclasses.asdict(Segment(5, 30, "drawr"))]}, "'drawr'; known: drawer, world"),
        ({"0": [dataclasses.asdict(Segment(30, 5, "drawer"))]}, "from 30 to 5"),
        ({"0": [dataclasses.asdict(Segment(0, 5_000, "drawer"))]}, "from 0 to 5000"),
        ({"7": [dataclasses.asdict(mine[0])]}, "no episode 7"),
        ({"0": []}, "no segment"),
        ([], "expected episodes"),
    ):
        path.write_text(json.dumps(wrong))
        with pytest.raises(UsageError, match=why):
            read_corrections(path, sources)


# Multiplying --------------------------------------------------------------------------------------


def test_what_comes_of_one(one, many):
    dataset, report = many
    assert len(dataset) == report.episodes == 8
    assert report.share >= 0.8
    assert report.sources[0].share >= 0.8
    assert report.sources[0].kept == 8
    assert dataset.meta.operator == one.meta.operator
    assert dataset.meta.origin.kind == "multiplied"
    assert dataset.meta.origin.source == (f"1 demonstration of {one.fingerprint}",)
    assert "multiplied from 1 demonstration of" in dataset_card(dataset)
    assert "demos record" not in dataset_card(dataset).split("## Fields")[0]
    for episode in dataset.summaries:
        assert episode.events["source"] == 0
        assert episode.seed != one.summaries[0].seed


def test_it_replays_bit_for_bit(many):
    dataset, _ = many
    check(dataset)
    env = GraspVectorEnv(dataset.env_spec(), 5)  # not the batch of the recording
    assert replay(dataset, env).bit_exact == 8
    env.close()


def test_start_states_lie_apart(one, many):
    dataset, report = many
    scale = np.array(
        [0.1 if unit != "m" else 1.0 for unit in GraspVectorEnv(SPEC).observation_units]
    )
    packer = dataset.meta.packer
    episodes = (*one.summaries, *dataset.summaries)
    starts = [episode.flat_observations(packer)[0] * scale for episode in episodes]
    gaps = [np.linalg.norm(a - b) for n, a in enumerate(starts) for b in starts[:n]]
    assert min(gaps) >= FAR == report.apart
    assert report.near > 0


@pytest.mark.slow
def test_the_same_call_makes_the_same(one, many, tmp_path, monkeypatch):
    again = tmp_path / "again.hdf5"
    monkeypatch.setattr(attempts, "APART", FAR)
    multiply(one, again, 8, seed=1)
    assert open_dataset(again).digests == many[0].digests


def test_a_source_that_leads_nowhere_is_said(one, tmp_path):
    wrong = tmp_path / "segments.json"
    wrong.write_text(to_json({0: [Segment(0, 20, "drawer")]}))
    with pytest.raises(GymGraspError, match=r"leads anywhere: episode 0: 0 of 16"):
        multiply(one, tmp_path / "none.hdf5", 4, segments=wrong)
    assert not (tmp_path / "none.hdf5").exists()


def test_what_cannot_be(one, tmp_path):
    out = tmp_path / "out.hdf5"
    for wrong in ({"to": 0}, {"seed": -1}, {"wander": 1.0}, {"episodes": [1]}, {"episodes": []}):
        with pytest.raises(UsageError):
            multiply(one, out, **{"to": 4, **wrong})
    out.write_text("mine")
    with pytest.raises(DatasetError, match="exists already"):
        multiply(one, out, 4)


# Starts within demonstrations ---------------------------------------------------------------------


def curriculum(count=1_000, length=100):
    rows = torch.arange(2 * length).float()[:, None]
    states = DemoStates(
        rows, rows, rows, rows[:, :0],
        first=torch.tensor([0, length]), length=torch.tensor([length, length]),
        seed=torch.tensor([11, 12]),
    )  # fmt: skip
    return DemoStarts(states, count, rate=30.0, limit=600)


def test_episodes_begin_near_the_ends():
    starts, every = curriculum(), torch.ones(1_000, dtype=torch.bool)
    seeds = starts.choose(every, torch.arange(1_000))
    within = starts.within
    assert 0.7 < within.float().mean() < 0.8
    assert set(seeds[within].tolist()) == {11, 12}
    assert (seeds[~within] == torch.arange(1_000)[~within]).all()
    left = 100 - starts.row[within] % 100
    assert (left.min(), left.max()) == (1, 8)
    qpos = starts.start(torch.full((1_000, 1), -5.0))[:, 0]
    assert (qpos[~within] == -5).all()
    assert (qpos[within] == starts.row[within]).all()


def test_the_window_grows_where_enough_succeed():
    starts, every = curriculum(300), torch.ones(300, dtype=torch.bool)
    starts.row.fill_(0)
    first = float(starts.window)
    starts.count(every, torch.arange(300) < 200)
    assert float(starts.window) == pytest.approx(first)
    starts.count(every, torch.arange(300) < 220)
    assert float(starts.window) == pytest.approx(first + GROWTH)
    starts.row.fill_(-1)  # the task's own episodes do not count
    starts.count(every, every)
    starts.count(every, every)
    assert float(starts.window) == pytest.approx(first + GROWTH)


def test_environments_begin_within_demonstrations(many):
    dataset, _ = many
    env, other = GraspVectorEnv(SPEC, 32), GraspVectorEnv(SPEC, 32)
    begin_within(env, dataset)
    env.reset(seed=5)
    demos = env.episodes.demos
    within = demos.within
    assert 15 < within.sum() < 32
    opening = env.physics.bind("qpos")[:, env.task.slide]
    assert (opening[within] > 0.1).all()
    assert (opening[~within] == 0).all()
    limit = env.max_episode_steps - env.elapsed
    assert (limit[within] <= 2 * 30 + 30).all()
    assert (limit[~within] == env.max_episode_steps).all()
    seen = env.observe()["handle_pose"][within]
    by_seed = {episode.seed: episode for episode in dataset.summaries}
    for row, seed in enumerate(env.episode_seed[within].tolist()):
        handle = by_seed[seed].observations["handle_pose"]
        assert np.abs(handle - seen[row].numpy()).sum(1).min() < 1e-4
    begin_within(other, dataset)
    other.reset(seed=9)
    other.set_state(env.get_state())
    assert torch.equal(other.episodes.demos.row, demos.row)
    actions = torch.zeros(32, env.action_size)
    for _ in range(40):
        expected, found = env.step(actions), other.step(actions)
        assert torch.equal(expected[0], found[0])
    seeds = torch.arange(32)
    env.reset_to(seeds)
    assert not env.episodes.demos.within.any()
    with pytest.raises(UsageError, match="after the first reset"):
        begin_within(env, dataset)


def test_late_commands_hold_what_a_demonstration_led_to(many):
    env = GraspVectorEnv(SPEC, 32, perturbation=Perturbation(latency=(0.02, 0.02)))
    begin_within(env, many[0])
    env.reset(seed=5)
    assert env.episodes.demos.within.any()
    assert torch.equal(env.commands.state, env.controller.holding())

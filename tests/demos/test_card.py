import json

import imageio.v3 as imageio
import numpy as np
import pytest

from gym_grasp.demos.card import dataset_card, plot_summary, summarise
from gym_grasp.demos.episode import Origin
from gym_grasp.demos.meta import DatasetMeta
from gym_grasp.demos.reader import open_dataset
from gym_grasp.demos.writer import DatasetWriter
from gym_grasp.tasks import gym_id
from gym_grasp.tasks.features import Feature, pose, scalar
from gym_grasp.tasks.open_drawer import OpenDrawer

FINGERS = Feature("hand joints", "rad", ("other", "thumb_rotation"))


@pytest.fixture
def known(tmp_path, make_episode, make_meta):
    """Return a dataset of 3 episodes of 3, 4 and 8 steps, whose numbers are known by hand."""
    meta = make_meta(description="Drawers are opened.")
    with DatasetWriter(tmp_path / "a.hdf5", meta) as writer:
        for seed, steps in enumerate([3, 4, 8]):
            actions = np.zeros((steps, 11), dtype=np.float32)
            actions[:, 0] = [1, -1, 0.5, 0, 0, 0, 0, 0][:steps]
            events = {"mistakes": 2 * seed}
            writer.add(make_episode(seed, steps=steps, actions=actions, events=events))
        writer.count_failure()
    return open_dataset(tmp_path / "a.hdf5")


def test_summary(known):
    summary = summarise(known)
    assert (summary.episodes, summary.steps, summary.train, summary.valid) == (3, 15, 2, 1)
    assert (summary.attempts, summary.failures, summary.success_rate) == (4, 1, 0.75)
    assert (summary.mistakes, summary.episodes_with_mistakes) == (6, 2)
    steps, seconds = summary.length_steps, summary.length_seconds
    assert (steps.min, steps.median, steps.max) == (3, 4, 8)
    assert (seconds.min, seconds.median, seconds.max) == pytest.approx((0.1, 4 / 30, 8 / 30))
    first = summary.actions[0]
    assert (first.mean, first.min, first.max) == (pytest.approx(0.1), -1, 1)
    assert first.std == pytest.approx(((6 * 1 + 3 * 0.25) / 15 - 0.1**2) ** 0.5)
    assert first.saturated == pytest.approx(6 / 15)
    assert len(summary.actions) == 11
    assert summary.actions[4].std == 0
    assert json.loads(json.dumps(summary.to_dict()))["length_steps"]["max"] == 8


def test_card_names_everything(known):
    card = dataset_card(known)
    for text in (
        f"# open-drawer v{OpenDrawer.version}: 3 demonstrations",
        "Drawers are opened.",
        "- Operator: synthetic (a program, not a person)",
        "- Attempts: 4, 1 of them failed and are left out (75.0 % succeeded)",
        "- Length: 0.1 to 0.3 s, median 0.1 s (3 to 8 steps at 30 Hz)",
        "- Licence: Apache-2.0",
        known.fingerprint,
        "- Origin: 3 recorded",
        "`gym-grasp demos record open-drawer --episodes 3 --seed 4`",
        "| `obs/drawer_opening` | (T, 1) float32 | how far it is open | m |",
        "| `fields/geom_friction` | (4, 3) float32 |",
        "| `operator_input/wrist_pose` | (T, 7) float64 |",
        "| `operator_input/time` | (T,) float64 |",
        "| 0 | action 0 | 0.100 |",
        f"`{gym_id('open-drawer')}`",
        "mujoco 3.17",
        "| median time | 0.1 s | – |",
        "| time in which the wrist is slower than 2 cm/s | – | – |",
        "| episodes of each strategy | – | – |",
        "| episodes with a mistake that is mended | 67 % | – |",
        "| tremor, 8 to 12 Hz, RMS along an axis | – | 0.05 to 0.2 mm |",
        "| attempts, of which failed | 4, 1 | – |",
    ):
        assert text in card
    assert card == dataset_card(open_dataset(known.path))


def test_card_sets_operators_beside_people(tmp_path, make_episode, make_meta):
    features = {"wrist_pose": pose("wrist"), "finger_positions": FINGERS}
    spec = {"task": "open-door", "version": 0, "robot": "ur5-sih"}
    meta = make_meta(spec=spec, features=features)
    rng = np.random.default_rng(0)
    time = np.arange(96) / 30
    sent = np.stack([1e-4 * 2**0.5 * np.sin(2 * np.pi * 10 * time)] * 3, axis=1)
    with DatasetWriter(tmp_path / "a.hdf5", meta) as writer:
        for seed, strategy in enumerate(["hook", "grip", "hook"]):
            wrist = rng.normal(size=(97, 9)).astype(np.float32)
            wrist[:73] = wrist[0]
            fingers = rng.uniform(-1, 1, (97, 2)).astype(np.float32)
            fingers[:, 1] = np.linspace(-0.5, -0.5 - np.pi / 6, 97)
            writer.add(
                make_episode(
                    seed,
                    steps=96,
                    observations={"wrist_pose": wrist, "finger_positions": fingers},
                    operator_input={"wrist_position": sent},
                    events={"mistakes": seed % 2, "strategy": strategy, "skill": 0.25},
                )
            )
    dataset = open_dataset(tmp_path / "a.hdf5")
    card = dataset_card(dataset)
    for text in (
        "--seed 4 --skill 0.25`",
        "| median time | 3.2 s (0.49 ×) | 6.5 s |",
        "| time in which the wrist is slower than 2 cm/s | 75 % | – |",
        "| episodes of each strategy | grip 1, hook 2 | – |",
        "| episodes with a mistake that is mended | 33 % | – |",
        "| range of the thumb's rotation, median | 30° | – |",
        "| tremor, 8 to 12 Hz, RMS along an axis | 0.10 mm | 0.05 to 0.2 mm |",
        "| skill, 0 a novice to 1 an expert | 0.25 to 0.25, median 0.25 | – |",
    ):
        assert text in card, text
    assert json.loads(json.dumps(summarise(dataset).to_dict()))["behaviour"]["rest"] == 0.75


def test_plot_is_a_picture_with_something_in_it(known, tmp_path):
    plot_summary(known, tmp_path / "a.png")
    picture = imageio.imread(tmp_path / "a.png")
    assert picture.shape[:2] == (432, 1440)
    assert 0.02 < (picture[..., :3].min(axis=2) < 250).mean() < 0.5


def test_card_says_what_was_chosen_and_where_it_came_from(tmp_path, make_episode, make_meta):
    meta = make_meta(
        spec={
            "task": "lift-object",
            "version": 0,
            "options": {"object": "sphere"},
            "robot": "ur5-sih",
            "control": {"interval": 6, "linear_speed": 0.6},
        },
        states={"targets": (("wrist position", 3), ("drives", 5))},
        physics_state="mjSTATE_INTEGRATION",
    )
    with DatasetWriter(tmp_path / "a.hdf5", meta) as writer:
        writer.add(make_episode(0))
        writer.add(make_episode(1, origin=Origin("multiplied", ("3f2a",))))
    card = dataset_card(open_dataset(tmp_path / "a.hdf5"))
    for text in (
        "demos record lift-object --episodes 2 --seed 4 --object sphere --control.interval 6`",
        "- Options: object sphere\n",
        "- Control: interval 6, linear_speed 0.6\n",
        "- Robot: ur5-sih\n",
        "- Origin: 1 recorded; 1 multiplied from 3f2a\n",
        "`physics` is MuJoCo's `mjSTATE_INTEGRATION`",
        "| `targets` | wrist position 3, drives 5 |",
    ):
        assert text in card, text


def test_meta_survives_json(make_meta):
    meta = make_meta(
        spec={"task": "a", "version": 3, "robot": "r", "control": {"low": (1, 2.5)}},
        origin=Origin("retargeted", ("b.hdf5",)),
        states={"targets": (("position", 3), ("drives", 5))},
    )
    assert DatasetMeta.from_json(meta.to_json()) == meta
    assert (meta.task, meta.task_version, meta.robot) == ("a", 3, "r")
    assert meta.versions.keys() == {"gym-grasp", "mujoco", "numpy"}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"features": {"a/b": scalar("", "1")}}, "observation 'a/b'"),
        ({"features": {"a": scalar("", "1")} | {"": scalar("", "1")}}, "observation ''"),
        ({"features": {"a": Feature("", "1", ("v",), groups=("critic",))}}, "group 'policy'"),
        ({"features": {"a": Feature("", "1", ("v",), dtype="uint8")}}, "'a' is uint8"),
        ({"spec": {"task": "a", "version": 0}}, "lacks its robot"),
    ],
)
def test_meta_refuses(make_meta, changes, text):
    with pytest.raises(ValueError, match=text):
        make_meta(**changes)


def test_unknown_origin():
    with pytest.raises(ValueError, match="origin is 'found'; known: recorded, multiplied, retar"):
        Origin("found")

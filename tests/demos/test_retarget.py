"""Demonstrations carried over to another hand: what stays the same, and what comes of it."""

import dataclasses

import numpy as np
import pytest
import torch

from gym_grasp.demos import retarget as room
from gym_grasp.demos.reader import check, open_dataset
from gym_grasp.demos.record import record
from gym_grasp.demos.replay import replay
from gym_grasp.demos.retarget import Correction, Way, carried, retarget
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import DatasetError, GymGraspError, UsageError
from gym_grasp.math.rotations import quat_from_rotvec, quat_rotate
from gym_grasp.robots import load_robot
from gym_grasp.robots.grasps import Grasp

SIH, LEAP = (load_robot(f"ur5-{name}").hand for name in ("sih", "leap"))
RATE = 30.0


def way_of(grasp: Grasp) -> Way:
    """Come in 30 steps from 20 cm away, close in 20, and move on for 20 by 10 cm."""
    come, close = torch.linspace(0, 1, 30).double(), torch.linspace(0, 1, 20).double()
    position = torch.zeros(70, 3, dtype=torch.float64)
    position[:30, 0] = 0.2 * (come - 1)
    position[50:, 0] = -0.1 * torch.linspace(0, 1, 20)
    turn = torch.tensor([0.3, 0.2, -0.5]) * torch.linspace(0, 1, 70)[:, None]
    flexion = torch.from_numpy(np.array([grasp.ready] * 70))
    flexion[30:50] += close[:, None] * torch.from_numpy(grasp.grip - grasp.ready)
    flexion[50:] = torch.from_numpy(grasp.grip)
    return Way(position, quat_from_rotvec(turn.double()), flexion)


def thing(way: Way, grasp: Grasp) -> torch.Tensor:
    return way.position + quat_rotate(way.quaternion, torch.from_numpy(grasp.place))


def test_a_hand_carried_over_to_itself_does_the_same():
    grasp = SIH.grasps_of("bar")["grip"]
    way = way_of(grasp)
    same = carried(way, grasp, grasp, Correction(), RATE)
    for name in ("position", "quaternion", "flexion"):
        torch.testing.assert_close(getattr(same, name), getattr(way, name))


@pytest.mark.parametrize("kind", ["bar", "object"])
def test_the_thing_lies_where_it_did_and_is_held_as_the_other_hand_holds_it(kind):
    there, here = (next(iter(hand.grasps_of(kind).values())) for hand in (SIH, LEAP))
    way = way_of(there)
    other = carried(way, there, here, Correction(), RATE)
    torch.testing.assert_close(thing(other, here)[30:], thing(way, there)[30:])
    torch.testing.assert_close(other.flexion[30], torch.from_numpy(here.ready))
    torch.testing.assert_close(other.flexion[-1], torch.from_numpy(here.grip))
    # Far away it still is as the first hand was, and comes from as high up as it has to.
    torch.testing.assert_close(other.flexion[0], way.flexion[0])
    higher = torch.tensor([0.0, 0.0, max(0.0, here.above - there.above)], dtype=torch.float64)
    torch.testing.assert_close(thing(other, here)[0], thing(way, there)[0] + higher)


def test_pitch_and_roll_are_the_other_hands():
    """A hand that lies level, palm down and fingers along x, points down as the grasp says."""
    flat = torch.tensor([0.5, -0.5, 0.5, -0.5]).double()
    there = SIH.grasps_of("object")["all fingers"]
    here = dataclasses.replace(there, pitch=0.2, roll=0.0)
    there = dataclasses.replace(there, pitch=0.0)
    way = way_of(there)
    way = dataclasses.replace(way, quaternion=flat.expand(70, 4))
    other = carried(way, there, here, Correction(), RATE)
    along = quat_rotate(other.quaternion, torch.tensor([0.0, 0.0, 1.0]).double().expand(70, 3))
    expected = torch.tensor([np.cos(0.2), 0.0, -np.sin(0.2)])
    torch.testing.assert_close(along, expected.expand(70, 3))


def test_corrections_are_what_they_say():
    there, here = (hand.grasps_of("bar")["grip"] for hand in (SIH, LEAP))
    plain = carried(way_of(there), there, here, Correction(), RATE)
    paused = carried(way_of(there), there, here, Correction(pause=0.5), RATE)
    assert len(paused) == len(plain) + 15
    still = paused.position[48:63]
    torch.testing.assert_close(still, still[:1].expand(15, 3))
    aside = carried(way_of(there), there, here, Correction(aside=(0.0, 0.01, 0.0)), RATE)
    moved = quat_rotate(plain.quaternion, torch.tensor([0.0, -0.01, 0.0]).double().expand(70, 3))
    torch.testing.assert_close(aside.position - plain.position, moved)


@pytest.fixture(scope="module")
def drawer(tmp_path_factory):
    path = tmp_path_factory.mktemp("drawer") / "drawer.hdf5"
    record("open-drawer", path, 2, seed=3, skill=1.0, num_threads=1)
    return open_dataset(path)


def test_what_the_sih_did_the_shadow_hand_does_and_it_replays_exactly(drawer, tmp_path):
    path, told = tmp_path / "shadow.hdf5", []
    report = retarget(
        drawer, path, "ur5-shadow", num_threads=1, on_episode=lambda *two: told.append(two)
    )
    assert (report.sources, report.kept, report.at_once, report.share) == (2, 2, 2, 1.0)
    assert told[-1] == (2, 2)
    made = open_dataset(path)
    assert made.meta.origin.kind == "retargeted"
    assert drawer.fingerprint in made.meta.origin.source[0]
    assert made.env_spec() == dataclasses.replace(drawer.env_spec(), robot="ur5-shadow")
    for index, (one, source) in enumerate(zip(made.summaries, drawer.summaries, strict=True)):
        assert one.seed == source.seed
        assert (one.events["source"], one.events["correction"]) == (index, 0)
    check(made)
    env = GraspVectorEnv(made.env_spec(), 2, num_threads=1)
    assert replay(made, env).bit_exact == 2
    env.close()


def test_what_fails_with_every_correction_is_counted_and_left_out(drawer, tmp_path, monkeypatch):
    attempt = room._attempt

    def spoiled(spec, first, sources, *rest):
        made = attempt(spec, first, sources, *rest)
        return [
            dataclasses.replace(episode, success=episode.success and source.index != 0)
            for episode, source in zip(made, sources, strict=True)
        ]

    monkeypatch.setattr(room, "_attempt", spoiled)
    monkeypatch.setattr(room, "CORRECTIONS", room.CORRECTIONS[:2])
    report = retarget(drawer, tmp_path / "shadow.hdf5", "ur5-shadow", num_threads=1)
    assert (report.sources, report.kept, report.at_once) == (2, 1, 1)
    made = open_dataset(tmp_path / "shadow.hdf5")
    assert (len(made), made.meta.attempts, made.meta.failures) == (1, 2, 1)
    assert made.summaries[0].events["source"] == 1


def test_what_cannot_be_carried_over_is_refused(drawer, tmp_path, monkeypatch):
    path = tmp_path / "out.hdf5"
    with pytest.raises(UsageError, match="is of ur5-sih already"):
        retarget(drawer, path, "ur5-sih")
    with pytest.raises(UsageError, match="Unknown robot 'ur5-paw'"):
        retarget(drawer, path, "ur5-paw")
    with pytest.raises(UsageError, match=r"Episode 2 is to be carried over; .* has 2, 0 to 1"):
        retarget(drawer, path, "ur5-leap", episodes=[2])
    with pytest.raises(UsageError, match="No episode"):
        retarget(drawer, path, "ur5-leap", episodes=[])
    path.write_text("mine")
    with pytest.raises(DatasetError, match="exists already"):
        retarget(drawer, path, "ur5-leap")
    path.unlink()
    far = Correction(aside=(0.0, 0.0, 0.3))
    monkeypatch.setattr(room, "CORRECTIONS", (far,))
    with pytest.raises(GymGraspError, match=r"None of 1 demonstrations .* succeeds with ur5-leap"):
        retarget(drawer, path, "ur5-leap", episodes=[0], num_threads=1)
    assert not path.exists()
    monkeypatch.setattr(room, "KINDS", {})
    with pytest.raises(UsageError, match="'open-drawer' cannot be carried over"):
        retarget(drawer, path, "ur5-leap")

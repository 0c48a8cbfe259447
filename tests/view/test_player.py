"""Time: playing, stepping, seeking, holding; no network."""

import numpy as np
import pytest
import torch

from gym_grasp.demos.listing import Listing
from gym_grasp.demos.reader import open_dataset
from gym_grasp.envs.spec import EnvSpec
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import CheckpointError, DatasetError, UsageError
from gym_grasp.robots.base import HAND
from gym_grasp.teleop.hand import frames
from gym_grasp.teleop.haptics.forces import FingertipForces
from gym_grasp.view.grip import Grip, fixed
from gym_grasp.view.player import REST, Player
from gym_grasp.view.sources import find, sides_of
from gym_grasp.view.track import curves


def column(side, curve: str, line: int = 0) -> np.ndarray:
    """One line of a side's curves. Shape (T + 1,)."""
    at = 0
    for one in curves(side.env.robot):
        if one.name == curve:
            return np.stack(side.track.rows)[:, at + line]
        at += len(one.names)
    raise KeyError(curve)


def settled(player: Player, now: float = 1.0) -> None:
    """Let a seek come to its end."""
    for _ in range(200):
        player.tick(now)
        if player.wait(now) != 0.0:
            return
    raise AssertionError("it goes on")


def test_the_list_says_what_the_dataset_holds(dataset):
    whole = open_dataset(dataset)
    with Listing(dataset) as listing:
        for index, (head, summary) in enumerate(
            zip(listing.episodes, whole.summaries, strict=True)
        ):
            assert (head.steps, head.seed) == (len(summary), summary.seed)
            assert (head.success, head.events) == (summary.success, summary.events)
            assert listing.episode(index).digest() == whole.digests[index]


def test_a_list_refuses_what_is_missing_or_damaged(dataset, tmp_path):
    with pytest.raises(DatasetError, match="no dataset"):
        Listing(tmp_path / "none.hdf5")
    broken = tmp_path / "broken.hdf5"
    broken.write_bytes(dataset.read_bytes()[:5000])
    with pytest.raises(DatasetError, match="damaged"):
        Listing(broken)


def test_an_altered_episode_is_refused_when_it_is_opened(dataset, tmp_path):
    import h5py

    copy = tmp_path / "altered.hdf5"
    copy.write_bytes(dataset.read_bytes())
    with h5py.File(copy, "r+") as file:
        file["data/demo_1/dense_rewards"][3] += 1e-3
    with Listing(copy) as listing:
        listing.episode(0)
        with pytest.raises(DatasetError, match="demo_1 has changed"):
            listing.episode(1)


def test_a_recorded_episode_shows_the_states_and_numbers_of_the_recording(dataset, open_sides):
    [side] = open_sides(dataset)
    side.track = side.load(1)
    episode, env = side.listing.episode(1), side.env
    assert len(side.track) == len(episode) + 1
    assert side.track.outcome == "success"
    assert side.track.seed == episode.seed
    np.testing.assert_array_equal(column(side, "actions", 8)[1:], episode.actions[:, 8])
    np.testing.assert_array_equal(column(side, "rewards", 1)[1:], episode.dense_rewards)
    np.testing.assert_array_equal(column(side, "rewards", 0)[1:], episode.rewards)
    assert np.isnan(column(side, "actions", 8)[0])
    progress = column(side, "progress")
    assert progress[0] < 0.1
    assert progress[-1] >= 1.0

    # played anew, the simulation passes through the same poses, progress and forces
    fresh = GraspVectorEnv(EnvSpec.from_dict(side.listing.meta.spec), 1, autoreset=False)
    fresh.reset_to(torch.tensor([episode.seed]))
    reader = FingertipForces(fresh.physics.model, fresh.robot)
    for step, action in enumerate(episode.actions[:40]):
        *_, info = fresh.step(torch.from_numpy(action[None]))
        look = side.track.at(step + 1).look
        palm = side.looker.scene.manifest["bodies"].index("hand/palm")
        expected = frames.position_from_world(
            fresh.physics.bind("xpos")[0, fresh.physics.model.body(HAND + "palm").id].numpy()
        )
        np.testing.assert_allclose(look.poses[palm, :3], expected, atol=1e-6)
        assert progress[step + 1] == pytest.approx(float(info["progress"][0]), abs=1e-6)
        force = np.linalg.norm(reader.measure(fresh.physics)[0], axis=1)
        np.testing.assert_allclose(look.force, force, atol=1e-6)
    fresh.close()
    assert column(side, "fingertip forces", 1).max() > 1.0
    assert column(side, "brake", 1).max() <= 1.0
    assert env.task_name == "open-drawer"


def test_vibration_is_what_a_force_exceeds_its_average_by(dataset, open_sides):
    [side] = open_sides(dataset)
    looker = side.looker
    steps = round(0.25 * side.env.control_rate)
    none, hit = np.zeros((1, 2)), np.array([[21.0, 0.0]])
    first = looker.vibration(np.concatenate([none, none, hit]))
    np.testing.assert_allclose(first, [(21 - 21 / steps - 1) / 20, 0], atol=1e-6)
    held = looker.vibration(np.repeat(hit, 3 * steps, axis=0))
    np.testing.assert_allclose(held, 0)


def test_contacts_act_on_what_the_robot_touches(dataset, open_sides):
    [side] = open_sides(dataset)
    side.track = side.load(0)
    strongest = max((m.look for m in side.track.moments), key=lambda look: look.force.sum())
    forces = strongest.contacts[:, 3:]
    sizes = np.linalg.norm(forces, axis=1)
    assert sizes.max() > 1.0
    assert (np.diff(sizes) <= 1e-5).all()
    # the handle is pulled towards the robot: back, +z in the headset's frame
    assert forces[0, 2] > 0.5 * sizes[0]
    # whichever of the two geoms MuJoCo names first
    looker = side.looker
    looker._ours = ~looker._ours
    others, before = looker._contacts()[:, 3:], side.track.at(10**6).look.contacts[:, 3:]
    turned = (others == -before).all(axis=1)
    assert turned.any()
    np.testing.assert_array_equal(others[~turned], before[~turned])


def test_a_policy_plays_as_it_is_evaluated(policies, open_sides):
    [side] = open_sides(policies[0])
    side.begin(7)
    player = Player([side], playing=False)
    player.seek(20)
    settled(player)
    assert player.index == 20
    assert len(side.track) == 21
    env = GraspVectorEnv("open-drawer", 1, autoreset=False)
    observation = env.reset_to(torch.tensor([7]))
    policy = find(str(policies[0])).what
    for _ in range(20):
        observation, *_ = env.step(policy(observation))
    for name, value in env.get_state().items():
        if name != "episode":
            assert torch.equal(value, side.track.at(20).state[name]), name
    env.close()


def test_time_passes_at_the_speed_that_is_asked_for(open_sides):
    [side] = open_sides("open-drawer", acts="nobody")
    side.begin(0)
    player = Player([side], speed=2.0)
    now = 100.0
    player.tick(now)
    for _ in range(10):
        now += player.period
        player.tick(now)
    assert player.index == 21
    player.playing = False
    player.tick(now + 5)
    assert player.index == 21
    assert player.wait(now + 5) is None
    player.step(-20)
    settled(player)
    assert player.index == 1
    player.playing = True
    player.tick(now + 10)
    player.tick(now + 10 + player.period / 2)
    assert player.index == 3  # what is known is shown again, not simulated
    assert len(side.track) == 22


def test_the_end_is_shown_for_a_while_and_then_the_next_begins(dataset, open_sides):
    [side] = open_sides(dataset)
    side.track = side.load(0)
    player = Player([side], loop=True)
    player.seek(len(side.track) - 1)
    settled(player, 50.0)
    assert player.over
    assert not player.rested(50.0 + 0.9 * REST)
    assert player.rested(50.0 + 1.1 * REST)
    player.loop = False
    player.tick(60.0)
    assert not player.playing
    assert not player.rested(70.0)


def test_two_sides_keep_step_and_the_shorter_waits_at_its_end(dataset, policies, open_sides):
    recorded, live = open_sides(dataset, policies[0])
    recorded.track = recorded.load(0)
    live.begin(recorded.track.seed)
    for one in (recorded, live):
        assert one.track.at(0).look.poses.shape == live.track.at(0).look.poses.shape
    np.testing.assert_allclose(
        recorded.track.at(0).look.poses, live.track.at(0).look.poses, atol=1e-6
    )
    player = Player([recorded, live], playing=False)
    player.seek(12)
    settled(player)
    assert len(live.track) == 13
    last = len(recorded.track) - 1
    player.seek(last + 5)
    settled(player)
    assert player.index == last + 5
    assert recorded.track.at(player.index) is recorded.track.moments[-1]


def hold(side, body: str, way: tuple[float, float, float]) -> Grip:
    model = side.looker.model
    index = model.body(body).id
    here = side.env.physics.bind("xpos")[0, index].numpy().astype(float)
    return Grip(index, np.zeros(3), here + np.array(way))


def test_a_thing_follows_the_hand_that_pulls_it(open_sides):
    [side] = open_sides("lift-object", acts="nobody")
    side.begin(0)
    body = next(
        one for one in range(side.looker.model.nbody)
        if side.looker.model.body_dofnum[one] == 6
    )  # fmt: skip
    name = side.looker.model.body(body).name
    position = side.env.physics.bind("xpos")[0, body]
    before = position.numpy().copy()
    player = Player([side], playing=False)
    assert player.hold(side, hold(side, name, (0.0, 0.0, 0.2)))
    for tick in range(45):
        player.tick(1.0 + tick * player.period)
    risen = float(position[2] - before[2])
    assert 0.1 < risen < 0.25
    assert side.track.touched
    player.grip = None
    index = player.index
    player.tick(9.0)
    assert player.index == index, "time stands again"
    player.playing = True
    for tick in range(60):
        player.tick(10.0 + tick * player.period)
    assert float(position[2]) < before[2] + 0.02, "it falls"


def test_a_pushed_hand_yields_and_comes_back(open_sides):
    [side] = open_sides("open-drawer", acts="nobody")
    side.begin(0)
    player = Player([side])
    palm = side.looker.model.body(HAND + "palm").id
    position = side.env.physics.bind("xpos")[0, palm]
    before = position.numpy().copy()
    player.hold(side, hold(side, HAND + "palm", (0.0, 0.1, 0.0)))
    for tick in range(30):
        player.tick(1.0 + tick * player.period)
    pushed = float(position[1] - before[1])
    assert pushed > 0.003
    player.grip = None
    for tick in range(60):
        player.tick(10.0 + tick * player.period)
    assert abs(float(position[1] - before[1])) < 0.3 * pushed


def test_holding_in_the_past_begins_another_future(policies, open_sides):
    [side] = open_sides(policies[0])
    side.begin(3)
    player = Player([side], playing=False)
    player.seek(30)
    settled(player)
    known = side.track.at(10)
    player.seek(10)
    settled(player)
    assert player.hold(side, hold(side, HAND + "palm", (0.0, 0.0, 0.0)))
    assert len(side.track) == 11
    assert side.track.at(10) is known
    player.tick(1.0)
    assert len(side.track) == len(side.track.rows) == 12
    assert player.index == 11


def test_who_cannot_go_back_is_held_at_the_end(open_sides):
    [side] = open_sides("open-drawer")
    assert side.kind == "operator"
    side.begin(3)
    player = Player([side], playing=False)
    player.seek(8)
    settled(player)
    player.seek(2)
    settled(player)
    assert player.hold(side, hold(side, HAND + "palm", (0.0, 0.0, 0.0)))
    assert player.index == 8
    assert len(side.track) == 9


def test_the_scene_itself_cannot_be_held(open_sides):
    [side] = open_sides("open-drawer", acts="nobody")
    assert fixed(side.looker.model, 0)
    assert not fixed(side.looker.model, side.looker.model.body(HAND + "palm").id)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["open-drawr"], "Did you mean 'open-drawer'"),
        (["none/there.pt"], "There is no none/there.pt"),
        (["open-drawer", "lift-object"], "of one task"),
        (["open-drawer"] * 3, "name one, or two"),
    ],
)
def test_what_cannot_be_shown_is_refused(names, message):
    def show() -> None:
        sources = [find(name) for name in names]
        sides_of(sources, sources[0].spec, None)

    with pytest.raises(UsageError, match=message):
        show()


def test_a_run_is_its_policy(policies, tmp_path):
    folder = tmp_path / "run" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "policy.pt").write_bytes(policies[1].read_bytes())
    found = find(str(tmp_path / "run"))
    assert found.spec == EnvSpec("open-drawer")
    assert torch.equal(found.what.actor[0].weight, find(str(policies[1])).what.actor[0].weight)


def test_who_acts_is_said_of_tasks_alone(policies):
    sources = [find(str(policies[0]))]
    with pytest.raises(UsageError, match="--acts"):
        sides_of(sources, sources[0].spec, "nobody")


def test_two_datasets_are_refused(dataset):
    sources = [find(str(dataset)), find(str(dataset))]
    with pytest.raises(UsageError, match="Two datasets"):
        sides_of(sources, sources[0].spec, None)
    for one in sources:
        one.what.close()


def test_a_dataset_is_not_shown_in_another_environment(dataset):
    source = find(str(dataset))
    other = source.spec.replace(max_episode_steps=5)
    with pytest.raises(UsageError, match="as it was recorded"):
        sides_of([source], other, None)
    source.what.close()


def test_a_folder_and_a_foreign_file_are_refused(tmp_path):
    with pytest.raises(UsageError, match="holds no"):
        find(str(tmp_path))
    text = tmp_path / "notes.txt"
    text.write_text("none")
    with pytest.raises(CheckpointError):
        find(str(text))

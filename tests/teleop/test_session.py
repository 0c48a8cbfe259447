from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from rig import Rig, perform

from gym_grasp.demos.reader import open_dataset
from gym_grasp.demos.replay import replay
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import DatasetError
from gym_grasp.teleop.devices.operator import OperatorDevice
from gym_grasp.teleop.hand.input import Buttons
from gym_grasp.teleop.session.clock import TickClock
from gym_grasp.teleop.session.latency import LatencyMeter
from gym_grasp.teleop.session.session import MAX_AGE, State

MakeRig = Callable[..., Rig]


def test_nothing_moves_before_the_clutch(rig: Rig) -> None:
    before = rig.qpos
    rig.tick(20)
    assert rig.session.state is State.WAITING
    np.testing.assert_array_equal(rig.qpos, before)


def test_a_clutch_held_from_the_start_does_not_engage(rig: Rig) -> None:
    rig.tick(5, clutch=True)
    assert rig.session.state is State.WAITING
    rig.tick()
    rig.tick(clutch=True)
    assert rig.session.state is State.ENGAGED


def test_engaging_does_not_jump(rig: Rig) -> None:
    before = rig.target
    rig.press()  # the operator's hand is metres away from the robot's
    np.testing.assert_allclose(rig.target, before, atol=2e-6)
    rig.flexion = rig.flexion + 0.0
    rig.tick(2)
    np.testing.assert_allclose(rig.target, before, atol=2e-6)


def test_the_robot_makes_the_operators_movement(rig: Rig) -> None:
    before = rig.target
    rig.press()
    rig.position = rig.position + [-0.02, 0.01, 0.03]
    rig.tick(60)
    np.testing.assert_allclose(rig.target[:3] - before[:3], [-0.02, 0.01, 0.03], atol=1e-5)
    np.testing.assert_allclose(rig.target[7:], rig.flexion, atol=1e-5)


@pytest.mark.parametrize(
    ("robot", "drives"),
    [
        ("ur5-sih", [0.9, 0.1, 0.2, 0.3, 0.5]),  # as the flexions
        ("ur5-three", [0.2, 0.5 * 0.3 + 0.5 * 0.5, 0.1, 0.9]),  # index, middle, thumb, turn
    ],
)
def test_any_hand_goes_without_a_jump_to_what_the_fingers_ask_for(
    make_rig: MakeRig, robot: str, drives: list[float]
) -> None:
    rig = make_rig(robot=robot)
    rig.flexion = np.array([0.9, 0.1, 0.2, 0.3, 0.5])
    before = rig.target[7:]
    np.testing.assert_allclose(before, rig.env.robot.hand.home, atol=2e-3)
    rig.press()
    np.testing.assert_allclose(rig.target[7:], before, atol=2e-6)
    rig.tick(2 + 3 * 7)  # with the first one, 8 of the 15 control steps in which it fades
    half = before + 7 / 15 * (drives - before)
    np.testing.assert_allclose(rig.target[7:], half, atol=1e-5)
    rig.tick(3 * 9)
    np.testing.assert_allclose(rig.target[7:], drives, atol=1e-5)
    felt = rig.device.felt
    assert felt is not None
    assert felt.fingers == tuple(finger.name for finger in rig.env.robot.hand.fingers)
    assert len(felt.brake) == len(felt.vibration) == len(felt.fingers)


def test_a_new_episode_feels_a_touch_as_if_there_had_been_none_before(rig: Rig) -> None:
    force, closing = np.zeros((5, 3)), np.tile([0.0, 0.0, 1.0], (5, 1))
    force[1] = [0.0, 0.0, -10.0]
    rig.session._forces.measure = lambda physics: (force, closing)  # type: ignore[method-assign]
    # 10 N less their mean over 23 ticks with zeros before and the dead band of 1 N, of 20 N
    first = (10 - 10 / 23 - 1) / 20
    for _ in range(2):
        rig.press()
        assert rig.device.felt is not None
        np.testing.assert_allclose(rig.device.felt.vibration, [0, first, 0, 0, 0])
        np.testing.assert_allclose(rig.device.felt.brake, [0, 0.5, 0, 0, 0])
        rig.tick(30)
        np.testing.assert_allclose(rig.device.felt.vibration, 0.0)
        np.testing.assert_allclose(rig.device.felt.brake, [0, 0.5, 0, 0, 0])
        rig.tick(buttons=Buttons(reset=True))
        np.testing.assert_allclose(rig.device.felt.brake, 0.0)


def test_released_and_engaged_elsewhere_it_goes_on_from_where_it_was(rig: Rig) -> None:
    rig.press()
    rig.position = rig.position + [0.0, 0.0, 0.02]
    rig.tick(30)
    rig.press()
    assert rig.session.state is State.PAUSED
    rig.tick(3)
    before, frozen = rig.target, rig.qpos
    rig.position = np.array([-1.0, 0.5, 0.0])
    rig.tick(10)
    np.testing.assert_array_equal(rig.qpos, frozen)
    rig.press()
    assert rig.session.state is State.ENGAGED
    np.testing.assert_allclose(rig.target[:7], before[:7], atol=2e-6)


def test_the_hold_clutch_stops_when_it_is_let_go(make_rig: MakeRig) -> None:
    rig = make_rig(hold=True)
    rig.press()
    rig.tick(6, clutch=True)
    assert rig.session.state is State.ENGAGED
    rig.tick()
    assert rig.session.state is State.PAUSED


@pytest.mark.parametrize(
    ("broken", "notice"),
    [
        ({"tracked": False}, "tracking of the hand is lost"),
        ({"tracked": False, "lost": "the page is hidden"}, "the page is hidden"),
        ({"wrist_position": np.array([np.nan, 0, 0])}, "tracking"),
        ({"wrist_quaternion": np.zeros(4)}, "tracking"),
        ({"age": 0.2}, "too old"),
    ],
)
def test_a_fault_stops_the_robot_until_a_fresh_press(rig: Rig, broken: dict, notice: str) -> None:
    rig.press()
    rig.tick(8)
    rig.position = rig.position + 0.05
    rig.tick(3, **broken)
    assert rig.session.state is State.PAUSED
    assert notice in rig.session.notice
    frozen = rig.qpos
    rig.tick(3, clutch=True, **broken)
    rig.tick(10, clutch=True)  # tracked again, but the press was before
    assert rig.session.state is State.PAUSED
    np.testing.assert_array_equal(rig.qpos, frozen)
    assert rig.device.felt is not None
    assert rig.device.felt.brake.max() == rig.device.felt.vibration.max() == 0.0
    rig.press()
    assert rig.session.state is State.ENGAGED


def test_a_fault_prevents_engaging_and_says_so(rig: Rig) -> None:
    rig.tick(age=0.5)
    rig.tick(age=0.5, clutch=True)
    assert rig.session.state is State.WAITING
    assert "too old" in rig.session.notice


def test_no_physics_step_is_ever_driven_by_a_pose_older_than_the_limit(rig: Rig) -> None:
    rng = np.random.default_rng(0)
    oldest = 0.0
    capture = 0.0
    for tick in range(400):
        age = float(rng.uniform(0.0, 0.13))
        steps, before, engagement = len(rig.session.rows), rig.qpos, rig.session.engagement
        rig.tick(age=age, clutch=tick % 4 == 1)
        # the rest of a step that was cut short is done when the operator engages again
        if len(rig.session.rows) > steps or rig.session.engagement > engagement:
            capture = rig.now - age
        if not np.array_equal(rig.qpos, before):
            oldest = max(oldest, rig.now - capture)
        if rig.session.state is State.DONE:
            rig.tick(buttons=Buttons(next=True))
    assert 0.07 < oldest <= MAX_AGE + 1e-9


@pytest.mark.parametrize("tick", [1, 2, 3])
def test_a_pose_that_grows_old_within_a_control_step_stops_the_robot_there(
    make_rig: MakeRig, tick: int
) -> None:
    rig = make_rig(max_episode_steps=12)
    rig.press()
    rig.position = rig.position + [0.0, 0.0, 0.02]
    rig.tick(5 + tick)  # so many ticks of the third control step are done
    steps = len(rig.session.rows)
    before = rig.qpos
    rig.tick(3, age=0.085)
    np.testing.assert_array_equal(rig.qpos, before)
    assert rig.session.state is State.PAUSED
    assert "too old" in rig.session.notice
    rig.tick()
    rig.position = rig.position + [0.3, 0.0, 0.0]  # elsewhere: nothing jumps
    rig.tick(clutch=True)
    assert len(rig.session.rows) == steps + (tick == 3)
    rig.tick(4)
    while rig.session.state is not State.DONE:
        rig.tick()
    rig.session.close()
    assert rig.recorder.counts == (0, 1)


def test_the_operator_leaving_stops_the_robot(rig: Rig) -> None:
    rig.press()
    rig.tick(4)
    rig.device.hand = None
    for _ in range(3):
        rig.now += 1 / 90
        rig.session.tick(rig.now)
    assert rig.session.state is State.PAUSED
    assert "no operator" in rig.session.notice


def test_time_runs_only_while_engaged_and_its_end_is_a_failure(rig: Rig) -> None:
    rig.tick(300)
    rig.press()
    rig.tick(3 * 60 - 1)
    assert rig.session.state is State.DONE
    assert not rig.session.success
    rig.recorder.flush()
    assert rig.recorder.counts == (0, 1)
    rig.tick(buttons=Buttons(next=True))
    assert rig.session.state is State.WAITING


@pytest.mark.parametrize("button", ["reset", "discard"])
def test_an_attempt_that_is_given_up_counts_as_a_failure(rig: Rig, button: str) -> None:
    seed = int(rig.env.episode_seed[0])
    rig.tick()
    rig.tick(buttons=Buttons(**{button: True}))  # nothing has moved: the same start again
    assert int(rig.env.episode_seed[0]) == seed
    rig.press()
    rig.tick(10)
    rig.tick(buttons=Buttons(**{button: True}))
    assert rig.session.state is State.WAITING
    assert int(rig.env.episode_seed[0]) != seed
    rig.recorder.flush()
    assert rig.recorder.counts == (0, 1)


def test_a_recording_that_goes_on_repeats_no_start(make_rig: MakeRig) -> None:
    rig = make_rig()
    first = int(rig.env.episode_seed[0])
    rig.press()
    rig.tick(10)
    rig.tick(buttons=Buttons(reset=True))
    rig.recorder.flush()
    rig.recorder.writer._lock.close()  # as the system does when a process dies
    again = make_rig()
    assert again.recorder.counts == (0, 1)
    assert int(again.env.episode_seed[0]) != first
    again.session.close()
    rig.recorder._closed = True


class Stumbling(OperatorDevice):
    """A synthetic operator whose tracking is lost now and then."""

    ticks = 0
    pressed = 0

    def latest(self):  # type: ignore[no-untyped-def]
        self.ticks += 1
        if self.ticks % 100 < 20 and self.ticks > 90:
            return replace(self.before, tracked=False, clutch=False, sequence=self.ticks)
        self.before = super().latest()
        return replace(self.before, clutch=self.ticks % 100 in range(22, 26) or self.ticks < 10)


def test_an_interrupted_episode_is_recorded_and_replays_bit_by_bit(make_rig: MakeRig) -> None:
    rig = make_rig(max_episode_steps=900)
    session = perform(rig, Stumbling)
    assert session.success
    assert session.engagement > 1
    session.close()
    dataset = open_dataset(rig.recorder.writer.path)
    episode = dataset.episode(0)
    assert episode.operator_input["engagement"].max() == session.engagement
    assert episode.operator_input["wrist_position"].shape == (len(episode), 3)
    assert (np.diff(episode.operator_input["applied_time"]) > 0).all()
    assert "input_to_state_p99_ms" not in episode.events  # no scene was sent
    env = GraspVectorEnv(dataset.env_spec(), 1)
    report = replay(dataset, env)
    assert (report.reproduced, report.bit_exact) == (1, 1)


def test_a_success_is_on_disk_at_once_and_can_still_be_discarded(make_rig: MakeRig) -> None:
    rig = make_rig(max_episode_steps=900)
    session = perform(rig, OperatorDevice)
    assert len(list(rig.recorder.writer.parts.glob("episode_*.hdf5"))) == 1
    session.device = rig.device
    rig.tick()
    rig.tick(buttons=Buttons(discard=True))
    rig.recorder.flush()
    assert (rig.recorder.counts, rig.recorder.dropped) == ((0, 0), 1)
    assert (session.status()["failed"], session.status()["dropped"]) == (0, 1)
    assert not list(rig.recorder.writer.parts.glob("episode_*.hdf5"))
    assert session.state is State.WAITING


def test_an_episode_that_cannot_be_written_is_kept_and_written_later(
    make_rig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = make_rig(max_episode_steps=900)

    def full(episode: object) -> bool:
        raise DatasetError("No space left on device.")

    with monkeypatch.context() as patch:
        patch.setattr(rig.recorder.writer, "add", full)
        session = perform(rig, OperatorDevice)
    assert "1 change(s) of the recording not on disk: No space" in session.status()["notice"]
    assert rig.recorder.counts == (0, 0), "what is not on disk was reported as kept"
    session.close()
    assert len(open_dataset(rig.recorder.writer.path)) == 1


def test_the_clock_neither_drifts_nor_chases() -> None:
    clock = TickClock(100.0, start=5.0)
    assert clock.begin(5.001) == 0
    assert clock.due == pytest.approx(5.01)
    assert clock.begin(5.017) == 0  # late by .7 periods
    assert clock.begin(5.0553) == 3  # due at 5.02: 3.5 periods late
    assert clock.due == pytest.approx(5.06)
    summary = clock.summary()
    assert (summary["ticks"], summary["late"], summary["skipped"]) == (3, 2, 3)
    assert summary["on_time"] == pytest.approx(1 / 6)


def test_latency_follows_one_input_through_all_stages() -> None:
    meter = LatencyMeter()
    meter.applied(7, capture=1.000, arrival=1.004, now=1.010)
    meter.sent(40, 1.013)
    meter.applied(7, capture=1.000, arrival=1.004, now=1.043)  # not a second time
    meter.sent(41, 1.024)
    meter.shown(41, 1.030)
    meter.shown(41, 1.050)
    values = {name: value["p50_ms"] for name, value in meter.summary().items()}
    assert values == pytest.approx(
        {
            "capture_to_arrival": 4.0,
            "arrival_to_applied": 6.0,
            "applied_to_sent": 3.0,
            "input_to_state": 13.0,
            "sent_to_shown": 6.0,
            "input_to_shown": 30.0,
        }
    )
    meter.begin_episode()
    assert meter.episode() == {}

"""A Vive tracker and a SenseGlove on one hand; neither was there."""

import numpy as np
import pytest
from fakes import FakeBridge
from rig import Rig

from gym_grasp.demos.record import perform
from gym_grasp.errors import DependencyError, GymGraspError, UsageError
from gym_grasp.teleop.devices import gloved_hand, senseglove
from gym_grasp.teleop.devices.base import DeviceContext
from gym_grasp.teleop.devices.gloved_hand import (
    GlovedHand,
    SenseGloveOptions,
    measure,
    open_gloved_hand,
)
from gym_grasp.teleop.devices.openxr import OpenXrDevice
from gym_grasp.teleop.devices.openxr_frame import XrFrame, XrPose
from gym_grasp.teleop.devices.senseglove import GloveSample
from gym_grasp.teleop.hand import frames
from gym_grasp.teleop.hand.calibration import (
    calibration_path,
    load_calibration,
    save_calibration,
)
from gym_grasp.teleop.hand.input import HandInput, Haptics
from gym_grasp.teleop.hand.retargeting import TYPICAL, Calibration
from gym_grasp.teleop.session.session import Session, State

OPEN, FIST = np.zeros((5, 4)), np.full((5, 4), 0.8)
"""Joint angles of a glove, in [rad]."""
UNIT = Calibration((0.0,) * 5, (1.0, 3.0, 3.0, 3.0, 3.0), "glove")


def hand_input(**changes):
    return HandInput(50.0, np.zeros(3), np.array([1.0, 0, 0, 0]), np.zeros(5), True, **changes)


class StillWrist:
    closed = False

    def __init__(self, hand):
        self.hand = hand

    def latest(self):
        return self.hand

    def close(self):
        self.closed = True


class StillGlove(StillWrist):
    felt = None
    status = "the glove is off"

    def fresh(self):
        return self.hand

    def feedback(self, haptics):
        self.felt = haptics


def test_a_gloved_hand_is_as_old_as_its_older_half():
    calibration = Calibration((0,) * 5, (1.0, 3.0, 3.0, 3.0, 3.0), "glove")
    angles = np.zeros((5, 4))
    angles[0, 0], angles[1, 1:] = 0.5, 1.0  # half the thumb's turn; index bent 3 · 1 rad
    glove = StillGlove(GloveSample(49.96, angles, 1))
    device = GlovedHand(StillWrist(hand_input()), glove, calibration)
    hand = device.latest()
    assert (hand.time, hand.tracked, hand.clutch) == (49.96, True, True)
    np.testing.assert_allclose(hand.flexion, [0.5, 0, 1, 0, 0])
    glove.hand = None
    hand = device.latest()
    assert (hand.time, hand.tracked) == (50.0, False)
    assert "the glove is off" in hand.lost
    np.testing.assert_allclose(hand.flexion, [0.5, 0, 1, 0, 0])  # held
    touch = Haptics.none(())
    device.feedback(touch)
    assert glove.felt is touch
    device.close()
    assert device.wrist.closed
    assert glove.closed


def test_a_lost_wrist_stays_lost_and_a_bare_hands_calibration_is_refused():
    glove = StillGlove(GloveSample(50.0, np.zeros((5, 4)), 1))
    assert not GlovedHand(StillWrist(hand_input(tracked=False)), glove).latest().tracked
    assert GlovedHand(StillWrist(None), glove).latest() is None
    with pytest.raises(UsageError, match="source 'glove'"):
        GlovedHand(StillWrist(None), glove, TYPICAL["joints"])


class Mover:
    """A tracked wrist and a worn glove at once; both do what a recorded operator did."""

    status = "connected"

    def __init__(self, episode):
        self.rows = episode.operator_input
        self.tick, self.felt = 0, []
        self.lost = self.off = False

    @property
    def now(self):
        return self.tick / 90

    def row(self, channel):
        rows = self.rows[channel]
        return rows[min(max(0, self.tick - 2) // 3, len(rows) - 1)].astype(float)

    def poll(self):
        self.tick += 1
        wrist = XrPose(
            frames.position_from_world(self.row("wrist_position")),
            frames.quaternion_from_world(self.row("wrist_quaternion")),
        )
        return XrFrame(self.now, None if self.lost else wrist, clutch=self.tick > 1)

    def fresh(self):
        angles = np.zeros((5, 4))
        flexion = self.row("finger_flexion")
        angles[0, 0] = flexion[0]
        angles[1:, 1:] = flexion[[2, 3, 4, 4], None]
        angles[0, 1:] = flexion[1]
        return None if self.off else GloveSample(self.now, angles, self.tick)

    def feedback(self, haptics):
        self.felt.append(haptics)

    def vibrate(self, amplitude, duration):
        pytest.fail("the glove vibrates, not the tracker")

    def close(self):
        pass


@pytest.fixture
def mover(make_rig):
    """A session in which tracker and glove make a movement that opens the drawer."""
    rig: Rig = make_rig(max_episode_steps=900)
    rig.env.reset_to(rig.session._next_seed())
    mover = Mover(perform(rig.env)[0])
    wrist = OpenXrDevice(mover, clock=lambda: mover.now)
    mover.rig = rig
    mover.session = Session(rig.env, GlovedHand(wrist, mover, UNIT), rig.recorder)
    return mover


def test_tracker_and_glove_open_the_drawer_and_the_grasp_is_felt(mover):
    while mover.session.state is not State.DONE:
        mover.session.tick(mover.now)
    assert mover.session.success
    mover.rig.recorder.flush()
    assert mover.rig.recorder.counts == (1, 0)
    brake = np.array([one.brake for one in mover.felt])
    vibration = np.array([one.vibration for one in mover.felt])
    assert brake.max() > 0.2
    assert vibration.max() > 0.3
    assert not brake[:60].any()  # before the handle is reached
    mover.session.tick(mover.now)
    assert mover.felt[-1].brake.max() == mover.felt[-1].vibration.max() == 0.0  # let go of


@pytest.mark.parametrize(
    ("part", "notice"), [("lost", "tracking of the wrist is lost"), ("off", "no fingers from the")]
)
def test_a_lost_tracker_or_glove_stops_the_robot_and_lets_the_fingers_go(mover, part, notice):
    while not (mover.felt and mover.felt[-1].brake.max() > 0.1):
        mover.session.tick(mover.now)
    setattr(mover, part, True)
    for _ in range(3):
        mover.session.tick(mover.now)
    assert mover.session.state is State.PAUSED
    assert notice in mover.session.notice
    before = mover.rig.qpos
    for _ in range(5):
        mover.session.tick(mover.now)
    np.testing.assert_array_equal(mover.rig.qpos, before)
    assert mover.felt[-1].brake.max() == 0.0


class Patient:
    """A glove whose wearer does what is asked, in a time that passes by itself."""

    def __init__(self, monkeypatch, fist=FIST):
        self.now, self.asked, self.fist = 0.0, [], fist
        monkeypatch.setattr(gloved_hand.time, "sleep", self.sleep)

    def sleep(self, seconds):
        self.now += seconds

    def clock(self):
        return self.now

    def fresh(self):
        angles = OPEN if len(self.asked) < 2 else self.fist
        return None if angles is None else GloveSample(self.now, angles, 1)


def test_an_operators_hand_is_measured_in_ten_seconds(monkeypatch):
    glove = Patient(monkeypatch)
    calibration = measure(glove, glove.asked.append)
    assert [text.split()[0] for text in glove.asked] == ["Spread", "Make"]
    assert calibration.source == "glove"
    np.testing.assert_allclose(calibration.open, 0.0)
    np.testing.assert_allclose(calibration.fist, [0.8, 2.4, 2.4, 2.4, 2.4])
    assert glove.now < 10.0


@pytest.mark.parametrize(("fist", "message"), [(OPEN, "hardly moved"), (None, "not tracked")])
def test_a_hand_that_cannot_be_measured_is_an_error_within_ten_seconds(monkeypatch, fist, message):
    glove = Patient(monkeypatch, fist)
    with pytest.raises(UsageError, match=message):
        measure(glove, glove.asked.append)
    assert glove.now < 10.5


def test_opening_reads_the_operators_calibration_or_measures_and_keeps_it(tmp_path, monkeypatch):
    file = tmp_path / "kept" / "me-glove.json"
    bridge = FakeBridge(tmp_path / "glove", angles=OPEN)
    address = f"unix:{tmp_path / 'glove'}"
    wrists = []

    def wrist():
        wrists.append(StillWrist(hand_input()))
        return wrists[-1]

    monkeypatch.setattr(gloved_hand, "measure", lambda glove, ask: UNIT)
    with monkeypatch.context() as patch:
        patch.setattr(senseglove, "RECONNECT", 0.02)
        device = open_gloved_hand(wrist, address, file)
        assert device._fingers.calibration == TYPICAL["glove"]
        device.close()
        open_gloved_hand(wrist, address, file, ask=print).close()
        assert load_calibration(file, "glove") == UNIT
        again = open_gloved_hand(wrist, address, file)
        assert again._fingers.calibration == UNIT
        again.close()
        save_calibration(file, TYPICAL["joints"])  # of a bare hand
        with pytest.raises(GymGraspError, match="was made with 'joints'"):
            open_gloved_hand(wrist, address, file)
    assert [one.closed for one in wrists] == [True] * 4
    bridge.close()


def test_without_a_bridge_nothing_stays_open(tmp_path, monkeypatch):
    monkeypatch.setattr(gloved_hand, "FIRST_ANGLES", 0.05)
    wrist = StillWrist(hand_input())
    with pytest.raises(GymGraspError, match=r"no bridge at .*integrations/senseglove_bridge"):
        open_gloved_hand(lambda: wrist, f"unix:{tmp_path / 'none'}")
    assert wrist.closed

    def absent():
        raise DependencyError("no runtime")

    with pytest.raises(DependencyError, match="no runtime"):
        open_gloved_hand(absent)


def test_the_options_reach_what_is_opened(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    opened = []
    monkeypatch.setattr(gloved_hand, "open_device", lambda wrist: wrist)
    monkeypatch.setattr(
        gloved_hand,
        "open_gloved_hand",
        lambda wrist, *options: opened.append((wrist(), *options)),
    )
    context = DeviceContext(env=None, operator="anna", say=print)
    SenseGloveOptions("waist", "here:1", calibrate=True).open(context)
    SenseGloveOptions().open(context)
    path = calibration_path("anna", "glove")
    assert opened == [
        ("waist", "here:1", path, print),
        ("right_elbow", senseglove.DEFAULT_ADDRESS, path, None),
    ]

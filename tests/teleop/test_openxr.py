import subprocess
import sys

import numpy as np
import pytest
from fakes import FakeRuntime

from gym_grasp.errors import DependencyError, UsageError
from gym_grasp.robots.base import HUMAN_FINGERS
from gym_grasp.teleop.devices.openxr import GRIP_TO_PALM, OpenXrDevice, open_device
from gym_grasp.teleop.devices.openxr_frame import XrFrame, XrPose
from gym_grasp.teleop.hand.frames import ORIGIN
from gym_grasp.teleop.hand.input import Haptics, Pose

LEVEL = np.array([0.0, 0.0, 0.0, 1.0])
"""No rotation, x y z w."""
HALF = np.sqrt(0.5)


class FakeSession:
    def __init__(self, *frames):
        self.frames = list(frames)
        self.pulses = []
        self.closed = False

    def poll(self):
        return self.frames.pop(0)

    def vibrate(self, amplitude, duration):
        self.pulses.append((amplitude, duration))

    def close(self):
        self.closed = True


def frame(position=(0.0, 0.0, 0.0), quaternion=LEVEL, time=1.0, **changes):
    return XrFrame(time, XrPose(np.array(position), np.array(quaternion)), **changes)


def rotated(quaternion, vector):
    w, u = quaternion[0], np.asarray(quaternion[1:])
    return vector + 2 * np.cross(u, np.cross(u, vector) + w * np.asarray(vector))


def device(*frames, **options):
    return OpenXrDevice(FakeSession(*frames), clock=lambda: 2.0, **options)


def test_right_up_and_back_become_minus_y_z_and_minus_x():
    hand = device(frame((0.3, 1.2, -0.5))).latest()
    np.testing.assert_allclose(hand.wrist_position - ORIGIN, [0.5, -0.3, 1.2])
    np.testing.assert_allclose(rotated(hand.wrist_quaternion, [0.0, 0.0, -1.0]), [1, 0, 0])
    assert (hand.time, hand.arrival, hand.tracked, hand.valid()) == (1.0, 2.0, True, True)


def test_the_grip_of_a_right_hand_becomes_the_palm_frame():
    # a hand that holds a stick upright before it: fingers forward, palm to the left, and the
    # little finger below; OpenXR's grip then has x to the right, y back and z down
    quarter_about_x = np.array([HALF, 0.0, 0.0, HALF])  # turns y into z (back), z into −y (down)
    hand = device(frame(quaternion=quarter_about_x), palm=GRIP_TO_PALM).latest()
    along, out, little = ([0, 0, 1.0], [0, 1.0, 0], [1.0, 0, 0])
    np.testing.assert_allclose(rotated(hand.wrist_quaternion, along), [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(rotated(hand.wrist_quaternion, out), [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(rotated(hand.wrist_quaternion, little), [0, 0, -1], atol=1e-12)


def test_a_tracker_away_from_the_wrist_is_corrected_by_its_offset():
    palm = Pose(np.array([0.0, 0.0, 0.1]), np.array([1.0, 0.0, 0.0, 0.0]))
    level, turned = frame(), frame(quaternion=[0.0, HALF, 0.0, HALF])
    # level: 0.1 m back is −x; a quarter turn to the left about up: back becomes right, −y
    moving = device(level, turned, palm=palm)
    np.testing.assert_allclose(moving.latest().wrist_position - ORIGIN, [-0.1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(moving.latest().wrist_position - ORIGIN, [0, -0.1, 0], atol=1e-12)


def test_a_lost_tracker_keeps_its_last_pose_and_is_untracked():
    seen = frame((0.1, 0.2, 0.3))
    one = device(XrFrame(0.9, None), seen, XrFrame(1.1, None, clutch=True), None)
    first, second, third = one.latest(), one.latest(), one.latest()
    assert not first.tracked
    assert first.valid()
    assert second.tracked
    assert not third.tracked
    assert third.clutch
    assert third.time == 1.1
    np.testing.assert_array_equal(third.wrist_position, second.wrist_position)
    assert [first.sequence, second.sequence, third.sequence] == [0, 1, 2]
    assert one.latest() is None  # the runtime has paused the session


def test_controller_head_and_buttons():
    head = XrPose(np.array([0.0, 1.7, 0.0]), LEVEL)
    hand = device(
        frame(head=head, trigger=0.5, squeeze=1.0, clutch=True, reset=True, next=True)
    ).latest()
    np.testing.assert_array_equal(hand.flexion, [1, 0.5, 0.5, 1, 1])
    assert hand.clutch
    assert (hand.buttons.reset, hand.buttons.next, hand.buttons.discard) == (True, True, False)
    np.testing.assert_allclose(hand.head.position - ORIGIN, [0, 0, 1.7])
    # a camera looks along its −z: forward, which is the world's x
    np.testing.assert_allclose(rotated(hand.head.quaternion, [0.0, 0.0, -1.0]), [1, 0, 0])


def test_the_strongest_finger_is_felt_and_silence_sends_nothing():
    session = FakeSession()
    one = OpenXrDevice(session)
    one.feedback(Haptics(HUMAN_FINGERS, np.ones(5), np.array([0.0, 0.2, 0.7, 0.0, 0.1])))
    one.feedback(Haptics(HUMAN_FINGERS, np.ones(5), np.zeros(5)))
    assert session.pulses == [(0.7, 0.05)]
    one.close()
    assert session.closed


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "xr", None)
    with pytest.raises(DependencyError, match=r"gym-grasp\[openxr\]"):
        open_device("right_elbow")


def test_an_unknown_role_lists_the_known_ones():
    with pytest.raises(UsageError, match=r"Did you mean 'right_elbow'\?.*controller, "):
        open_device("right_elbw")


def test_without_a_runtime_the_error_says_what_to_start(monkeypatch, tmp_path):
    pytest.importorskip("xr", exc_type=ImportError)
    monkeypatch.setenv("XR_RUNTIME_JSON", str(tmp_path / "none.json"))
    with pytest.raises(DependencyError, match=r"No usable OpenXR runtime: .*Start SteamVR"):
        open_device("right_elbow")


def test_importing_the_device_loads_no_openxr_library():
    check = (
        "import gym_grasp.teleop.devices.openxr, gym_grasp.teleop.devices.openxr_session, sys;"
        "sys.exit('xr' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", check]).returncode == 0


@pytest.fixture
def runtime(monkeypatch):
    return FakeRuntime.install(monkeypatch)


def test_a_session_with_a_tracker(runtime):
    one = open_device("right_elbow")
    assert "XR_MND_headless" in runtime.extensions
    assert "XR_HTCX_vive_tracker_interaction" in runtime.extensions
    tracker = runtime.bindings["/interaction_profiles/htc/vive_tracker_htcx"]
    assert tracker == ["/user/vive_tracker_htcx/role/right_elbow/input/grip/pose"]
    buttons = runtime.bindings["/interaction_profiles/htc/vive_controller"]
    assert "/user/hand/left/input/trigger/click" in buttons
    assert "/user/hand/right/input/grip/pose" not in buttons
    runtime.values = {"clutch": True, "squeeze": 0.5}
    hand = one.latest()
    assert runtime.calls[0][0] == "begin_session"
    np.testing.assert_allclose(hand.wrist_position - ORIGIN, [0.4, -0.1, 1.0], atol=1e-6)
    np.testing.assert_allclose(hand.head.position - ORIGIN, [0.4, -0.1, 1.7], atol=1e-6)
    assert (hand.tracked, hand.clutch, hand.buttons.next) == (True, True, False)
    np.testing.assert_array_equal(hand.flexion, [1, 0, 0, 0.5, 0.5])
    flags = runtime.xr.SpaceLocationFlags
    runtime.flags = flags.POSITION_VALID_BIT | flags.ORIENTATION_VALID_BIT  # only inferred
    assert not one.latest().tracked
    runtime.events = [runtime.xr.SessionState.STOPPING]
    assert one.latest() is None
    one.feedback(Haptics(HUMAN_FINGERS, np.ones(5), np.ones(5)))  # a tracker cannot vibrate
    one.close()
    names = [call[0] for call in runtime.calls]
    assert names == ["begin_session", "end_session", "destroy_session", "destroy_instance"]


def test_a_session_with_a_controller(runtime):
    one = open_device("controller")
    assert "XR_HTCX_vive_tracker_interaction" not in runtime.extensions
    assert list(runtime.bindings) == ["/interaction_profiles/htc/vive_controller"]
    assert "/user/hand/right/input/grip/pose" in next(iter(runtime.bindings.values()))
    assert one.latest().tracked
    one.feedback(Haptics(HUMAN_FINGERS, np.zeros(5), np.full(5, 0.5)))
    name, _, _, pulse = runtime.calls[-1]
    assert name == "apply_haptic_feedback"
    assert (pulse.amplitude, pulse.duration) == (0.5, 50_000_000)  # 50 ms in ns


def test_a_runtime_that_goes_away_ends_the_hand_not_the_process(runtime, monkeypatch):
    one = open_device("controller")
    assert one.latest().tracked

    def gone(*_):
        raise runtime.xr.exception.SessionLostError("gone")

    for name in ("locate_space", "poll_event"):
        with monkeypatch.context() as patch:
            patch.setattr(runtime.xr, name, gone)
            assert one.latest() is None
    monkeypatch.setattr(runtime.xr, "destroy_session", gone)
    one.close()
    assert runtime.calls[-1][0] == "destroy_instance"


def test_a_runtime_that_refuses_the_headset_is_told(runtime, monkeypatch):
    def unavailable(*_):
        raise runtime.xr.exception.FormFactorUnavailableError("the headset is off")

    monkeypatch.setattr(runtime.xr, "get_system", unavailable)
    with pytest.raises(DependencyError, match="the headset is off"):
        open_device("right_elbow")
    assert runtime.calls[-1][0] == "destroy_instance"

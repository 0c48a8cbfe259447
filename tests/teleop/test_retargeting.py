import json
from math import cos, pi, sin

import numpy as np
import pytest

from gym_grasp.errors import GymGraspError, UsageError
from gym_grasp.teleop.hand.calibration import (
    Calibrator,
    Phase,
    calibration_path,
    load_calibration,
    save_calibration,
)
from gym_grasp.teleop.hand.retargeting import (
    TYPICAL,
    WEBXR_JOINTS,
    Calibration,
    Fingers,
    bends_from_glove,
    bends_from_joints,
    flexion_from_controller,
)
from gym_grasp.teleop.web import protocol
from gym_grasp.teleop.web.page import PageDevice

OPEN = (0.0, 0.0, 0.0, 0.0, 0.0)
FIST = (1.0, 1.0, 4.0, 4.0, 4.0)


def hand(bend=(0.0, 0.0, 0.0, 0.0, 0.0), turn=0.0):
    """A right hand, palm down (−y), fingers along −z, index to the left (−x).

    Args:
        bend: angle at every joint of thumb, index, middle, ring and little finger, in rad.
        turn: of the thumb, from beside the palm (−x) to before it (−y), in rad.
    """
    joints = np.zeros((25, 3))
    for finger in range(4):
        x = 0.02 * (finger - 1)
        position, angle = np.array([x, 0.0, -0.02]), 0.0
        for part in range(5):
            joints[5 + 5 * finger + part] = position
            if part > 0:  # the metacarpal stays in the palm
                angle += bend[finger + 1]
            position = position + 0.03 * np.array([0.0, -sin(angle), -cos(angle)])
    out, along = np.array([-cos(turn), -sin(turn), 0.0]), np.array([0.0, 0.0, -1.0])
    position, angle = np.array([-0.03, 0.0, -0.01]), 0.0
    for part in range(4):
        joints[1 + part] = position
        if part > 0:
            angle += bend[0]
        position = position + 0.03 * (cos(angle) * out + sin(angle) * along)
    return joints


def test_the_joints_are_the_25_of_webxr():
    assert len(WEBXR_JOINTS) == 25
    assert WEBXR_JOINTS[0] == "wrist"
    assert WEBXR_JOINTS[4] == "thumb-tip"
    assert WEBXR_JOINTS[6] == "index-finger-phalanx-proximal"
    assert WEBXR_JOINTS[24] == "pinky-finger-tip"


def test_bends_add_up_the_angles_of_every_joint():
    # thumb: 2 joints of .2, index 3 of .1, middle 3 of 0, ring and little 3 of .3 and .5
    bends = bends_from_joints(hand((0.2, 0.1, 0.0, 0.3, 0.5)))
    np.testing.assert_allclose(bends[1:], [0.4, 0.3, 0.0, (0.9 + 1.5) / 2], atol=1e-12)


@pytest.mark.parametrize("turn", [0.0, 0.4, pi / 2])
def test_thumb_turn_is_measured_about_the_hands_long_axis(turn):
    assert bends_from_joints(hand(turn=turn))[0] == pytest.approx(turn)


def test_bends_do_not_depend_on_where_the_hand_is_and_a_left_hand_mirrors():
    joints = hand((0.2, 0.1, 0.4, 0.3, 0.5), turn=0.6)
    rotation, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    rotation *= np.linalg.det(rotation)
    expected = bends_from_joints(joints)
    np.testing.assert_allclose(bends_from_joints(joints @ rotation.T + [1, 2, 3]), expected)
    mirrored = joints * [-1.0, 1.0, 1.0]
    np.testing.assert_allclose(bends_from_joints(mirrored, right=False), expected)


def test_one_lost_joint_costs_its_own_finger_only():
    joints = hand((0.2, 0.1, 0.4, 0.3, 0.5))
    whole = bends_from_joints(joints)
    joints[WEBXR_JOINTS.index("index-finger-tip")] = np.nan
    bends = bends_from_joints(joints)
    assert np.isnan(bends[2])
    np.testing.assert_array_equal(np.delete(bends, 2), np.delete(whole, 2))
    joints[WEBXR_JOINTS.index("pinky-finger-tip")] = np.nan
    assert bends_from_joints(joints)[4] == pytest.approx(0.9)  # the ring finger alone


def test_lost_fingers_hold_their_last_flexion():
    fingers = Fingers(Calibration(OPEN, FIST))
    first = fingers.update(np.array([0.5, 0.25, 1.0, 2.0, 4.0]))
    np.testing.assert_allclose(first, [0.5, 0.25, 0.25, 0.5, 1.0])
    second = fingers.update(np.array([np.nan, 1.0, np.nan, 0.0, 0.0]))
    np.testing.assert_allclose(second, [0.5, 1.0, 0.25, 0.0, 0.0])


def test_glove_angles_add_up_and_their_signs_are_the_gloves_own():
    angles = np.zeros((5, 4))
    angles[0] = [0.7, -0.1, -0.2, -0.3]
    angles[1] = [9.0, -1.0, -0.5, -0.5]  # spreading does not count
    angles[3], angles[4] = [0, -1, -1, -1], [0, -1, 0, 0]
    bends = bends_from_glove(angles)
    np.testing.assert_allclose(bends, [0.7, -0.6, -2.0, 0.0, -2.0])
    calibration = Calibration(OPEN, (0.7, -1.2, -4.0, -4.0, -4.0), "glove")
    np.testing.assert_allclose(calibration.flexion(bends), [1.0, 0.5, 0.5, 0.0, 0.5])


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match=r"\(26, 3\)"):
        bends_from_joints(np.zeros((26, 3)))  # OpenXR's 26 joints
    with pytest.raises(ValueError, match=r"\(5, 3\)"):
        bends_from_glove(np.zeros((5, 3)))


def test_controller_pinches_with_the_trigger_and_grips_with_the_squeeze():
    np.testing.assert_array_equal(flexion_from_controller(0.25, 0.5), [1, 0.25, 0.25, 0.5, 0.5])
    np.testing.assert_array_equal(flexion_from_controller(2.0, float("nan")), [1, 1, 1, 0, 0])


def test_flexion_is_clipped_to_its_range():
    flexion = Calibration(OPEN, FIST).flexion(np.array([-1.0, 2.0, 2.0, np.nan, 9.0]))
    np.testing.assert_array_equal(flexion, [0, 1, 0.5, np.nan, 1])


def test_a_calibration_without_range_is_refused_and_names_the_finger():
    with pytest.raises(UsageError, match="middle hardly moved"):
        Calibration(OPEN, (1.0, 1.0, 4.0, 0.4, 4.0))
    with pytest.raises(UsageError, match="five finite"):
        Calibration(OPEN, (1.0, 1.0, 4.0, 4.0))
    with pytest.raises(UsageError, match="five finite"):
        Calibration(OPEN, (1.0, 1.0, 4.0, 4.0, float("nan")))
    with pytest.raises(UsageError, match="Unknown source 'mocap'"):
        Calibration(OPEN, FIST, "mocap")
    assert all(typical.source == source for source, typical in TYPICAL.items())


def feed(calibrator, bends, begin, seconds, rate=50):
    """Feed bends until the phase changes or the time is up; return when that was."""
    phase = calibrator.phase
    for tick in range(round(seconds * rate)):
        time = begin + tick / rate
        if calibrator.add(time, np.array(bends)) is not phase:
            break
    return time


def test_a_calm_operator_is_calibrated_in_two_seconds():
    calibrator = Calibrator()
    time = feed(calibrator, OPEN, 0.0, 5)
    assert (calibrator.phase, time) == (Phase.FIST, pytest.approx(1.0))
    # still open for a second: held, but not a fist
    time = feed(calibrator, OPEN, time + 0.02, 2)
    assert calibrator.phase is Phase.FIST
    time = feed(calibrator, FIST, time + 0.02, 5)
    assert calibrator.phase is Phase.DONE
    assert time == pytest.approx(4.04, abs=0.03)
    assert calibrator.result == Calibration(OPEN, FIST, "joints")


def test_a_restless_operator_is_calibrated_within_ten_seconds():
    rng = np.random.default_rng(0)
    calibrator = Calibrator("glove")
    ticks = 0
    while calibrator.phase is not Phase.DONE:
        pose = OPEN if calibrator.phase is Phase.OPEN else FIST
        calibrator.add(ticks / 50, np.array(pose) + rng.uniform(-0.3, 0.3, 5))
        ticks += 1
    assert ticks / 50 <= 10.05
    np.testing.assert_allclose(calibrator.result.open, OPEN, atol=0.15)
    np.testing.assert_allclose(calibrator.result.fist, FIST, atol=0.15)


def test_an_operator_who_makes_no_fist_is_told_and_can_begin_anew():
    calibrator = Calibrator()
    time = feed(calibrator, OPEN, 0.0, 5)
    with pytest.raises(UsageError, match="hardly moved"):
        feed(calibrator, OPEN, time, 6)
    assert calibrator.phase is Phase.OPEN


def page_input(joints):
    """What a page sends of a right hand with these joints."""
    record = np.zeros((), protocol.INPUT)
    record["type"], record["version"] = protocol.INPUT_TYPE, protocol.VERSION
    record["flags"] = protocol.Flag.VISIBLE
    right = record["hands"][1]
    right["kind"], right["mask"] = protocol.Kind.HAND, (1 << 25) - 1
    right["joints"][:, :3], right["pose"] = joints, [0, 0, 0, 0, 0, 0, 1]
    return record[()]


def test_a_page_measures_says_what_went_wrong_and_keeps_the_result(tmp_path):
    kept = tmp_path / "me-joints.json"
    device = PageDevice(save_to=kept)
    opened, fist = hand(), hand((0.5, 1.3, 1.3, 1.3, 1.3), turn=1.0)
    device.calibrate()
    said = [device.guide]
    shown = {}
    for tick in range(30 * 10):
        # no fist at first, whatever is asked
        joints = fist if "Make" in device.guide and tick > 30 * 6.5 else opened
        device.receive(page_input(joints), tick / 30)
        flexion = device.latest().flexion
        shown[device.guide] = shown.get(device.guide, 0) + 1
        if device.guide != said[-1]:
            said.append(device.guide)
    assert [text.split()[0] if text else "" for text in said] == [
        *("Spread", "Make", "Calibration:", "Make", "")
    ]
    assert shown[said[2]] >= 30  # long enough to be read
    np.testing.assert_allclose(flexion, 0.0, atol=1e-6)
    known = load_calibration(kept, "joints")
    np.testing.assert_allclose(known.open, bends_from_joints(opened), atol=1e-6)
    np.testing.assert_allclose(known.fist, bends_from_joints(fist), atol=1e-6)


def test_an_unseen_hand_is_told():
    with pytest.raises(UsageError, match="not tracked"):
        feed(Calibrator(), [np.nan] * 5, 0.0, 6)


def test_a_saved_calibration_loads_as_it_was(tmp_path):
    path = tmp_path / "deep" / "anna-joints.json"
    calibration = Calibration((0.1, 0.2, 0.3, 1 / 3, 0.5), FIST, "joints")
    save_calibration(path, calibration)
    assert load_calibration(path, "joints") == calibration
    save_calibration(path, Calibration(OPEN, FIST))
    assert load_calibration(path) == Calibration(OPEN, FIST)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "anna.json"
    save_calibration(path, Calibration(OPEN, FIST))

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(GymGraspError, match="No space left"):
        save_calibration(path, Calibration(OPEN, FIST, "glove"))
    assert load_calibration(path).source == "joints"
    assert [entry.name for entry in tmp_path.iterdir()] == ["anna.json"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "something else"}, "does not say"),
        ({"fist": [0, 0, 0, 0, 0]}, "hardly moved"),
        ({"fist": [1, 2]}, "five finite"),
        ({"open": "flat"}, "damaged"),
        ({"open": None}, "damaged"),
        ({"source": "mocap"}, "Unknown source"),
        ({"more": 1}, "it holds"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, change, message):
    path = tmp_path / "anna.json"
    save_calibration(path, Calibration(OPEN, FIST))
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(GymGraspError, match=message) as caught:
        load_calibration(path)
    assert "Calibrate again" in str(caught.value)


def test_missing_cut_off_and_foreign_files_are_told_apart(tmp_path):
    path = tmp_path / "anna.json"
    with pytest.raises(GymGraspError, match="no calibration"):
        load_calibration(path)
    path.write_text('{"format"')
    with pytest.raises(GymGraspError, match="damaged"):
        load_calibration(path)
    save_calibration(path, Calibration(OPEN, FIST))
    with pytest.raises(GymGraspError, match="made with 'joints', not 'glove'"):
        load_calibration(path, "glove")


def test_calibrations_lie_below_the_configuration_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    path = calibration_path("anna_2", "glove")
    assert path == tmp_path / "gym-grasp" / "calibration" / "anna_2-glove.json"
    for name in ("../anna", "", "a b", "a" * 65):
        with pytest.raises(UsageError, match="letters, digits"):
            calibration_path(name, "joints")

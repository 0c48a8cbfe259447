import numpy as np
import pytest

from gym_grasp.teleop.hand import frames
from gym_grasp.teleop.hand.retargeting import TYPICAL
from gym_grasp.teleop.session.session import Session
from gym_grasp.teleop.web import protocol
from gym_grasp.teleop.web.page import PageDevice
from gym_grasp.teleop.web.protocol import Close, Flag, Kind, ProtocolError

FACING_AHEAD = [0.0, 0.0, 0.0, 1.0]


def message(kind: Kind = Kind.VIRTUAL, **fields: object) -> np.ndarray:
    """An input whose right hand is 1 m above the floor, half a metre before the operator."""
    record = np.zeros((), protocol.INPUT)
    record["type"], record["version"] = protocol.INPUT_TYPE, protocol.VERSION
    record["flags"], record["capture"] = Flag.VISIBLE, 5.0
    right = record["hands"][1]
    right["kind"] = kind
    right["pose"] = [0.1, 1.0, -0.5, *FACING_AHEAD]
    for name, value in fields.items():
        record[name] = value
    return record


def convert(record: np.ndarray, device: PageDevice | None = None):
    device = device or PageDevice()
    device.receive(protocol.read_input(record.tobytes()), arrival=5.002)
    return device.latest()


def hand_joints(bends: np.ndarray) -> np.ndarray:
    """Joints (25, 8) of a right hand held flat, whose fingers have the given bends."""
    joints = np.zeros((25, 8))
    joints[:, 6] = 1.0
    for finger, servo in enumerate((2, 3, 4, 4)):
        point, angle = np.array([-0.02 + 0.02 * finger, 1.0, -0.53]), 0.0
        for joint in range(5):
            joints[5 + 5 * finger + joint, :3] = point
            point = point + 0.03 * np.array([0.0, -np.sin(angle), -np.cos(angle)])
            angle += bends[servo] / 3
    joints[0, :3] = [0.0, 1.0, -0.5]
    for joint in range(4):
        joints[1 + joint, :3] = [-0.03 - 0.02 * joint, 1.0, -0.53 - 0.01 * joint]
    return joints


def with_hand(joints: np.ndarray, mask: int = (1 << 25) - 1) -> np.ndarray:
    record = message(Kind.HAND)
    right = record["hands"][1]
    right["joints"], right["mask"], right["pose"] = joints, mask, joints[0, :7]
    return record


def test_ahead_of_the_operator_is_away_from_the_robot() -> None:
    origin = frames.ORIGIN
    np.testing.assert_allclose(
        frames.position_to_world(np.array([[0, 0, -1.0], [1.0, 0, 0], [0, 1.0, 0]])) - origin,
        [[1, 0, 0], [0, -1, 0], [0, 0, 1]],
        atol=1e-12,
    )


def test_frames_there_and_back() -> None:
    rng = np.random.default_rng(0)
    position, quaternion = rng.normal(size=(5, 3)), rng.normal(size=(5, 4))
    np.testing.assert_allclose(
        frames.position_from_world(frames.position_to_world(position)), position
    )
    np.testing.assert_allclose(
        frames.quaternion_from_world(frames.quaternion_to_world(quaternion)), quaternion
    )


def test_a_hand_held_flat_ahead_is_the_robots_palm_down() -> None:
    hand = convert(with_hand(hand_joints(np.array(TYPICAL["joints"].open))))
    # fingers along x (the palm's z), palm down (its y): as the robot's start pose
    assert abs(hand.wrist_quaternion @ [0.5, -0.5, 0.5, -0.5]) == pytest.approx(1.0, abs=1e-6)


def test_what_a_page_says_arrives() -> None:
    record = message(flags=Flag.VISIBLE | Flag.HEAD | Flag.CLUTCH | Flag.NEXT, sequence=9)
    record["head"] = [0.0, 1.6, 0.0, *FACING_AHEAD]
    record["hands"][1]["values"] = [1.0, 0.1, 0.2, 0.3, 1.7]
    hand = convert(record)
    np.testing.assert_allclose(hand.wrist_position, frames.ORIGIN + [0.5, -0.1, 1.0], atol=1e-6)
    np.testing.assert_allclose(hand.flexion, [1.0, 0.1, 0.2, 0.3, 1.0], atol=1e-6)
    np.testing.assert_allclose(hand.head.position, frames.ORIGIN + [0.0, 0.0, 1.6], atol=1e-6)
    assert (hand.time, hand.arrival, hand.sequence) == (5.0, 5.002, 9)
    assert hand.tracked
    assert hand.clutch
    assert hand.buttons.next
    assert not hand.buttons.discard


def test_a_capture_from_the_future_counts_from_its_arrival() -> None:
    assert convert(message(capture=99.0)).time == 5.002
    assert convert(message(capture=np.nan)).time == -np.inf


@pytest.mark.parametrize(
    ("fields", "pose"),
    [
        ({"flags": 0}, None),
        ({}, [np.nan, 0, 0, 0, 0, 0, 1]),
        ({}, [0, 0, 0, 0, 0, 0, 0]),
        ({}, [1e9, 0, 0, 0, 0, 0, 1]),
    ],
)
def test_what_is_no_pose_is_not_tracked(fields: dict, pose: list | None) -> None:
    record = message(**fields)
    if pose:
        record["hands"][1]["pose"] = pose
    assert not convert(record).tracked


def test_controllers_close_by_trigger_and_squeeze_and_have_buttons() -> None:
    record = message(Kind.CONTROLLER)
    record["hands"][1]["values"][:2] = [0.25, 0.75]
    record["hands"][1]["buttons"] = 1 << 4
    record["hands"][0]["kind"], record["hands"][0]["buttons"] = Kind.CONTROLLER, 1 << 5
    hand = convert(record)
    np.testing.assert_allclose(hand.flexion, [1.0, 0.25, 0.25, 0.75, 0.75])
    assert hand.clutch
    assert hand.buttons.discard


def test_fingers_follow_the_joints_and_a_lost_joint_holds_only_its_finger() -> None:
    near, far = (np.array(values) for values in (TYPICAL["joints"].open, TYPICAL["joints"].fist))
    device = PageDevice()
    opened = convert(with_hand(hand_joints(near)), device).flexion
    np.testing.assert_allclose(opened[2:], 0.0, atol=1e-6)
    index_tip_lost = ((1 << 25) - 1) & ~(1 << 9)
    closed = convert(with_hand(hand_joints(far), index_tip_lost), device)
    assert closed.tracked
    np.testing.assert_allclose(closed.flexion[2:], [0.0, 1.0, 1.0], atol=1e-6)
    assert np.isnan(closed.joints[9]).all()
    assert np.isfinite(np.delete(closed.joints, 9, axis=0)).all()


def test_a_pinch_of_the_left_hand_is_the_clutch_with_hysteresis() -> None:
    device = PageDevice()
    joints = hand_joints(np.array(TYPICAL["joints"].open))
    pressed = []
    for gap in (0.05, 0.02, 0.01, 0.02, 0.05):
        record = with_hand(joints)
        left = record["hands"][0]
        left["kind"], left["mask"], left["joints"] = Kind.HAND, (1 << 25) - 1, joints
        left["joints"][4, :3] = joints[9, :3] + [gap, 0, 0]
        pressed.append(convert(record, device).clutch)
    assert pressed == [False, False, True, True, False]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", Close.MALFORMED),
        (b"\x01" * 40, Close.MALFORMED),
        (message().tobytes() + b"\0", Close.MALFORMED),
        (message(type=2).tobytes(), Close.MALFORMED),
        (message(version=9).tobytes(), Close.VERSION),
        (message(Kind.VIRTUAL).tobytes()[:52] + b"\xff" * 1712, Close.MALFORMED),
    ],
)
def test_what_is_no_input_is_refused(data: bytes, code: Close) -> None:
    with pytest.raises(ProtocolError) as caught:
        protocol.read_input(data)
    assert caught.value.code is code


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"type": 3}', '{"type": "x"}', "[" * 4000])
def test_what_is_no_request_is_refused(text: str) -> None:
    with pytest.raises(ProtocolError):
        protocol.read_json(text, ("ping",))


def test_ten_thousand_random_messages_end_in_input_or_a_refusal() -> None:
    rng = np.random.default_rng(0)
    device, valid = PageDevice(), 0
    good = with_hand(hand_joints(np.array(TYPICAL["joints"].open))).tobytes()
    for number in range(10_000):
        if number % 2:
            data = bytearray(rng.bytes(protocol.INPUT.itemsize))
            data[0], data[1] = protocol.INPUT_TYPE, protocol.VERSION
            data[52], data[908] = data[52] % 4, data[908] % 4
        else:
            data = bytearray(good)
            for place in rng.integers(0, len(good), 8):
                data[place] = int(rng.integers(256))
        try:
            device.receive(protocol.read_input(bytes(data)), float(number))
        except ProtocolError:
            continue
        if number % 8 < 2:  # the rest is only read, to save time
            hand = device.latest()
            assert hand is not None
            assert np.isfinite(hand.flexion).all()
            assert not hand.tracked or hand.valid()
            assert hand.time <= number
            valid += 1
    assert valid > 2000


def test_a_page_drives_a_session(rig) -> None:
    page = PageDevice()
    session = Session(rig.env, page)
    before = rig.target[:3]
    for tick in range(40):
        now = 5.0 + tick / 90
        record = message(capture=now, flags=Flag.VISIBLE | (Flag.CLUTCH if tick == 1 else 0))
        if tick > 2:
            record["hands"][1]["pose"][:3] += [0.0, 0.0, -0.02]  # ahead
        page.receive(protocol.read_input(record.tobytes()), now)
        session.tick(now)
    np.testing.assert_allclose(rig.target[:3] - before, [0.02, 0.0, 0.0], atol=1e-5)

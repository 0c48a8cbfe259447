"""What must be the tracking, because no hand does it."""

from collections.abc import Callable

import numpy as np
import pytest
from rig import Rig
from test_protocol import message

from gym_grasp.teleop.hand.plausible import Stillness
from gym_grasp.teleop.session.session import State
from gym_grasp.teleop.web import protocol
from gym_grasp.teleop.web.page import SETTLING, PageDevice
from gym_grasp.teleop.web.protocol import Flag, Kind


@pytest.mark.parametrize(
    ("change", "stops"),
    [
        ({"wrist_position": np.array([7.0, 8.0, 9.03])}, False),  # 2.7 m/s
        ({"wrist_position": np.array([7.0, 8.0, 9.2])}, True),
        ({"wrist_quaternion": np.array([1.0, 0.0, 0.0, 0.0])}, True),
        ({"wrist_quaternion": -np.array([0.5, -0.5, 0.5, -0.5])}, False),  # the same turn
    ],
)
def test_a_jump_of_the_tracker_releases_the_clutch(rig: Rig, change: dict, stops: bool) -> None:
    rig.press()
    rig.tick(6)
    before = rig.target
    rig.tick(1, **change)
    assert (rig.session.state is State.PAUSED) == stops
    if stops:
        assert rig.session.notice == "Stopped: the tracked hand jumped."
        np.testing.assert_array_equal(rig.target, before)
        rig.tick(**change)
        rig.tick(clutch=True, **change)
        assert rig.session.state is State.ENGAGED, "the new place is as good as the old one"


def receive(device: PageDevice, time: float, **fields: object) -> tuple[bool, str]:
    record = message(fields.pop("kind", Kind.CONTROLLER), capture=time, **fields)
    device.receive(protocol.read_input(record.tobytes()), arrival=time)
    hand = device.latest()
    assert hand is not None
    return hand.tracked, hand.lost


def test_a_measured_pose_that_stays_the_same_for_a_second_counts_as_lost() -> None:
    device = PageDevice()
    assert receive(device, 10.0)[0]
    assert receive(device, 10.9)[0]
    tracked, lost = receive(device, 11.0)
    assert not tracked
    assert "not moved at all for a second" in lost
    moved = message(Kind.CONTROLLER)["hands"]
    moved["pose"][1, 0] += 1e-6
    assert receive(device, 11.1, hands=moved)[0]
    for time in (20.0, 22.0, 24.0):  # keys may rest
        assert receive(device, time, kind=Kind.VIRTUAL)[0]


def test_a_recentred_headset_is_not_believed_for_a_while() -> None:
    device = PageDevice()
    tracked, lost = receive(device, 1.0, flags=Flag.VISIBLE | Flag.RECENTRED)
    assert not tracked
    assert lost == "the headset was re-centred"
    assert not receive(device, 1.0 + 0.9 * SETTLING)[0]
    assert receive(device, 1.0 + 1.1 * SETTLING)[0]


def test_stillness_begins_anew_with_every_change() -> None:
    still: Callable[[bytes, float], bool] = Stillness().frozen
    assert not still(b"a", 5.0)
    assert still(b"a", 6.0)
    assert not still(b"b", 6.1)
    assert not still(b"a", 6.2)
    assert not still(b"a", 7.1)
    assert still(b"a", 7.3)

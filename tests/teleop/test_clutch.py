import math

import numpy as np
import pytest

from gym_grasp.teleop.hand.input import HandInput, Pose
from gym_grasp.teleop.session.clutch import FADE, Clutch, Press, conjugate, multiply

QUARTER_ABOUT_Z = np.array([math.sqrt(0.5), 0.0, 0.0, math.sqrt(0.5)])
QUARTER_ABOUT_X = np.array([math.sqrt(0.5), math.sqrt(0.5), 0.0, 0.0])


def hand(position, quaternion, flexion) -> HandInput:
    return HandInput(0.0, np.array(position), np.array(quaternion), np.array(flexion))


@pytest.fixture
def clutch() -> Clutch:
    operator = hand([1.0, 2.0, 3.0], QUARTER_ABOUT_X, [0.2, 0.2, 0.2, 0.2, 0.2])
    robot = Pose(np.array([0.4, 0.0, 0.3]), QUARTER_ABOUT_Z)
    return Clutch.engage(operator, robot, np.array([1.0, 0.0, 0.2, 0.6, 0.2]))


def test_engaging_asks_for_what_is_there(clutch: Clutch) -> None:
    operator = hand([1.0, 2.0, 3.0], QUARTER_ABOUT_X, [0.2] * 5)
    pose, fingers = clutch.target(operator, 0.0)
    np.testing.assert_allclose(pose.position, [0.4, 0.0, 0.3])
    np.testing.assert_allclose(pose.quaternion, QUARTER_ABOUT_Z)
    np.testing.assert_allclose(fingers, [1.0, 0.0, 0.2, 0.6, 0.2])


def test_distances_are_copied(clutch: Clutch) -> None:
    pose, _ = clutch.target(hand([1.1, 1.8, 3.05], QUARTER_ABOUT_X, [0.2] * 5), 0.0)
    np.testing.assert_allclose(pose.position, [0.5, -0.2, 0.35])


def test_turns_are_copied_about_the_worlds_axes(clutch: Clutch) -> None:
    turned = multiply(QUARTER_ABOUT_Z, QUARTER_ABOUT_X)
    pose, _ = clutch.target(hand([1.0, 2.0, 3.0], turned, [0.2] * 5), 0.0)
    # a quarter about z on top of a quarter about z: a half turn
    np.testing.assert_allclose(np.abs(pose.quaternion), [0.0, 0.0, 0.0, 1.0], atol=1e-12)


def test_fingers_fade_from_the_robots_to_the_operators(clutch: Clutch) -> None:
    operator = hand([1.0, 2.0, 3.0], QUARTER_ABOUT_X, [0.2] * 5)
    _, half = clutch.target(operator, FADE / 2)
    np.testing.assert_allclose(half, [0.6, 0.1, 0.2, 0.4, 0.2])
    _, late = clutch.target(operator, 2 * FADE)
    np.testing.assert_allclose(late, [0.2] * 5)


def test_a_finger_command_stays_in_range(clutch: Clutch) -> None:
    _, fingers = clutch.target(hand([1.0, 2.0, 3.0], QUARTER_ABOUT_X, [1.0] * 5), 0.0)
    assert fingers.max() <= 1.0


def test_only_a_fresh_press_counts() -> None:
    press = Press()
    assert [press(down) for down in (True, True, False, True, True)] == [0, 0, 0, 1, 0]
    press.hold()
    assert [press(down) for down in (True, False, True)] == [0, 0, 1]


def test_conjugate_undoes() -> None:
    np.testing.assert_allclose(
        multiply(QUARTER_ABOUT_X, conjugate(QUARTER_ABOUT_X)), [1, 0, 0, 0], atol=1e-12
    )

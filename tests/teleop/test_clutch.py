import math

import numpy as np
import pytest

from gym_grasp.math.rotations import np_multiply
from gym_grasp.teleop.hand.input import HandInput, Pose
from gym_grasp.teleop.session.clutch import FADE, Clutch, Press

QUARTER_ABOUT_Z = np.array([math.sqrt(0.5), 0.0, 0.0, math.sqrt(0.5)])
QUARTER_ABOUT_X = np.array([math.sqrt(0.5), math.sqrt(0.5), 0.0, 0.0])


ASKED = np.full(4, 0.2)
"""Drives that the operator's fingers ask for at engaging, of a hand with four."""


def hand(position, quaternion) -> HandInput:
    return HandInput(0.0, np.array(position), np.array(quaternion), np.zeros(5))


@pytest.fixture
def clutch() -> Clutch:
    operator = hand([1.0, 2.0, 3.0], QUARTER_ABOUT_X)
    robot = Pose(np.array([0.4, 0.0, 0.3]), QUARTER_ABOUT_Z)
    return Clutch.engage(operator, ASKED, robot, np.array([1.0, 0.0, 0.2, 0.6]))


def test_engaging_asks_for_what_is_there(clutch: Clutch) -> None:
    operator = hand([1.0, 2.0, 3.0], QUARTER_ABOUT_X)
    pose, fingers = clutch.target(operator, ASKED, 0.0)
    np.testing.assert_allclose(pose.position, [0.4, 0.0, 0.3])
    np.testing.assert_allclose(pose.quaternion, QUARTER_ABOUT_Z)
    np.testing.assert_allclose(fingers, [1.0, 0.0, 0.2, 0.6])


def test_distances_are_copied(clutch: Clutch) -> None:
    pose, _ = clutch.target(hand([1.1, 1.8, 3.05], QUARTER_ABOUT_X), ASKED, 0.0)
    np.testing.assert_allclose(pose.position, [0.5, -0.2, 0.35])


def test_turns_are_copied_about_the_worlds_axes(clutch: Clutch) -> None:
    turned = np_multiply(QUARTER_ABOUT_Z, QUARTER_ABOUT_X)
    pose, _ = clutch.target(hand([1.0, 2.0, 3.0], turned), ASKED, 0.0)
    # a quarter about z on top of a quarter about z: a half turn
    np.testing.assert_allclose(np.abs(pose.quaternion), [0.0, 0.0, 0.0, 1.0], atol=1e-12)


def test_drives_fade_from_the_robots_to_those_that_the_operator_asks_for(clutch: Clutch) -> None:
    operator = hand([1.0, 2.0, 3.0], QUARTER_ABOUT_X)
    _, half = clutch.target(operator, ASKED, FADE / 2)
    np.testing.assert_allclose(half, [0.6, 0.1, 0.2, 0.4])
    _, late = clutch.target(operator, ASKED, 2 * FADE)
    np.testing.assert_allclose(late, ASKED)


def test_a_drive_stays_in_range(clutch: Clutch) -> None:
    _, drives = clutch.target(hand([1.0, 2.0, 3.0], QUARTER_ABOUT_X), np.ones(4), 0.0)
    np.testing.assert_allclose(drives, [1.0, 0.8, 1.0, 1.0])


def test_only_a_fresh_press_counts() -> None:
    press = Press()
    assert [press(down) for down in (True, True, False, True, True)] == [0, 0, 0, 1, 0]
    press.hold()
    assert [press(down) for down in (True, False, True)] == [0, 0, 1]

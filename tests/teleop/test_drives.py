"""Fingertips of a robot's hand go where a tracked person's are, and pinch where they pinch."""

from dataclasses import replace

import mujoco
import numpy as np
import pytest
import torch
from modelled_hand import FIST, HOLD, OPEN, frames, jitter, posture

from gym_grasp.math.rotations import np_matrix
from gym_grasp.robots import load_robot
from gym_grasp.robots.base import HUMAN_FINGERS, Hand
from gym_grasp.robots.fingertips import JUMP
from gym_grasp.robots.robot import read_mjcf
from gym_grasp.teleop.devices.playback import Playback
from gym_grasp.teleop.hand.drives import Retargeter
from gym_grasp.teleop.hand.input import Buttons, HandInput
from gym_grasp.teleop.hand.retargeting import CHAINS, Calibration, bends_from_joints

TURN = np.array([0.5, -0.5, 0.1, 0.7])
TURN /= np.linalg.norm(TURN)
PLACE = np.array([3.0, -2.0, 1.0])
CALIBRATION = Calibration(
    tuple(bends_from_joints(posture(*OPEN))), tuple(bends_from_joints(posture(*FIST)))
)


def hand_of(name: str) -> Hand:
    return load_robot(f"ur5-{name}").hand


def tracked(joints: np.ndarray, turn=TURN, place=PLACE) -> HandInput:
    """A hand that is tracked somewhere, its joints (25, 3) given in the palm frame."""
    world = np.zeros((25, 8))
    world[:, :3] = joints @ np_matrix(turn).T + place
    return HandInput(0.0, place, turn, CALIBRATION.flexion(bends_from_joints(joints)), joints=world)


def joint_angles(hand: Hand, drives: np.ndarray) -> np.ndarray:
    return hand.joint_targets(torch.from_numpy(drives)).numpy()


def fingertips(hand: Hand, rows: list[np.ndarray]) -> np.ndarray:
    """Where the MJCF has the fingertips, palm frame, in m. Shape (T, F, 3)."""
    model = read_mjcf(hand).compile()
    data = mujoco.MjData(model)
    found = []
    for drives in rows:
        data.qpos[:] = joint_angles(hand, drives)
        mujoco.mj_kinematics(model, data)
        wrist = data.site(hand.wrist)
        tips = np.array([data.site(finger.tip).xpos for finger in hand.fingers])
        found.append((tips - wrist.xpos) @ wrist.xmat.reshape(3, 3))
    return np.array(found)


@pytest.mark.parametrize(
    ("name", "median", "gaps"),
    [
        ("allegro", 11, {"index": 1, "middle": 1, "ring": 1.5}),
        ("leap", 8, {"index": 1, "middle": 1, "ring": 2}),
        ("shadow", 5, {"index": 1, "middle": 1, "ring": 6}),
    ],
)
def test_fingertips_are_where_the_persons_are_and_pinch(name, median, gaps):
    hand, way = hand_of(name), frames()
    retargeter = Retargeter(hand)
    rows = [retargeter.drives(tracked(joints)) for joints in way + jitter(way.shape)]
    tips = fingertips(hand, rows)
    chains = [CHAINS[HUMAN_FINGERS.index(finger.name)][-1] for finger in hand.fingers]
    flat = hand.drives_from_flexion(torch.zeros(5)).double().numpy()
    longest = np.linalg.norm(fingertips(hand, [flat])[0, 1:], axis=1).max()
    wanted = way[:, chains] * longest / np.linalg.norm(posture(*OPEN)[14])
    assert 1e3 * np.median(np.linalg.norm(tips - wanted, axis=2)) < median
    for finger, most in gaps.items():
        index = [finger.name for finger in hand.fingers].index(finger)
        touching = np.linalg.norm(way[:, 4] - way[:, chains[index]], axis=1) < 0.01
        assert touching.sum() > 20
        gap = np.linalg.norm(tips[touching, index] - tips[touching, 0], axis=1)
        assert 1e3 * np.median(gap) < most
    jumps = np.abs(np.diff([joint_angles(hand, row) for row in rows], axis=0))
    assert 0.14 < jumps.max() < JUMP + 1e-9  # in rad; a fast hand is followed as fast as that


def test_place_turn_and_size_of_the_persons_hand_do_not_matter():
    joints = posture(*HOLD)
    first, second = (Retargeter(hand_of("leap")) for _ in range(2))
    expected = first.drives(tracked(joints))
    here = tracked(joints, np.array([1.0, 0.0, 0.0, 0.0]), np.zeros(3))
    np.testing.assert_allclose(second.drives(here), expected, atol=1e-9)
    # a smaller hand; its thumb is nearer to its fingers, but far from touching
    opened = [
        Retargeter(hand_of("leap")).drives(tracked(size * posture(*OPEN))) for size in (1, 0.8)
    ]
    np.testing.assert_allclose(*opened, atol=1e-9)


def without(hand: HandInput, *joints: int) -> HandInput:
    hand.joints[list(joints)] = np.nan
    return hand


@pytest.mark.parametrize(
    "hand",
    [
        HandInput(0.0, PLACE, TURN, tracked(posture(*HOLD)).flexion),
        without(tracked(posture(*HOLD)), *range(25)),
        without(tracked(posture(*HOLD)), 4),
        without(tracked(posture(*HOLD)), 12),
        tracked(0 * posture(*HOLD) + posture(*OPEN)[:1]),
    ],
    ids=["no joints", "none seen", "no thumb", "half a finger", "all in one place"],
)
@pytest.mark.filterwarnings("error")
def test_flexions_lead_a_hand_whose_joints_were_not_seen(hand):
    robot, flexion = hand_of("leap"), np.full(5, 0.3)
    hand = replace(hand, flexion=flexion)
    flexed = robot.drives_from_flexion(torch.from_numpy(flexion)).numpy()
    np.testing.assert_array_equal(Retargeter(robot).drives(hand), flexed)


def test_a_lost_joint_stays_where_it_was_in_the_palm():
    robot, opened, held = hand_of("leap"), posture(*OPEN), posture(*HOLD)
    thumb = range(1, 5)
    first, second = Retargeter(robot), Retargeter(robot)
    for retargeter in (first, second):
        retargeter.drives(tracked(opened))
    seen = tracked(np.where(np.isin(range(25), thumb)[:, None], opened, held))
    lost = replace(without(tracked(held), *thumb), flexion=seen.flexion)
    np.testing.assert_allclose(first.drives(lost), second.drives(seen), atol=1e-12)
    # all of it, as where a controller is taken up: flexions, and what was before is forgotten
    first.drives(without(tracked(held), *range(25)))
    np.testing.assert_array_equal(first.drives(seen), Retargeter(robot).drives(seen))


def test_a_wrist_is_led_by_flexions():
    robot, hand = hand_of("shadow"), tracked(posture(*HOLD))
    led = Retargeter(robot).drives(hand)
    flexed = robot.drives_from_flexion(torch.from_numpy(hand.flexion)).numpy()
    np.testing.assert_array_equal(led[:2], flexed[:2])
    assert np.abs(led - flexed).max() > 0.1


@pytest.mark.parametrize("name", ["sih", "three"])
def test_flexions_lead_a_hand_whose_fingers_have_fewer_drives_than_directions(name):
    robot, hand = hand_of(name), tracked(posture(*HOLD))
    flexed = robot.drives_from_flexion(torch.from_numpy(hand.flexion)).numpy()
    np.testing.assert_array_equal(Retargeter(robot).drives(hand), flexed)


def test_a_tracked_hand_plays_back_as_it_was(make_rig):
    rig, way = make_rig(robot="ur5-leap"), frames(rate=30)[20:]
    for tick in range(-30, 3 * 40):
        hand = tracked(way[tick // 3])
        rig.position, rig.flexion = hand.wrist_position, hand.flexion
        # another episode; then it begins, lets go, takes it again
        clutch, buttons = tick in (-29, 1, 61, 71), Buttons(reset=tick == -1)
        rig.tick(wrist_quaternion=TURN, joints=hand.joints, clutch=clutch, buttons=buttons)
    live = rig.session.rows.episode({})
    assert np.unique(live.operator_input["engagement"]).tolist() == [2, 3]
    rig.session.close()
    again = make_rig(robot="ur5-leap", first_seed=live.seed)
    again.session.device = device = Playback(live, 3, lambda: again.now)
    while not device.finished:
        again.now += 1 / 90
        again.session.tick(again.now)
    actions = again.session.rows.episode({}).actions
    np.testing.assert_array_equal(actions, live.actions[: len(actions)])
    assert len(actions) > 30

import numpy as np
import pytest
import torch

from gym_grasp.demos.episode import Episode
from gym_grasp.demos.record import perform
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import UsageError
from gym_grasp.teleop.devices.operator import OperatorDevice
from gym_grasp.teleop.devices.playback import Playback
from gym_grasp.teleop.hand.input import Haptics


def episode(steps=3, **channels):
    rng = np.random.default_rng(0)
    return Episode(
        observations={"x": np.zeros((steps + 1, 1), np.float32)},
        actions=np.zeros((steps, 11), np.float32),
        rewards=np.full(steps, -1, np.float32),
        dense_rewards=np.zeros(steps, np.float32),
        seed=7,
        success=False,
        operator_input={
            "wrist_position": rng.normal(size=(steps, 3)).astype(np.float32),
            "wrist_quaternion": np.tile(np.float32([1, 0, 0, 0]), (steps, 1)),
            "finger_flexion": rng.uniform(size=(steps, 5)).astype(np.float32),
            **channels,
        },
    )


def played(device, ticks):
    return [device.latest() for _ in range(ticks)]


def test_rows_last_one_control_step_each_and_the_end_is_a_lost_hand():
    recorded = episode(2)
    device = Playback(recorded, interval=3, clock=lambda: 5.0)
    hands = played(device, 7)
    assert not device.finished
    hands += played(device, 2)
    assert device.finished
    wrist = recorded.operator_input["wrist_position"]
    rows = [int(np.flatnonzero((wrist == hand.wrist_position).all(axis=1))[0]) for hand in hands]
    assert rows == [0, 0, 0, 0, 1, 1, 1, 1, 1]
    assert [hand.clutch for hand in hands] == [False] + [True] * 6 + [False] * 2
    assert [hand.tracked for hand in hands] == [True] * 7 + [False] * 2
    assert [hand.sequence for hand in hands] == list(range(9))
    assert all(hand.time == 5.0 and hand.valid() for hand in hands)
    assert device.seed == 7


def test_a_clutch_that_was_taken_again_is_taken_again():
    device = Playback(episode(3, engagement=np.array([1, 1, 2], np.int32)), interval=1)
    hands = played(device, 6)
    #                                        row 0        row 1, gap,          row 2
    assert [hand.clutch for hand in hands] == [False, True, True, False, False, True]
    assert [hand.tracked for hand in hands] == [True, True, True, False, True, True]


def test_head_and_joints_come_back_where_they_were_recorded():
    head = np.tile(np.float32([0, 0, 1.7, 1, 0, 0, 0]), (2, 1))
    head[1] = np.nan
    joints = np.random.default_rng(1).normal(size=(2, 25, 8)).astype(np.float32)
    device = Playback(episode(2, head_pose=head, hand_joints=joints), interval=1)
    _, first, second = played(device, 3)
    np.testing.assert_array_equal(first.head.position, head[0, :3])
    np.testing.assert_array_equal(second.joints, joints[1])
    assert second.head is None


def test_an_episode_without_operator_input_is_refused():
    recorded = episode(2)
    del recorded.operator_input["finger_flexion"]
    with pytest.raises(UsageError, match="'finger_flexion' is missing"):
        Playback(recorded)
    with pytest.raises(UsageError, match=r"\(2, 2\); expected shape \(2, 3\)"):
        Playback(episode(2, wrist_position=np.zeros((2, 2))))


@pytest.fixture
def env():
    env = GraspVectorEnv("open-drawer", 1, num_threads=1, autoreset=False)
    yield env
    env.close()


def test_the_operator_as_a_device_sends_what_it_sends_when_recording(env):
    env.reset(seed=5)
    recorded = perform(env)[0].operator_input
    recorded["wrist_quaternion"] /= np.linalg.norm(
        recorded["wrist_quaternion"], axis=1, keepdims=True
    )
    env.reset_to(torch.tensor([int(env.episode_seed[0])]))
    device = OperatorDevice(env, clock=lambda: 1.0)
    assert not device.latest().clutch
    for step in range(20):
        hands = played(device, 3)
        device.feedback(Haptics.none(()))
        assert all(hand.clutch and hand.tracked for hand in hands)
        for hand in hands:
            for name, sent in (
                ("wrist_position", hand.wrist_position),
                ("wrist_quaternion", hand.wrist_quaternion),
                ("finger_flexion", hand.flexion),
            ):
                np.testing.assert_allclose(sent, recorded[name][step], atol=1e-6)
        row = (hands[0].wrist_position, hands[0].wrist_quaternion, hands[0].flexion)
        batch = (torch.from_numpy(np.float32(value)[None]) for value in row)
        env.step(env.controller.retarget(*batch))


def test_an_operator_that_is_done_asks_for_the_next_then_to_discard_and_begins_anew(env):
    env.reset(seed=5)
    device = OperatorDevice(env, clock=lambda: 1.0)
    asked = discarded = None
    for tick in range(90 * 40):  # the physics stands still, so it tries in vain and gives up
        buttons = device.latest().buttons
        asked = tick if buttons.next else asked
        if buttons.discard:
            discarded = tick
            break
    assert discarded - asked == 45  # half a second
    env.reset()
    assert not device.latest().clutch
    assert device.episodes == 2

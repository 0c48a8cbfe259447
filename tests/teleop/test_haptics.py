from pathlib import Path

import mujoco
import numpy as np
import pytest
import torch

from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.robots import load_robot
from gym_grasp.robots.base import HUMAN_FINGERS as FINGERS
from gym_grasp.robots.base import Finger, Hand
from gym_grasp.robots.robot import Robot
from gym_grasp.tasks.open_drawer import OpenDrawer
from gym_grasp.teleop.hand.input import Haptics
from gym_grasp.teleop.haptics.forces import FingertipForces
from gym_grasp.teleop.haptics.levels import (
    HapticFilter,
    HapticsConfig,
    MovingAverage,
    brake_level,
    vibration_level,
)
from gym_grasp.teleop.haptics.plot import plot, record_touch

UP = np.tile([0.0, 0.0, 1.0], (5, 1))
CONFIG = HapticsConfig(full_brake=20.0, full_vibration=10.0, dead_band=1.0, window=0.1)
"""At 90 Hz the average is taken over 0.1 · 90 = 9 ticks."""


def force_on_index(newton):
    force = np.zeros((5, 3))
    force[1] = [0.0, 0.0, -newton]
    return force


def test_brake_is_the_part_that_resists_closing():
    force = np.array([[3.0, 0, -5], [0, 0, -20], [0, 0, -30], [7, 7, 0], [0, 0, 5]])
    # along −z: 5/20, 20/20, 30/20 → 1, across: 0, with the closing: 0
    np.testing.assert_allclose(brake_level(force, UP, 20.0), [0.25, 1.0, 1.0, 0.0, 0.0])


def test_vibration_is_the_excess_over_the_average_rectified():
    magnitude = np.array([6.0, 6.0, 2.0, 99.0, 1.5])
    average = np.array([0.0, 4.0, 5.0, 0.0, 1.0])
    # (6−0−1)/10, (6−4−1)/10, below, above 1, within the dead band
    np.testing.assert_allclose(
        vibration_level(magnitude, average, 10.0, 1.0), [0.5, 0.1, 0.0, 1.0, 0.0]
    )


def test_moving_average_counts_zeros_before_the_first_value():
    average = MovingAverage(3, width=1)
    means = [average.push(np.array([value]))[0] for value in (6.0, 3.0, 3.0, 3.0)]
    np.testing.assert_allclose(means, [2.0, 3.0, 4.0, 3.0])


def test_constant_force_gives_constant_brake_and_vibration_that_decays_to_zero():
    touch = HapticFilter(FINGERS, 90.0, CONFIG)
    felt = [touch.tick(force_on_index(10.0), UP) for _ in range(12)]
    np.testing.assert_allclose([one.brake[1] for one in felt], 0.5)
    # after tick k of 9 the average is 10·k/9: (10 − 10k/9 − 1)/10, and 0 from the ninth on
    expected = [max(0.0, (10 - 10 * min(k, 9) / 9 - 1) / 10) for k in range(1, 13)]
    np.testing.assert_allclose([one.vibration[1] for one in felt], expected, atol=1e-12)
    assert expected[0] == pytest.approx(0.788889, abs=1e-6)
    assert expected[8:] == [0.0] * 4
    for one in felt:
        assert np.delete(one.brake, 1).max() == 0
        assert np.delete(one.vibration, 1).max() == 0


def test_impact_is_felt_within_the_tick_and_release_is_not():
    touch = HapticFilter(FINGERS, 90.0, CONFIG)
    for _ in range(20):
        assert touch.tick(force_on_index(2.0), UP).vibration[1] < 0.1
    # from 2 to 11 N: the average becomes (8·2 + 11)/9 = 3, the excess is 8, less the dead band 7
    assert touch.tick(force_on_index(11.0), UP).vibration[1] == pytest.approx(0.7)
    released = touch.tick(force_on_index(0.0), UP)
    assert released.vibration[1] == 0
    assert released.brake[1] == 0


def test_reset_forgets():
    touch = HapticFilter(FINGERS, 90.0, CONFIG)
    first = touch.tick(force_on_index(10.0), UP).vibration[1]
    touch.tick(force_on_index(10.0), UP)
    touch.reset()
    assert touch.tick(force_on_index(10.0), UP).vibration[1] == first


def weighing_robot():
    """A robot whose drives stand in another order than its fingers, and close in either sense."""
    names = ("thumb", "middle", "little")
    hand = Hand(
        name="weighing",
        mjcf=Path(),
        joints=tuple(f"{name}_{part}" for name in names for part in ("lower", "upper")),
        limits=6 * ((-2.0, 2.0),),
        speeds=6 * (1.0,),
        torques=6 * (1.0,),
        drives=("little", "thumb", "middle"),
        drive_of_joint=tuple(name for name in names for _ in range(2)),
        open=(0.3, 0.3, 0.3, 0.3, -0.5, -0.5),
        closed=(1.0, 0.7, -0.5, -0.3, -0.1, 0.2),
        fingers=tuple(
            Finger(name, f"{name}_end", (f"{name}_left", f"{name}_right"), name) for name in names
        ),
        home=(0.0, 0.0, 0.0),
        flexion_to_drives=np.zeros((3, 5)),
        mount_position=(0.0, 0.0, 0.0),
        mount_quaternion=(1.0, 0.0, 0.0, 0.0),
    )
    return Robot(load_robot("ur5-sih").arm, hand)


def hand_under_weights(robot, masses):
    """Fingers along x that close upwards; on each of the two pads of its tip lies a weight."""
    hand = robot.hand
    fingers = ""
    for row, finger in enumerate(hand.fingers):
        first = 2 * row
        # the sense in which a joint closes decides which turn about y lifts the finger
        axis = "0 -1 0" if hand.closed[first] > hand.open[first] else "0 1 0"
        y = 0.2 * row
        fingers += f"""
        <body pos="0 {y} 0" gravcomp="1">
          <joint name="hand/{finger.name}_lower" axis="{axis}"/>
          <geom type="capsule" fromto="0 0 0 .05 0 0" size=".01" contype="0" conaffinity="0"/>
          <body pos=".05 0 0" gravcomp="1">
            <joint name="hand/{finger.name}_upper" axis="{axis}"/>
            <geom name="hand/{finger.pads[0]}" class="pad" fromto="0 -.03 0 .04 -.03 0"/>
            <geom name="hand/{finger.pads[1]}" class="pad" fromto="0 .03 0 .04 .03 0"/>
            <site name="hand/{finger.tip}" pos=".04 0 0"/>
          </body>
        </body>"""
        for side, mass in zip((-0.03, 0.03), masses[row], strict=True):
            fingers += f"""
            <body pos=".08 {y + side} .03">
              <joint stiffness="0" damping="1" armature="0" type="slide" axis="0 0 1"/>
              <geom size=".02" mass="{mass}"/>
            </body>"""
    model = mujoco.MjModel.from_xml_string(f"""<mujoco>
      <option timestep=".002" integrator="implicitfast"/>
      <default>
        <joint stiffness="2000" damping="90" armature="1"/>
        <default class="pad"><geom type="capsule" size=".01"/></default>
      </default>
      <worldbody> {fingers} </worldbody></mujoco>""")
    data = mujoco.MjData(model)
    mujoco.mj_step(model, data, 1500)
    mujoco.mj_forward(model, data)
    return model, data


def test_weights_at_rest_on_the_pads_of_a_fingertip_brake_by_their_weight():
    robot = weighing_robot()
    masses = np.array([[1.0, 0.2], [0.5, 0.3], [0.2, 0.0001]])
    model, data = hand_under_weights(robot, masses)
    reader = FingertipForces(model, robot)
    force, closing = reader.forces(data), reader.closing(data)
    weight = 9.81 * masses.sum(axis=1)
    np.testing.assert_allclose(force, np.outer(weight, [0, 0, -1.0]), atol=0.05)  # joints yield
    np.testing.assert_allclose(closing, UP[:3], atol=0.02)
    np.testing.assert_allclose(brake_level(force, closing, 20.0), weight / 20, atol=3e-3)


@pytest.mark.parametrize("name", ["ur5-sih", "ur5-three", "ur5-leap", "ur5-allegro", "ur5-shadow"])
def test_the_direction_of_closing_is_the_way_that_the_tip_goes_with_its_drive(name):
    robot = load_robot(name)
    model = OpenDrawer.build(robot).compile()
    data, indices = mujoco.MjData(model), robot.indices(model)
    reader = FingertipForces(model, robot)
    opposed = torch.tensor(robot.hand.home, dtype=torch.float64)

    def tips(drives):
        data.qpos[indices.robot] = [*robot.arm.home, *robot.hand.joint_targets(drives)]
        mujoco.mj_forward(model, data)
        return data.site_xpos[indices.fingertips]

    before = tips(opposed).copy()
    closing = reader.closing(data)
    assert closing.shape == (len(robot.hand.fingers), 3)
    for index, finger in enumerate(robot.hand.fingers):
        moved = opposed.clone()
        moved[robot.hand.drives.index(finger.drive)] += 1e-4
        way = tips(moved)[index] - before[index]
        np.testing.assert_allclose(closing[index], way / np.linalg.norm(way), atol=1e-3)


def test_a_human_finger_feels_what_the_robots_of_its_name_does_and_else_nothing():
    felt = Haptics(("middle", "thumb"), np.array([0.1, 0.2]), np.array([0.3, 0.4]))
    brake, vibration = felt.for_human()
    assert FINGERS == ("thumb", "index", "middle", "ring", "little")
    np.testing.assert_array_equal(brake, [0.2, 0, 0.1, 0, 0])
    np.testing.assert_array_equal(vibration, [0.4, 0, 0.3, 0, 0])
    nothing = Haptics.none(("middle", "thumb"))
    assert nothing.brake.shape == nothing.vibration.shape == (2,)
    assert not np.any(nothing.for_human())


def test_grasping_the_handle_is_felt_and_the_picture_is_drawn(tmp_path):
    env = GraspVectorEnv("open-drawer", 1, num_threads=1, autoreset=False)
    touch = record_touch(env, seed=0)
    env.close()
    assert touch.success
    assert touch.time[1] - touch.time[0] == pytest.approx(1 / 90)
    assert touch.brake.shape == touch.vibration.shape == touch.force.shape == (len(touch.time), 5)
    before = touch.force.cumsum(axis=0)
    before[23:] -= before[:-23].copy()  # a window of 0.25 s holds 22.5 ticks, so 23
    excess = touch.force - before / 23 - 1.0
    np.testing.assert_allclose(touch.vibration, np.clip(excess / 20, 0, 1), atol=1e-9)
    assert touch.vibration.max() > 0.3
    assert touch.brake.max() > 0.2
    assert (touch.brake <= touch.force / 20 + 1e-9).all()
    assert not touch.brake[touch.force == 0].any()
    path = plot(touch, tmp_path / "images" / "haptics.png")
    assert path.read_bytes()[:4] == b"\x89PNG"


def test_measuring_leaves_the_simulation_alone():
    env = GraspVectorEnv("open-drawer", 1, num_threads=1, autoreset=False)
    env.reset(seed=3)
    before = env.physics.get_state()
    FingertipForces(env.physics.model, env.robot).measure(env.physics)
    assert (env.physics.get_state() == before).all()
    env.close()

import mujoco
import numpy as np
import pytest

from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.robots import ur5_sih as robot
from gym_grasp.teleop.hand.input import FINGERS
from gym_grasp.teleop.haptics.haptics import (
    FingertipForces,
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
    touch = HapticFilter(90.0, CONFIG)
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
    touch = HapticFilter(90.0, CONFIG)
    for _ in range(20):
        assert touch.tick(force_on_index(2.0), UP).vibration[1] < 0.1
    # from 2 to 11 N: the average becomes (8·2 + 11)/9 = 3, the excess is 8, less the dead band 7
    assert touch.tick(force_on_index(11.0), UP).vibration[1] == pytest.approx(0.7)
    released = touch.tick(force_on_index(0.0), UP)
    assert released.vibration[1] == 0
    assert released.brake[1] == 0


def test_reset_forgets():
    touch = HapticFilter(90.0, CONFIG)
    first = touch.tick(force_on_index(10.0), UP).vibration[1]
    touch.tick(force_on_index(10.0), UP)
    touch.reset()
    assert touch.tick(force_on_index(10.0), UP).vibration[1] == first


def hand_under_weights(masses):
    """Fingers along x that close upwards, each with a weight on its tip, sliding along z."""
    rate = dict(zip(robot.HAND_JOINTS, robot.HAND_LIMITS, strict=True))
    fingers = ""
    for row, (name, mass) in enumerate(zip(FINGERS, masses, strict=True)):
        # the sign of a closed joint decides which turn about y lifts the finger
        axis = "0 -1 0" if rate[f"{name}_proximal"][1] > 0 else "0 1 0"
        fingers += f"""
        <body pos="0 {0.1 * row} 0" gravcomp="1">
          <joint name="{name}_proximal" axis="{axis}"/>
          <geom type="capsule" fromto="0 0 0 .05 0 0" size=".01" contype="0" conaffinity="0"/>
          <body pos=".05 0 0" gravcomp="1">
            <joint name="{name}_distal" axis="{axis}"/>
            <geom name="{name}_distal_collision" type="capsule" fromto="0 0 0 .04 0 0" size=".01"/>
            <site name="{name}_tip" pos=".04 0 0"/>
          </body>
        </body>
        <body pos=".08 {0.1 * row} .03">
          <joint type="slide" axis="0 0 1"/> <geom size=".02" mass="{mass}"/>
        </body>"""
    xml = f"""<mujoco>
      <option timestep=".002" integrator="implicitfast"/>
      <default><joint stiffness="2000" damping="90" armature="1"/></default>
      <worldbody>
        <body gravcomp="1">
          <joint name="thumb_rotation"/> <geom size=".01" contype="0"/> {fingers}
        </body>
      </worldbody></mujoco>"""
    model = mujoco.MjModel.from_xml_string(
        xml.replace(
            '<joint type="slide"', '<joint stiffness="0" damping="1" armature="0" type="slide"'
        )
    )
    data = mujoco.MjData(model)
    mujoco.mj_step(model, data, 1500)
    mujoco.mj_forward(model, data)
    return model, data


def test_a_weight_at_rest_on_a_fingertip_brakes_by_its_weight():
    masses = [1.0, 0.5, 0.2, 2.0, 0.1]
    model, data = hand_under_weights(masses)
    reader = FingertipForces(model)
    force, closing = reader.forces(data), reader.closing(data)
    expected = np.outer([9.81 * mass for mass in masses], [0.0, 0.0, -1.0])
    np.testing.assert_allclose(force, expected, atol=0.05)  # the joints yield a milliradian
    np.testing.assert_allclose(closing, UP, atol=0.02)
    np.testing.assert_allclose(
        brake_level(force, closing, 20.0), np.array(masses) * 9.81 / 20, atol=2e-3
    )


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
    FingertipForces(env.physics.model).measure(env.physics)
    assert (env.physics.get_state() == before).all()
    env.close()

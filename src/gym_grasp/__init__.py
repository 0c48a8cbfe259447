"""Dexterous manipulation: teleoperated demonstrations and GPU-parallel reinforcement learning."""

__version__ = "0.1.0"

from gym_grasp.demos.operators import register_operator
from gym_grasp.robots import register_arm, register_hand
from gym_grasp.tasks import register_task
from gym_grasp.teleop.devices import register_device

__all__ = ["register_arm", "register_device", "register_hand", "register_operator", "register_task"]

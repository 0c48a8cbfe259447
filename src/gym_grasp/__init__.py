"""Dexterous manipulation: teleoperated demonstrations and GPU-parallel reinforcement learning."""

__version__ = "0.1.0"

from gym_grasp.envs.registration import register_all as _register_all

_register_all()

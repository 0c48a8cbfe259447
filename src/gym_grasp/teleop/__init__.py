"""Teleoperation: a person's hand drives the robot's, feels its touch, and is recorded."""

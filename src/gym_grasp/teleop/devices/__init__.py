"""What an operator may hold or wear; every module is one `Device`, imported where it is used.

A new one is a file and a line in `DEVICES`, or `register_device` in a package of its own.
"""

from gym_grasp.registry import Registry

DEVICES = Registry("device")


def register_device(name: str, target: str) -> None:
    """Enter a device of another package."""
    DEVICES.register(name, target)

"""What an operator may hold or wear: devices, by name.

A new one is a file and a line in `DEVICES`, or `register_device` in a package of its own: a frozen
dataclass of its options, whose method `open` gives the device; see `base`.
"""

from gym_grasp.registry import Registry

DEVICES = Registry(
    "device",
    {
        "webxr": "gym_grasp.teleop.devices.page:WebXrOptions",
        "keyboard": "gym_grasp.teleop.devices.page:KeyboardOptions",
        "openxr": "gym_grasp.teleop.devices.openxr:OpenXrOptions",
        "senseglove": "gym_grasp.teleop.devices.gloved_hand:SenseGloveOptions",
        "operator": "gym_grasp.teleop.devices.operator:OperatorOptions",
        "playback": "gym_grasp.teleop.devices.playback:PlaybackOptions",
    },
)
"""The options of each device."""


def register_device(name: str, target: str) -> None:
    """Enter a device of another package; `target` is `module:class` of its options."""
    DEVICES.register(name, target)

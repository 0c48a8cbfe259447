"""The page in a browser as a device: headset, controllers, bare hands, mouse and keyboard."""

from dataclasses import dataclass

from gym_grasp.teleop.devices.base import DeviceContext, OpenedDevice
from gym_grasp.teleop.hand.calibration import calibration_path, load_calibration
from gym_grasp.teleop.web.page import PageDevice


@dataclass(frozen=True)
class WebXrOptions:
    """The page in a headset or a desktop browser."""

    def open(self, context: DeviceContext) -> OpenedDevice:
        """Expect the page, with the operator's calibration where there is one."""
        path = calibration_path(context.operator, "joints")
        page = PageDevice(load_calibration(path, "joints") if path.exists() else None, path)
        return OpenedDevice(page, page=page)


@dataclass(frozen=True)
class KeyboardOptions:
    """The page, opened in this machine's browser."""

    def open(self, context: DeviceContext) -> OpenedDevice:
        """Expect the page, and ask for a browser to show it."""
        page = WebXrOptions().open(context).page
        assert page is not None
        return OpenedDevice(page, page=page, browse=True)

"""Head, wrist and buttons through OpenXR: a Vive tracker on the hand, or a controller in it.

With a tracker the fingers come from elsewhere: wrap the device in `gloved_hand.GlovedHand`. The
other hand holds a controller with clutch and buttons. The runtime's calls are in
`openxr_session`; this module calls no OpenXR library.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gym_grasp.math.rotations import np_multiply, np_rotate
from gym_grasp.teleop.devices.base import DeviceContext, OpenedDevice
from gym_grasp.teleop.devices.openxr_frame import XrPose, XrSession
from gym_grasp.teleop.devices.openxr_session import PyOpenXrSession
from gym_grasp.teleop.hand.frames import position_to_world, quaternion_to_world
from gym_grasp.teleop.hand.input import Buttons, HandInput, Haptics, Pose
from gym_grasp.teleop.hand.plausible import Stillness
from gym_grasp.teleop.hand.retargeting import flexion_from_controller

FROZEN = "the tracked wrist has not moved at all for a second, as if tracking had stopped"
CONTROLS = {
    "clutch": "the left trigger",
    "next": "the left grip",
    "reset": "the left menu button",
    "discard": "the left trackpad",
}
"""What a Vive controller's parts are called; see `openxr_session`."""
PULSE = 0.05
"""Duration of a vibration, renewed at every tick: a dead link stops it, in [s]."""

GRIP_TO_PALM = Pose(np.zeros(3), np.array([0.5, 0.5, -0.5, 0.5]))
"""The palm frame in OpenXR's grip frame (right hand): x into the palm, z to the little finger."""

TRACKER_TO_PALM = Pose(np.zeros(3), np.array([1.0, 0.0, 0.0, 0.0]))
"""The palm frame in a tracker's: its orientation on the hand is unknown, and nothing depends on it
since the clutch uses changes only. Where the tracker sits away from the wrist, give its offset."""


class OpenXrDevice:
    """The operator's wrist, head and buttons.

    Args:
        session: the runtime; see `open_device`.
        palm: the palm frame in the frame of what is tracked.
        clock: the session's, in [s].
    """

    def __init__(
        self,
        session: XrSession,
        palm: Pose = TRACKER_TO_PALM,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._session = session
        self._palm = palm
        self._clock = clock
        self._sequence = 0
        self._last: HandInput | None = None
        self._stillness = Stillness()

    def latest(self) -> HandInput | None:
        """Return the present input; without tracking, the last pose with `tracked` false."""
        frame = self._session.poll()
        if frame is None:
            return None
        frozen = False
        if frame.wrist is not None:
            wrist = _palm(frame.wrist, self._palm)
            measured = frame.wrist.position.tobytes() + frame.wrist.quaternion.tobytes()
            frozen = self._stillness.frozen(measured, frame.time)
        elif self._last is not None:
            wrist = Pose(self._last.wrist_position, self._last.wrist_quaternion)
        else:
            wrist = Pose(np.zeros(3), np.array([1.0, 0.0, 0.0, 0.0]))
        self._last = HandInput(
            time=frame.time,
            wrist_position=wrist.position,
            wrist_quaternion=wrist.quaternion,
            flexion=flexion_from_controller(frame.trigger, frame.squeeze),
            clutch=frame.clutch,
            tracked=frame.wrist is not None and not frozen,
            lost=FROZEN if frozen else "tracking of the wrist is lost",
            head=None if frame.head is None else _world(frame.head),
            buttons=Buttons(reset=frame.reset, discard=frame.discard, next=frame.next),
            sequence=self._sequence,
            arrival=self._clock(),
        )
        self._sequence += 1
        return self._last

    def feedback(self, haptics: Haptics) -> None:
        """Let the controller vibrate as much as the finger that feels most."""
        strongest = float(haptics.vibration.max(initial=0.0))
        if strongest > 0.0:
            self._session.vibrate(strongest, PULSE)

    def close(self) -> None:
        """End the OpenXR session."""
        self._session.close()


@dataclass(frozen=True)
class OpenXrOptions:
    """A controller in the right hand through OpenXR, or a tracker on it."""

    wrist: str = "controller"
    """What OpenXR tracks as the wrist: controller, or the role that SteamVR gave a tracker."""

    def open(self, context: DeviceContext) -> OpenedDevice:
        """Connect to the OpenXR runtime of this machine; see `open_device`."""
        return OpenedDevice(open_device(self.wrist), controls=CONTROLS)


def open_device(wrist: str, palm: Pose | None = None) -> OpenXrDevice:
    """Connect to the OpenXR runtime of this machine.

    Args:
        wrist: `controller`, or the role that SteamVR gave the tracker on the hand; see
            `openxr_session.ROLES`.
        palm: the palm frame in the frame of what is tracked; None: a usual one.

    Raises:
        DependencyError: `gym-grasp[openxr]`, a runtime or one of its extensions is missing.
        UsageError: the role is unknown.
    """
    usual = GRIP_TO_PALM if wrist == "controller" else TRACKER_TO_PALM
    return OpenXrDevice(PyOpenXrSession(wrist), palm or usual)


def _world(pose: XrPose) -> Pose:
    return Pose(position_to_world(pose.position), quaternion_to_world(pose.quaternion))


def _palm(pose: XrPose, palm: Pose) -> Pose:
    """Return the palm's pose in the world, given what is tracked and the palm in its frame."""
    tracked = _world(pose)
    quaternion = np_multiply(tracked.quaternion, palm.quaternion)
    return Pose(
        tracked.position + np_rotate(tracked.quaternion, palm.position),
        quaternion / np.linalg.norm(quaternion),
    )

"""A tracked wrist and a SenseGlove on the same hand, as one device."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gym_grasp.errors import UsageError
from gym_grasp.teleop.devices.base import DeviceContext, OpenedDevice
from gym_grasp.teleop.devices.openxr import CONTROLS, open_device
from gym_grasp.teleop.devices.senseglove import DEFAULT_ADDRESS, SenseGlove
from gym_grasp.teleop.hand.calibration import (
    Calibrator,
    Phase,
    calibration_path,
    load_calibration,
    save_calibration,
)
from gym_grasp.teleop.hand.input import Device, HandInput, Haptics
from gym_grasp.teleop.hand.retargeting import TYPICAL, Calibration, Fingers, bends_from_glove

FIRST_ANGLES = 3.0
"""Longest wait for the glove at the start, in [s]."""


class GlovedHand:
    """Head, wrist, clutch and buttons of one device, the fingers of a glove.

    Args:
        wrist: gives all but the fingers, such as a Vive tracker through OpenXR.
        glove: gives the fingers and takes the feedback.
        calibration: of the operator in this glove; None: an average hand.
    """

    def __init__(
        self, wrist: Device, glove: SenseGlove, calibration: Calibration | None = None
    ) -> None:
        calibration = calibration or TYPICAL["glove"]
        if calibration.source != "glove":
            raise UsageError("A glove needs a calibration of the source 'glove'.")
        self.wrist = wrist
        self.glove = glove
        self._fingers = Fingers(calibration)

    def latest(self) -> HandInput | None:
        """Return the wrist's input with the glove's fingers, as old as the older of the two."""
        hand = self.wrist.latest()
        if hand is None:
            return None
        sample = self.glove.fresh()
        if sample is None:
            lost = f"no fingers from the glove ({self.glove.status})"
            return replace(hand, flexion=self._fingers.flexion, tracked=False, lost=lost)
        flexion = self._fingers.update(bends_from_glove(sample.angles))
        # joints, if any are seen, are not what the glove measures
        return replace(hand, time=min(hand.time, sample.time), flexion=flexion, joints=None)

    def feedback(self, haptics: Haptics) -> None:
        """Pass brakes and vibrations on to the glove."""
        self.glove.feedback(haptics)

    def close(self) -> None:
        """Let go of both."""
        self.glove.close()
        self.wrist.close()


@dataclass(frozen=True)
class SenseGloveOptions:
    """A Vive tracker and a SenseGlove on the same hand."""

    wrist: str = "right_elbow"
    """What OpenXR tracks as the wrist: the role that SteamVR gave a tracker, or controller."""
    bridge: str = DEFAULT_ADDRESS
    """Where the glove's bridge listens, host:port or unix:/path."""
    calibrate: bool = False
    """Measure the operator's open hand and fist first, in 10 s."""

    def open(self, context: DeviceContext) -> OpenedDevice:
        """Connect to tracker and glove; see `open_gloved_hand`."""
        path = calibration_path(context.operator, "glove")
        ask = context.say if self.calibrate else None
        device = open_gloved_hand(lambda: open_device(self.wrist), self.bridge, path, ask)
        return OpenedDevice(device, controls=CONTROLS)


def open_gloved_hand(
    wrist: Callable[[], Device],
    bridge: str = DEFAULT_ADDRESS,
    calibration: Path | None = None,
    ask: Callable[[str], None] | None = None,
) -> GlovedHand:
    """Connect to what is on the operator's hand.

    Args:
        wrist: opens the wrist's device.
        bridge: where the glove's bridge listens, see `parse_address`.
        calibration: the operator's file; None or a file that is not there: an average hand.
        ask: measures the operator first, and writes that file; called with what the hand has to
            do. None: the hand is not measured.

    Raises:
        GymGraspError: wrist, bridge or glove is missing, or the calibration failed; nothing stays
            open.
    """
    with ExitStack() as opened:
        device = wrist()
        opened.callback(device.close)
        glove = SenseGlove(bridge)
        opened.callback(glove.close)
        glove.wait(FIRST_ANGLES)
        known = None
        if ask is not None:
            known = measure(glove, ask)
            if calibration is not None:
                save_calibration(calibration, known)
        elif calibration is not None and calibration.exists():
            known = load_calibration(calibration, "glove")
        opened.pop_all()
    return GlovedHand(device, glove, known)


def measure(glove: SenseGlove, ask: Callable[[str], None]) -> Calibration:
    """Return an operator's range of motion; takes 10 s at most.

    Args:
        glove: worn by the operator.
        ask: called with what the hand has to do.

    Raises:
        UsageError: the glove was lost, or a finger hardly moved.
    """
    calibrator, asked = Calibrator("glove"), None
    while calibrator.phase is not Phase.DONE:
        if calibrator.phase is not asked:
            asked = calibrator.phase
            ask(asked.value)
        time.sleep(0.01)
        sample = glove.fresh()
        bends = np.full(5, np.nan) if sample is None else bends_from_glove(sample.angles)
        calibrator.add(glove.clock(), bends)
    return calibrator.result

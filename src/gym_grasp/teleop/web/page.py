"""The operator's device in a browser: headset, controllers, bare hands, mouse and keyboard."""

from pathlib import Path

import numpy as np

from gym_grasp.errors import GymGraspError
from gym_grasp.math.rotations import np_multiply
from gym_grasp.teleop.hand import frames
from gym_grasp.teleop.hand.calibration import Calibrator, Phase, save_calibration
from gym_grasp.teleop.hand.input import Buttons, HandInput, Haptics, Pose
from gym_grasp.teleop.hand.plausible import Stillness
from gym_grasp.teleop.hand.retargeting import (
    TYPICAL,
    Calibration,
    Fingers,
    bends_from_joints,
    flexion_from_controller,
)
from gym_grasp.teleop.web.protocol import JOINTS, Flag, Kind

PINCH, PART = 0.015, 0.030
"""Distances of thumb and fingertip below which a pinch begins and beyond which it ends, in [m]."""
FARTHEST = 20.0
"""A position farther out than this is no measurement, in [m]."""
SETTLING = 0.3
"""How long poses are not believed after the headset was re-centred, in [s]."""

_LEFT, _RIGHT = 0, 1
_THUMB_TIP, _INDEX_TIP, _MIDDLE_TIP, _RING_TIP = 4, 9, 14, 19
_BITS = 1 << np.arange(JOINTS, dtype=np.uint32)
# WebXR's wrist joint has z towards the elbow and y out of the back of the hand.
_PALM_FROM_JOINT = np.array([0.0, 1.0, 0.0, 0.0])
# Buttons of a gamepad with the mapping "xr-standard": A or X, B or Y.
_LOWER, _UPPER = 1 << 4, 1 << 5


class PageDevice:
    """Turns what the page sends into hand input; the robot follows the right hand.

    | | clutch | next or again | discard |
    |---|---|---|---|
    | bare hands: left thumb pinches the | index | middle | ring finger |
    | controllers | right A | right B, left X | left Y |
    | keyboard | space | enter | delete |

    Args:
        calibration: of the operator's fingers; None: an average hand.
        save_to: where a calibration made on the page goes; None: nowhere.
    """

    def __init__(self, calibration: Calibration | None = None, save_to: Path | None = None) -> None:
        self.guide = ""
        """What the operator has to do for the calibration that is running; empty: nothing."""
        self._save_to = save_to
        self._fingers = Fingers(calibration or TYPICAL["joints"])
        self._calibrator: Calibrator | None = None
        self._asked = Phase.OPEN
        self._pinches = [Pinch(tip) for tip in (_INDEX_TIP, _MIDDLE_TIP, _RING_TIP)]
        self._newest: tuple[np.void, float] | None = None
        self._converted: HandInput | None = None
        self._stillness = Stillness()
        self._settled = -np.inf

    def receive(self, record: np.void, arrival: float) -> None:
        """Take in an INPUT record that arrived at a time in [s]."""
        self._newest, self._converted = (record, arrival), None

    def drop(self) -> None:
        """Forget the operator, who has left."""
        self._newest = self._converted = None

    def calibrate(self) -> None:
        """Begin to measure the operator's open hand and fist."""
        self._calibrator, self._asked = Calibrator("joints"), Phase.OPEN
        self.guide = self._asked.value

    def latest(self) -> HandInput | None:
        """Return what the page sent last; None while no operator is there."""
        if self._converted is None and self._newest is not None:
            with np.errstate(all="ignore"):  # any bits may come; what is no number is sorted out
                self._converted = self._convert(*self._newest)
        return self._converted

    def feedback(self, haptics: Haptics) -> None:
        """The page is told by every scene."""

    def close(self) -> None:
        """Forget the operator."""
        self.drop()

    def _convert(self, record: np.void, arrival: float) -> HandInput:
        left, right = record["hands"][_LEFT], record["hands"][_RIGHT]
        flags, kind = int(record["flags"]), Kind(int(right["kind"]))
        pose = _pose(right["pose"])
        joints = _joints(right) if kind is Kind.HAND else None
        if joints is not None:
            bends = bends_from_joints(joints[:, :3])
            self._measure(bends, arrival)
            flexion = self._fingers.update(bends)
        elif kind is Kind.CONTROLLER:
            flexion = flexion_from_controller(*right["values"][:2].astype(float))
        else:
            flexion = np.clip(np.nan_to_num(right["values"].astype(float)), 0.0, 1.0)
        capture = float(record["capture"])
        turn = _PALM_FROM_JOINT if kind is Kind.HAND else np.array([1.0, 0.0, 0.0, 0.0])
        wrist = pose or Pose(np.zeros(3), np.array([1.0, 0.0, 0.0, 0.0]))
        lost = self._lost(flags, kind, right, arrival)
        clutch, buttons = self._buttons(flags, left, right)
        return HandInput(
            time=min(capture, arrival) if np.isfinite(capture) else -np.inf,
            wrist_position=wrist.position,
            wrist_quaternion=np_multiply(wrist.quaternion, turn),
            flexion=flexion,
            clutch=clutch,
            tracked=not lost and kind is not Kind.NONE and pose is not None,
            lost=lost or "tracking of the right hand is lost",
            head=_pose(record["head"]) if flags & Flag.HEAD else None,
            buttons=buttons,
            sequence=int(record["sequence"]),
            arrival=arrival,
            joints=None if joints is None else _in_world(joints),
        )

    def _lost(self, flags: int, kind: Kind, right: np.void, arrival: float) -> str:
        """Return why the right hand's pose is not to be believed, if it is one; empty: it is."""
        if flags & Flag.RECENTRED:
            self._settled = arrival + SETTLING
        if not flags & Flag.VISIBLE:
            return "the page is hidden"
        if arrival < self._settled:
            return "the headset was re-centred"
        measured = kind in (Kind.CONTROLLER, Kind.HAND)  # keys and mouse may rest
        pose = right["pose"].tobytes() if measured else b""
        if self._stillness.frozen(pose, arrival) and measured:
            return "the tracked hand has not moved at all for a second, as if tracking had stopped"
        return ""

    def _buttons(self, flags: int, left: np.void, right: np.void) -> tuple[bool, Buttons]:
        joints = _joints(left)[:, :3] if left["kind"] == Kind.HAND else None
        clutch, again, discard = (pinch.update(joints) for pinch in self._pinches)
        pressed = [
            int(hand["buttons"]) if hand["kind"] == Kind.CONTROLLER else 0 for hand in (left, right)
        ]
        return (
            clutch or bool(flags & Flag.CLUTCH or pressed[_RIGHT] & _LOWER),
            Buttons(
                reset=again or bool(flags & Flag.RESET or pressed[_LEFT] & _LOWER),
                discard=discard or bool(flags & Flag.DISCARD or pressed[_LEFT] & _UPPER),
                next=bool(flags & Flag.NEXT or pressed[_RIGHT] & _UPPER),
            ),
        )

    def _measure(self, bends: np.ndarray, time: float) -> None:
        if self._calibrator is None:
            return
        try:
            phase = self._calibrator.add(time, bends)
            if phase is not self._asked:
                self._asked, self.guide = phase, phase.value
            if phase is Phase.DONE:
                self._fingers = Fingers(self._calibrator.result)
                self._calibrator, self.guide = None, ""
                if self._save_to is not None:
                    save_calibration(self._save_to, self._fingers.calibration)
        except GymGraspError as error:  # told until the open hand is seen; it begins anew
            self._asked, self.guide = Phase.OPEN, str(error)


class Pinch:
    """Whether thumb and one finger touch, with hysteresis."""

    def __init__(self, tip: int) -> None:
        self._tip = tip
        self._closed = False

    def update(self, joints: np.ndarray | None) -> bool:
        """Take in joint positions (25, 3) in [m], NaN where lost; None: the hand is not there."""
        if joints is None:
            self._closed = False
            return False
        distance = float(np.linalg.norm(joints[_THUMB_TIP] - joints[self._tip]))
        if np.isfinite(distance):
            self._closed = distance < (PART if self._closed else PINCH)
        return self._closed


def _pose(values: np.ndarray) -> Pose | None:
    """Return a pose (7,) of the headset's frame in the world's axes; None where it is none."""
    values = values.astype(float)
    norm = float(np.linalg.norm(values[3:]))
    if not np.isfinite(values).all() or not 0.5 < norm < 2.0 or np.abs(values[:3]).max() > FARTHEST:
        return None
    return Pose(frames.position_to_world(values[:3]), frames.quaternion_to_world(values[3:] / norm))


def _joints(hand: np.void) -> np.ndarray:
    """Return joints (25, 8) in the headset's frame, NaN where they are not in the mask."""
    joints = hand["joints"].astype(float)
    lost = (int(hand["mask"]) & _BITS) == 0
    lost |= ~np.isfinite(joints).all(axis=1) | (np.abs(joints) > FARTHEST).any(axis=1)
    joints[lost] = np.nan
    return joints


def _in_world(joints: np.ndarray) -> np.ndarray:
    world = joints.copy()
    world[:, :3] = frames.position_to_world(joints[:, :3])
    world[:, 3:7] = frames.quaternion_to_world(joints[:, 3:7])
    return world

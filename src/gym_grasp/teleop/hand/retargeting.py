"""From measurements of an operator's fingers to flexions.

Every source of finger measurements comes down to five *bends* in [rad], as in
`robots.base.HUMAN_FLEXIONS`: how far the thumb is turned across the palm, then how far thumb,
index, middle and ring finger (with the little one) are bent in all their joints together. A
`Calibration` scales them to flexions in [0, 1] by the same operator's open hand and fist. What a
robot's hand makes of them: `drives.Retargeter`.
"""

from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

from gym_grasp.errors import UsageError, unknown
from gym_grasp.robots.base import HUMAN_FLEXIONS
from gym_grasp.teleop.hand.input import RELAXED

Source = Literal["joints", "glove"]
"""Where bends come from: tracked joints of a bare hand, or the angles of a glove."""

WEBXR_JOINTS = (
    "wrist",
    *(f"thumb-{part}" for part in ("metacarpal", "phalanx-proximal", "phalanx-distal", "tip")),
    *(
        f"{finger}-{part}"
        for finger in ("index-finger", "middle-finger", "ring-finger", "pinky-finger")
        for part in (
            "metacarpal",
            "phalanx-proximal",
            "phalanx-intermediate",
            "phalanx-distal",
            "tip",
        )
    ),
)
"""The 25 joints of the WebXR Hand Input Module, in its order."""

_THUMB = [1, 2, 3, 4]
_FINGERS = [[5 + 5 * finger + part for part in range(5)] for finger in range(4)]
CHAINS = (_THUMB, *(finger[1:] for finger in _FINGERS))
"""Joints of each finger of `HUMAN_FINGERS`, without the metacarpals of all but the thumb."""
_WRIST, _INDEX_KNUCKLE, _MIDDLE_KNUCKLE, _PINKY_KNUCKLE = 0, 6, 11, 21

LEAST_RANGE = (0.15, 0.3, 0.5, 0.5, 0.5)
"""Smallest difference of bends between open hand and fist that counts, in [rad]."""

CONTROLLER_THUMB = 1.0
"""Thumb rotation while a controller is held: opposed to the fingers."""


def bends_from_joints(joints: np.ndarray, *, right: bool = True) -> np.ndarray:
    """Return the bends that the joints of a tracked hand show.

    Args:
        joints: positions in the order of `WEBXR_JOINTS`, in [m], in any right-handed frame; NaN
            where a joint is not tracked. Shape (25, 3).
        right: whether it is a right hand.

    Returns:
        In [rad]; NaN where a joint that it needs is not tracked. Shape (5,).

    Raises:
        ValueError: the joints are of another shape.
    """
    joints = np.asarray(joints, dtype=float)
    if joints.shape != (len(WEBXR_JOINTS), 3):
        raise ValueError(f"joints have shape {joints.shape}; expected ({len(WEBXR_JOINTS)}, 3)")
    index, middle, ring, little = (_chain_bend(joints[finger]) for finger in _FINGERS)
    return np.array(
        [
            _thumb_turn(joints, right),
            _chain_bend(joints[_THUMB]),
            index,
            middle,
            _mean_of_known(ring, little),
        ]
    )


def bends_from_glove(angles: np.ndarray) -> np.ndarray:
    """Return the bends that a glove's joint angles show.

    Args:
        angles: per finger, thumb first, the angle of spreading (of the thumb: of turning across
            the palm) and the three of bending, in [rad]; signs may be the glove's own, since the
            calibration finds them. NaN where unknown. Shape (5, 4).

    Returns:
        In [rad]; NaN where an angle that it needs is unknown. Shape (5,).

    Raises:
        ValueError: the angles are of another shape.
    """
    angles = np.asarray(angles, dtype=float)
    if angles.shape != (5, 4):
        raise ValueError(f"glove angles have shape {angles.shape}; expected (5, 4)")
    thumb, index, middle, ring, little = angles[:, 1:].sum(axis=1)
    return np.array([angles[0, 0], thumb, index, middle, _mean_of_known(ring, little)])


def flexion_from_controller(trigger: float, squeeze: float) -> np.ndarray:
    """Return flexions for a hand controller: the trigger pinches, the squeeze adds the rest.

    Args:
        trigger: 0–1, closes thumb and index finger.
        squeeze: 0–1, closes middle, ring and little finger.

    Returns:
        Shape (5,).
    """
    pinch, grip = np.clip(np.nan_to_num([trigger, squeeze]), 0.0, 1.0)
    return np.array([CONTROLLER_THUMB, pinch, pinch, grip, grip])


@dataclass(frozen=True)
class Calibration:
    """One operator's range of motion, measured by one source.

    Raises:
        UsageError: the values are not five finite numbers each, or the fist hardly differs from
            the open hand.
    """

    open: tuple[float, ...]
    """Bends of the open hand, thumb beside the palm, in [rad]. Five."""
    fist: tuple[float, ...]
    """Bends of the fist, thumb across the fingers, in [rad]. Five."""
    source: Source = "joints"
    """What measured it; another source's bends mean something else."""

    def __post_init__(self) -> None:
        """Refuse what would not scale."""
        if self.source not in get_args(Source):
            raise unknown("source", self.source, get_args(Source))
        for name, values in (("open", self.open), ("fist", self.fist)):
            if np.shape(values) != (5,) or not np.isfinite(values).all():
                raise UsageError(f"Calibration: '{name}' is {values}; expected five finite angles.")
        flat = [
            name
            for name, near, far, least in zip(
                HUMAN_FLEXIONS, self.open, self.fist, LEAST_RANGE, strict=True
            )
            if abs(far - near) < least
        ]
        if flat:
            raise UsageError(
                f"Calibration: {', '.join(flat)} hardly moved between open hand and fist."
                " Spread the hand flat first, then close it with the thumb over the fingers."
            )

    def flexion(self, bends: np.ndarray) -> np.ndarray:
        """Scale bends (5,) in [rad] to flexions in [0, 1]; NaN stays NaN. Shape (5,)."""
        near, far = np.array(self.open), np.array(self.fist)
        return np.clip((bends - near) / (far - near), 0.0, 1.0)


TYPICAL: dict[Source, Calibration] = {
    "joints": Calibration((0.2, 0.3, 0.3, 0.3, 0.3), (1.1, 1.3, 3.6, 3.8, 3.8), "joints"),
    "glove": Calibration((0.0, 0.0, 0.0, 0.0, 0.0), (0.8, 1.5, 3.5, 3.5, 3.5), "glove"),
}
"""For an operator without a calibration: an average hand, chosen by eye."""


@dataclass
class Fingers:
    """Flexions of one operator, holding each finger's last value while it is not tracked."""

    calibration: Calibration
    flexion: np.ndarray = field(default_factory=lambda: np.array(RELAXED))
    """The newest. Shape (5,)."""

    def update(self, bends: np.ndarray) -> np.ndarray:
        """Take in bends (5,) in [rad], NaN where unknown, and return the flexions (5,)."""
        new = self.calibration.flexion(bends)
        self.flexion = np.where(np.isnan(new), self.flexion, new)
        return self.flexion


def _chain_bend(chain: np.ndarray) -> float:
    """Sum of the angles between successive bones of a chain of joints (J, 3), in [rad]."""
    bones = np.diff(chain, axis=0)
    a, b = bones[:-1], bones[1:]
    # atan2 is exact at both ends of the range, where arccos is not
    angles = np.arctan2(np.linalg.norm(np.cross(a, b), axis=1), np.einsum("bi,bi->b", a, b))
    return float(angles.sum())


def _thumb_turn(joints: np.ndarray, right: bool) -> float:
    """Angle of the thumb about the hand's long axis: 0 beside the palm, π/2 before it, in [rad]."""
    along = joints[_MIDDLE_KNUCKLE] - joints[_WRIST]
    along = along / max(float(np.linalg.norm(along)), 1e-9)
    aside = joints[_INDEX_KNUCKLE] - joints[_PINKY_KNUCKLE]
    aside = aside - (aside @ along) * along
    aside = aside / max(float(np.linalg.norm(aside)), 1e-9)
    out_of_palm = np.cross(along, aside) * (-1.0 if right else 1.0)
    thumb = joints[_THUMB[2]] - joints[_THUMB[0]]
    return float(np.arctan2(thumb @ out_of_palm, thumb @ aside))


def _mean_of_known(a: float, b: float) -> float:
    known = [value for value in (a, b) if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")

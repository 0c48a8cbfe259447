"""Drives of a hand that bring its fingertips where a person's are, and pinch where they pinch.

What is asked for are the fingertip vectors of dex-retargeting (Qin et al., RSS 2023) and the pinch
distances of DexPilot (Handa et al., ICRA 2020), by a few Gauss-Newton steps a call instead of an
optimum: the next call goes on where this one ended.
"""

from typing import Final

import mujoco
import numpy as np
import torch

from gym_grasp.robots.base import HUMAN_FLEXIONS, Hand
from gym_grasp.robots.robot import read_mjcf

TOUCH, APART = 0.015, 0.05
"""Distances of a person's thumb and fingertip, in m, up to which they touch, and from which on the
robot's are as far apart as where they are says; between them they come together smoothly."""
PINCH: Final = 4.0
"""How much more than where it is it counts how far a fingertip that touches is from the thumb."""
FLEXION, SPREAD = 0.01, 0.03
"""How much it counts where flexions would have a joint, and one that they leave straight, in m/rad:
fingers that stand farther apart than a person's would lean on each other."""
DAMPING: Final = 0.05
"""How much it counts how far a joint goes in a step, in m/rad: for fingers that are straight."""
STEPS, FIRST = 2, 12
"""Steps of a call, and of the first one, which begins at what the flexions say."""
JUMP: Final = 0.15
"""Farthest that a joint goes from one call to the next, in rad."""


class FingertipSolver:
    """Follows the fingertips of one person; it remembers where it was.

    Args:
        hand: whose fingertips are led.
    """

    def __init__(self, hand: Hand) -> None:
        self._model = read_mjcf(hand).compile()
        # the palm frame is that of the first body
        self._model.body_pos[1], self._model.body_quat[1] = 0.0, [1.0, 0.0, 0.0, 0.0]
        self._data = mujoco.MjData(self._model)
        self._sites = [self._model.site(finger.tip).id for finger in hand.fingers]
        self._jacobian = np.zeros((len(self._sites), 3, self._model.nv))
        self._open = np.array(hand.open)
        drive = [hand.drives.index(name) for name in hand.drive_of_joint]
        self._travel = np.zeros((len(hand.joints), len(hand.drives)))
        self._travel[range(len(drive)), drive] = np.array(hand.closed) - self._open
        moved = np.any(self._fingertips(np.full(len(hand.drives), 0.5))[1] != 0.0, axis=1)
        self._own = moved.sum(axis=0) == 1  # one that moves them all, such as a wrist's, is not
        self.able = bool((moved[:, self._own].sum(axis=1) >= 3).all())
        """Whether each finger has as many drives of its own as there are directions."""
        opened = hand.drives_from_flexion(torch.zeros(len(HUMAN_FLEXIONS), dtype=torch.float64))
        tips = self._fingertips(opened.numpy())[0]
        self.reach = float(np.linalg.norm(tips[1:], axis=1).max())
        """Of the longest finger but the thumb, open, from the palm frame's origin, in m."""
        span = np.abs(self._travel).max(axis=0)
        self._limit = JUMP / span
        bends = np.any(hand.flexion_to_drives, axis=1)
        self._flexion = (np.where(bends, FLEXION, SPREAD) * span) ** 2
        self._damping = (DAMPING * span) ** 2
        self._drives: np.ndarray | None = None

    def reset(self) -> None:
        """Forget where it was."""
        self._drives = None

    def solve(self, goals: np.ndarray, gaps: np.ndarray, flexed: np.ndarray) -> np.ndarray:
        """Return the drives (D,) that come near to where the fingertips should be.

        Args:
            goals: where, palm frame, in the order of the hand's fingers, in m. Shape (F, 3).
            gaps: how far the person's fingertips are from the thumb's, in m. Shape (F − 1,).
            flexed: drives by the person's flexions (`Hand.drives_from_flexion`), which those
                resemble that lead to the same fingertips, and are those of joints that move more
                than one of them, such as a wrist. Shape (D,).
        """
        away = np.clip((gaps - TOUCH) / (APART - TOUCH), 0.0, 1.0)
        away = (away * away * (3.0 - 2.0 * away))[:, None]
        apart, weight = away * (goals[1:] - goals[0]), PINCH * (1.0 - away)
        if self._drives is None:
            drives, low, high = flexed.copy(), np.zeros_like(flexed), np.ones_like(flexed)
        else:
            drives = np.where(self._own, self._drives, flexed)
            low, high = np.maximum(0.0, drives - self._limit), np.minimum(1.0, drives + self._limit)
        for _ in range(FIRST if self._drives is None else STEPS):
            tips, jacobian = self._fingertips(drives)
            error = np.concatenate([goals - tips, weight * (apart - tips[1:] + tips[0])])
            pinch = weight[:, None] * (jacobian[1:] - jacobian[0])
            rows = np.concatenate([jacobian, pinch]).reshape(error.size, -1)
            gradient = rows.T @ error.ravel() + self._flexion * (flexed - drives)
            held = (drives <= low) & (gradient < 0) | (drives >= high) & (gradient > 0)
            free = np.flatnonzero(self._own & ~held)
            rows = rows[:, free]
            normal = rows.T @ rows + np.diag((self._flexion + self._damping)[free])
            drives[free] += np.linalg.solve(normal, gradient[free])
            drives = np.clip(drives, low, high)
        self._drives = drives
        return drives

    def _fingertips(self, drives: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the fingertips (F, 3), palm frame, in m, and their Jacobian (F, 3, D)."""
        model, data = self._model, self._data
        data.qpos[:] = self._open + self._travel @ drives
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        for site, jacobian in zip(self._sites, self._jacobian, strict=True):
            mujoco.mj_jacSite(model, data, jacobian, None, site)
        return data.site_xpos[self._sites], self._jacobian @ self._travel

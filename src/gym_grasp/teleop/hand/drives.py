"""From what a device knows of a person's hand to the drives of a robot's."""

import numpy as np
import torch

from gym_grasp.math.rotations import np_matrix
from gym_grasp.robots.base import HUMAN_FINGERS, Hand
from gym_grasp.robots.fingertips import FingertipSolver
from gym_grasp.teleop.hand.input import HandInput
from gym_grasp.teleop.hand.retargeting import CHAINS, WEBXR_JOINTS

LEAST_REACH = 0.05
"""A hand with shorter fingers, from the wrist on, is not measured, in m."""


class Retargeter:
    """Gives the drives of a robot's hand, input by input.

    Where joints are tracked and the robot's fingers can be led (`FingertipSolver.able`), its
    fingertips go where the person's are, as much farther out as its hand is larger; a joint that is
    lost counts as where it was last. Else flexions alone say how far each finger is bent.

    Args:
        hand: the robot's.
    """

    def __init__(self, hand: Hand) -> None:
        self._hand = hand
        self._solver = FingertipSolver(hand)
        chains = [CHAINS[HUMAN_FINGERS.index(finger.name)] for finger in hand.fingers]
        self._tips = [chain[-1] for chain in chains]
        self._fingers = np.array(chains[1:])
        self.reset()

    def reset(self) -> None:
        """Forget the inputs so far."""
        self._solver.reset()
        self._joints = np.full((len(WEBXR_JOINTS), 3), np.nan)

    def drives(self, hand: HandInput) -> np.ndarray:
        """Return the drives (D,) that a valid input asks for, within [0, 1]."""
        flexed = self._hand.drives_from_flexion(torch.from_numpy(hand.flexion)).numpy()
        if self._solver.able and hand.joints is not None and not np.isnan(hand.joints).all():
            turn = np_matrix(hand.wrist_quaternion)
            joints = (hand.joints[:, :3] - hand.wrist_position) @ turn  # into the palm frame
            # a joint that is lost stays where it was in it
            self._joints = joints = np.where(np.isnan(joints), self._joints, joints)
            # by bones, so that it is the same however fingers are bent
            bones = np.diff(joints[self._fingers], axis=1, prepend=0.0)
            reach = np.linalg.norm(bones, axis=2).sum(axis=1).max()
            tips = joints[self._tips]
            if reach > LEAST_REACH and np.isfinite(tips).all():
                gaps = np.linalg.norm(tips[1:] - tips[0], axis=1)
                return self._solver.solve(tips * (self._solver.reach / reach), gaps, flexed)
        self.reset()
        return flexed

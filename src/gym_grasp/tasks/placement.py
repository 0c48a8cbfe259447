"""Furniture that stands a little differently in every episode."""

import math

import mujoco
import torch
from torch import Tensor

from gym_grasp.math.rotations import quat_turned
from gym_grasp.tasks.random import uniform

SHIFT = 0.05
"""Half-width of the uniform shift along x and y, world, in m."""
TURN = math.radians(15.0)
"""Half-width of the uniform turn about the vertical, in rad."""
_STREAM = 1


class Placement:
    """Draws where a piece of furniture stands: it shifts, and turns about its handle.

    Args:
        model: the compiled scene.
        body: name of its root, a child of the world.
        handle: name of a site on it or on what it carries.
        device: where the values are made.
    """

    def __init__(self, model: mujoco.MjModel, body: str, handle: str, device: torch.device) -> None:
        data = mujoco.MjData(model)
        mujoco.mj_kinematics(model, data)
        self._body = model.body(body).id
        self._position = torch.tensor(model.body_pos, dtype=torch.float32, device=device)
        self._quaternion = torch.tensor(model.body_quat, dtype=torch.float32, device=device)
        handle_position = torch.tensor(data.site(handle).xpos, dtype=torch.float32, device=device)
        self._arm = self._position[self._body] - handle_position
        self._high = torch.tensor([SHIFT, SHIFT, TURN], device=device)

    def draw(self, seeds: Tensor) -> dict[str, Tensor]:
        """Return `body_pos` (N, nbody, 3) and `body_quat` (N, nbody, 4) of episodes' seeds (N,)."""
        x, y, yaw = uniform(seeds, -self._high, self._high, _STREAM).unbind(-1)
        c, s = torch.cos(yaw) - 1.0, torch.sin(yaw)
        arm_x, arm_y, _ = self._arm
        position = self._position.repeat(len(seeds), 1, 1)
        position[:, self._body, 0] += x + c * arm_x - s * arm_y
        position[:, self._body, 1] += y + s * arm_x + c * arm_y
        quaternion = self._quaternion.repeat(len(seeds), 1, 1)
        quaternion[:, self._body] = quat_turned(quaternion[:, self._body], yaw)
        return {"body_pos": position, "body_quat": quaternion}

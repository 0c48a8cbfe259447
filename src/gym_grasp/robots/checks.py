"""Whether a compiled scene holds what the data of its robot say."""

from collections.abc import Iterable, Sequence
from itertools import zip_longest

import mujoco
import numpy as np

from gym_grasp.errors import UsageError


def check_joints(
    model: mujoco.MjModel,
    robot: str,
    joints: Sequence[str],
    actuators: Sequence[str],
    limits: Sequence[tuple[float, float]],
) -> None:
    """Raise `UsageError` unless joints and actuators begin with these, in order and in range.

    Args:
        model: the scene.
        robot: its name, for the message.
        joints: their names in a scene.
        actuators: theirs.
        limits: of the joints, in rad.
    """
    for kind, wanted, total in (
        ("joint", joints, model.njnt),
        ("actuator", actuators, model.nu),
    ):
        count = min(len(wanted), total)
        names = [getattr(model, kind)(index).name for index in range(count)]
        for expected, found in zip_longest(wanted, names, fillvalue="none"):
            if expected != found:
                raise UsageError(
                    f"The {kind}s of {robot} are others than its data say, or in another order: "
                    f"expected '{expected}', found '{found}'."
                )
    for name, said, found in zip(joints, limits, model.jnt_range, strict=False):
        if not np.allclose(said, found, atol=1e-4):
            raise UsageError(
                f"The data of {robot} limit the joint '{name}' to {said}, its MJCF to "
                f"{tuple(found.tolist())}, in rad."
            )


def check_there(model: mujoco.MjModel, robot: str, kind: str, names: Iterable[str]) -> None:
    """Raise `UsageError` for the first of some sites or geoms that a scene does not have."""
    for name in names:
        if mujoco.mj_name2id(model, mujoco.mju_str2Type(kind), name) < 0:
            raise UsageError(f"The MJCF of {robot} has no {kind} '{name}', which its data name.")

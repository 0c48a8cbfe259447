"""What a compiled scene is, for the record: its XML, its identity, its state."""

import hashlib

import mujoco
import numpy as np

from gym_grasp.envs.spec import EnvSpec

INTEGRATION = "mjSTATE_INTEGRATION"
"""MuJoCo's name of everything that the next step depends on."""


def scene_xml(spec: EnvSpec) -> str:
    """Return the scene of a spec, robot and all, as MJCF.

    For the eye and other tools: MuJoCo rounds numbers here, and what is only drawn is part of it.
    `model_digest` tells scenes apart.
    """
    scene = spec.task_class.build(spec.robot_model, spec.task_options)
    scene.compile()
    return scene.to_xml()


def model_digest(model: mujoco.MjModel) -> str:
    """Return the SHA-256, in hex, of every array, name and option of a compiled model.

    Numbers count as float32, after rounding to 1e-12: mathematics libraries differ in last bits
    from machine to machine. Where files lie does not count.
    """
    digest = hashlib.sha256()
    arrays = {
        name: getattr(model, name) for name in dir(model) if name[0] != "_" and "path" not in name
    }
    options = {f"opt.{name}": getattr(model.opt, name) for name in dir(model.opt) if name[0] != "_"}
    # Whole numbers of the model are sizes, which follow from the arrays.
    parts = {
        **{name: value for name, value in arrays.items() if isinstance(value, np.ndarray | bytes)},
        **{name: value for name, value in options.items() if not callable(value)},
    }
    for name, value in sorted(parts.items()):
        array = np.asarray(value)
        if array.dtype.kind == "f":
            array = np.round(array, 12).astype(np.float32) + 0.0  # no negative zero
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def state_parts(model: mujoco.MjModel) -> tuple[tuple[str, int], ...]:
    """Return what stands side by side in `mjSTATE_INTEGRATION`: names and widths, in order."""
    whole = int(mujoco.mjtState.mjSTATE_INTEGRATION)
    bits = {
        int(value): name.removeprefix("mjSTATE_").lower()
        for name, value in mujoco.mjtState.__members__.items()
        if name.startswith("mjSTATE_") and int(value).bit_count() == 1 and int(value) & whole
    }
    sizes = [(name, mujoco.mj_stateSize(model, bit)) for bit, name in sorted(bits.items())]
    return tuple((name, size) for name, size in sizes if size)

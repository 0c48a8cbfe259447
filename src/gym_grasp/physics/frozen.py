"""A compiled model that nobody edits: engines hold copies of it, which would not follow."""

import ctypes
from collections.abc import Callable
from operator import attrgetter

import mujoco
import numpy as np

from gym_grasp.errors import UsageError

_ASSETS = ("mesh_", "skin_", "hfield_", "tex_")


def freeze(model: mujoco.MjModel) -> Callable[[], None]:
    """Make the arrays of a model and of its options read-only; return a check of all the rest.

    A write to one of these arrays raises NumPy's ValueError at once. Named accessors
    (`model.geom("cup").friction`), numbers (`model.opt.timestep = …`) and MuJoCo's own functions
    still write: the check, some 15 µs, finds that, except in assets (meshes, textures, height
    fields), `vis` and `stat`. A copy (`copy.copy(model)`) is free.

    Raises:
        UsageError: (the check) the model is not what it was when it was frozen.
    """
    arrays = _arrays(model)
    options = _arrays(model.opt)
    for array in (*arrays.values(), *options.values()):
        array.flags.writeable = False
    scalars = attrgetter(
        *(name for name in dir(model.opt) if name[0] != "_" and name not in options)
    )
    memory = _memory(arrays)

    def content() -> list[object]:
        return [scalars(model.opt), *(part.tobytes() for part in memory)]

    before = content()

    def check() -> None:
        if content() != before:
            raise UsageError(
                "physics.model was changed after the physics was made, which has no effect on "
                "running simulations. Use physics.set_field(name, values), or change the model "
                "before; physics.model_of(index) returns a copy to play with."
            )

    return check


def _arrays(struct: object) -> dict[str, np.ndarray]:
    values = {name: getattr(struct, name, None) for name in dir(struct) if name[0] != "_"}
    return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}


def _memory(arrays: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Views of the block in which MuJoCo holds all arrays, before and after the large assets."""
    spans = {
        name: (array.ctypes.data, array.ctypes.data + array.nbytes)
        for name, array in arrays.items()
        if array.size > 0
    }
    assets = [span for name, span in spans.items() if name.startswith(_ASSETS)]
    edges = [min(low for low, _ in spans.values()), max(high for _, high in spans.values())]
    if assets:
        inner = [min(low for low, _ in assets), max(high for _, high in assets)]
        edges = [edges[0], *inner, edges[1]]
    return [
        np.ctypeslib.as_array((ctypes.c_uint8 * (high - low)).from_address(low))
        for low, high in zip(edges[::2], edges[1::2], strict=True)
    ]

"""From a specification to simulations."""

from collections.abc import Mapping
from typing import Any

import mujoco
import numpy as np
import torch

from gym_grasp.envs.spec import EnvSpec
from gym_grasp.errors import UsageError
from gym_grasp.physics.base import Physics
from gym_grasp.robots.base import ARM, HAND


def as_spec(task: str | EnvSpec | Mapping[str, Any], **parts: Any) -> EnvSpec:
    """Return a spec: the one given, or that of a task's name with the parts that are not None.

    A spec may come as plain values too, as a file of demonstrations says it.

    Raises:
        UsageError: parts are given besides a spec, or something does not exist.
    """
    given = {name: value for name, value in parts.items() if value is not None}
    if isinstance(task, Mapping):
        task = EnvSpec.from_dict(task)
    if not isinstance(task, EnvSpec):
        if isinstance(given.get("control"), Mapping):  # as a file of demonstrations says it
            return EnvSpec.from_dict({"task": task, **given})
        return EnvSpec(task, **given)
    if given:
        raise UsageError(
            f"An EnvSpec is given, and {', '.join(given)} besides; change the spec instead: "
            "spec.replace(…)."
        )
    return task


def compile_scene(spec: EnvSpec) -> mujoco.MjModel:
    """Compile the scene that is simulated: without what is only drawn of the robot.

    Four in five of the robot's geoms are that, and each would cost time in every step.
    """
    scene = spec.task_class.build(spec.robot_model, spec.task_options)
    for geom in _drawings(scene):
        scene.delete(geom)
    return scene.compile()


def compile_drawing(spec: EnvSpec) -> tuple[mujoco.MjModel, np.ndarray]:
    """Compile the scene to look at, with all geoms, and say which of them are simulated.

    Returns:
        The model, and of each geom of `compile_scene`, in its order, the index here.
    """
    scene = spec.task_class.build(spec.robot_model, spec.task_options)
    model = scene.compile()
    drawings = {geom.id for geom in _drawings(scene)}
    return model, np.array([index for index in range(model.ngeom) if index not in drawings])


def _drawings(scene: mujoco.MjSpec) -> list[mujoco.MjsGeom]:
    """Return the robot's geoms that touch nothing and from which no mass is inferred."""
    return [
        geom
        for body in scene.bodies
        if body.name.startswith((ARM, HAND))
        for geom in body.geoms
        if not (geom.contype or geom.conaffinity)
        and (body.explicitinertial or geom.density == 0.0 or geom.mass == 0.0)
    ]


def make_physics(
    model: mujoco.MjModel, num_envs: int, device: torch.device, num_threads: int = 0
) -> Physics:
    """Choose the engine by the device: mujoco.batch on the CPU, MuJoCo Warp on a GPU.

    Raises:
        DependencyError: there is no such GPU, or MuJoCo Warp is not installed.
        UsageError: the device is neither, or the engine does not support something in the scene.
    """
    if device.type == "cpu":
        from gym_grasp.physics.cpu import CpuPhysics

        return CpuPhysics(model, num_envs, num_threads)
    if device.type != "cuda":
        raise UsageError(f"Unknown device '{device}'. Known: cpu, cuda, cuda:<index>.")
    from gym_grasp.physics.warp import WarpPhysics

    return WarpPhysics(model, num_envs, device)

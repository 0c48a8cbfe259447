"""Tasks over scenes of their own, for tests of many rooms."""

import mujoco
import torch

from gym_grasp.robots import DEFAULT_ROBOT, load_robot
from gym_grasp.tasks import TASKS
from gym_grasp.tasks.base import Task

ROBOT = load_robot(DEFAULT_ROBOT)
SHIPPED = sorted(n for n, at in TASKS.targets.items() if at.startswith("gym_grasp.tasks."))
"""The package's own tasks; tests register more."""


def build_model(task: type[Task], **options) -> mujoco.MjModel:
    return task.build(ROBOT, task.choose(options)).compile()


def build_task(task: type[Task], **options) -> Task:
    """Return a task over its own scene, on the CPU."""
    return task(build_model(task, **options), torch.device("cpu"), ROBOT, task.choose(options))

"""The tasks, one file each. A new one is a file, its scene and a line in `TASKS`."""

from importlib import import_module
from typing import TYPE_CHECKING

from gym_grasp.errors import unknown

if TYPE_CHECKING:
    from gym_grasp.tasks.base import Task

TASKS = {
    "open-door": "gym_grasp.tasks.open_door:OpenDoor",
    "lift-object": "gym_grasp.tasks.lift_object:LiftObject",
    "open-drawer": "gym_grasp.tasks.open_drawer:OpenDrawer",
    "pour-cup": "gym_grasp.tasks.pour_cup:PourCup",
    "stack-cubes": "gym_grasp.tasks.stack_cubes:StackCubes",
    "study-scene": "gym_grasp.tasks.study_scene:StudyScene",
}
"""Where each task's class lives; loaded on demand, so that listing tasks imports nothing."""


def load_task(name: str) -> "type[Task]":
    """Return the class of a task by its name.

    Raises:
        UsageError: no task of that name is registered.
    """
    if name not in TASKS:
        raise unknown("task", name, TASKS)
    module, _, attribute = TASKS[name].partition(":")
    return getattr(import_module(module), attribute)

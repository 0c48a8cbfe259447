"""The tasks, one file each. A new one is a file, its scene and a line in `TASKS`."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import gymnasium

from gym_grasp.errors import UsageError, unknown
from gym_grasp.registry import Registry

if TYPE_CHECKING:
    from gym_grasp.tasks.base import Task

TASKS = Registry("task")
"""Where each task's class lives; loaded on demand, so that listing tasks imports nothing."""


def title(task: str) -> str:
    """Return a task's name as Gymnasium spells it: `OpenDrawer` of `open-drawer`."""
    return task.title().replace("-", "")


@dataclass(frozen=True)
class Gym:
    """A task's place among Gymnasium's environments."""

    namespace: str
    version: int

    def id(self, task: str) -> str:
        """Return Gymnasium's name of a task, e.g. `gym_grasp/OpenDrawer-v1`."""
        return f"{self.namespace}/{title(task)}-v{self.version}"


_gym: dict[str, Gym] = {}


def register_task(
    name: str,
    target: str,
    *,
    version: int = 0,
    namespace: str = "gym_grasp",
    max_episode_steps: int | None = None,
) -> None:
    """Make a task known to the command line, and to Gymnasium as `<namespace>/<Title>-v<version>`.

    Neither torch nor MuJoCo is imported until the task is made.

    Args:
        name: as the command line knows it: lower-case words joined by dashes, e.g. `lift-peg`.
        target: `module:class` of the `Task`.
        version: of the task; the same as the class has.
        namespace: Gymnasium's; a package's own name.
        max_episode_steps: the task's time limit in steps at the usual control rate, which
            Gymnasium then applies or replaces; without it `gymnasium.make(…, max_episode_steps=)`
            can shorten episodes but not lengthen them.

    Raises:
        UsageError: the name is taken, if only by another version.
    """
    if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise UsageError(
            f"The task {name!r} cannot be registered: lower-case words joined by "
            "dashes are names, such as 'lift-peg'."
        )
    if not isinstance(namespace, str) or not re.fullmatch(r"[\w-]+", namespace):
        raise UsageError(
            f"The namespace of the task '{name}' is {namespace!r}; expected letters, "
            "digits, '_' and '-', such as 'my_package'."
        )
    if type(version) is not int or version < 0:
        raise UsageError(f"The version of the task '{name}' is {version!r}; expected 0, 1, …")
    gym = Gym(namespace, version)
    if _gym.get(name) == gym and TASKS.targets[name] == target:
        return
    TASKS.register(name, target)
    known = _gym.setdefault(name, gym)
    if known != gym:
        raise UsageError(
            f"The task '{name}' is registered already, as {known.id(name)}; choose another name "
            f"for {gym.id(name)}."
        )
    gymnasium.register(
        gym_id(name),
        entry_point="gym_grasp.envs.single:GraspEnv",
        vector_entry_point="gym_grasp.envs.arrays:make_vector",
        max_episode_steps=max_episode_steps,
        kwargs={"task": name},
    )


def gym_id(task: str) -> str:
    """Return Gymnasium's name of a task, e.g. `gym_grasp/OpenDrawer-v1`.

    Raises:
        UsageError: no task of that name is registered.
    """
    if task not in TASKS:
        raise unknown("task", task, TASKS)
    return _gym[task].id(task)


def load_task(name: str) -> "type[Task]":
    """Return the class of a task by its name.

    Raises:
        UsageError: no task of that name is registered, or its class is of another version.
    """
    task: type[Task] = TASKS.load(name)
    if not (hasattr(task, "name") and hasattr(task, "version")):
        raise UsageError(
            f"The task '{name}' is registered as {TASKS.targets[name]}, which is no Task."
        )
    if (task.name, task.version) != (name, _gym[name].version):
        raise UsageError(
            f"The task '{name}' is registered with version {_gym[name].version}, but "
            f"{TASKS.targets[name]} is '{task.name}' of version {task.version}; mend one of them."
        )
    return task


for _name, _class, _version, _steps in (
    ("open-door", "open_door:OpenDoor", 5, 600),
    ("lift-object", "lift_object:LiftObject", 5, 600),
    ("open-drawer", "open_drawer:OpenDrawer", 5, 600),
    ("pour-cup", "pour_cup:PourCup", 6, 1_260),
    ("stack-cubes", "stack_cubes:StackCubes", 5, 3_150),
    ("study-scene", "study_scene:StudyScene", 6, 5_400),
):
    register_task(_name, f"gym_grasp.tasks.{_class}", version=_version, max_episode_steps=_steps)

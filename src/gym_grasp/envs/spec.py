"""What an environment is, in full: the one description from which it is made and made again."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from gym_grasp.envs.checks import checked_count
from gym_grasp.envs.control import ControlConfig
from gym_grasp.errors import UsageError, unknown
from gym_grasp.robots import DEFAULT_ROBOT, load_robot
from gym_grasp.robots.robot import Robot
from gym_grasp.tasks import load_task
from gym_grasp.tasks.base import Task
from gym_grasp.tasks.features import Feature


class Choices(dict[str, Any]):
    """Options by name, as unchangeable as the specification that they are part of."""

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise UsageError("A specification cannot change; make another: spec.replace(options=…).")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[type, tuple[dict[str, Any]]]:
        return type(self), (dict(self),)


@dataclass(frozen=True)
class EnvSpec:
    """Everything that decides how an environment behaves, stored wherever an experiment is.

    What is left out is filled in: a spec says all of it, so that two of them can be compared.

    Raises:
        UsageError: at construction, for the first name or value that does not exist, and where
            `version` is not the task's present one.
    """

    task: str
    """Name of the task."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Choices about the task, by the names of its `Options`."""
    robot: str = DEFAULT_ROBOT
    """Name of the robot: ARM-HAND."""
    control: ControlConfig = field(default_factory=ControlConfig)
    """Rates, limits and inverse kinematics."""
    max_episode_steps: int | None = None
    """Actions after which an episode is truncated; None becomes the task's time limit."""
    version: int | None = None
    """Of the task; None becomes the present one."""

    def __post_init__(self) -> None:
        """Check everything, and fill in what was left out."""
        task = load_task(self.task)
        if not isinstance(self.robot, str):
            raise UsageError(f"robot is {self.robot!r}; expected the name of one: ARM-HAND.")
        load_robot(self.robot)
        if not isinstance(self.control, ControlConfig):
            raise UsageError(f"control is {self.control!r}; expected a ControlConfig.")
        if self.version is not None and repr(self.version) != repr(task.version):
            raise UsageError(
                f"This is of version {self.version!r} of the task '{self.task}', which has version "
                f"{task.version} now; record or train anew, or install the gym-grasp that made it."
            )
        steps = self.max_episode_steps
        if steps is None:
            steps = round(task.time_limit * self.control_rate)
        steps = checked_count("max_episode_steps", steps, 1)
        options = Choices(dataclasses.asdict(task.choose(self.options)))
        for name, value in (
            ("version", task.version),
            ("max_episode_steps", steps),
            ("options", options),
        ):
            object.__setattr__(self, name, value)

    @property
    def task_class(self) -> type[Task]:
        """The task's class."""
        return load_task(self.task)

    @property
    def task_options(self) -> Any:
        """The options as an instance of the task's `Options`."""
        return self.task_class.choose(self.options)

    @property
    def robot_model(self) -> Robot:
        """The robot itself."""
        return load_robot(self.robot)

    @property
    def control_rate(self) -> float:
        """Actions per second, in Hz."""
        return 1.0 / (self.control.interval * load_task(self.task).timestep)

    @property
    def features(self) -> dict[str, Feature]:
        """Every observation."""
        return self.task_class.features(self.robot_model, self.task_options)

    @property
    def action_names(self) -> tuple[str, ...]:
        """What each of the A actions moves, in their order."""
        return self.robot_model.action_names

    def replace(self, **changes: Any) -> "EnvSpec":
        """Return the spec with other values."""
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; `from_dict` takes them back."""
        control = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self.control).items()
        }
        return {
            "task": self.task,
            "version": self.version,
            "options": dict(self.options),
            "robot": self.robot,
            "control": control,
            "max_episode_steps": self.max_episode_steps,
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> "EnvSpec":
        """Return the spec that `to_dict` described.

        Raises:
            UsageError: it holds something that this version does not know, or is of another
                version of the task.
        """
        _check_names("part of a specification", value, cls)
        if "task" not in value:
            raise UsageError("A specification lacks its task.")
        control = value.get("control", {})
        _check_names("control setting", control, ControlConfig)
        control = {k: tuple(v) if isinstance(v, list) else v for k, v in control.items()}
        return cls(**{**value, "control": ControlConfig(**control)})


def _check_names(kind: str, given: Any, described: type) -> None:
    """Raise `UsageError` unless `given` maps names of fields of a dataclass to values."""
    if not isinstance(given, Mapping):
        raise UsageError(f"A {kind} is {given!r}; expected names with values.")
    known = {one.name for one in dataclasses.fields(described)}
    for name in given:
        if name not in known:
            raise unknown(kind, name, known)

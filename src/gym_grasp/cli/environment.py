"""The options of an environment, the same for every subcommand that makes one.

A subcommand takes them by a parameter `environment: EnvironmentOptions`, and is called by `call`.
"""

import contextlib
import dataclasses
import functools
import io
import itertools
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

import tyro
from tyro.constructors import (
    ConstructorRegistry,
    PrimitiveConstructorSpec,
    PrimitiveTypeInfo,
    StructConstructorSpec,
    StructFieldSpec,
    StructTypeInfo,
)

from gym_grasp.cli import HELP
from gym_grasp.errors import CheckpointError, UsageError, reason, unknown
from gym_grasp.tasks import TASKS, load_task

if TYPE_CHECKING:
    from gym_grasp.envs.control import ControlConfig
    from gym_grasp.envs.spec import EnvSpec


@dataclass(frozen=True)
class Environment:
    """What is left of an `EnvSpec` without its task: what options say."""

    robot: str
    control: "ControlConfig"
    max_episode_steps: int | None
    options: Any = None
    """Instance of the task's `Options`; None where no single task is named."""

    def spec(self, task: str) -> "EnvSpec":
        """Return the whole for a task; raises `UsageError` for what does not exist."""
        from gym_grasp.envs.spec import EnvSpec

        own = {} if self.options is None else dataclasses.asdict(self.options)
        return EnvSpec(task, own, self.robot, self.control, self.max_episode_steps)


EnvironmentOptions = Annotated[Environment, tyro.conf.arg(name="")]
"""Options of an environment among a subcommand's own."""


def call(
    subcommand: Callable[..., Any], args: Sequence[str], prog: str, base: "EnvSpec | None" = None
) -> Any:
    """Parse arguments and call a subcommand; return what it returns.

    Args:
        subcommand: a function, or a dataclass of its options.
        args: what follows the name of the program.
        prog: that name.
        base: whose values the options have where they are not given, and whose task's options
            there are; by default those of the one task named in `args`.

    Raises:
        UsageError: an option does not exist, or is of another task.
    """
    named = list(dict.fromkeys(word for word in args if word in TASKS))
    task = base.task if base else named[0] if len(named) == 1 else None
    registry = _registry(task, base)
    if task:
        taken = set(_flags(subcommand, _registry(None, None))) & set(task_flags(task))
        if taken:
            raise UsageError(
                f"The option '{min(taken)}' of the task '{task}' is one of `{prog}` itself; give "
                "it another name in the task's Options."
            )
    _refuse_unknown(args, set(_flags(subcommand, registry)), prog)
    parse = subcommand if isinstance(subcommand, type) else _deferred(subcommand)
    with refusing_in_a_line(prog):
        parsed = tyro.cli(parse, args=args, prog=prog, registry=registry)
    return parsed if parse is subcommand else parsed()


def _deferred(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return what binds a function's arguments, for tyro would call it while it parses."""

    @functools.wraps(function)
    def bind(*args: Any, **kwargs: Any) -> Callable[[], Any]:
        return functools.partial(function, *args, **kwargs)

    return bind


@contextlib.contextmanager
def refusing_in_a_line(prog: str) -> Iterator[None]:
    """Raise as `UsageError` what tyro would print as a box before it exits.

    Args:
        prog: name of the program whose arguments it parses.
    """
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            yield
    except SystemExit as end:
        if not end.code:
            raise
        lines = re.sub(r"\x1b\[[\d;]*m", "", said.getvalue()).splitlines()
        inner = [line.strip("│ ") for line in lines if line.startswith("│")] or lines
        words = itertools.takewhile(lambda line: not line.startswith("─"), inner)
        raise UsageError(f"{reason(' '.join(words), 600)}. `{prog} --help` tells more.") from None


def call_one(group: str, subcommands: Sequence[Callable[..., Any]], args: Sequence[str]) -> None:
    """Call the subcommand of a group that arguments name first, or say which there are.

    Args:
        group: name of the program and the group.
        subcommands: functions, called as they are named, with a dash for an underscore.
        args: what follows the group.

    Raises:
        UsageError: there is no such subcommand; further as `call`.
    """
    known = {one.__name__.replace("_", "-"): one for one in subcommands}
    if not args or args[0] in HELP:
        print(f"usage: {group} [-h] SUBCOMMAND ...\n")
        for name, function in known.items():
            print(f"  {name:<8}  {(function.__doc__ or '').splitlines()[0]}")
        print(f"\n`{group} SUBCOMMAND --help` tells more.")
        sys.exit(0 if args else 2)
    if args[0] not in known:
        raise unknown(f"subcommand of `{group}`", args[0], known)
    call(known[args[0]], args[1:], f"{group} {args[0]}")


def _registry(task: str | None, base: "EnvSpec | None") -> ConstructorRegistry:
    registry = ConstructorRegistry()
    registry.struct_rule(lambda info: _constructor(info, task, base))
    registry.primitive_rule(_optional)
    return registry


def _optional(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """Let help show what an option takes, such as INT, and not {None}|INT."""
    if info.type == bool | None:
        return _optional_switch()
    kind = next((one for one in (int, float, str, Path) if info.type == one | None), None)
    if kind is None:
        return _optional_choice(info)
    name = {int: "INT", float: "FLOAT", str: "STR", Path: "PATH"}[kind]
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=name,
        instance_from_str=lambda words: None if words[0] == "None" else kind(words[0]),
        is_instance=lambda value: value is None or isinstance(value, kind),
        str_from_instance=lambda value: [str(value)],
    )


def _optional_switch() -> PrimitiveConstructorSpec[Any]:
    values = {"True": True, "False": False, "None": None}
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="{True,False}",
        instance_from_str=lambda words: values[words[0]],
        is_instance=lambda value: value is None or isinstance(value, bool),
        str_from_instance=lambda value: [str(value)],
        choices=tuple(values),
    )


def _optional_choice(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    parts = [one for one in get_args(info.type) if one is not NoneType]
    if len(parts) != 1 or get_origin(parts[0]) is not Literal:
        return None
    names = get_args(parts[0])
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=f"{{{','.join(names)}}}",
        instance_from_str=lambda words: None if words[0] == "None" else words[0],
        is_instance=lambda value: value is None or value in names,
        str_from_instance=lambda value: [str(value)],
        choices=(*names, "None"),
    )


def _constructor(
    info: StructTypeInfo, task: str | None, base: "EnvSpec | None"
) -> StructConstructorSpec | None:
    """Tell tyro which options there are, with their defaults."""
    if info.type is not Environment:
        return None
    from gym_grasp.envs.control import ControlConfig
    from gym_grasp.robots import DEFAULT_ROBOT, robot_names

    robot, control, steps = DEFAULT_ROBOT, ControlConfig(), None
    if base:
        robot, control, steps = base.robot, base.control, base.max_episode_steps
        if steps == base.replace(max_episode_steps=None).max_episode_steps:
            steps = None  # it follows the control rate, should that change
    limit = "Actions after which an episode is truncated; by default the task's time limit."
    named = Annotated[str, tyro.conf.arg(metavar=f"{{{','.join(robot_names())}}}")]
    fields = [
        StructFieldSpec("robot", named, robot, "ARM-HAND."),
        StructFieldSpec("max_episode_steps", int | None, steps, limit),  # type: ignore[arg-type]
        StructFieldSpec("control", ControlConfig, control),
    ]
    if task:
        chosen = load_task(task).choose(base.options if base else {})
        flat: Any = Annotated[type(chosen), tyro.conf.arg(name="")]
        fields.insert(0, StructFieldSpec("options", flat, chosen))
    return StructConstructorSpec(Environment, tuple(fields))


def _flags(subcommand: Callable[..., Any], registry: ConstructorRegistry) -> Iterator[str]:
    """Yield every option that a subcommand's help shows."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        tyro.cli(subcommand, args=["--help"], registry=registry)
    for match in re.finditer(r"--[a-z][\w-]*(?:\.[\w-]+)*", text.getvalue()):
        yield match[0]


def _refuse_unknown(args: Sequence[str], known: set[str], prog: str) -> None:
    for word in args:
        flag = word.partition("=")[0].replace("_", "-")
        if not flag.startswith("--") or flag == "--" or flag in known:
            continue
        owners = [name for name in TASKS if flag in _flags_if_sound(name)]
        if owners:
            raise UsageError(
                f"The option '{flag}' is one of {' or '.join(owners)}, and goes with that task "
                f"alone. Known here: {', '.join(sorted(known))}."
            )
        raise unknown(f"option of `{prog}`", flag, known)


def _flags_if_sound(task: str) -> list[str]:
    """Return a task's own options, none if its registration is at fault: others are asked about."""
    with contextlib.suppress(UsageError):
        return task_flags(task)
    return []


def task_flags(task: str) -> list[str]:
    """Return the names of a task's own options on the command line."""
    names = [one.name for one in dataclasses.fields(load_task(task).Options)]
    return [f"--{name.replace('_', '-')}" for name in names]


# What was trained ---------------------------------------------------------------------------------


def spec_of_run(folder: Path) -> "EnvSpec":
    """Return the environment that a run was trained in; raises `CheckpointError` if unknown."""
    from gym_grasp.envs.spec import EnvSpec
    from gym_grasp.learning.record import load_config

    _, description = load_config(folder)
    try:
        return EnvSpec.from_dict(description["settings"]["spec"])
    except (KeyError, TypeError, ValueError, UsageError) as error:
        why = reason(error) if isinstance(error, UsageError) else "it does not say its environment"
        raise CheckpointError(f"The run {folder} cannot be used: {why}.") from error


def refuse_differences(
    first: "EnvSpec", second: "EnvSpec", names: tuple[str, str], what: str
) -> None:
    """Raise `UsageError` with a line for each difference of two specs.

    Args:
        first: one.
        second: the other.
        names: what to call them.
        what: the sentence above the lines: what is wrong, and what to do.
    """
    from gym_grasp.differences import differences

    lines = differences(first.to_dict(), second.to_dict(), names, ignore=())
    if lines:
        raise UsageError("\n  ".join([what, *lines]))

"""All that the next steps of a batch depend on: taken out, and put back."""

from torch import Tensor

from gym_grasp.envs.checks import check_state
from gym_grasp.envs.control import Controller
from gym_grasp.envs.episodes import Episodes
from gym_grasp.physics.base import Physics
from gym_grasp.tasks.base import Task

FIELD = "field "
"""Begins the names of model fields in a state."""


def take_state(
    physics: Physics,
    controller: Controller,
    episodes: Episodes,
    task: Task,
    command: Tensor | None = None,
) -> dict[str, Tensor]:
    """Return copies, each (N, …); the last command counts where commands come late."""
    return {
        "physics": physics.get_state(),
        "targets": controller.targets.flat(),
        "commanded": controller.targets.arm.clone(),
        **episodes.get_state(),
        **({"memory": task.memory.clone()} if task.memory_size else {}),
        **({} if command is None else {"command": command.clone()}),
        **{f"{FIELD}{name}": values for name, values in physics.fields().items()},
    }


def put_state(
    state: dict[str, Tensor],
    physics: Physics,
    controller: Controller,
    episodes: Episodes,
    task: Task,
    command: Tensor | None = None,
) -> None:
    """Restore what `take_state` returned; raises `UsageError` where it is another environment's."""
    present = take_state(physics, controller, episodes, task, command).items()
    check_state(state, {k: v for k, v in present if not k.startswith(FIELD)}, FIELD)
    own = {k.removeprefix(FIELD): v for k, v in state.items() if k.startswith(FIELD)}
    physics.set_fields(own)
    physics.set_state(state["physics"].to(physics.device))
    controller.targets.load(state["targets"], state["commanded"])
    episodes.set_state(state)
    if task.memory_size:
        task.memory.copy_(state["memory"])
    if command is not None:
        command.copy_(state["command"])

"""Synthetic operators: one script per task, and the batch that runs them.

A new one is a file with a `script` and a line in `OPERATORS`, or `register_operator` in a package
of its own.
"""

from gym_grasp.registry import Registry

OPERATORS = Registry(
    "task with a synthetic operator",
    {
        "lift-object": "gym_grasp.demos.operators.lift_object:script",
        "open-door": "gym_grasp.demos.operators.open_door:script",
        "open-drawer": "gym_grasp.demos.operators.open_drawer:script",
        "pour-cup": "gym_grasp.demos.operators.pour_cup:script",
        "stack-cubes": "gym_grasp.demos.operators.stack_cubes:script",
        "study-scene": "gym_grasp.demos.operators.study_scene:script",
    },
)
"""The script that performs each task: a function of a `Human` that yields once a control step."""


def register_operator(task: str, target: str) -> None:
    """Enter the script of another package's task; `target` is `module:function`."""
    OPERATORS.register(task, target)

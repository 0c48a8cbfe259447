"""Makes every task known to Gymnasium as `gym_grasp/<Title>-v<version>`."""

import gymnasium

from gym_grasp.tasks import TASKS


def gym_id(task: str) -> str:
    """Return Gymnasium's name of a task, e.g. `gym_grasp/OpenDrawer-v0`.

    The number is the task's `version`; it stands here so that naming tasks imports none of them.
    """
    return f"gym_grasp/{task.title().replace('-', '')}-v0"


def register_all() -> None:
    """Register every task; neither torch nor MuJoCo is imported until one is made."""
    for task in TASKS:
        gymnasium.register(
            gym_id(task),
            entry_point="gym_grasp.envs.single:GraspEnv",
            vector_entry_point="gym_grasp.envs.vector:GraspVectorEnv",
            kwargs={"task": task},
        )

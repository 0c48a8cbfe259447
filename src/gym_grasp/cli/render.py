"""`gym-grasp render TASK`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from gym_grasp.cli.common import TaskName
from gym_grasp.cli.environment import EnvironmentOptions, call


def main(args: Sequence[str]) -> None:
    """Run the subcommand."""
    call(render, args, "gym-grasp render")


def render(
    task: TaskName,
    /,
    *,
    environment: EnvironmentOptions,
    out: Path | None = None,
    camera: Literal["overview", "close"] = "overview",
    seed: int = 0,
    width: int = 960,
    height: int = 720,
) -> None:
    """Draw a picture of a task's start state.

    Args:
        task: which task.
        environment: what is drawn.
        out: the PNG to write; by default TASK.png.
        camera: from where.
        seed: of the start state.
        width: in pixels.
        height: in pixels.
    """
    from gym_grasp.envs.render import Camera, write_picture
    from gym_grasp.envs.vector import GraspVectorEnv
    from gym_grasp.files import check_suffix

    path = out or Path(f"{task}.png")
    check_suffix(path, ".png")
    env = GraspVectorEnv(environment.spec(task), 1)
    env.reset(seed=seed)
    with Camera(env, camera, width, height, fine=True) as lens:
        frame = lens.frame()
    env.close()
    write_picture(path, frame)
    print(path)

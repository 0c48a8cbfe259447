"""Scenes: MJCF files, which may include the shipped ones from wherever they lie."""

from functools import cache
from pathlib import Path

import mujoco

from gym_grasp.errors import UsageError
from gym_grasp.robots.base import MOUNT_BODY

SCENES = Path(__file__).parent / "scenes"
PHYSICS = Path(__file__).parents[1] / "robots" / "physics.xml"
PREFIX = "gym_grasp."
"""Begins the names under which every scene may include the shipped files."""


@cache
def shipped() -> dict[str, bytes]:
    """Return the shipped files by the names under which scenes include them."""
    return {f"{PREFIX}{path.name}": path.read_bytes() for path in (PHYSICS, *SCENES.glob("*.xml"))}


def load_scene(path: Path) -> mujoco.MjSpec:
    """Read a scene, without its robot.

    Its own files are found relative to it; shipped ones as `gym_grasp.physics.xml` (which has to
    come first), `gym_grasp.table.xml`, `gym_grasp.door.xml` and so on.

    Raises:
        UsageError: MuJoCo cannot read it, or it has no place for the robot.
    """
    if not path.is_file():
        raise UsageError(f"There is no scene {path}; give the path of an MJCF file.")
    try:
        scene = mujoco.MjSpec.from_file(str(path), include=shipped())
    except ValueError as error:
        raise UsageError(
            f"MuJoCo cannot read the scene {path}: {error} (shipped files to include: "
            f"{', '.join(sorted(shipped()))})"
        ) from error
    if scene.body(MOUNT_BODY) is None:
        raise UsageError(
            f'{path} has no body "{MOUNT_BODY}" for the robot: begin it with '
            f'<include file="{PREFIX}physics.xml"/>.'
        )
    return scene

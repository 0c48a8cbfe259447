"""Which room of the package may import which: the architecture, checked."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import gym_grasp

SOURCE = Path(gym_grasp.__file__).parent
MAY_IMPORT = {
    "math": set(),
    "robots": {"math"},
    "physics": {"robots", "math"},
    "tasks": {"robots", "physics", "math"},
    "envs": {"robots", "physics", "tasks", "math"},
    "demos": {"robots", "tasks", "envs", "math"},
    "learning": {"demos"},
    "teleop": {"robots", "tasks", "physics", "envs", "demos", "math"},
    "experiments": {"envs", "learning", "demos", "tasks"},
    "paper": {"experiments", "bench", "envs", "learning", "tasks"},
    "bench": {"envs", "learning", "demos", "tasks", "physics", "integrations"},
    "integrations": {"envs"},
}


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def rooms_imported(path: Path) -> set[str]:
    own = {name.split(".")[1] for name in imports(path) if name.startswith("gym_grasp.")}
    return {name for name in own if (SOURCE / name).is_dir()}


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_rooms_import_only_what_they_may(room):
    for path in (SOURCE / room).rglob("*.py"):
        forbidden = rooms_imported(path) - MAY_IMPORT[room] - {room}
        assert not forbidden, f"{path.relative_to(SOURCE)} imports {sorted(forbidden)}"


def test_nothing_imports_the_command_line():
    for path in SOURCE.rglob("*.py"):
        if path.parent.name != "cli":
            assert "cli" not in rooms_imported(path), path


def test_tasks_know_physics_by_its_interface_alone():
    for path in (SOURCE / "tasks").rglob("*.py"):
        physics = {n for n in imports(path) if n.startswith("gym_grasp.physics")}
        assert all(name.startswith("gym_grasp.physics.base") for name in physics), path


def test_mujoco_warp_has_one_home():
    users = [
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        if any(name.split(".")[0] in ("mujoco_warp", "warp") for name in imports(path))
    ]
    assert set(users) <= {"physics/warp.py"}


def test_importing_the_package_is_light():
    heavy = ("torch", "mujoco", "h5py", "matplotlib", "warp")
    code = f"import sys, gym_grasp; print([m for m in {heavy!r} if m in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"

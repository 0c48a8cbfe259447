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
    "view": {"robots", "tasks", "envs", "demos", "learning", "teleop"},
    "study": {"tasks", "envs", "demos", "teleop", "experiments"},
    "experiments": {"robots", "envs", "learning", "demos", "tasks"},
    "paper": {"experiments", "bench", "envs", "learning", "tasks"},
    "bench": {"envs", "learning", "demos", "tasks", "physics", "integrations"},
    "integrations": {"envs", "demos", "tasks"},
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


HOMES = {
    "mujoco_warp": "physics",
    "warp": "physics",
    "h5py": "demos",
    "aiohttp": ("teleop/web", "study"),
    "pandas": "study",
    "scipy": "study",
    "statsmodels": "study",
    "ray": "experiments",
    "rsl_rl": ("integrations", "bench"),
    "stable_baselines3": ("integrations", "bench"),
    "skrl": "integrations",
    "torchrl": "integrations",
    "robomimic": "integrations",
    "lerobot": "integrations",
    "minari": "demos/export",
    "pyarrow": ("demos/export", "study"),
    "onnx": "learning",
    "onnxruntime": "learning",
    "xr": "teleop/devices",
    "safetensors": "learning",
    "typeguard": "typed.py",
}
"""Where the names of other packages may stand; swapping one then touches one room."""


@pytest.mark.parametrize("package", sorted(HOMES))
def test_other_packages_have_their_homes(package):
    for path in SOURCE.rglob("*.py"):
        if package in {name.split(".")[0] for name in imports(path)}:
            place = path.relative_to(SOURCE).as_posix()
            homes = HOMES[package]
            homes = (homes,) if isinstance(homes, str) else homes
            assert place.startswith((*homes, "cli/")), place


def test_no_file_is_long():
    for path in SOURCE.rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 350, path.relative_to(SOURCE)


def test_rooms_do_not_import_in_circles():
    """Also within a room: of two files, at most one imports the other."""
    edges = {}
    for path in SOURCE.rglob("*.py"):
        name = ".".join(("gym_grasp", *path.relative_to(SOURCE).with_suffix("").parts))
        edges[name.removesuffix(".__init__")] = imports(path)
    for name, found in edges.items():
        for other in found & edges.keys():
            within = not other.count(".") < 2 and not name.count(".") < 2
            assert not (within and name in edges[other]), f"{name} and {other} import each other"


def test_importing_the_package_is_light():
    heavy = ("torch", "mujoco", "h5py", "matplotlib", "warp")
    code = f"import sys, gym_grasp; print([m for m in {heavy!r} if m in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"

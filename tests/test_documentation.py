"""What README and the guides tell people to type is understood, runs, and names what exists."""

import functools
import os
import re
import shlex
import shutil
import webbrowser
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
import tyro

from gym_grasp.cli import environment
from gym_grasp.cli.main import SUBCOMMANDS, main
from gym_grasp.demos.record import record
from gym_grasp.tasks import TASKS
from gym_grasp.teleop.devices import DEVICES

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
HISTORY = ROOT / "docs" / "measurements.md"
"""What was typed in its day; today's names need not be those."""
OWN = ROOT / "docs" / "extending.md"
"""Its commands are run in `third_party`, with the package that it shows."""
FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
PLACEHOLDER = re.compile(r"[A-Z]{3,}|…|\.\.\.")

SMALL = {
    "demos record": "--episodes 6 --skill 1",
    "demos multiply": "--to 4",
    "train": "--epochs 2 --hidden-sizes 16",
    "learn": "--to 4 --episodes 2 --max-minutes 0 --no-video",
    "evaluate": "--episodes 2 --max-episode-steps 30 --video-episodes 1 --height 120 --width 320",
    "benchmark": "--num-envs 4 --rounds 1",
    "audit": "--episodes 1 --max-episode-steps 30",
    "resume": "--epochs 3",
    "view": "--port 0 --seconds 1",
    "study run": "--port 0 --seconds 1",
    "study dry-run": "--participants 1 --time-limit 2 --no-report",
    "sweep": "--epochs 1 --num-envs 2 --episodes 1 --set horizon=2 hidden_sizes=[8]"
    " --max-episode-steps 4 --seeds 0",
    "teleop": "--port 0 --seconds 1",
    "demos film": "--height 120 --width 320",
    "render": "--width 160 --height 120",
}
"""What makes the command a short one; given last, it wins."""
ONLY_PARSED = ("reproduce", "demo ", "--device cuda", "--executor ray", "--calibrate", "openxr")
ONLY_PARSED += ("--perturb", "study report", "study forget")  # which tests/cli and tests/study run
"""Parts of commands that take hours, a GPU, a cluster, hardware, or a study that has been run."""
NEEDS = {"gym-grasp export": "onnx", "--format lerobot": "pyarrow", "--format minari": "minari"}
"""Extras that need not be installed here."""


def commands(page: Path) -> list[str]:
    """Return the lines of a page's fenced blocks that call gym-grasp, without comments."""
    found = []
    for language, block in FENCED.findall(page.read_text()):
        if language not in ("", "bash"):
            continue
        for line in block.replace("\\\n", " ").splitlines():
            at = re.search(r"(?:^|-- |^\$ )(gym-grasp .*)", line)
            if at and not line.startswith("#"):
                command = re.sub(r"\s#.*|\s&$", "", at[1])
                command = command.replace("$SLURM_ARRAY_TASK_ID", "0")
                found.append(re.sub(r"\[[^]]*\]|\.\.\.$", "", command).strip())
    return found


def all_commands() -> list[tuple[str, str]]:
    return [
        (page.name, command)
        for page in PAGES
        if page not in (HISTORY, OWN)
        for command in commands(page)
        if not PLACEHOLDER.search(command)
    ]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A dataset and a run of OpenDrawer."""
    folder = tmp_path_factory.mktemp("made")
    record("open-drawer", folder / "drawer.hdf5", episodes=4, seed=1, skill=1.0)
    train = ["train", "open-drawer", "--method", "bc", "--epochs", "1", "--hidden-sizes", "16"]
    assert main([*train, "--demos", str(folder / "drawer.hdf5"), "--run", str(folder / "run")]) == 0
    return folder


@pytest.fixture
def workplace(made, tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr(webbrowser, "open", lambda url: True)
    (tmp_path / "results").symlink_to(ROOT / "results")
    return tmp_path


def supply(made: Path, command: str) -> None:
    """Put what a command reads where it expects it: everything is of OpenDrawer."""
    for word in shlex.split(command):
        path = Path(word)
        if path.is_absolute() or path.exists() or "*" in word or "--out" in command.split(word)[0]:
            continue
        if f"--to {word}" in command:
            continue
        if path.suffix == ".hdf5":
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(made / "drawer.hdf5", path)
        elif path.parts[:1] == ("runs",) and f"--run {word}" not in command:
            shutil.copytree(made / "run", path)


class Understood(Exception):  # noqa: N818
    """The arguments were taken."""


@pytest.mark.parametrize("page", [one.name for one in PAGES])
def test_every_command_is_understood(page, made, workplace, monkeypatch, capsys):
    parse = tyro.cli

    def only_parse(subcommand, **given):
        if given.get("return_unknown_args"):
            return parse(subcommand, **given)

        if not isinstance(subcommand, type):
            subcommand = functools.wraps(subcommand)(lambda *args, **kwargs: None)
        parse(subcommand, **given)
        raise Understood

    monkeypatch.setattr(environment, "_refuse_unknown", lambda *args: None)  # the parser refuses
    monkeypatch.setattr(environment, "_flags", lambda *args: [])
    monkeypatch.setattr(tyro, "cli", only_parse)
    for name, command in all_commands():
        if name != page or command in ("gym-grasp --help", "gym-grasp demo"):
            continue
        supply(made, command)
        try:
            code = main(shlex.split(command)[1:])
        except Understood:
            continue
        except SystemExit as end:
            code = end.code
        pytest.fail(f"{command}: {code} {capsys.readouterr()}")


def test_the_commands_are_found():
    found = [command for _, command in all_commands()]
    assert len(found) > 60
    assert {command.split()[1] for command in found} >= {*SUBCOMMANDS} - {"demo"}


def test_readmes_python_runs(made, workplace):
    supply(made, "data/open-drawer.hdf5 runs/open-drawer-dapg-sparse-0")
    block = next(text for name, text in FENCED.findall(PAGES[0].read_text()) if name == "python")
    names = {}
    exec(compile(block, "README.md", "exec"), names)
    assert names["action"].shape == (64, 11)
    assert Path("drawer.png").stat().st_size > 10_000
    said = re.search(r"reset\(seed=0\)  # \((\d+), (\d+)\)", block)
    env = names["GraspVectorEnv"](names["spec"], num_envs=64)
    observation, _ = env.reset(seed=0)
    assert tuple(observation.shape) == tuple(map(int, said.groups()))
    assert torch.isfinite(observation).all()


def known_flags() -> set[str]:
    """Return every option of every subcommand, task and device."""
    from gym_grasp.cli import demos, film, learn, study, train, view

    modules = ["demo", "resume", "evaluate", "audit", "benchmark", "render"]
    found = set()
    registry = environment._registry(None, None)
    functions = [demos.record, demos.info, demos.film, demos.export, film.Film, train.Train]
    functions += [study.new, study.run, study.dry_run, study.report, study.status, study.forget]
    functions += [view.view, demos.multiply, learn.learn]
    for name in modules:
        module = __import__(f"gym_grasp.cli.{name}", fromlist=[name])
        functions.append(getattr(module, name))
    for name in ("sweep", "reproduce", "teleop"):
        module = __import__(f"gym_grasp.cli.{name}", fromlist=[name])
        functions.append(getattr(module, name.title()))
    functions += [DEVICES.load(name) for name in DEVICES]
    for function in functions:
        found |= set(environment._flags(function, registry))
    for task in TASKS:
        found |= set(environment.task_flags(task))
    return found | {"--help", "--version"}


def test_every_option_that_is_named_exists():
    known = known_flags() | {"--no-" + flag[2:] for flag in known_flags()}
    foreign = re.compile(
        r"torchrun|lerobot|pytest|python|pip|make|rsync|--smoke|--viewer|--dry-run|--no-deps"
    )
    for page in PAGES:
        if page in (HISTORY, OWN, ROOT / "docs" / "own-device.md"):
            continue
        text = FENCED.sub("", page.read_text())
        for span in SPAN.findall(text):
            if foreign.search(span) or not re.match(r"--|gym-grasp", span):
                continue
            for flag in re.findall(r"--[a-z][\w.-]*", span):
                one = flag in known or flag.startswith("--env.")
                group = flag.endswith(".") and any(name.startswith(flag) for name in known)
                assert one or group, f"{page.name}: {span}"


def test_every_file_module_and_target_that_is_named_exists():
    targets = set(re.findall(r"^([\w-]+)(?: [\w-]+)*:", (ROOT / "Makefile").read_text(), re.M))
    targets |= {"torture", "torture-full"}
    roots = [ROOT, ROOT / "src" / "gym_grasp", ROOT / "tests", ROOT / "docs"]
    for page in PAGES:
        if page in (HISTORY, OWN):
            continue
        text = page.read_text()
        for target in re.findall(r"(?:^|`)make ([a-z][\w-]*)", text, re.M):
            assert target in targets, f"{page.name}: make {target}"
        for module in re.findall(r"python -m (gym_grasp[\w.]*)", text):
            path = ROOT / "src" / Path(*module.split("."))
            assert path.is_dir() or path.with_suffix(".py").exists(), f"{page.name}: {module}"
        for path in re.findall(r"`((?:[\w-]+/)+[\w-]+\.(?:py|xml|md|ts|sh))`", text):
            there = any((root / path).exists() for root in roots)
            assert there or path.startswith("my_package/"), f"{page.name}: {path}"


@pytest.mark.slow
@pytest.mark.parametrize("page", sorted({name for name, _ in all_commands()}))
def test_commands_run(page, made, workplace):
    """In the order of the page, each as small as it can be."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for name, command in all_commands():
        if name != page or any(part in command for part in ONLY_PARSED):
            continue
        if any(part in command and find_spec(extra) is None for part, extra in NEEDS.items()):
            continue
        command = command.replace("*", "0")
        words = shlex.split(command)[1:]
        key = next((one for one in SMALL if " ".join(words).startswith(one)), None)
        supply(made, command)
        small = shlex.split(SMALL.get(key or "", ""))
        if key == "train" and "bc" not in words:
            small += ["--num-envs", "4", "--horizon", "4", "--pretrain-epochs", "1"]
            small += ["--max-episode-steps", "40"] if "--demos" not in words else []
        code = main([*words, *small])
        assert code == (1 if "sphere-15hz.hdf5" in command and "train" in command else 0), command

"""Installs a wheel as a user would and tries it: `python smoke.py WHEEL TORCH CONSTRAINTS`.

Prints one JSON object, seconds from the installed package to a first frame and sizes, and at the
end that all is good.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
import venv
from pathlib import Path
from urllib.parse import urljoin

HERE = Path(__file__).parent
FRAME = """
import time; begun = time.perf_counter()
import gymnasium, gym_grasp
drawer = next(name for name in gymnasium.registry if name.startswith("gym_grasp/OpenDrawer-v"))
env = gymnasium.make(drawer, render_mode="rgb_array")
env.reset(seed=0)
env.step(env.action_space.sample())
assert env.render().shape == (480, 640, 3)
print(time.perf_counter() - begun)
"""
EXTRAS = {
    "import gym_grasp.integrations.sb3": "gym-grasp[sb3]",
    "import gym_grasp.integrations.torchrl": "gym-grasp[torchrl]",
    "import gym_grasp.integrations.skrl": "gym-grasp[skrl]",
    "import gym_grasp.integrations.rsl_rl": "gym-grasp[rsl-rl]",
    "import gym_grasp.physics.warp": "gym-grasp[cuda]",
    "import sys; from gym_grasp.cli.main import main; sys.exit(main(['teleop', 'open-drawer']))": (
        "gym-grasp[teleop]"
    ),
}
"""What says which extra it wants, where it is not there."""

MOST = {"package_mb": 8.0, "core_mb": 750.0}
"""Sizes that a release stays below: our package with its byte code, all packages but torch."""


def run(*command: str, code: int = 0, cwd: str | None = None) -> str:
    """Run a command outside the repository, which has to end with a code; return what it said."""
    away = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(command, capture_output=True, text=True, env=away, cwd=cwd)
    assert done.returncode == code, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def megabytes(folder: Path) -> float:
    """Size of a folder's files, in MB."""
    return round(sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) / 1e6, 1)


def serve(python: str, cwd: str) -> None:
    """Start teleoperation's server and fetch its page."""
    command = [python, "-u", "-m", "gym_grasp.cli.main", "teleop", "open-drawer", "--port", "0"]
    log = Path(cwd) / "server.log"
    with (
        log.open("w") as file,
        subprocess.Popen(
            [*command, "--seconds", "240"], stdout=file, stderr=file, cwd=cwd
        ) as server,
    ):
        try:
            for _ in range(1200):
                found = re.search(r"https?://[^\s]+", log.read_text())
                if found:
                    break
                time.sleep(0.1)
            assert found, log.read_text()
            page = urllib.request.urlopen(found[0], timeout=10).read().decode()
            scripts = re.findall(r'src="(/[^"]+)"', page)
            assert scripts, page
            for script in scripts:
                answer = urllib.request.urlopen(urljoin(found[0], script), timeout=10)
                assert len(answer.read()) > 10_000, script
        finally:
            server.terminate()


def main(wheel: str, torch: str, constraints: str) -> None:
    """Try the core, its types, every extra's message, then `[teleop]`."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "venv"
        venv.create(place, with_pip=True)
        python = str(place / "bin/python")
        pip = (python, "-m", "pip", "install", "--quiet", "--constraint", constraints)
        run(*pip, torch)
        begun = time.perf_counter()
        run(*pip, wheel)
        installed = time.perf_counter() - begun
        packages = next((place / "lib").glob("python3*/site-packages"))
        figures = {
            "install_s": round(installed, 1),
            "first_frame_s": round(float(run(python, "-c", FRAME, cwd=folder)), 1),
            "first_frame_again_s": round(float(run(python, "-c", FRAME, cwd=folder)), 1),
            "package_mb": megabytes(packages / "gym_grasp"),
            "torch_mb": megabytes(packages / "torch"),
            "core_mb": round(megabytes(packages) - megabytes(packages / "torch"), 1),
        }
        print(json.dumps(figures), flush=True)
        for name, most in MOST.items():
            assert figures[name] < most, f"{name} is {figures[name]}; expected below {most}."
        for code, extra in EXTRAS.items():
            said = run(python, "-c", code, code=2 if "sys.exit" in code else 1, cwd=folder)
            assert extra in said, said
        run(*pip, "mypy")
        said = run(python, "-m", "mypy", "--strict", str(HERE / "user.py"), code=1, cwd=folder)
        assert 'Revealed type is "torch._tensor.Tensor"' in said, said
        assert 'expression has type "float", variable has type "int"' in said, said
        assert "Found 1 error in 1 file" in said, said
        run(*pip, f"{wheel}[teleop]")
        serve(python, folder)
    print("The wheel, its types and the server of [teleop] are good.")


if __name__ == "__main__":
    main(*sys.argv[1:])

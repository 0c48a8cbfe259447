"""A host in a process of its own, and a browser with an emulated headset that visits it."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gym_grasp.teleop
from gym_grasp.demos.episode import Episode
from gym_grasp.demos.record import perform
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.teleop.hand import frames
from gym_grasp.teleop.hand.retargeting import TYPICAL

CHROMIUM = Path("/usr/bin/chromium")
WEBXR = Path(gym_grasp.teleop.__file__).parent / "webxr"
AXE = WEBXR / "node_modules" / "axe-core" / "axe.min.js"
IWER = WEBXR / "node_modules" / "iwer" / "build" / "iwer.min.js"
EMULATOR = Path(__file__).parent / "emulator.js"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
    "--autoplay-policy=no-user-gesture-required",
]
RANGES = [list(TYPICAL["joints"].open), list(TYPICAL["joints"].fist)]


def missing() -> str | None:
    """Say what a browser test lacks here."""
    if not CHROMIUM.exists():
        return "chromium is not installed"
    if not (WEBXR / "dist" / "index.html").exists():
        return "the page is not built: npm ci && npm run build in teleop/webxr"
    if not (IWER.exists() and AXE.exists()):
        return "the emulator or axe-core is not installed: npm ci in teleop/webxr"
    return None


class Host:
    """`gym-grasp teleop`, running."""

    def __init__(self, *args: str, out: Path | None, cwd: Path | None = None) -> None:
        code = "import sys; from gym_grasp.cli.teleop import main; main(sys.argv[1:])"
        command = [sys.executable, "-c", code, *args, "--json"]
        command += ["--out", str(out)] if out else []
        if "--port" not in args:
            command += ["--port", "0"]
        self.out = out
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd
        )
        assert self.process.stderr is not None
        self.url = self.messages = ""
        for line in self.process.stderr:
            if found := re.search(r"https?://\S+", line):
                self.url = found.group(0)
                break

    def stop(self) -> dict[str, Any]:
        """Ask it to end, and return what it printed last."""
        self.process.send_signal(signal.SIGTERM)
        out, self.messages = self.process.communicate(timeout=20)
        assert self.process.returncode == 0, self.messages
        return json.loads(out.splitlines()[-1])

    def kill(self) -> None:
        """End it without asking."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


@contextmanager
def host(*args: str, out: Path | None, cwd: Path | None = None) -> Iterator[Host]:
    """A host that is gone afterwards; without `out` it chooses its files below `cwd`."""
    running = Host(*args, out=out, cwd=cwd)
    try:
        yield running
    finally:
        running.kill()


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser with its own profile; nice where it may be, since the machine may be busy."""
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(preferred()), args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


def preferred() -> Path:
    """Return a browser that runs before other processes, where the system permits it."""
    script = Path(__file__).parent / "chromium_first.sh"
    allowed = subprocess.run(["nice", "-n", "-10", "true"], capture_output=True)
    return script if not allowed.stderr and shutil.which("nice") else CHROMIUM


class Page:
    """A page that must not reach for other hosts, nor complain."""

    def __init__(
        self,
        browser: Any,
        url: str,
        *,
        draw: bool = False,
        size: tuple[int, int] = (960, 600),
        **context: Any,
    ):
        self.complaints: list[str] = []
        self.tab = browser.new_page(viewport={"width": size[0], "height": size[1]}, **context)
        self.tab.add_init_script(path=str(IWER))
        self.tab.add_init_script(path=str(EMULATOR))
        self.tab.on("console", self._console)
        self.tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        origin = url.split("/#")[0]
        self.tab.on("request", lambda request: self._request(request.url, origin))
        self.tab.goto(url if draw else url + "&draw=0")

    def _console(self, message: Any) -> None:
        if message.type == "error":
            self.complaints.append(message.text)

    def _request(self, url: str, origin: str) -> None:
        if not url.startswith((origin, "data:", "blob:")):
            self.complaints.append(f"request to {url}")

    def wait(self, state: str, seconds: float = 15.0) -> None:
        """Wait until the page shows a state of the session."""
        selector = f'body[data-state="{state}"]'
        self.tab.wait_for_selector(selector, timeout=1000 * seconds, state="attached")

    def hold(self, mode: str) -> None:
        """Take controllers in the hands, or nothing."""
        self.tab.evaluate("([mode, ranges]) => emulator.begin(mode, ranges)", [mode, RANGES])

    def enter(self, mode: str) -> None:
        """Put the headset on, with bare hands or controllers."""
        self.hold(mode)
        self.tab.click("#enter")
        self.tab.wait_for_selector('body[data-role="drive"]', state="attached")

    def faults(self) -> list[str]:
        """Return what axe-core finds to keep people from using the page, as serious or worse."""
        self.tab.evaluate(AXE.read_text())
        found = self.tab.evaluate("axe.run().then(({ violations }) => violations)")
        return [
            f"{one['id']}: {one['help']} ({[node['target'] for node in one['nodes']]})"
            for one in found
            if one["impact"] in ("serious", "critical")
        ]

    def until(self, says: str, part: str, seconds: float = 20.0) -> None:
        """Wait until an element of the panel says something."""
        end = time.monotonic() + seconds
        while says not in (heard := self.text(part)):
            assert time.monotonic() < end, f"#{part} says {heard!r}, not {says!r}"
            time.sleep(0.05)

    def text(self, part: str) -> str:
        """Return what an element of the panel says."""
        return self.tab.inner_text(f"#{part}")


@cache
def performed(task: str, seed: int, number: int = 0) -> Episode:
    """Return what the synthetic operator does in the episode of a number."""
    env = GraspVectorEnv(task, 1, num_threads=1, autoreset=False)
    env.reset(seed=seed)
    for _ in range(number):
        env.reset()
    episode = perform(env, skill=1.0)[0]
    env.close()
    return episode


def easy_seed(task: str, strategy: str | None = None) -> int:
    """Return the first seed whose first episode the operator solves, in a certain way if asked."""
    episodes = ((seed, performed(task, seed)) for seed in range(20))
    return next(
        seed
        for seed, episode in episodes
        if episode.success and strategy in (None, episode.events["strategy"])
    )


def movement(task: str, seed: int, number: int = 0) -> list[list[float]]:
    """Return the synthetic operator's movement in an episode, in the headset's frame.

    Rows of 30 Hz: wrist position, quaternion x y z w, five flexions.
    """
    sent = performed(task, seed, number).operator_input
    rows = np.concatenate(
        [
            frames.position_from_world(sent["wrist_position"].astype(float)),
            frames.quaternion_from_world(sent["wrist_quaternion"].astype(float)),
            sent["finger_flexion"],
        ],
        axis=1,
    )
    return rows.tolist()

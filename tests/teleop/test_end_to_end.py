"""An emulated operator in a real browser, against the real command in a process of its own."""

import json
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import teleop_browser as web

from gym_grasp.cli.main import main
from gym_grasp.demos.reader import open_dataset
from gym_grasp.demos.replay import replay
from gym_grasp.envs.build import as_spec, compile_scene
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.teleop.hand import frames

SPEED = 0.7
"""Of the emulated hand, relative to the synthetic operator's."""
PATIENCE = 2.0
"""How long the hand waits at the end of its movement, in [s]."""
ATTEMPTS = 4
PLANS: dict[str, dict[str, Any]] = {
    "open-drawer": {
        "body": "drawer",
        "site": "handle",
        "place": [-0.006, 0.037, 0.153],
        "pitch": 0.0,
        "before": [-0.08, 0.0, 0.07],
        "carry": [-0.28, 0.0, 0.0],
        "pace": 0.25,
        "ready": [1.0, 0.1, 0.35, 0.35, 0.35],
        "grip": [1.0, 0.6, 0.9, 0.9, 0.9],
    },
    "lift-object": {
        "body": "object",
        "place": [-0.015, 0.046, 0.139],
        "pitch": 0.4,
        "before": [0.0, 0.0, 0.1],
        "carry": [0.0, 0.0, 0.28],
        "pace": 0.2,
        "ready": [1.0, 0.2, 0.0, 0.0, 0.0],
        "grip": [1.0, 0.45, 0.5, 0.5, 0.5],
    },
}
"""How the emulated person goes about a task, apart from the synthetic operator's script."""

pytestmark = [
    pytest.mark.realtime,
    pytest.mark.skipif(web.missing() is not None, reason=str(web.missing())),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with web.chromium() as running:
        yield running


def plan(task: str) -> dict[str, Any]:
    """Return how a person takes the thing of a task and carries it away, for `person.take`.

    Positions in m: `place` in the frame of the palm, `before` and `carry` in the world.
    """
    made = dict(PLANS[task])
    model = compile_scene(as_spec(task))
    made["point"] = model.site(made["site"]).pos.tolist() if "site" in made else [0.0, 0.0, 0.0]
    for name in ("before", "carry"):
        made[name] = frames.position_from_world(frames.ORIGIN + made[name]).tolist()
    return made


def solve(page: web.Page, task: str, seed: int, number: int = 0) -> int:
    """Let the emulated hand solve an episode, or one of the next; return the number of the last.

    On a machine so busy that the page draws seldom, the robot stops now and then, and the blind
    hand may miss: then it tries again, as a person would.
    """
    for attempt in range(number, number + ATTEMPTS):
        rows = web.movement(task, seed, attempt)
        page.tab.evaluate(
            "([rows, speed, until]) => emulator.follow(rows, speed, until)",
            [rows, SPEED, len(rows) / 30 + PATIENCE],
        )
        if page.tab.evaluate("document.body.dataset.success") == "true":
            page.wait("done")
            return attempt
        page.tab.evaluate("emulator.again()")
        page.wait("waiting")
    pytest.fail(f"{ATTEMPTS} attempts failed: {page.text('notice')}")


def assert_replays(path: Path, episodes: int = 1) -> None:
    dataset = open_dataset(path)
    assert len(dataset) == episodes
    env = GraspVectorEnv(dataset.env_spec(), episodes)
    assert replay(dataset, env).reproduced == episodes
    env.close()


def test_hands_and_controllers_open_the_drawer_and_the_host_may_die(
    browser: Any, tmp_path: Path
) -> None:
    out = tmp_path / "drawer.hdf5"
    seed = web.easy_seed("open-drawer")
    args = ("open-drawer", "--seed", str(seed))
    with web.host(*args, out=out) as host:
        page = web.Page(browser, host.url)
        page.wait("waiting")
        assert page.tab.evaluate("isSecureContext")
        page.enter("controller")
        page.tab.evaluate("emulator.countPulses()")
        last = solve(page, "open-drawer", seed)
        assert page.tab.evaluate("emulator.pulses.length") > 0
        assert page.tab.evaluate("Math.max(...emulator.pulses.map((pulse) => pulse[1]))") <= 100
        page.until("Success; the episode is kept", "notice")
        page.until("Next episode: B on the right controller", "next")
        assert "Y on the left controller discards it, which is no failure" in page.text("next")
        page.tab.evaluate("emulator.again()")
        page.wait("waiting")
        page.hold("hand")
        solve(page, "open-drawer", seed, last + 1)
        port, token = host.url.split(":")[2].split("/#token=")
        time.sleep(0.5)
        host.kill()
        page.wait("offline")
        assert "trying again" in page.text("notice")
    assert not out.exists()
    complaints = list(page.complaints)
    with web.host(*args, "--port", port, "--token", token, out=out) as host:
        page.wait("waiting")  # it came back by itself
        page.until("2 kept", "numbers")
        assert host.stop()["kept"] == 2
        page.wait("over")
        commands = f"gym-grasp demos info {out}\ngym-grasp train open-drawer --demos {out}"
        assert page.text("next") == commands
        assert all(command in host.messages for command in commands.splitlines())
    assert not complaints
    page.tab.close()
    assert_replays(out, 2)
    joints = [episode.operator_input["hand_joints"] for episode in open_dataset(out).episodes()]
    assert [np.isfinite(one).all() for one in joints] == [False, True]  # only the hand has joints


def demonstrate(browser: Any, task: str, out: Path, modes: Sequence[str]) -> None:
    """Let an emulated person, who sees hand and thing, succeed once with each of the modes."""
    made = plan(task)
    with web.host(task, "--seed", "11", out=out) as host:
        page = web.Page(browser, host.url)
        page.wait("waiting")
        page.enter(modes[0])
        for mode in modes:
            page.hold(mode)
            for _ in range(ATTEMPTS):
                succeeded = page.tab.evaluate("(plan) => person.take(plan)", made)
                if page.tab.get_attribute("body", "data-state") == "done":
                    page.tab.evaluate("emulator.again()")
                    page.wait("waiting")
                if succeeded:
                    break
            else:
                pytest.fail(f"{ATTEMPTS} attempts failed: {page.text('notice')}")
        assert host.stop()["kept"] == len(modes)
    assert not page.complaints
    page.tab.close()


def test_a_bare_hand_lifts_the_object_and_so_does_a_controller(
    browser: Any, tmp_path: Path
) -> None:
    out = tmp_path / "lift.hdf5"
    demonstrate(browser, "lift-object", out, ("hand", "controller"))
    assert_replays(out, 2)


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("task", PLANS)
def test_a_few_demonstrations_by_hand_become_a_policy(
    browser: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], task: str, count: int
) -> None:
    out = tmp_path / "few.hdf5"
    demonstrate(browser, task, out, ("hand",) * count)
    few = open_dataset(out)
    assert (len(few), few.meta.operator) == (count, "human")
    args = ("learn", str(out), "--out", str(tmp_path / "run"), "--no-video", "--json")
    assert main(args) == 0
    learned = json.loads(capsys.readouterr().out)
    assert learned["success"] >= 0.9, learned


def test_faults_stop_the_robot_and_the_page_says_why(browser: Any, tmp_path: Path) -> None:
    with web.host("open-drawer", out=tmp_path / "a.hdf5") as host:
        page = web.Page(browser, host.url)
        page.wait("waiting")
        page.enter("hand")

        def engage() -> None:
            page.tab.evaluate("emulator.engage()")
            page.wait("engaged")

        engage()
        page.tab.evaluate("emulator.lost.add('index-finger-tip')")  # one joint of 25
        page.tab.evaluate("emulator.place([0, 1, -0.5], [0, 0, 0, 1], [1, 0, 0, 0, 0])")
        time.sleep(0.3)
        assert "lost" not in page.text("notice")
        page.tab.evaluate("emulator.lost.clear()")
        for _ in range(5):  # a slow machine may draw too seldom, which stops the robot before
            engage()
            page.tab.evaluate("emulator.lost.add('all')")
            page.wait("paused")
            if "too old" not in page.text("notice"):
                break
            page.tab.evaluate("emulator.lost.clear()")
        assert "tracking of the right hand is lost" in page.text("notice")
        page.tab.evaluate("emulator.lost.clear()")
        time.sleep(0.3)
        assert page.tab.get_attribute("body", "data-state") == "paused"

        other = web.Page(browser, host.url)
        other.wait("paused")
        assert other.tab.get_attribute("body", "data-role") == "watch"
        assert "watching" in other.text("task")
        stranger = web.Page(browser, host.url.split("token=")[0] + "token=wrong")
        stranger.wait("offline")
        stranger.tab.wait_for_function(
            "document.getElementById('notice').innerText.includes('token')"
        )
        assert stranger.tab.evaluate("gymGrasp.scene === undefined && !gymGrasp.manifest")
        page.tab.close()
        other.tab.wait_for_selector("#drive:not([hidden])")
        other.tab.click("#drive")
        other.tab.wait_for_selector('body[data-role="drive"]')
        assert not other.complaints
        for tab in (other.tab, stranger.tab):
            tab.close()
        host.stop()


def test_mouse_and_keyboard_drive_and_a_hidden_page_stops(browser: Any, tmp_path: Path) -> None:
    with web.host("open-drawer", out=tmp_path / "a.hdf5") as host:
        page = web.Page(browser, host.url)
        page.wait("waiting")
        palm = (
            "(() => { const at = 7 * gymGrasp.manifest.bodies.indexOf('hand/palm');"
            "const [x, , z] = gymGrasp.scene.poses.slice(at, at + 3); return [x, z] })()"
        )
        before = page.tab.evaluate(palm)
        for _ in range(10):  # a slow machine may draw too seldom, which stops the robot
            if page.tab.get_attribute("body", "data-state") != "engaged":
                page.tab.keyboard.press("Space")
            page.tab.keyboard.down("KeyD")
            time.sleep(0.4)
            page.tab.keyboard.up("KeyD")
            if math.dist(page.tab.evaluate(palm), before) > 0.05:
                break
        assert math.dist(page.tab.evaluate(palm), before) > 0.05  # which way: test_page.py
        for _ in range(10):
            if page.tab.get_attribute("body", "data-state") == "engaged":
                break
            page.tab.keyboard.press("Space")
            time.sleep(0.3)
        page.tab.evaluate(
            "Object.defineProperty(document, 'hidden', { get: () => true });"
            "document.dispatchEvent(new Event('visibilitychange'))"
        )
        page.wait("paused")
        assert not page.complaints
        page.tab.close()
        host.stop()

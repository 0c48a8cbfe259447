"""A real browser in front of the real command."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import teleop_browser as web
import torch

from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.math.rotations import np_matrix
from gym_grasp.teleop.web.scene import Scene
from gym_grasp.view.track import curves

pytestmark = [
    pytest.mark.realtime,
    pytest.mark.skipif(web.missing() is not None, reason=str(web.missing())),
]
LAPTOP, PHONE = (1366, 768), (390, 844)
FOLLOW_WHILE_THE_PAGE_WRITES = """() => {
  const before = location.href;
  location.hash = location.hash.replace(/episode=.*/, "episode=0&t=0.5");
  history.replaceState(null, "", before);
}"""
"""Goes to an address that the page writes its own over before it hears of it."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with web.chromium() as running:
        yield running


@contextmanager
def shown(*args: object) -> Iterator[str]:
    """`gym-grasp view`, running; yields its address."""
    code = "import sys; from gym_grasp.cli.view import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", code, *map(str, args), "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    found = (re.search(r"https?://\S+", line) for line in process.stderr)
    url = next((one.group(0) for one in found if one), "")
    try:
        assert url, "it said no address"
        yield url
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
        assert process.returncode == 0, errors
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


class Page(web.Page):
    """A page that shows something."""

    def __init__(self, browser: Any, url: str, size: tuple[int, int] = LAPTOP) -> None:
        super().__init__(browser, url, draw=True, size=size)
        self.until_shown(lambda said: "index" in said)

    def said(self) -> dict[str, str]:
        """Return what the page says of itself."""
        return self.tab.evaluate("({ ...document.body.dataset })")

    def until_shown(self, condition: Callable[[dict[str, str]], object]) -> dict[str, str]:
        end = time.monotonic() + 40
        while not condition(said := self.said()):
            assert time.monotonic() < end, (said, self.text("notice"), self.complaints)
            time.sleep(0.03)
        return said

    def index(self) -> int:
        return int(self.said()["index"])


def progress_at_end(side: Any, episode: int) -> tuple[int, float]:
    """Return the last moment of a recorded episode, and the progress there."""
    rows = side.load(episode).rows
    names = [one.name for one in curves(side.env.robot) for _ in one.names]
    return len(rows) - 1, float(rows[-1][names.index("progress")])


def test_episodes_are_listed_scrubbed_and_linked_to(
    browser: Any, dataset: Path, open_sides: Callable[..., list[Any]]
) -> None:
    end, progress = progress_at_end(open_sides(dataset)[0], episode=1)
    assert progress >= 1.0
    with shown(dataset) as url:
        page = Page(browser, url + "&episode=1&t=1.5")
        page.until_shown(lambda said: said["index"] == "45" and said["state"] == "paused")
        assert page.tab.locator("#list tbody tr").count() == 3
        row = page.tab.locator("#list tbody tr.shown").inner_text()
        assert row.split("\t")[0] == "1"
        assert "✓" in row
        assert "synthetic" in row
        rows = page.tab.locator(".row[data-curve]")
        curves = [one.get_attribute("data-curve") for one in rows.all()]
        assert curves[:3] == ["actions", "rewards", "progress"]
        assert curves[3:] == ["fingertip forces", "brake", "vibration"]

        timeline = page.tab.locator("#timeline")
        timeline.focus()
        page.tab.keyboard.press("ArrowRight")
        page.until_shown(lambda said: said["index"] == "46")
        page.until_shown(lambda said: "t=1.53" in page.tab.url)
        assert "episode=1" in page.tab.url
        assert timeline.get_attribute("max") == str(end)
        plot = page.tab.locator('[data-curve="progress"] .plot').bounding_box()
        assert plot is not None
        page.tab.mouse.click(plot["x"] + plot["width"] - 2, plot["y"] + 5)
        page.until_shown(lambda said: said["index"] == str(end) and said["outcome"] == "success")
        page.tab.click('[data-curve="progress"] .head')
        value = page.tab.locator('[data-curve="progress"] .legend b')
        # not "1.00": a drawer may be pulled farther than was asked for
        page.until_shown(lambda said: value.inner_text() == f"{progress:.2f}")

        page.tab.click("#list tbody tr:nth-child(3) button")
        page.until_shown(lambda said: page.tab.locator("tr.shown button").inner_text() == "2")
        page.tab.evaluate(FOLLOW_WHILE_THE_PAGE_WRITES)
        page.until_shown(lambda said: said["index"] == "15")
        assert page.tab.locator("tr.shown button").inner_text() == "0"
        assert page.tab.locator("#seed").is_hidden()
        assert page.faults() == []
        assert page.complaints == []
        page.tab.close()

        phone = Page(browser, url, PHONE)
        assert phone.tab.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
        assert phone.faults() == []
        phone.tab.close()


def test_a_policy_plays_pauses_steps_and_takes_a_seed(browser: Any, policies: list[Path]) -> None:
    with shown(policies[0]) as url:
        page = Page(browser, url)
        page.until_shown(lambda said: int(said["index"]) > 5)
        page.tab.keyboard.press("Space")
        page.until_shown(lambda said: said["state"] == "paused")
        index = page.index()
        page.tab.keyboard.press("ArrowRight")
        page.until_shown(lambda said: said["index"] == str(index + 1))
        page.tab.click("#back")
        page.until_shown(lambda said: said["index"] == str(index))
        page.tab.fill("#seed", "12")
        page.tab.keyboard.press("Enter")
        page.until_shown(lambda said: said["index"] == "0")
        page.until_shown(lambda said: "seed=12" in page.tab.url)
        page.tab.keyboard.press("Space")  # it belongs to the field, which has the focus
        time.sleep(0.3)
        assert page.said()["state"] == "paused"
        page.tab.fill("#seed", "none")
        page.tab.click("#reset")
        page.until("whole number", "notice")
        page.tab.select_option("#speed", "4")
        page.tab.click("#play")
        page.until_shown(lambda said: int(said["index"]) > 20)
        for what in ("contacts", "targets", "frames"):
            page.tab.check(f"#{what}")
        assert page.tab.evaluate("drawnFrames()") > 3
        assert page.faults() == []
        assert page.complaints == []
        page.tab.close()


def test_an_episode_and_a_policy_stand_side_by_side(
    browser: Any, dataset: Path, policies: list[Path]
) -> None:
    with shown(dataset, policies[0]) as url:
        page = Page(browser, url + "&episode=2&t=0.4")
        page.until_shown(lambda said: said["index"] == "12" and said["state"] == "paused")
        assert page.tab.locator(".label").all_inner_texts()[0].startswith("A ")
        assert "policy" in page.tab.locator(".label").all_inner_texts()[1]
        assert page.tab.locator('[data-curve="actions"]').count() == 2
        recorded, live = page.said()["known"].split()
        assert int(recorded) > int(live) >= 13
        page.tab.click("#forth")
        page.until_shown(lambda said: said["index"] == "13")
        assert page.faults() == []
        assert page.complaints == []
        page.tab.close()


def on_screen(body: str, width: float, height: float) -> np.ndarray:
    """Where a body of open-drawer is in a view of a size, wider than high, in px. Shape (2,)."""
    env = GraspVectorEnv("open-drawer", 1, num_threads=1)
    env.reset_to(torch.tensor([0]))
    scene = Scene(env)
    seen, pose = scene.manifest["whole"], scene.poses()[scene.manifest["bodies"].index(body)]
    turn = np_matrix(np.roll(seen["quaternion"], 1))
    right, up, back = (pose[:3].astype(float) - seen["position"]) @ turn
    env.close()
    scale = height / 2 / np.tan(np.radians(seen["fovy"]) / 2) / -back
    return np.array([width / 2 + scale * right, height / 2 - scale * up])


def test_the_hand_is_pulled_with_the_mouse_by_those_who_know_the_token(browser: Any) -> None:
    with shown("open-drawer", "--acts", "nobody", "--token", "some-token-of-mine") as url:
        stranger = browser.new_page()
        stranger.goto(url.replace("some-token", "other-token"))
        stranger.wait_for_selector('body[data-state="offline"]', state="attached")
        assert "wrong token" in stranger.inner_text("#notice")
        stranger.close()
        page = Page(browser, url)
        page.tab.keyboard.press("Space")
        page.until_shown(lambda said: said["state"] == "paused")
        box = page.tab.locator("#view").bounding_box()
        assert box is not None
        mouse = page.tab.mouse
        x, y = on_screen("hand/palm", box["width"], box["height"])
        x, y = box["x"] + x, box["y"] + y
        mouse.move(x, y)
        mouse.down()
        page.until_shown(lambda said: said.get("held") == "true")
        begin = page.index()
        mouse.move(x, y - 0.2 * box["height"], steps=4)
        page.until_shown(lambda said: int(said["index"]) > begin + 10)
        page.until_shown(lambda said: "touched" in page.tab.locator(".outcome").inner_text())
        mouse.up()
        page.until_shown(lambda said: said["held"] == "false")
        index = page.index()
        time.sleep(0.4)
        assert page.index() <= index + 1, "time stands again"
        assert page.complaints == []
        page.tab.close()

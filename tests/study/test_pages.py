"""Both pages in a real browser: by keyboard alone, by controllers in an emulated headset."""

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import teleop_browser as web
from study_fakes import SHORT

from gym_grasp.study.folder import Study
from gym_grasp.study.protocol import Protocol

PATIENCE = 60.0
"""How long a busy machine may take to show what was asked for, in s."""
SHOTS = os.environ.get("STUDY_SHOTS")
"""A folder for pictures of the pages, to be looked at."""

SIZES = {"phone": (390, 844), "laptop": (1366, 768), "4k": (3840, 2160)}
PROTOCOL = dataclasses.replace(SHORT, practice_seconds=60.0)
BOARD = """() => {
  const { board } = gymGraspView;
  const [screen] = JSON.parse(board.shown);
  const smallest = (30 * board.geometry.parameters.width) / board.width;
  return [board.visible, screen.title, screen.selected, smallest / -board.position.z];
}"""
"""What the board in the headset shows, and how large its smallest letters' line is, in rad."""

pytestmark = [
    pytest.mark.realtime,
    pytest.mark.skipif(web.missing() is not None, reason=str(web.missing())),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with web.chromium() as running:
        yield running


@contextmanager
def host(folder: Path, protocol: Protocol) -> Iterator[tuple[str, str]]:
    """Run a study; yield the addresses of participant and experimenter."""
    Study.create(folder, protocol)
    command = [sys.executable, "-m", "gym_grasp.cli.main", "study", "run", str(folder)]
    process = subprocess.Popen([*command, "--port", "0"], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        found: list[str] = []
        while len(found) < 2:
            line = process.stderr.readline()
            assert line, "it ended"
            found += re.findall(r"https?://\S+", line)
        yield found[0], found[1]
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.communicate()


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)


class Visitor(web.Page):
    """A page of the study."""

    def _request(self, url: str, origin: str) -> None:
        super()._request(url, "/".join(origin.split("/")[:3]))

    def screen(self, kind: str) -> None:
        selector = f'body[data-screen="{kind}"]'
        self.tab.wait_for_selector(selector, timeout=1000 * PATIENCE)

    @property
    def step(self) -> str:
        return self.tab.get_attribute("body", "data-step") or ""

    def look(self, name: str) -> None:
        """Check that a screen can be used by everyone, on a phone as well; take its pictures."""
        assert not self.faults(), name
        usual = self.tab.viewport_size
        for size, (width, height) in SIZES.items():
            self.tab.set_viewport_size({"width": width, "height": height})
            letters = self.tab.evaluate("parseFloat(getComputedStyle(document.body).fontSize)")
            assert letters >= (24 if size == "4k" else 16)  # px
            self.shoot(f"{name}-{size}")
            if size == "phone":
                assert self.tab.evaluate("document.documentElement.scrollWidth") <= width
                assert not self.faults(), f"{name} on a phone"
        self.tab.set_viewport_size(usual)

    def shoot(self, name: str) -> None:
        if SHOTS:
            time.sleep(0.5)
            self.tab.screenshot(path=Path(SHOTS) / f"{name}.png")


def test_by_keyboard_alone(browser: Any, tmp_path: Path) -> None:
    with host(tmp_path / "study", PROTOCOL) as (guest, staff):
        page = Visitor(browser, guest, draw=bool(SHOTS))
        page.screen("consent")
        page.look("consent")
        keys = page.tab.keyboard
        keys.press("Enter")  # nothing is chosen: nothing happens
        keys.press("ArrowRight")
        until(lambda: not page.tab.evaluate("document.getElementById('confirm').disabled"))
        keys.press("Enter")
        lead = Visitor(browser, staff, draw=bool(SHOTS))
        lead.tab.wait_for_selector("#steps tbody tr", timeout=1000 * PATIENCE)
        lead.look("experimenter")
        for part in (1, 2):
            page.screen("practice")
            if part == 1:
                page.look("practice")
            keys.press("Enter")
            page.screen("trial")
            if part == 1:
                page.look("trial")

            def begun() -> bool:
                if page.tab.get_attribute("body", "data-screen") != "trial":
                    return True  # its time is up already
                if lead.tab.evaluate("!document.getElementById('fail').disabled"):
                    lead.tab.focus("#fail")
                    lead.tab.keyboard.press("Enter")
                else:
                    keys.press("Space")
                    time.sleep(0.5)
                return False

            until(begun)
            page.screen("item")
            if part == 1:
                page.look("item")
            for item in (1, 2):
                until(lambda item=item: page.step.endswith(f"asked/{item}"))
                keys.press("ArrowRight")
                keys.press("ArrowRight")
                until(lambda: not page.tab.evaluate("document.getElementById('confirm').disabled"))
                keys.press("Enter")
        page.screen("end")
        until(lambda: lead.tab.get_attribute("body", "data-state") == "over")
        complaints = page.complaints + lead.complaints
        page.tab.close()
        lead.tab.close()
        assert not complaints
    progress = Study(tmp_path / "study").progress("P01")
    assert progress.finished
    assert len(progress.practised) == len(progress.ended) == 2
    assert set(progress.answers.values()) <= {2, 3}


def test_by_controllers_in_the_headset(browser: Any, tmp_path: Path) -> None:
    with host(tmp_path / "study", PROTOCOL) as (guest, staff):
        page = Visitor(browser, guest, draw=bool(SHOTS))
        page.screen("consent")
        page.enter("controller")

        def press(side: str, button: str) -> None:
            name = json.dumps([side, f"{button}-button"])
            for value in (1, 0):
                page.tab.evaluate(
                    f"emulator.device.controllers[{name}[0]].updateButtonValue({name}[1], {value})"
                )
                time.sleep(0.4)

        page.tab.evaluate("emulator.place([0.1, 1.1, -0.5], [0, 0, 0, 1], [1, 0, 0, 0, 0])")
        page.shoot("headset-consent")

        def shown(what: str) -> Any:
            return page.tab.evaluate(f"gymGrasp.status.study.{what}")

        def answered(kind: str, value: int) -> bool:
            """Choose a value and confirm it; whether its screen is gone."""
            if shown("kind") == kind:
                press("right", "a" if shown("selected") != value else "b")
            return shown("kind") != kind

        until(lambda: answered("consent", 1))
        page.screen("practice")
        until(lambda: press("right", "b") or shown("kind") == "trial")
        page.shoot("headset-trial")

        lead = Visitor(browser, staff)
        lead.tab.wait_for_selector("#steps tbody tr", timeout=1000 * PATIENCE)

        def ended() -> bool:
            if lead.tab.evaluate("!document.getElementById('fail').disabled"):
                lead.tab.evaluate("document.getElementById('fail').click()")  # may end meanwhile
            elif shown("kind") == "trial":
                press("right", "a")
            return shown("kind") == "item"

        until(ended)
        page.shoot("headset-item")
        visible, title, _, size = page.tab.evaluate(BOARD)
        assert (visible, title) == (True, "one")
        assert size > 0.0175  # a degree
        until(lambda: answered("item", 1))
        assert shown("kind") == "practice"  # of the second part
        assert not page.complaints + lead.complaints
        page.tab.close()
        lead.tab.close()
    progress = Study(tmp_path / "study").progress("P01")
    assert progress.consent is True
    assert [one["outcome"] for one in progress.ended.values()] == ["unrecoverable"]
    assert list(progress.answers.values()) == [1, 1]


def test_everyone_can_read_the_report(browser: Any, tmp_path: Path) -> None:
    pytest.importorskip("statsmodels")
    from gym_grasp.study.report import write_report

    rows = [
        f"A{person},{condition},open-door,success,{20 + person}"
        for person in range(2)
        for condition in PROTOCOL.conditions
    ]
    head = "participant,condition,task,outcome,seconds"
    (tmp_path / "trials.csv").write_text("\n".join([head, *rows, ""]))
    _, report = write_report(tmp_path, tmp_path / "out")
    page = web.Page(browser, f"file://{report}", draw=True)
    for width, height in SIZES.values():
        page.tab.set_viewport_size({"width": width, "height": height})
        assert not page.faults()
        assert page.tab.evaluate("document.documentElement.scrollWidth") <= width
    assert not page.complaints
    page.tab.close()

"""What the page says and does, in a real browser, against the real command."""

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import teleop_browser as web

pytestmark = [
    pytest.mark.realtime,
    pytest.mark.skipif(web.missing() is not None, reason=str(web.missing())),
]

PALM = """() => {
  const { scene, manifest } = gymGrasp;
  const at = 7 * manifest.bodies.indexOf("hand/palm");
  return scene ? [...scene.poses.slice(at, at + 3)] : null;
}"""
BOARDS = "gymGraspView.scene.children.flatMap((one) => one.children).filter((one) => one.pen)"
TRIES = 6
"""A busy machine may stop the robot now and then; people press again, too."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with web.chromium() as running:
        yield running


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[web.Host]:
    """One for all; whoever asks for it begins where the last one ended."""
    with web.host("open-drawer", out=None, cwd=tmp_path_factory.mktemp("host")) as running:
        yield running


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., web.Page]]:
    """Opens pages, which are closed afterwards whatever comes."""
    opened: list[web.Page] = []

    def open_page(url: str, **options: Any) -> web.Page:
        opened.append(web.Page(browser, url, **options))
        return opened[-1]

    yield open_page
    for one in opened:
        one.tab.close()
    assert not [complaint for one in opened for complaint in one.complaints]


def drives(page: web.Page) -> None:
    """Wait until a page drives, and begin a new episode."""
    page.tab.wait_for_selector('body[data-role="drive"]', state="attached")
    if state(page) != "waiting":
        page.tab.keyboard.press("Enter")
        page.wait("waiting")


@pytest.fixture
def page(visit: Callable[..., web.Page], host: web.Host) -> web.Page:
    opened = visit(host.url)
    drives(opened)
    return opened


def state(page: web.Page) -> str:
    return page.tab.get_attribute("body", "data-state")


def engage(page: web.Page) -> None:
    """Press the key of the clutch until the hand moves."""
    for _ in range(TRIES):
        page.tab.keyboard.press("Space")
        with suppress(Exception):
            page.wait("engaged", 1.0)
            return
    pytest.fail(f"it does not engage: {page.text('notice')}")


def test_the_first_screen_says_goal_key_and_what_the_hand_will_do(page: web.Page) -> None:
    assert "Pull the drawer open by its handle" in page.text("goal")
    assert "Press Space to start: from then on the robot's hand moves" in page.text("next")
    assert "W A S D move the hand as you look" in page.text("moves")
    assert "0 kept, 0 failed" in page.text("numbers")
    assert "session 0:" in page.text("numbers")
    page.tab.keyboard.press("h")
    assert page.tab.is_visible("#fingers")
    assert not page.faults()
    page.tab.keyboard.press("p")
    assert page.tab.is_visible("#tasks")
    assert not page.faults()
    page.tab.keyboard.press("Escape")
    page.tab.set_viewport_size({"width": 3840, "height": 2160})
    size = page.tab.evaluate(
        "parseFloat(getComputedStyle(document.getElementById('next')).fontSize)"
    )
    assert size >= 24  # px: as legible on a 4K screen as 12 on one of 1920
    page.tab.set_viewport_size({"width": 960, "height": 600})
    floor, table = page.tab.evaluate(CONTRAST)
    assert (table + 0.05) / (floor + 0.05) > 3  # as WCAG asks of what has to be told apart


CONTRAST = """() => {
  const light = ({ r, g, b }) => 0.2126 * r + 0.7152 * g + 0.0722 * b;
  const colours = {};
  gymGraspView.scene.traverse(({ geometry, material }) => {
    if (geometry?.type !== "PlaneGeometry" || colours.floor) return;
    colours.floor = light(material.color);
  });
  const tables = gymGrasp.manifest.geoms.filter(({ name }) => name.includes("table"));
  const [r, g, b] = tables[0].colour.map((value) => value ** 2.2);
  return [colours.floor, light({ r, g, b })];
}"""


def test_space_and_enter_are_the_robots_whatever_has_the_focus(page: web.Page) -> None:
    before = page.text("heard")
    page.tab.focus("#cues")
    engage(page)
    page.tab.focus("#cues")
    page.tab.keyboard.press("Enter")
    page.wait("waiting")
    assert page.text("heard") == before
    page.tab.focus("summary")
    engage(page)
    assert not page.tab.is_visible("#fingers")
    page.tab.click("#cues")  # nor does a click leave the focus behind
    assert page.tab.evaluate("document.activeElement === document.body")


def moved(page: web.Page, key: str, seconds: float = 0.7) -> tuple[float, float]:
    """Return how far the hand goes to the right and away, as one sees it, while a key is held."""
    for _ in range(TRIES):
        if state(page) != "engaged":
            engage(page)
        before = page.tab.evaluate(PALM)
        page.tab.keyboard.down(key)
        time.sleep(seconds)
        page.tab.keyboard.up(key)
        x, _, z = (after - old for after, old in zip(page.tab.evaluate(PALM), before, strict=True))
        if abs(x) + abs(z) > 0.03:
            break
    ahead_x, ahead_z = page.tab.evaluate(AHEAD)
    return z * ahead_x - x * ahead_z, x * ahead_x + z * ahead_z


AHEAD = """() => {
  const { x, z } = gymGraspView.camera.getWorldDirection(gymGraspView.camera.position.clone());
  return [x / Math.hypot(x, z), z / Math.hypot(x, z)];
}"""


def test_keys_follow_the_camera(page: web.Page) -> None:
    right, away = moved(page, "KeyD")
    assert right > 0.03
    assert abs(away) < 0.3 * right
    before = page.tab.evaluate(AHEAD)
    for _ in range(13):  # by a right angle, with the keyboard alone
        page.tab.keyboard.press("KeyL")
    time.sleep(0.3)
    after = page.tab.evaluate(AHEAD)
    assert abs(before[0] * after[0] + before[1] * after[1]) < 0.2
    _, away = moved(page, "KeyW")
    _, back = moved(page, "KeyS")
    assert max(away, -back) > 0.03  # one way the arm may be at its limit


def test_slow_drawing_leaves_the_input_its_own_rate(page: web.Page) -> None:
    page.tab.evaluate(SLOWLY)
    for _ in range(TRIES):
        right, _ = moved(page, "KeyA", 1.0)
        if state(page) == "engaged":
            break
    assert right < -0.03
    assert state(page) == "engaged", page.text("notice")
    end = time.monotonic() + 10  # the rate is a running mean; it draws less finely, too
    while not page.tab.evaluate("gymGraspView.pace.rate < 15 && gymGraspView.pace.scale < 1"):
        assert time.monotonic() < end, page.tab.evaluate("[gymGraspView.pace.rate]")
        time.sleep(0.1)


SLOWLY = """() => {
  const { renderer } = gymGraspView;
  const render = renderer.render.bind(renderer);
  renderer.render = (...scene) => {
    const end = performance.now() + 110;
    while (performance.now() < end);
    render(...scene);
  };
}"""


def test_two_quick_taps_are_two(page: web.Page) -> None:
    """The second comes while the first is still shown to the host, which looks now and then."""
    engage(page)
    page.tab.keyboard.press("Space")
    page.wait("paused")
    page.tab.keyboard.press("Enter")
    page.wait("waiting")
    for _ in range(3):
        page.tab.keyboard.press("Space")
        page.wait("engaged")
        page.tab.keyboard.press("Space")
        page.wait("paused")


def test_cues_are_heard_and_spoken_if_one_likes(page: web.Page) -> None:
    page.tab.evaluate(
        "globalThis.spoken = []; globalThis.tones = 0;"
        "SpeechSynthesis.prototype.speak = (said) => spoken.push(said.text);"
        "const make = AudioContext.prototype.createOscillator;"
        "AudioContext.prototype.createOscillator = function () {"
        "  tones++; return make.call(this) }; 0"
    )
    assert page.text("heard") == "off"
    page.tab.keyboard.press("m")
    assert page.text("heard") == "tones"
    engage(page)
    assert page.tab.evaluate("tones") >= 2
    page.tab.keyboard.press("m")
    assert page.text("heard") == "voice"
    if state(page) == "engaged":  # a busy machine may have stopped it
        page.tab.keyboard.press("Space")
    page.wait("paused")
    time.sleep(0.2)
    assert "Press Space to go on" in page.tab.evaluate("spoken.at(-1)")
    page.tab.keyboard.press("m")
    assert page.text("heard") == "off"


def test_a_second_visitor_is_told_and_may_ask(
    visit: Callable[..., web.Page], host: web.Host, page: web.Page
) -> None:
    other = visit(host.url)
    other.until("Another person drives, and you watch. Press T to ask", "next")
    other.tab.keyboard.press("t")
    page.until("A visitor asks to drive. Y: hand over", "next")
    page.tab.keyboard.press("n")
    other.until("The operator goes on driving", "next")
    other.tab.keyboard.press("t")
    page.until("A visitor asks to drive", "next")
    assert not page.faults()
    page.tab.click("#yes")
    page.until("Another operator drives now", "next")
    other.tab.wait_for_selector('body[data-role="drive"]', state="attached")
    engage(other)
    other.tab.close()
    page.until("Nobody drives. Press T", "next")
    page.tab.keyboard.press("t")
    page.tab.wait_for_selector('body[data-role="drive"]', state="attached")


def wear(page: web.Page) -> None:
    page.enter("controller")
    for _ in range(TRIES):
        page.tab.evaluate("emulator.engage()")
        if state(page) == "engaged":
            return
    pytest.fail(f"it does not engage: {page.text('notice')}")


FAULTS = [
    ("emulator.device.recenter()", "re-centred"),
    ("emulator.place([0.5, 1.4, -0.5], [0, 0, 0, 1], [1, 0, 0, 0, 0])", "jumped"),
    ("emulator.still = true", "has not moved at all for a second"),
]


def test_in_the_headset_words_are_legible_and_bad_poses_release(page: web.Page) -> None:
    wear(page)
    told, controls, size = page.tab.evaluate(
        f"(() => {{ const [main, side] = {BOARDS};"
        "const metres = main.geometry.parameters.width * 36 / main.width;"
        "const distance = main.position.distanceTo({x: 0, y: 1.55, z: 0});"
        "return [main.shown, side.shown, metres / distance] })()"
    )
    assert "A on the right controller stops the hand" in told
    assert "Pull the drawer open" in told
    assert controls == '"controller"'
    assert size > 0.0175  # rad, the height of the smallest letters' line: a degree
    for fault, notice in FAULTS:
        for _ in range(TRIES):
            page.tab.evaluate("emulator.still = false")
            wear_again(page)
            page.tab.evaluate(fault)
            page.wait("paused")
            if "too old" not in page.text("notice"):
                break
        assert notice in page.text("notice")


def test_the_scene_has_shadows_contact_lights_and_hands(
    visit: Callable[..., web.Page], host: web.Host
) -> None:
    page = visit(host.url + "&plain=0&shadows=1")
    drives(page)
    page.enter("hand")
    time.sleep(0.5)
    drawn = page.tab.evaluate(DRAWN)
    assert drawn["shadows"]
    assert drawn["lights"] == [0, len(drawn["fingers"])]  # without contact, and with it
    assert drawn["hands"] == [True, True]
    assert drawn["bones"] > 0.1  # m, of one hand
    assert page.text("next").startswith("Press left thumb and index finger together")


DRAWN = """() => {
  const { scene, renderer } = gymGraspView;
  const [world, , person] = scene.children;
  const lights = () => world.children.filter((one) => one.isSprite && one.visible).length;
  const { fingers } = gymGrasp.manifest;
  const touch = (level) => {
    const felt = fingers.map(() => level);
    world.show({ ...gymGrasp.scene, brake: felt, vibration: felt });
    return lights();
  };
  const hand = person.children[1];
  const bones = hand.children[1];
  const lengths = [...Array(bones.count).keys()].map((index) => {
    const matrix = bones.instanceMatrix.array.slice(16 * index, 16 * index + 16);
    return Math.hypot(matrix[4], matrix[5], matrix[6]);
  });
  return {
    shadows: renderer.shadowMap.enabled && world.children.some((one) => one.castShadow),
    lights: [touch(0), touch(1)],
    fingers,
    hands: person.children.slice(0, 2).map((one) => one.visible),
    bones: lengths.reduce((sum, length) => sum + length, 0),
  };
}"""


def test_in_the_headset_slow_drawing_leaves_out_pictures_not_poses(page: web.Page) -> None:
    wear(page)
    page.tab.evaluate(SLOWLY.replace("110", "55"))
    for _ in range(TRIES):
        wear_again(page)
        time.sleep(1.0)
        if state(page) == "engaged":
            return
    pytest.fail(f"slow drawing stops the hand: {page.text('notice')}")


def wear_again(page: web.Page) -> None:
    for _ in range(TRIES):
        page.tab.evaluate("emulator.engage()")
        if state(page) == "engaged":
            return
    pytest.fail(f"it does not engage: {page.text('notice')}")


class Wire:
    """A network between page and host that can go dead without a word."""

    def __init__(self, port: int) -> None:
        self._host = ("127.0.0.1", port)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self.dead: set[socket.socket] = set()
        self.open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """What is open now carries nothing any more, and nobody is told."""
        self.dead |= self.open

    def close(self) -> None:
        self._server.close()
        for one in self.open:
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._server.accept()
                far = socket.create_connection(self._host)
                self.open |= {near, far}
                for a, b in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(a, b), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if source not in self.dead:
                    target.sendall(data)
            if source not in self.dead:
                target.shutdown(socket.SHUT_WR)


def test_who_lost_the_connection_gets_the_robot_back_in_the_headset(
    visit: Callable[..., web.Page], host: web.Host
) -> None:
    port = int(host.url.split(":")[2].split("/")[0])
    wire = Wire(port)
    page = visit(host.url.replace(str(port), str(wire.port)))
    page.tab.wait_for_selector('body[data-role="drive"]', state="attached")
    wear(page)
    epoch = page.tab.evaluate("gymGrasp.epoch")
    wire.cut()
    end = time.monotonic() + 20.0
    while page.tab.evaluate("gymGrasp.epoch") == epoch:
        assert time.monotonic() < end, "it did not come back"
        time.sleep(0.1)
    watcher = visit(host.url)
    page.wait("paused")
    page.tab.wait_for_selector('body[data-role="drive"]', state="attached")
    assert page.tab.evaluate("gymGraspView.renderer.xr.isPresenting")
    wear_again(page)
    watcher.until("Another person drives", "next")
    # in the headset one may hand over as well: the left stick is the answer
    watcher.tab.keyboard.press("t")
    page.until("the left stick: hand over", "next")
    press = "emulator.device.controllers.left.updateButtonValue('thumbstick', {})"
    page.tab.evaluate(press.format(1))
    time.sleep(0.3)
    page.tab.evaluate(press.format(0))
    watcher.tab.wait_for_selector('body[data-role="drive"]', state="attached")
    wire.close()
    page.complaints.clear()  # of a wire that is gone


def test_a_finger_on_a_phone_drives(visit: Callable[..., web.Page], host: web.Host) -> None:
    page = visit(host.url, size=(390, 844), has_touch=True, is_mobile=True)
    page.tab.wait_for_selector('body[data-role="drive"]', state="attached")
    assert "Start" in page.text("next")
    assert not page.faults()
    small = "[...document.querySelectorAll('#touch button')].filter((one) => one.offsetHeight)"
    assert min(page.tab.evaluate(small + ".map((one) => one.offsetHeight)")) >= 44
    covered = "document.getElementById('panel').getBoundingClientRect().bottom / innerHeight"
    assert page.tab.evaluate(covered) < 0.5
    if state(page) not in ("waiting", "engaged"):
        page.tab.tap("#touch [data-key=Enter]")
    for _ in range(TRIES):
        if state(page) != "engaged":
            page.tab.tap("#go")
            with suppress(Exception):
                page.wait("engaged", 1.0)
        before = page.tab.evaluate(PALM)
        held = page.tab.locator("#touch [data-key=KeyD]")
        held.dispatch_event("pointerdown", {"pointerId": 1, "pointerType": "touch"})
        time.sleep(0.7)
        held.dispatch_event("pointerup", {"pointerId": 1, "pointerType": "touch"})
        if page.tab.evaluate(PALM)[0] > before[0] + 0.03:
            break
    assert page.tab.evaluate(PALM)[0] > before[0] + 0.03


def test_another_task_and_what_was_done_before(host: web.Host, page: web.Page) -> None:
    engage(page)
    page.tab.keyboard.press("Enter")  # gives up
    page.wait("waiting")
    page.tab.keyboard.press("p")
    page.tab.click("#choices button:has-text('lift-object')")
    page.until("lift-object", "task")
    page.until("Pick the object up", "goal")
    page.until("0 kept, 0 failed · ", "numbers")
    assert re.search(r"0 kept, [1-9]\d* failed in other tasks", page.text("numbers"))
    engage(page)


def test_the_end_says_what_to_do_next(host: web.Host, page: web.Page) -> None:
    """The last: it stops the host."""
    host.stop()
    page.wait("over")
    assert "The session is over" in page.text("notice")
    assert "nothing was kept" in host.messages
    page.complaints.clear()  # of a host that is gone

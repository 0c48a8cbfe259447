import shutil
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from fakes import ANGLES, FakeBridge, eventually, hand_line

from gym_grasp.errors import GymGraspError, UsageError
from gym_grasp.robots.base import HUMAN_FINGERS
from gym_grasp.teleop.devices import senseglove
from gym_grasp.teleop.devices.senseglove import (
    BridgeReader,
    ProtocolError,
    SenseGlove,
    feel_line,
    parse_address,
)
from gym_grasp.teleop.hand.input import Haptics

BRIDGE = Path(__file__).parents[2] / "integrations" / "senseglove_bridge"
TOUCH = Haptics(
    HUMAN_FINGERS,
    brake=np.array([0.0, 0.25, 0.5, 1.0, 2.0]),
    vibration=np.array([0.1, 0.0, np.nan, 0.0, -1.0]),
)
TOUCH_LINE = "feel 0.000 0.250 0.500 1.000 1.000 0.100 0.000 0.000 0.000 0.000"


@pytest.fixture
def address(tmp_path):
    return f"unix:{tmp_path / 'glove'}"


@pytest.fixture
def bridge(tmp_path):
    bridge = FakeBridge(tmp_path / "glove")
    yield bridge
    bridge.close()


@pytest.fixture
def glove(address, bridge, monkeypatch):
    monkeypatch.setattr(senseglove, "RECONNECT", 0.02)
    now = [100.0]
    glove = SenseGlove(address, clock=lambda: now[0])
    glove.now = now
    eventually(lambda: "waiting for the glove" in glove.status)
    yield glove
    glove.close()


def test_angles_arrive_and_grow_stale(glove, bridge):
    assert glove.sample() is None
    bridge.send(hand_line(7, 3.5))
    eventually(glove.sample)
    sample = glove.fresh()
    assert (sample.sequence, sample.time) == (7, 100.0)
    np.testing.assert_array_equal(sample.angles, ANGLES)
    assert glove.status == "SenseGlove DK1 connected"
    glove.now[0] = 100.09
    assert glove.fresh() is sample
    glove.now[0] = 100.11
    assert glove.fresh() is None
    assert glove.sample() is sample


def test_only_the_newest_of_many_lines_counts(glove, bridge):
    bridge.send("\n".join(hand_line(number) for number in range(1, 6)))
    eventually(lambda: glove.sample() and glove.sample().sequence == 5)


def test_a_lost_glove_is_untracked_at_once(glove, bridge):
    bridge.send(hand_line())
    eventually(glove.sample)
    bridge.send("lost")
    eventually(lambda: glove.sample() is None)
    assert "off or out of reach" in glove.status
    bridge.send(hand_line(2))
    eventually(glove.sample)


def test_feedback_reaches_the_bridge_clipped(glove, bridge):
    glove.feedback(TOUCH)
    eventually(lambda: len(bridge.received) == 2)
    assert bridge.received == ["hello 1", TOUCH_LINE]


def test_a_dead_connection_is_untracked_and_comes_back(glove, bridge):
    bridge.send(hand_line())
    eventually(glove.sample)
    bridge.drop()
    eventually(lambda: bridge.received.count("hello 1") == 2)
    eventually(lambda: "waiting for the glove" in glove.status)
    assert glove.sample() is None
    bridge.send(hand_line(3))
    eventually(glove.sample)
    glove.feedback(TOUCH)
    eventually(lambda: bridge.received[-1] == TOUCH_LINE)


def test_a_bridge_that_starts_later_is_found(address, tmp_path, monkeypatch):
    monkeypatch.setattr(senseglove, "RECONNECT", 0.02)
    glove = SenseGlove(address)
    eventually(lambda: "no bridge at" in glove.status)
    glove.feedback(TOUCH)  # goes nowhere, and does no harm
    with pytest.raises(GymGraspError, match=r"no bridge at .*Start the bridge"):
        glove.wait(0.0)
    bridge = FakeBridge(tmp_path / "glove")
    eventually(lambda: "waiting for the glove" in glove.status)
    bridge.send(hand_line())
    np.testing.assert_array_equal(glove.wait(20.0).angles, ANGLES)
    glove.close()
    bridge.close()


def test_closing_releases_the_brakes(address, bridge):
    glove = SenseGlove(address)
    eventually(lambda: "waiting for the glove" in glove.status)
    glove.close()
    eventually(lambda: len(bridge.received) == 2)
    assert bridge.received[-1] == "feel" + 10 * " 0.000"


def test_a_client_that_cannot_send_drops_and_never_sends_half_a_line(address, bridge):
    glove = SenseGlove(address)
    eventually(lambda: glove._socket is not None)

    class Narrow:
        """Takes 30 bytes, then nothing, then everything."""

        sent = b""
        room = iter([30, 0, 1000, 1000, 1000])

        def send(self, data):
            size = next(self.room)
            if size == 0:
                raise BlockingIOError
            self.sent += data[:size]
            return min(size, len(data))

    narrow = glove._socket = Narrow()
    for _ in range(3):
        glove.feedback(TOUCH)
    glove._socket = None
    assert narrow.sent.decode() == 2 * (TOUCH_LINE + "\n")
    glove.close()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["hand 1 0.0"], "did not introduce"),
        (["hello"], "did not introduce"),
        (["hello 2 right Glove"], "version 2 of the protocol, this gym-grasp 1"),
        (["hello 1 left Glove"], "a left hand, a right one is needed"),
        (["error another client took over"], "another client took over"),
        (["hello 1 right Glove", "hand 1 0.0 1 2 3"], "20 finite angles"),
        (["hello 1 right Glove", "hand 1 0.0 " + "nan " * 20], "20 finite angles"),
        (["hello 1 right Glove", "hand one 0.0"], "not made of numbers"),
        (["hello 1 right Glove", "hand"], "not made of numbers"),
    ],
)
def test_what_breaks_the_protocol_is_refused(lines, message):
    reader = BridgeReader("right")
    *before, last = (line.encode() for line in lines)
    for line in before:
        reader.take(line, 0.0)
    with pytest.raises(ProtocolError, match=message):
        reader.take(last, 0.0)


def test_unknown_words_are_left_to_later_versions():
    reader = BridgeReader("right")
    for line in (b"hello 1 right Glove", b"battery 0.5", b"", b"\xff\xfe"):
        assert reader.take(line, 0.0) is None


def test_random_bytes_end_the_connection_and_nothing_else(address, tmp_path, monkeypatch):
    monkeypatch.setattr(senseglove, "RECONNECT", 0.02)
    noise = np.random.default_rng(0).integers(0, 256, 4096, dtype=np.uint8).tobytes()
    bridge = FakeBridge(tmp_path / "glove", hello=noise)
    glove = SenseGlove(address)
    eventually(lambda: "not usable" in glove.status)
    bridge.hello = b"hello 1 right Glove"
    eventually(lambda: "waiting for the glove" in glove.status)
    glove.close()
    bridge.close()


def test_the_bridges_clock_is_mapped_by_its_fastest_message():
    reader = BridgeReader("right")
    reader.take(b"hello 1 right Glove", 0.0)

    def age(sent, arrived):
        return arrived - reader.take(hand_line(1, sent).encode(), arrived).time

    assert age(10.0, 1000.020) == pytest.approx(0.0)  # all that is known: at least 990.020 apart
    assert age(10.1, 1000.105) == pytest.approx(0.0)  # faster: 990.005
    assert age(10.2, 1000.235) == pytest.approx(0.030, abs=1e-4)  # slower by 30 ms
    # a bridge's clock that runs slow by 1e-4 makes no message look old, not even after an hour
    for second in range(0, 3600, 10):
        late = age(11.0 + second * (1 - 1e-4), 1001.005 + second)
    assert late < 0.005


def test_addresses():
    assert parse_address("127.0.0.1:5557") == (socket.AF_INET, ("127.0.0.1", 5557))
    assert parse_address("unix:/run/glove") == (socket.AF_UNIX, "/run/glove")
    for wrong in ("", "5557", ":5557", "host:", "host:70000", "unix:", "unix:relative"):
        with pytest.raises(UsageError, match="no address"):
            parse_address(wrong)


def test_feel_line_is_short_and_finite():
    assert feel_line(TOUCH).decode() == TOUCH_LINE + "\n"


def test_feel_line_has_every_human_finger_whatever_the_robot_has():
    felt = Haptics(("index", "thumb"), brake=np.array([0.1, 0.2]), vibration=np.array([0.3, 0.4]))
    line = "feel 0.200 0.100 0.000 0.000 0.000 0.400 0.300 0.000 0.000 0.000\n"
    assert feel_line(felt).decode() == line


@pytest.fixture(scope="module")
def simulated_bridge(tmp_path_factory):
    """Build the real bridge with its simulated glove, which needs no SDK."""
    compiler = shutil.which("c++")
    if compiler is None:
        pytest.skip("no C++ compiler")
    program = tmp_path_factory.mktemp("bridge") / "senseglove_bridge"
    sources = [BRIDGE / name for name in ("bridge.cpp", "simulated_glove.cpp")]
    flags = ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-fno-exceptions", "-fno-rtti"]
    subprocess.run([compiler, *flags, *sources, "-o", program, "-pthread"], check=True)
    return program


def start(program, *arguments):
    return subprocess.Popen([program, *arguments], stdout=subprocess.DEVNULL)


def test_the_real_bridge_serves_angles_and_takes_feedback(simulated_bridge, address):
    process = start(simulated_bridge, "--listen", address)
    glove = SenseGlove(address)
    first = glove.wait(20.0)
    assert "simulated" in glove.status
    eventually(lambda: glove.sample().sequence > first.sequence + 20)
    # it echoes what is felt: the brake of a finger is its spreading angle, the vibration is
    # added to its first bending angle, which else stays within 0.8 rad
    glove.feedback(Haptics(HUMAN_FINGERS, np.array([0.1, 0.2, 0.3, 0.4, 0.5]), np.zeros(5)))
    eventually(lambda: np.allclose(glove.sample().angles[:, 0], [0.1, 0.2, 0.3, 0.4, 0.5]))
    # and lets go by itself when no more comes
    eventually(lambda: np.allclose(glove.sample().angles[:, 0], 0.0))
    glove.close()
    process.terminate()
    assert process.wait(20) == 0


def dial(address):
    """Connect as a program that does not know the protocol."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(20)
    connection.connect(address.removeprefix("unix:"))
    return connection


def everything(connection):
    """Read until the other side hangs up; bytes that it did not read itself reset the socket."""
    received = b""
    with suppress(ConnectionResetError):
        while chunk := connection.recv(4096):
            received += chunk
    return received


def test_the_real_bridge_turns_a_second_client_and_nonsense_away(simulated_bridge, address):
    process = start(simulated_bridge, "--listen", address, "--hand", "left")
    first = SenseGlove(address, "left")
    first.wait(20.0)
    with dial(address) as second:
        assert everything(second) == b"error another client is connected\n"
    assert first.fresh()
    first.close()
    wrong = SenseGlove(address, "right")
    eventually(lambda: "a left hand, a right one is needed" in wrong.status)
    wrong.close()
    for nonsense, answer in (
        (b"hello 2\n", b"error this bridge speaks version 1\n"),
        (b"feel 0 0 0 0 0 0 0 0 0 two\n", b"error 'feel' takes ten levels"),
        (b"feel 0 0 0 0 0 0 0 0 0 1.1\n", b"error 'feel' takes ten levels"),
        (b"x" * 600, b"error a line is too long\n"),
    ):
        with dial(address) as client:
            client.sendall(nonsense)
            received = everything(client)
        assert received.startswith(b"hello 1 left simulated glove\n")
        assert answer in received
    assert process.poll() is None
    process.terminate()
    assert process.wait(20) == 0

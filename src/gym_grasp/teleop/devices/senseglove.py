"""A SenseGlove, through the bridge process of `integrations/senseglove_bridge`.

The SDK of the glove is native code that cannot be shipped here, so a small program of its own
speaks with the glove and serves lines of text on a local socket; the protocol is stated in that
folder's README. This is the client: it keeps the newest angles, reconnects by itself, and calls
whatever is old untracked. `gloved_hand` adds the wrist.
"""

import logging
import math
import select
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gym_grasp.errors import GymGraspError, UsageError
from gym_grasp.teleop.hand.input import Haptics

log = logging.getLogger(__name__)

PROTOCOL_VERSION = 1
DEFAULT_ADDRESS = "127.0.0.1:5557"
STALE = 0.1
"""Age from which angles count as untracked, in [s]; the robot never acts on older ones."""
LONGEST_LINE = 512
"""Bytes in a line, its end included; a longer one ends the connection."""
RECONNECT = 0.5
"""Pause between attempts to connect, in [s]."""
SILENCE = 2.0
"""Time without a line after which a connection is given up, in [s]; at least ten a second come."""
CLOCK_DRIFT = 2e-4
"""Most by which the bridge's clock may run fast or slow, in [s/s]; quartz is within 1e-4."""


@dataclass(frozen=True)
class GloveSample:
    """Joint angles at one moment."""

    time: float
    """When they were measured, in [s] of the session's clock."""
    angles: np.ndarray
    """Per finger, thumb first: spreading, then three of bending, in [rad]. Shape (5, 4)."""
    sequence: int
    """The bridge's count of samples."""


class SenseGlove:
    """The newest angles of one glove, and the way back to its brakes and motors.

    Nothing here waits: a thread of its own connects and reads, and feedback that the socket
    cannot take at once is dropped, since the next tick brings newer one.

    Args:
        address: `host:port`, or `unix:/path/to/socket`.
        hand: which hand the glove has to fit, `right` or `left`.
        clock: the session's, in [s].
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        hand: str = "right",
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._family, self._target = parse_address(address)
        self.address = address
        self.status = f"connecting to {address}"
        """What the operator should know about the connection."""
        self._hand = hand
        self.clock = clock
        self._sample: GloveSample | None = None
        self._socket: socket.socket | None = None
        self._unsent = b""
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="senseglove", daemon=True)
        self._thread.start()

    def sample(self) -> GloveSample | None:
        """Return the newest angles however old; None where none came or the glove went away."""
        return self._sample

    def fresh(self) -> GloveSample | None:
        """Return the newest angles unless they are older than `STALE`."""
        sample = self._sample
        return sample if sample and self.clock() - sample.time <= STALE else None

    def wait(self, timeout: float) -> GloveSample:
        """Wait for the first fresh angles.

        Raises:
            GymGraspError: none came within `timeout` seconds; the message says what is missing.
        """
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if sample := self.fresh():
                return sample
            self._closing.wait(0.01)
        raise GymGraspError(
            f"No angles from the SenseGlove within {timeout:g} s: {self.status}. Start the bridge"
            " (integrations/senseglove_bridge) and switch the glove on."
        )

    def feedback(self, haptics: Haptics) -> None:
        """Set brakes and vibrations; the bridge lets go by itself when no more comes."""
        connection = self._socket
        if connection is None:
            return
        try:
            if self._unsent:  # the rest of a line that fitted only in part
                self._unsent = self._unsent[connection.send(self._unsent) :]
            if not self._unsent:
                line = feel_line(haptics)
                self._unsent = line[connection.send(line) :]
        except BlockingIOError:
            pass
        except OSError:
            pass  # the reading thread notices too, and reconnects

    def close(self) -> None:
        """Release the brakes and disconnect."""
        self.feedback(Haptics.none(()))
        self._closing.set()
        self._thread.join()

    # The thread ---------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                with socket.socket(self._family, socket.SOCK_STREAM) as connection:
                    connection.settimeout(1.0)
                    connection.connect(self._target)
                    connection.sendall(f"hello {PROTOCOL_VERSION}\n".encode())
                    connection.setblocking(False)
                    self._read(connection)
            except OSError as error:
                self._say(f"no bridge at {self.address} ({error.strerror or error})")
            except ProtocolError as error:
                self._say(f"the bridge at {self.address} is not usable: {error}")
            finally:
                self._socket = self._sample = None
                self._unsent = b""
            self._closing.wait(RECONNECT)

    def _read(self, connection: socket.socket) -> None:
        reader = BridgeReader(self._hand)
        buffer = b""
        while not self._closing.is_set():
            if not self._wait_readable(connection):
                continue
            received = connection.recv(65536)
            now = self.clock()
            if not received:
                raise OSError("it hung up")
            *lines, buffer = (buffer + received).split(b"\n")
            if max(map(len, [*lines, buffer])) >= LONGEST_LINE:
                raise ProtocolError(f"it sent a line of more than {LONGEST_LINE} bytes")
            for line in lines:
                sample = reader.take(line, now)
                # feedback flows only to a bridge that has introduced itself
                self._socket = connection if reader.device else None
                self._sample = sample
            self._say(reader.status)

    def _wait_readable(self, connection: socket.socket) -> bool:
        deadline = time.monotonic() + SILENCE
        while not select.select([connection], [], [], 0.05)[0]:
            if self._closing.is_set():
                return False
            if time.monotonic() > deadline:
                raise OSError(f"silent for {SILENCE:g} s")
        return True

    def _say(self, status: str) -> None:
        if status != self.status:
            self.status = status
            log.info("SenseGlove: %s", status)


# The protocol -----------------------------------------------------------------------------------


class ProtocolError(Exception):
    """The bridge said something that the protocol does not allow."""


class BridgeReader:
    """Understands the lines of one connection.

    Args:
        hand: which hand the glove has to fit.
    """

    def __init__(self, hand: str) -> None:
        self.device = ""
        """What the bridge said it serves; empty before its hello."""
        self.status = "waiting for the bridge's hello"
        self._hand = hand
        self._offset = math.inf
        self._offset_time = 0.0
        self._sample: GloveSample | None = None

    def take(self, line: bytes, now: float) -> GloveSample | None:
        """Take in one line that arrived at `now` in [s]; return the newest angles, if any.

        Raises:
            ProtocolError: it breaks the protocol.
        """
        word, *rest = line.decode("ascii", "replace").split() or [""]
        if word == "error":
            raise ProtocolError(" ".join(rest) or "it reports an error")
        if not self.device:
            self._hello(word, rest)
        elif word == "hand":
            self._sample = self._angles(rest, now)
            self.status = f"{self.device} connected"
        elif word == "lost":
            self._sample = None
            self.status = f"{self.device}: the glove is off or out of reach"
        # other words belong to later versions of the protocol that are compatible
        return self._sample

    def _hello(self, word: str, rest: list[str]) -> None:
        if word != "hello" or len(rest) < 3:
            raise ProtocolError("it did not introduce itself")
        version, hand, *device = rest
        if version != str(PROTOCOL_VERSION):
            raise ProtocolError(
                f"it speaks version {version} of the protocol, this gym-grasp {PROTOCOL_VERSION}"
            )
        if hand != self._hand:
            raise ProtocolError(f"it serves a {hand} hand, a {self._hand} one is needed")
        self.device = " ".join(device)
        self.status = f"{self.device}: waiting for the glove"

    def _angles(self, rest: list[str], now: float) -> GloveSample:
        try:
            sequence, sent, *angles = int(rest[0]), float(rest[1]), *map(float, rest[2:])
        except (ValueError, IndexError):
            raise ProtocolError("a 'hand' line is not made of numbers") from None
        if len(angles) != 20 or not all(map(math.isfinite, [sent, *angles])):
            raise ProtocolError("a 'hand' line has to hold a time and 20 finite angles")
        # The smallest difference of the clocks seen so far belongs to the fastest message; it may
        # grow by as much as the clocks drift apart.
        self._offset += CLOCK_DRIFT * (now - self._offset_time)
        self._offset = min(self._offset, now - sent)
        self._offset_time = now
        return GloveSample(sent + self._offset, np.reshape(angles, (5, 4)), sequence)


def feel_line(haptics: Haptics) -> bytes:
    """Return the line that sets five brakes and five vibrations, each 0–1."""
    levels = np.clip(np.nan_to_num(np.concatenate(haptics.for_human())), 0.0, 1.0)
    return ("feel " + " ".join(f"{level:.3f}" for level in levels) + "\n").encode()


def parse_address(address: str) -> tuple[socket.AddressFamily, str | tuple[str, int]]:
    """Split `host:port` or `unix:/path` into what a socket takes.

    Raises:
        UsageError: it is neither.
    """
    host, _, port = address.rpartition(":")
    if address.startswith("unix:/") and hasattr(socket, "AF_UNIX"):
        return socket.AF_UNIX, address.removeprefix("unix:")
    if host and port.isdecimal() and 0 < int(port) < 65536:
        return socket.AF_INET, (host, int(port))
    raise UsageError(
        f"'{address}' is no address of a SenseGlove bridge; expected host:port such as"
        f" {DEFAULT_ADDRESS}, or unix:/path/to/socket."
    )

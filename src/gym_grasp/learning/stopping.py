"""Ending a training when the system or a person asks: with a checkpoint, not with a loss."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Stopped(KeyboardInterrupt):
    """A training ended because a signal asked for it; the message says how to go on.

    Attributes:
        exit_code: 128 + the signal's number, as shells say it.
    """

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = 128 + number


class Stop:
    """What has been asked for so far.

    Attributes:
        number: of the first signal that came; 0, none.
    """

    number = 0


@contextlib.contextmanager
def watching() -> Iterator[Stop]:
    """Note the first signal instead of dying from it; a second one ends the process at once.

    Outside the main thread, where Python hears no signals, nothing is watched.
    """
    stop = Stop()

    def note(number: int, _: FrameType | None) -> None:
        if stop.number:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        stop.number = number
        name = signal.Signals(number).name
        print(f"{name}: saving after this epoch; once more ends at once.", file=sys.stderr)

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, note) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

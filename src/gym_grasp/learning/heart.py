"""The heartbeat of processes that train together: each tells that it lives, and hears who does not.

A process that waits for another in Gloo or NCCL cannot be told anything, so threads beside it count
beats in the store that the processes met by, and end the process when another has stopped.
"""

import contextlib
import math
import os
import sys
import threading
import time

import torch.distributed as dist

BEAT = 1.0
"""Time between two beats, in s."""
STALLED = 20.0
"""A process whose beat has not been seen for so long has stalled, or was cut off, in s."""
ANSWER_WITHIN = 10.0
"""How long a process may take for its next beat once talking to it has failed, in s."""
LEFT = "left"


class Heart:
    """Beats, and hears the others, until this process leaves.

    Args:
        store: a connection of its own to the store, which nothing else waits in.
        rank: of this process.
        size: number of processes.
    """

    def __init__(self, store: dist.Store, rank: int, size: int) -> None:
        self._store, self._rank, self._size = store, rank, size
        self._seen = dict.fromkeys(range(size), "")
        now = time.monotonic()
        self._when = dict.fromkeys(range(size), now)
        """When each process' beat was last seen to change, by this process' clock."""
        self._heard = now
        """When the store was last asked and answered."""
        self._lock = threading.Lock()
        self._over = threading.Event()
        for work in (self._beat, self._judge):
            threading.Thread(target=work, name="heart", daemon=True).start()

    def leave(self) -> None:
        """Say that this process has done its work; the others go on."""
        self.stop()
        with contextlib.suppress(RuntimeError):
            self._store.set(f"beat/{self._rank}", LEFT)

    def stop(self) -> None:
        """Beat no more, as after an error of this process' own."""
        self._over.set()

    def silent(self) -> list[int]:
        """Return who does not beat any more; waits a while for each to do so.

        Only what comes after the first answer to a question asked since the call counts: that
        answer may still bring what a process sent before it died.
        """
        begun, first = time.monotonic(), math.inf
        while True:
            with self._lock:
                if self._heard > begun:
                    first = min(first, self._heard)
                waiting = [other for other, when in self._when.items() if when <= first]
                if self._heard <= first:  # nobody can be heard without the store
                    waiting = [0]
            if not waiting or time.monotonic() - begun > ANSWER_WITHIN:
                return waiting
            time.sleep(0.1)

    def blame(self, gone: list[int]) -> str:
        """Return the message for processes that are gone."""
        who = f"process {', '.join(map(str, gone))} of {self._size} (counted from 0)"
        if gone == [0] and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
            who += " or torchrun on its host"  # which holds the store then
        return (
            f"Training ended because of {who}, which is gone, stalled or cut off; its own message "
            "may say why. The last checkpoint is whole: resume from it."
        )

    def _beat(self) -> None:
        count = 0
        keys = [f"beat/{other}" for other in range(self._size)]
        while not self._over.is_set():
            count += 1
            now = time.monotonic()
            try:
                self._store.set(keys[self._rank], str(count))
                beats = [b.decode() for b in self._store.multi_get(keys)]
            except RuntimeError:
                time.sleep(BEAT)  # judged by the time since it last answered
                continue
            with self._lock:
                self._heard = now
                for other, beat in enumerate(beats):
                    if beat == LEFT:
                        self._when[other] = math.inf
                    elif beat != self._seen[other]:
                        self._seen[other], self._when[other] = beat, now
            self._over.wait(BEAT)

    def _judge(self) -> None:
        before = time.monotonic()
        while not self._over.wait(BEAT):
            now = time.monotonic()
            with self._lock:
                if now - before > STALLED / 2:  # this process stood still itself: hear anew
                    self._heard = now
                    for other, when in self._when.items():
                        self._when[other] = max(when, now)
                limit, before = now - STALLED, now
                gone = [other for other, when in self._when.items() if when < limit]
                if self._heard < limit:
                    gone = [0]  # whose memory, or whose host, holds the store
                begun = any(self._seen.values())  # all had come once
            if gone and begun:
                print(f"gym-grasp: error: {self.blame(gone)}", file=sys.stderr, flush=True)
                os._exit(1)  # the thread that waits for the others cannot be called back

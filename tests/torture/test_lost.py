"""A process of a distributed training is killed, stalled or cut off: the others end and name it."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from amounts import AMOUNT
from hosts import POSSIBLE, hosts

LEARNING = Path(__file__).parents[1] / "learning"
WITHIN = 60.0
"""Seconds from the loss to the end of whoever is left."""


@contextmanager
def workers(hosts, what, folder):
    """Run a function of the worker on each host; none of these processes is left."""
    running = []
    for rank in range(hosts.count):
        place = {"RANK": rank, "LOCAL_RANK": 0, "WORLD_SIZE": hosts.count, "LOCAL_WORLD_SIZE": 1}
        place |= {"MASTER_ADDR": hosts.address(0), "MASTER_PORT": 29_400}
        place |= {"GLOO_SOCKET_IFNAME": "eth0", "PYTHONUNBUFFERED": 1}
        worker = [sys.executable, str(LEARNING / "distributed_worker.py"), what, str(folder)]
        env = os.environ | {name: str(value) for name, value in place.items()}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        command = [*hosts.within(rank), *worker]
        running.append(subprocess.Popen(command, env=env, text=True, **pipes))
    try:
        yield running
    finally:
        for process in running:
            process.kill()
            process.communicate()


@pytest.mark.slow  # some 40 s
@pytest.mark.skipif(not POSSIBLE, reason="network namespaces need root and iproute2")
@pytest.mark.parametrize("lost", [0, 1])
@pytest.mark.parametrize("how", ["killed", "stalled", "cut off"])
@pytest.mark.parametrize("number", range(AMOUNT.lost))
def test_who_is_lost_is_named_in_time_and_the_run_goes_on(tmp_path, tally, how, lost, number):
    tally("processes of a training killed, stalled, cut off", 1)
    other = 1 - lost
    with hosts(2) as two:
        with workers(two, "pause", tmp_path) as running:
            assert "paused\n" in iter(running[0].stdout.readline, "")
            begun = time.monotonic()
            if how == "cut off":
                two.cut(lost)
            else:
                running[lost].send_signal(signal.SIGKILL if how == "killed" else signal.SIGSTOP)
            output, _ = running[other].communicate(timeout=WITHIN)
            assert running[other].returncode == 1, output
            assert f"because of process {lost} of 2" in output
            assert "Traceback" not in output
            if how == "cut off":  # from there it is the other that is gone
                output, _ = running[lost].communicate(timeout=WITHIN - time.monotonic() + begun)
                assert running[lost].returncode == 1, output
                assert f"because of process {other} of 2" in output
                two.mend(lost)
        print(f"{how} {lost}: {time.monotonic() - begun:.1f} s")
        with workers(two, "resume", tmp_path) as resumed:
            outputs = [process.communicate(timeout=120)[0] for process in resumed]
            assert [process.returncode for process in resumed] == [0, 0], outputs
    assert json.loads((tmp_path / "summary-0.json").read_text())["epochs"] == 4

"""Training in two processes, on the CPU: the same code as on GPUs, with Gloo in place of NCCL."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from gym_grasp.learning import distributed
from gym_grasp.learning.checkpoint import CHECKPOINT, load

WORKER = Path(__file__).with_name("distributed_worker.py")


def begin(what, folder, processes=2):
    """Run a function of the worker in several processes; return them."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    running = []
    for rank in range(processes):
        place = {
            "RANK": rank,
            "LOCAL_RANK": rank,
            "WORLD_SIZE": processes,
            "LOCAL_WORLD_SIZE": processes,
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": port,
        }
        env = os.environ | {name: str(value) for name, value in place.items()}
        command = [sys.executable, str(WORKER), what, str(folder)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        running.append(subprocess.Popen(command, env=env, text=True, **pipes))
    return running


def start(what, folder, processes=2):
    """Run a function of the worker in several processes; return their exit codes and outputs."""
    running = begin(what, folder, processes)
    outputs = [process.communicate(timeout=120)[0] for process in running]
    return [process.returncode for process in running], outputs


def test_one_process_alone_needs_none_of_it():
    with distributed.joined("cuda:7") as device:
        assert device == "cuda:7"
    assert (distributed.rank(), distributed.size(), distributed.threads()) == (0, 1, 0)
    assert distributed.gather("x") == ["x"]
    assert distributed.average_number(2.5) == 2.5


def test_two_halves_learn_what_one_whole_learns(tmp_path):
    assert start("learn_from_a_share", tmp_path)[0] == [0, 0]
    assert start("learn_from_a_share", tmp_path, processes=1)[0] == [0]
    whole = torch.load(tmp_path / "share-0-of-1.pt")
    halves = [torch.load(tmp_path / f"share-{rank}-of-2.pt") for rank in range(2)]
    for name, value in whole["learner"]["model"].items():
        assert torch.equal(halves[0]["learner"]["model"][name], halves[1]["learner"]["model"][name])
        torch.testing.assert_close(
            halves[0]["learner"]["model"][name], value, atol=2e-5, rtol=1e-4, msg=name
        )
    assert torch.equal(halves[0]["learner"]["learning_rate"], whole["learner"]["learning_rate"])
    rows = torch.cat([torch.arange(8.0).view(4, 2), 2 * torch.arange(8.0).view(4, 2)])
    for half in halves:
        mean, var, count = half["moments"]
        torch.testing.assert_close(mean, rows.mean(0))
        torch.testing.assert_close(var, rows.var(0, correction=0))
        assert count == 8
        assert half["metrics"]["policy/kl"] == pytest.approx(
            whole["metrics"]["policy/kl"], rel=1e-3
        )


def test_the_first_process_writes_and_both_count(tmp_path):
    assert start("run", tmp_path)[0] == [0, 0]
    summary, nothing = (
        json.loads((tmp_path / f"summary-{rank}.json").read_text()) for rank in range(2)
    )
    assert nothing == {}
    assert summary["steps"] == 4 * 8 * 16
    content = load(tmp_path / "run" / CHECKPOINT, "training")
    first, second = (p["environment"]["position"] for p in content["processes"])
    assert not torch.equal(first, second)


def test_a_dead_process_is_named(tmp_path):
    codes, outputs = start("lose_one", tmp_path)
    assert codes == [1, 3]
    assert "because of process 1 of 2" in outputs[0]


@pytest.mark.parametrize(("stalled", "other"), [(1, 0), pytest.param(0, 1, marks=pytest.mark.slow)])
def test_a_stalled_process_is_named_and_the_run_goes_on_from_its_checkpoint(
    tmp_path, monkeypatch, stalled, other
):
    monkeypatch.setenv("STALLED", "3")
    running = begin(f"stall_{stalled}", tmp_path)
    begun = time.monotonic()
    try:
        output, _ = running[other].communicate(timeout=60)
        assert running[other].returncode == 1
        assert time.monotonic() - begun < 60
        assert f"because of process {stalled} of 2" in output
        assert "Traceback" not in output
        assert running[stalled].poll() is None
    finally:
        running[stalled].kill()
        running[stalled].communicate()
    codes, outputs = start("resume", tmp_path)
    assert codes == [0, 0], outputs
    summary = json.loads((tmp_path / "summary-0.json").read_text())
    assert summary["epochs"] == 4


def test_a_process_that_is_slow_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setenv("STALLED", "3")
    codes, outputs = start("wait_long", tmp_path)
    assert codes == [0, 0], outputs


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="Linux")
def test_torchrun_trains_and_one_process_goes_on(tmp_path):
    grasp = [str(Path(sys.executable).with_name("gym-grasp"))]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--no-python"]
    train = ["train", "open-drawer", "--method", "ppo", "--num-envs", "2", "--horizon", "4"]
    place = ["--epochs", "2", "--run", str(tmp_path / "run"), "--json"]
    command = [*torchrun, "--nproc-per-node", "2", "--", *grasp, *train, *place]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["steps"] == 2 * 4 * 4  # one process prints
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["processes"] == 2
    content = load(tmp_path / "run" / CHECKPOINT, "training")
    seeds = torch.cat([process["environment"]["episode_seed"] for process in content["processes"]])
    assert len(seeds.unique()) == 4  # processes share no episode
    resume = [*grasp, "resume", str(tmp_path / "run"), "--epochs", "3", "--json"]
    done = subprocess.run(resume, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["epochs"] == 3

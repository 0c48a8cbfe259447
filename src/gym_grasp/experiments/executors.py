"""How runs are performed: here one after the other, in processes at once, or by Ray."""

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Literal

from gym_grasp.errors import DependencyError, UsageError
from gym_grasp.experiments.sweep import RESULT, Executor, Outcome, Place, Run
from gym_grasp.files import write_atomically

LOG = "log.txt"
RETRIES = 3
"""Times that Ray starts a run anew after the node that performed it was lost."""
KEPT = (RESULT, "metrics.json", "config.json", "checkpoints/policy.pt")
"""Files of a run that Ray carries home, so that nodes need not share a file system."""


@dataclass(frozen=True)
class Execution:
    """How many runs at once, and by whom."""

    executor: Literal["auto", "serial", "processes", "ray"] = "auto"
    """auto: one after the other in this process on a CPU with one worker, else in processes."""
    workers: int = 1
    """Runs at once on a CPU; each gets its share of the cores."""
    runs_per_gpu: int = 1
    """Runs at once on each GPU."""
    cores_per_run: int = 2
    """Ray only: cores that a run reserves."""
    ray_address: str | None = None
    """Ray only: the cluster, such as auto or HOST:6379; by default a local instance of its own."""

    def make(self, device: str) -> Executor:
        """Return the executor; raises `UsageError` for numbers out of range, or a GPU not there."""
        for name in ("workers", "runs_per_gpu", "cores_per_run"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}; it must be at least 1.")
        gpu, ray = device.startswith("cuda"), self.executor == "ray"
        for name, used in (
            ("workers", not gpu and self.executor in ("auto", "processes")),
            ("runs_per_gpu", gpu and self.executor != "serial"),
            ("cores_per_run", ray),
            ("ray_address", ray),
        ):
            if getattr(self, name) != getattr(type(self), name) and not used:
                raise UsageError(
                    f"{name} is {getattr(self, name)}, which the executor '{self.executor}' has no "
                    f"use for on the device '{device}'; leave it out."
                )
        if ray:
            return lambda runs, place: on_ray(runs, place, self)
        if self.executor == "serial" or (self.executor == "auto" and self.workers == 1 and not gpu):
            return serially
        slots = gpu_slots(device, self.runs_per_gpu) if gpu else cpu_slots(self.workers)
        return lambda runs, place: in_processes(runs, place, slots)


@dataclass(frozen=True)
class Slot:
    """What one run at a time may use."""

    cores: tuple[int, ...]
    gpu: str | None = None


def cpu_slots(workers: int) -> list[Slot]:
    """Return slots that share this process's cores; more slots than cores share single ones."""
    cores = sorted(os.sched_getaffinity(0))
    bounds = [round(index * len(cores) / workers) for index in range(workers + 1)]
    shares = [tuple(cores[low:high]) for low, high in pairwise(bounds)]
    return [Slot(share or (cores[i % len(cores)],)) for i, share in enumerate(shares)]


def gpu_slots(device: str, runs_per_gpu: int) -> list[Slot]:
    """Return the slots of one GPU (cuda:INDEX) or of all visible ones (cuda)."""
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = visible.split(",") if visible else list(map(str, range(torch.cuda.device_count())))
    index = device.partition(":")[2]
    if index:
        gpus = gpus[int(index) : int(index) + 1]
    if not gpus:
        raise UsageError(f"There is no GPU for --device {device}; give --device cpu.")
    shares = cpu_slots(len(gpus) * runs_per_gpu)
    return [Slot(one.cores, gpus[i % len(gpus)]) for i, one in enumerate(shares)]


def serially(runs: Sequence[Run], place: Place) -> Iterator[Outcome]:
    """Perform one run after the other in this process."""
    from gym_grasp.experiments.perform import attempt

    for run in runs:
        yield run, attempt(run, place)


def in_processes(runs: Sequence[Run], place: Place, slots: Sequence[Slot]) -> Iterator[Outcome]:
    """Perform each run in a process of its own with its own log.txt, as many at once as slots."""
    free: SimpleQueue[Slot] = SimpleQueue()
    for slot in slots:
        free.put(slot)
    children: set[subprocess.Popen[bytes]] = set()
    stopping = threading.Event()

    def start(run: Run) -> str | None:
        slot = free.get()
        log = place.folder(run) / LOG
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("ab") as output:
                if stopping.is_set():
                    return "stopped"
                child = subprocess.Popen(
                    _command(run, place, slot), stdout=output, stderr=output, env=_variables(slot)
                )
                children.add(child)
                code = child.wait()
                children.discard(child)
            return None if code == 0 else _reason(log, code)
        except OSError as error:
            return f"cannot be started: {error}"
        finally:
            free.put(slot)

    with ThreadPoolExecutor(len(slots)) as pool:
        futures = {pool.submit(start, run): run for run in runs}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            stopping.set()
            pool.shutdown(wait=False, cancel_futures=True)
            for child in list(children):
                child.terminate()


def on_ray(runs: Sequence[Run], place: Place, options: Execution) -> Iterator[Outcome]:
    """Perform each run as a Ray task with its share of cores and GPUs.

    A run whose node is lost starts anew elsewhere, and goes on where it was if the folders are
    shared. Results and policies come back to this machine.
    """
    ray = _import_ray()
    if options.ray_address is None:
        ray.init(include_dashboard=False, log_to_driver=False, configure_logging=False)
    else:
        ray.init(address=options.ray_address, log_to_driver=False, configure_logging=False)
    try:
        gpus = 1 / options.runs_per_gpu if place.device.startswith("cuda") else 0
        resources = {"num_cpus": options.cores_per_run, "num_gpus": gpus}
        # max_calls=1: a process of its own for each run, whose GPU memory ends with it.
        remote = ray.remote(max_retries=RETRIES, max_calls=1, **resources)(_ray_task)
        pending = {
            remote.remote(run.to_dict(), place.to_dict(), options.cores_per_run): run
            for run in runs
        }
        while pending:
            (done,), _ = ray.wait(list(pending), num_returns=1)
            run = pending.pop(done)
            try:
                error, files = ray.get(done)
            except ray.exceptions.RayError as lost:
                yield run, f"lost by Ray: {str(lost).strip().splitlines()[0]}"
                continue
            _bring_home(place.folder(run), files)
            yield run, error
    finally:
        ray.shutdown()


def _ray_task(
    run: dict[str, Any], place: dict[str, Any], threads: int
) -> tuple[str | None, dict[str, bytes]]:
    """Perform a run on whichever node this is; return its error, or the files worth keeping."""
    from gym_grasp.experiments.perform import attempt

    what, where = Run.from_dict(run), Place.from_dict(place)
    error = attempt(what, where, threads)
    folder = where.folder(what)
    return error, {} if error else {name: (folder / name).read_bytes() for name in KEPT}


def _bring_home(folder: Path, files: dict[str, bytes]) -> None:
    for name in reversed(files):  # the result last: it says that the run is done
        if not (folder / name).exists():
            write_atomically(folder / name, files[name])


def _import_ray() -> Any:
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise DependencyError(
            "Ray is not installed; pip install 'gym-grasp[cluster]', or leave --executor ray out."
        ) from error
    return ray


def _command(run: Run, place: Place, slot: Slot) -> list[str]:
    if slot.gpu is not None:
        place = dataclasses.replace(place, device="cuda")  # the one that it sees
    order = {"run": run.to_dict(), "place": place.to_dict(), "cores": slot.cores}
    return [sys.executable, "-m", "gym_grasp.experiments.perform", json.dumps(order)]


def _variables(slot: Slot) -> dict[str, str]:
    own = {"OMP_NUM_THREADS": str(len(slot.cores)), "OMP_WAIT_POLICY": "PASSIVE"}
    if slot.gpu is not None:
        own["CUDA_VISIBLE_DEVICES"] = slot.gpu
    return {**os.environ, **own}


def _reason(log: Path, code: int) -> str:
    """Return the last line that a process wrote, and how it ended."""
    lines = [""]
    with contextlib.suppress(OSError):
        lines += [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
    return f"{lines[-1]} ({how}; {log})".strip()

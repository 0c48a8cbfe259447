"""Table I of the paper: control steps per second."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median

from gym_grasp.bench.report import throughput_table
from gym_grasp.bench.throughput import PAPER, Throughput, measure
from gym_grasp.experiments.results import Result
from gym_grasp.files import read_json, write_atomically, write_json
from gym_grasp.learning.config import default_num_envs
from gym_grasp.markdown import table
from gym_grasp.paper.table3 import EPOCHS
from gym_grasp.tasks import TASKS
from gym_grasp.typed import CRAFTED


def make(
    results: Sequence[Result],
    out: Path,
    tasks: Sequence[str] = tuple(EPOCHS),
    device: str = "cpu",
    smoke: bool = False,
) -> list[Path]:
    """Measure some tasks, and write table1.md and table1.json with all that were ever measured.

    A new measurement replaces the one of the same task, device and number of environments. The
    speed of the published training runs stands below.
    """
    files = [out / "table1.md", out / "table1.json"]
    envs = 16 if smoke else default_num_envs(device)
    rows = _measured_before(files[1])
    for task in tasks:
        one = measure(task, envs, device, rounds=1 if smoke else 5)
        rows[one.task, one.device, one.num_envs] = one
    measured = [rows[key] for key in sorted(rows, key=lambda key: (list(TASKS).index(key[0]), key))]
    label = "SMOKE: " if smoke else ""
    training = training_rates(results)
    write_atomically(files[0], _markdown(measured, training, label).encode())
    summary = {
        "smoke": smoke,
        "paper": PAPER,
        "measured": [one.to_dict() for one in measured],
        "training": [dict(zip(HEADER, row, strict=True)) for row in training],
    }
    write_json(files[1], summary)
    return files


def _measured_before(path: Path) -> dict[tuple[str, str, int], Throughput]:
    """Return what the table holds so far; nothing if it is of another version."""
    try:
        found = [Throughput(**row) for row in read_json(path)["measured"]]
    except (OSError, *CRAFTED):
        return {}
    return {(one.task, one.device, one.num_envs): one for one in found}


HEADER = ("task", "method", "device", "environments", "runs", "steps_per_second")


def training_rates(results: Sequence[Result]) -> list[tuple[str, str, str, int, int, float]]:
    """Return rows under HEADER: the median speed of training epochs past half success.

    Those of other robots, and of other environments, are left out.
    """
    rates: dict[tuple[str, str, str, int], list[float]] = {}
    for one in results:
        run, speed = one.run, one.late_speed()
        if speed is not None and not run.suffix:
            key = (run.task, run.row, one.content["device"], run.num_envs)
            rates.setdefault(key, []).append(speed)
    return [(*key, len(values), median(values)) for key, values in sorted(rates.items())]


def _markdown(
    measured: Sequence[Throughput],
    training: Sequence[tuple[str, str, str, int, int, float]],
    label: str,
) -> str:
    lines = [f"# {label}Control steps per second, beside the paper's Table I", ""]
    lines += ["Random actions; epochs are whole ones of PPO.", "", throughput_table(measured), ""]
    if training:
        rows = [
            (task, method, device, f"{envs:,}", str(count), f"{speed:,.0f}", _paper(task))
            for task, method, device, envs, count, speed in training
        ]
        header = (*HEADER[:5], "training epoch", "paper's epoch")
        lines += ["Training runs that shared no GPU, median of the epochs past half success:", ""]
        lines += [*table(header, rows), ""]
    return "\n".join(lines)


def _paper(task: str) -> str:
    return f"{PAPER[task]:,}" if task in PAPER else ""

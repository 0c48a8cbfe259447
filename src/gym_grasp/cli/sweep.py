"""`gym-grasp sweep`."""

import csv
import io
import json as json_
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from gym_grasp.cli.common import DATA, RUNS, TASK_NAMES, Device, print_json
from gym_grasp.cli.environment import EnvironmentOptions, call
from gym_grasp.errors import GymGraspError, UsageError
from gym_grasp.experiments.executors import Execution
from gym_grasp.experiments.sweep import RESULT, Outcome, Place, Run, Variant, sweep
from gym_grasp.files import check_suffix, read_json, write_atomically, write_figure
from gym_grasp.learning.config import default_num_envs
from gym_grasp.learning.intervals import success_interval


@dataclass
class Sweep:
    """Train and evaluate many policies: every task with every method and every seed.

    Runs that are done are skipped, ones that were cut go on. One that fails does not stop others.
    A folder that holds a run with other settings is refused.
    """

    tasks: Annotated[tuple[str, ...], tyro.conf.arg(metavar=TASK_NAMES)]
    """Which tasks; with one alone, its own options can be given too."""
    environment: EnvironmentOptions
    methods: tuple[Variant, ...] = ("dapg-sparse",)
    """Methods with their rewards."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Training seeds."""
    num_envs: int | None = None
    """Environments of a run; by default 256 on a CPU and 16,384 on a GPU."""
    epochs: int = 300
    """Epochs of a run."""
    max_minutes: float | None = None
    """Longest training of a run."""
    demos: int | None = None
    """Demonstrations that bc and dapg learn from, drawn by the seed; by default all."""
    set: tuple[str, ...] = ()
    """Further settings of `gym-grasp train`, such as horizon=64."""
    device: Device = "cpu"
    """cpu or cuda."""
    episodes: int = 100
    """Evaluation episodes of a run."""
    runs: Path = RUNS
    """Folder of the runs: TASK/METHOD/seed-N."""
    data: Path = DATA
    """Folder of the datasets; missing ones are recorded, for the environment that runs have."""
    execution: Annotated[Execution, tyro.conf.arg(name="")] = field(default_factory=Execution)
    csv: Path | None = None
    """Also write a CSV file with a row for each run."""
    plot: Path | None = None
    """Also draw mean success and 95 % interval of each method on each task, as a PNG."""
    json: bool = False
    """Print the results as one JSON object."""


def main(args: Sequence[str]) -> None:
    """Run the subcommand."""
    options = call(Sweep, args, "gym-grasp sweep")
    check_suffix(options.csv, ".csv")
    check_suffix(options.plot, ".png")
    at_once = options.execution.runs_per_gpu
    place = Place(options.runs, options.data, options.device, at_once, options.episodes)
    envs = options.num_envs
    if envs is None:
        envs = default_num_envs(options.device)
    overrides = tuple(parse_setting(text) for text in options.set)
    if len(dict(overrides)) < len(overrides):
        raise UsageError(f"--set {' '.join(options.set)}: one setting is given twice.")
    for name in ("tasks", "methods", "seeds"):
        if not getattr(options, name):
            raise UsageError(f"--{name} names none; name at least one, or leave it out.")
    runs = [
        Run(
            spec.task,
            method,
            seed,
            envs,
            options.epochs,
            options.max_minutes,
            options.demos,
            overrides,
            tuple(spec.options.items()),
            spec.robot,
            spec.control,
            options.environment.max_episode_steps,
        )
        for spec in map(options.environment.spec, options.tasks)
        for method in options.methods
        for seed in options.seeds
    ]
    configs = [run.config() for run in runs]  # says now what is out of range
    if options.num_envs is not None and not any(one.steps_environment for one in configs):
        raise UsageError("--num-envs is given, but no method here steps an environment.")
    for name in dict(overrides):
        if all(name in config.unused()[0] for config in configs):
            raise UsageError(f"--set {name} is given, but no method here has a use for it.")
    failed = sweep(runs, place, options.execution.make(options.device))
    refused = {run for run, _ in failed}  # what lies there then is of other settings
    results = [
        read_json(place.folder(run) / RESULT) for run in dict.fromkeys(runs) if run not in refused
    ]
    summary = summarise(results)
    if options.json:
        failures = {run.name: error for run, error in failed}
        print_json({"results": results, "summary": summary, "failed": failures})
    else:
        for result in results:
            name = Run.from_dict(result["run"]).name
            print(f"{name}: {result['successes']} of {result['episodes']} episodes succeed")
        for row in summary:
            print(
                f"{row['task']} {row['method']}: mean success {row['success']:.3f} over "
                f"{row['runs']} runs, 95 % interval {row['low']:.3f} to {row['high']:.3f}"
            )
    if options.csv is not None:
        write_csv(options.csv, results)
    if options.plot is not None:
        plot_summary(options.plot, summary)
    raise_failures(failed, len(runs))


def summarise(results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the success of each task and method over its seeds, with the 95 % interval."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for result in results:
        run = Run.from_dict(result["run"])
        groups.setdefault((run.task, run.label), []).append(result)
    rows = []
    for (task, method), group in groups.items():
        found = success_interval(
            [one["successes"] for one in group], [one["episodes"] for one in group]
        )
        named = {"task": task, "method": method, "runs": len(group)}
        rows.append({**named, "success": found.rate, "low": found.low, "high": found.high})
    return rows


def write_csv(path: Path, results: Sequence[dict[str, Any]]) -> None:
    """Write a row for each run, atomically; raises `GymGraspError` where that cannot be."""
    text = io.StringIO(newline="")
    names = ("episodes", "successes", "mean_length", "diverged", "epochs", "steps", "seconds")
    table = csv.writer(text)
    table.writerow(("task", "method", "seed", "success", *names))
    for result in results:
        run = Run.from_dict(result["run"])
        success = result["successes"] / result["episodes"]
        values = (result[name] for name in names)
        table.writerow((run.task, run.label, run.seed, success, *values))
    write_atomically(path, text.getvalue().encode())


def plot_summary(path: Path, summary: Sequence[dict[str, Any]]) -> None:
    """Draw the rows of `summarise` as a PNG; raises `GymGraspError` where that cannot be."""
    from matplotlib.figure import Figure

    tasks = list(dict.fromkeys(row["task"] for row in summary))
    methods = list(dict.fromkeys(row["method"] for row in summary))
    figure = Figure(figsize=(2 + 1.6 * max(1, len(tasks)), 4), layout="constrained")
    axes = figure.subplots()
    for index, method in enumerate(methods):
        rows = [row for row in summary if row["method"] == method]
        x = [tasks.index(row["task"]) + (index + 0.5) / len(methods) * 0.8 - 0.4 for row in rows]
        ends = [
            [row["success"] - row["low"] for row in rows],
            [row["high"] - row["success"] for row in rows],
        ]
        rates = [row["success"] for row in rows]
        axes.errorbar(x, rates, ends, fmt="o", capsize=4, label=method)
    axes.set_xticks(range(len(tasks)), tasks)
    axes.set(ylabel="success, 95 % interval", ylim=(-0.02, 1.02))
    axes.grid(alpha=0.3, axis="y")
    if methods:
        axes.legend(loc="lower left")
    write_figure(path, figure)


def raise_failures(failed: Sequence[Outcome], total: int) -> None:
    """Raise `GymGraspError` that lists what failed, if anything did."""
    if failed:
        listed = "; ".join(f"{run.name} ({(error or '').rstrip('.')})" for run, error in failed)
        raise GymGraspError(
            f"{len(failed)} of {total} runs failed: {listed}. The same command tries them again."
        )


def parse_setting(text: str) -> tuple[str, Any]:
    """Return name and value of NAME=VALUE."""
    name, equals, value = text.partition("=")
    try:
        parsed = json_.loads(value)
    except ValueError:
        parsed = None
    if not equals or parsed is None:
        raise UsageError(f"--set {text}: expected SETTING=NUMBER, such as horizon=64.")
    return name, tuple(parsed) if isinstance(parsed, list) else parsed

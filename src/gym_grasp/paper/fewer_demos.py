"""How few demonstrations suffice: DAPG on sparse reward with 5, 20, 50 and all of them."""

from collections.abc import Sequence
from pathlib import Path
from statistics import mean

from gym_grasp.experiments.results import Cell, Result, cells
from gym_grasp.experiments.sweep import Run
from gym_grasp.files import write_atomically, write_json
from gym_grasp.markdown import table
from gym_grasp.paper.curves import number
from gym_grasp.paper.table3 import ENOUGH, SEEDS, cell_run, to_dict

TASKS = ("open-door", "lift-object")
COUNTS: tuple[int | None, ...] = (5, 20, 50, None)
"""None: all of the training split, 180 of the 200 recorded; these runs are Table III's own."""
SMOKE_COUNTS: tuple[int | None, ...] = (2, None)


def runs(
    tasks: Sequence[str] = (), seeds: Sequence[int] = (), device: str = "cpu", smoke: bool = False
) -> list[Run]:
    """Return the runs of the study."""
    return [
        cell_run(task, "dapg-sparse", seed, device, smoke, demos)
        for task in tasks or TASKS
        for demos in (SMOKE_COUNTS if smoke else COUNTS)
        for seed in seeds or (SEEDS[:1] if smoke else SEEDS)
    ]


def gather(results: Sequence[Result], out: Path, smoke: bool = False) -> list[Path]:
    """Write demos.md, demos.json and demos.png from whatever results there are."""
    dapg = (one for one in results if one.run.variant == "dapg-sparse" and not one.run.suffix)
    found = cells(dapg)
    tasks = sorted({task for task, label in found if label != "dapg-sparse"})
    chosen = sorted(
        (cell for (task, _), cell in found.items() if task in tasks),
        key=lambda cell: (cell.results[0].run.task, _count(cell)),
    )
    rows = []
    for cell in chosen:
        steps = cell.steps_to(ENOUGH)
        to_enough = f"{mean(steps) / 1e6:.1f} ({len(steps)})" if steps else "–"
        low, high = cell.interval.low, cell.interval.high
        counts = ", ".join(f"{one.successes} / {one.episodes}" for one in cell.results)
        success = f"{cell.mean:.3f} ± {number(cell.std, '{:.3f}')}"
        task = cell.results[0].run.task
        rows.append(
            (task, str(_count(cell)), success, counts, f"{low:.3f} – {high:.3f}", to_enough)
        )
    header = (
        "task", "demonstrations", "success", "each seed", "95 % interval", "steps to 95 % [M] (n)",
    )  # fmt: skip
    label = "SMOKE: " if smoke else ""
    lines = [f"# {label}How few demonstrations suffice: DAPG, sparse reward", ""]
    lines += table(header, rows) if rows else ["No finished runs yet."]
    lines += ["", "Each seed draws its own demonstrations from the 90 % that are for training.", ""]
    files = [out / "demos.md", out / "demos.json"]
    write_atomically(files[0], "\n".join(lines).encode())
    write_json(files[1], {"smoke": smoke, "cells": [_with_count(cell) for cell in chosen]})
    if chosen:
        files.append(out / "demos.png")
        _plot(chosen, tasks, files[-1], label)
    return files


def _plot(chosen: Sequence[Cell], tasks: Sequence[str], path: Path, label: str) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    for index, task in enumerate(tasks):
        own = [cell for cell in chosen if cell.results[0].run.task == task]
        counts = [_count(cell) for cell in own]
        axes.plot(counts, [cell.mean for cell in own], color=f"C{index}", label=task)
        for count, cell in zip(counts, own, strict=True):
            axes.plot([count] * len(cell.rates), cell.rates, "o", color=f"C{index}", alpha=0.6)
    ticks = sorted({_count(cell) for cell in chosen})
    axes.set(xlabel="demonstrations", ylabel="success", ylim=(-0.03, 1.03), xscale="log")
    axes.set_xticks(ticks, list(map(str, ticks)))
    axes.minorticks_off()
    axes.set_title(f"{label}DAPG, sparse reward: dots are seeds, lines their mean")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=110)


def _count(cell: Cell) -> int:
    return cell.results[0].content["demonstrations"]


def _with_count(cell: Cell) -> dict[str, object]:
    return {"demonstrations": _count(cell), **to_dict(cell)}

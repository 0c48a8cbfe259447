"""How few demonstrations suffice: BC and DAPG with few of them, plain and multiplied, and many."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

from gym_grasp.experiments.results import Cell, Result, cells
from gym_grasp.experiments.sweep import Row, Run
from gym_grasp.files import write_atomically, write_figure, write_json
from gym_grasp.markdown import table
from gym_grasp.paper.curves import number
from gym_grasp.paper.table3 import ENOUGH, EPOCHS, SEEDS, cell_run, to_dict

METHODS: tuple[Row, ...] = ("bc", "dapg-sparse")
PLAIN: tuple[int | None, ...] = (1, 5, 20, None)
"""None: all of the training split, 180 of the 200 recorded; these runs are Table III's own."""
MULTIPLIED = ((1, 200), (1, 1_000), (5, 200), (5, 1_000))
"""From how many to how many."""
MANY = 1_000
"""Recorded for the largest plain set, of which 900 are for training."""
SMOKE_PLAIN: tuple[int | None, ...] = (2, None)
PASSES = {1: 2_600, 5: 2_600, 20: 1_300}
"""Passes over few demonstrations: about as many gradient steps as 100 over all."""


def runs(
    tasks: Sequence[str] = (), seeds: Sequence[int] = (), device: str = "cpu", smoke: bool = False
) -> list[Run]:
    """Return the runs of the study."""
    return [
        run
        for task in tasks or EPOCHS
        for method in METHODS
        for seed in seeds or (SEEDS[:1] if smoke else SEEDS)
        for run in _study(task, method, seed, device, smoke)
    ]


def _study(task: str, method: Row, seed: int, device: str, smoke: bool) -> list[Run]:
    """Return the runs of one task, method and seed."""
    if smoke:
        return [cell_run(task, method, seed, device, smoke, demos) for demos in SMOKE_PLAIN]
    plain = [cell_run(task, method, seed, device, smoke, demos) for demos in PLAIN]
    whole = plain[-1]
    return [
        *(_with_passes(run) for run in plain),
        *(dataclasses.replace(whole, demos=few, multiplied=many) for few, many in MULTIPLIED),
        dataclasses.replace(whole, recorded=MANY),
    ]


def _with_passes(run: Run) -> Run:
    """Return a run that goes over few demonstrations more often."""
    passes = PASSES.get(run.demos or 0)
    if passes is None:
        return run
    if run.variant == "bc":
        return dataclasses.replace(run, epochs=passes)
    return dataclasses.replace(run, overrides=(*run.overrides, ("pretrain_epochs", passes)))


def gather(results: Sequence[Result], out: Path, smoke: bool = False) -> list[Path]:
    """Write demos.md, demos.json and demos.png from whatever results there are."""
    own = (one for one in results if one.run.row in METHODS and not one.run.suffix)
    found = cells(own)
    tasks = sorted({task for task, label in found if label not in METHODS})
    chosen = sorted(
        (cell for (task, _), cell in found.items() if task in tasks),
        key=lambda cell: (cell.results[0].run.task, cell.results[0].run.variant, *_order(cell)),
    )
    rows = []
    for cell in chosen:
        run, steps = cell.results[0].run, cell.steps_to(ENOUGH)
        to_enough = f"{mean(steps) / 1e6:.1f} ({len(steps)})" if steps else "–"
        low, high = cell.interval.low, cell.interval.high
        counts = ", ".join(f"{one.successes} / {one.episodes}" for one in cell.results)
        success = f"{cell.mean:.3f} ± {number(cell.std, '{:.3f}')}"
        rows.append(
            (run.task, run.method.upper(), _shown(cell), success, counts)
            + (f"{low:.3f} – {high:.3f}", to_enough)
        )
    header = (
        "task", "method", "demonstrations", "success", "each seed", "95 % interval",
        "steps to 95 % [M] (n)",
    )  # fmt: skip
    label = "SMOKE: " if smoke else ""
    lines = [f"# {label}How few demonstrations suffice: BC, and DAPG on sparse reward", ""]
    lines += table(header, rows) if rows else ["No finished runs yet."]
    lines += [
        "",
        "Each seed draws its own demonstrations from the 90 % that are for training. 5 → 1,000: "
        "five are multiplied to 1,000, of which again 90 % are for training. No policy is "
        "evaluated where a demonstration began.",
        "",
    ]
    files = [out / "demos.md", out / "demos.json"]
    write_atomically(files[0], "\n".join(lines).encode())
    write_json(files[1], {"smoke": smoke, "cells": [_with_count(cell) for cell in chosen]})
    if chosen:
        files.append(out / "demos.png")
        _plot(chosen, tasks, files[-1], label)
    return files


def _plot(chosen: Sequence[Cell], tasks: Sequence[str], path: Path, label: str) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.5 * len(tasks), 4), layout="constrained")
    panels = figure.subplots(1, len(tasks), sharey=True, squeeze=False)[0]
    ticks = sorted({_count(cell) for cell in chosen})
    for axes, task in zip(panels, tasks, strict=True):
        here = [cell for cell in chosen if cell.results[0].run.task == task]
        for index, method in enumerate(METHODS):
            own = [cell for cell in here if cell.results[0].run.variant == method]
            for many, line in ((None, "-"), (200, ":"), (1_000, "--")):
                line_of = [cell for cell in own if cell.results[0].run.multiplied == many]
                if not line_of:
                    continue
                counts = [_count(cell) for cell in line_of]
                to = "" if many is None else f", multiplied to {many:,}"
                name = f"{method.partition('-')[0].upper()}{to}"
                means = [cell.mean for cell in line_of]
                axes.plot(counts, means, line, color=f"C{index}", label=name)
                for count, cell in zip(counts, line_of, strict=True):
                    dots = [count] * len(cell.rates)
                    axes.plot(dots, cell.rates, "o", color=f"C{index}", alpha=0.5)
        axes.set(xlabel="demonstrations recorded", ylim=(-0.03, 1.03), xscale="log", title=task)
        axes.set_xticks(ticks, list(map(str, ticks)))
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7)
    panels[0].set_ylabel("success")
    figure.suptitle(f"{label}Dots are seeds, lines their mean")
    write_figure(path, figure, dpi=110)


def _count(cell: Cell) -> int:
    return cell.results[0].content["demonstrations"]


def _order(cell: Cell) -> tuple[int, int]:
    return _count(cell), cell.results[0].run.multiplied or 0


def _shown(cell: Cell) -> str:
    many = cell.results[0].run.multiplied
    return str(_count(cell)) if many is None else f"{_count(cell)} → {many:,}"


def _with_count(cell: Cell) -> dict[str, object]:
    many = cell.results[0].run.multiplied
    return {"demonstrations": _count(cell), "multiplied": many, **to_dict(cell)}

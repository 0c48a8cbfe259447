"""Other hands, and another arm: what operators, clones and DAPG make of the paper's tasks."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from gym_grasp.envs.spec import EnvSpec
from gym_grasp.errors import UsageError, unknown
from gym_grasp.experiments.results import Cell, Cells, Result, cells
from gym_grasp.experiments.sweep import Row, Run
from gym_grasp.files import write_atomically, write_json
from gym_grasp.markdown import table
from gym_grasp.paper.curves import number, plot_curves
from gym_grasp.paper.table3 import (
    PAPER_TASKS,
    SEEDS,
    cell_run,
    made_by,
    marks,
    minutes,
    reached,
    to_dict,
)

FIRST = EnvSpec.robot
"""The paper's robot. Its runs are Table III's own, and its demonstrations are carried over."""
ROBOTS: dict[str, tuple[str, ...]] = {
    FIRST: PAPER_TASKS,
    "ur5-leap": PAPER_TASKS,
    "ur5-allegro": PAPER_TASKS,
    "ur5-shadow": PAPER_TASKS,
    "panda-leap": ("open-drawer", "lift-object"),
}
"""The table's robots, and which tasks each has there."""
METHODS: tuple[Row, ...] = ("bc", "dapg-sparse")

NOTES = """\
Operator: of its attempts while recording, how many succeed; carried over: of the demonstrations
with the SIH, how many succeed with the other hand. Success, steps and minutes are as in Table III,
with its settings for every hand; steps a second are the median of the epochs past half success."""
MARKS = (
    "† Made with different settings or environments. ‡ Time ended a run before all its epochs "
    "were done."
)


def runs(
    tasks: Sequence[str] = (),
    robots: Sequence[str] = (),
    seeds: Sequence[int] = (),
    device: str = "cpu",
    smoke: bool = False,
) -> list[Run]:
    """Return the runs of the table, or of a part of it.

    Raises:
        UsageError: a name is unknown, or the table has none of these tasks with these robots.
    """
    for task in tasks:
        if task not in PAPER_TASKS:
            raise unknown("task of the table", task, PAPER_TASKS)
    for robot in robots:
        if robot not in ROBOTS:
            raise unknown("robot of the table", robot, ROBOTS)
    found = []
    for robot in robots or ROBOTS:
        for task in [one for one in ROBOTS[robot] if one in (tasks or PAPER_TASKS)]:
            for seed in seeds or (SEEDS[:1] if smoke else SEEDS):
                made = [cell_run(task, row, seed, device, smoke) for row in METHODS]
                made = [dataclasses.replace(run, robot=robot) for run in made]
                found += made
                if robot != FIRST:
                    found.append(dataclasses.replace(made[-1], retargeted_from=FIRST))
    if not found:
        raise UsageError(
            f"The table has no {', '.join(tasks)} with {', '.join(robots)}; it has "
            + "; ".join(f"with {robot} {', '.join(own)}" for robot, own in ROBOTS.items())
            + "."
        )
    return found


def gather(results: Sequence[Result], out: Path, smoke: bool = False) -> list[Path]:
    """Write hands.md, hands.json and hands.png from whatever results there are.

    Returns:
        The files written.
    """
    found = {key: cell for key, cell in cells(results).items() if _belongs(cell)}
    label = "SMOKE: " if smoke else ""
    lines = [f"# {label}Hands and arms", ""]
    if not found:
        lines += ["No finished runs yet.", ""]
    else:
        lines += [*_table(found), "", NOTES, "", f"{MARKS} {made_by(found)}", ""]
    files = [out / "hands.md", out / "hands.json"]
    write_atomically(files[0], "\n".join(lines).encode())
    written = [{"robot": cell.results[0].run.robot, **to_dict(cell)} for cell in found.values()]
    write_json(files[1], {"smoke": smoke, "cells": written})
    if found:
        files.append(out / "hands.png")
        tasks = [task for task in PAPER_TASKS if any(key[0] == task for key in found)]
        labels = [_label("dapg-sparse", robot) for robot in ROBOTS]
        plot_curves(found, tasks, labels, files[-1], smoke)
    return files


def _belongs(cell: Cell) -> bool:
    """Tell whether a cell is of the table: of a robot in the tasks as they are."""
    run = cell.results[0].run
    plain = run.suffix in ("", f"-{run.robot}") and run.row in METHODS
    few = (run.demos, run.recorded) != (None, None)
    return plain and not few and run.task in ROBOTS.get(run.robot, ())


def _label(row: Row, robot: str, source: str | None = None) -> str:
    carried = "" if source is None else f"-from-{source}"
    return f"{row}{carried}" + ("" if robot == FIRST else f"-{robot}")


def _table(found: Cells) -> list[str]:
    header = (
        "robot", "task", "operator", "BC", "DAPG", "steps to 95 % [M]", "minutes", "steps/s",
        "carried over", "DAPG from these",
    )  # fmt: skip
    rows = []
    for robot, tasks in ROBOTS.items():
        for task in tasks:
            clone = found.get((task, _label("bc", robot)))
            dapg = found.get((task, _label("dapg-sparse", robot)))
            carried = found.get((task, _label("dapg-sparse", robot, FIRST)))
            if clone or dapg or carried:
                shown = (_kept(dapg or clone), _success(clone), _success(dapg), *_learned(dapg))
                rows.append((robot, task, *shown, _kept(carried), _success(carried)))
    return table(header, rows)


def _success(cell: Cell | None) -> str:
    """Return the counts of each seed, with marks as in Table III."""
    if cell is None:
        return "–"
    return ", ".join(f"{one.successes} / {one.episodes}" for one in cell.results) + marks(cell)


def _learned(cell: Cell | None) -> tuple[str, str, str]:
    """Return steps to 95 %, minutes and steps a second."""
    if cell is None:
        return "–", "–", "–"
    speeds = [speed for one in cell.results if (speed := one.late_speed()) is not None]
    return reached(cell), minutes(cell), number(median(speeds) if speeds else None, "{:,.0f}")


def _kept(cell: Cell | None) -> str:
    """Return how many attempts at the demonstrations succeeded, where results tell."""
    content = {} if cell is None else cell.results[0].content
    if "attempts" not in content:
        return "–"
    return f"{content['attempts'] - content['failures']} / {content['attempts']}"

"""Learning curves, and the gradients of DAPG, as pictures."""

import math
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

from gym_grasp.experiments.results import Cell, Cells, common_grid
from gym_grasp.files import write_figure

COLOURS = {
    "dapg-sparse": "#1b6ca8",
    "dapg-sparse-from-scratch": "#66a5d3",
    "dapg-sparse-robust": "#7b4ea3",
    "ppo-dense": "#d1495b",
    "ppo-sparse": "#8d99ae",
    "bc": "#2a9d4a",
}
FURTHER = ("#e08e0b", "#2a9d4a", "#7b4ea3", "#d1495b", "#8d99ae")
"""Of other labels, in their order."""


def plot_curves(
    cells: Cells, tasks: Sequence[str], labels: Sequence[str], path: Path, smoke: bool
) -> None:
    """Draw success against control steps and wall-clock time: mean and spread over seeds.

    One column a task. Lines are exploring episodes, bands one standard deviation over seeds; a
    dot is the last policy without exploration, bc a dashed line of it.
    """
    others = [label for label in labels if label not in COLOURS]
    colours = {**COLOURS, **dict(zip(others, cycle(FURTHER), strict=False))}
    figure, panels = _panels(2, len(tasks))
    for column, task in enumerate(tasks):
        for row, (name, unit, scale) in enumerate(
            (("steps", "control steps [M]", 1e-6), ("seconds", "training [min]", 1 / 60))
        ):
            axes = panels[row][column]
            for label in labels:
                if (task, label) in cells:
                    _draw_cell(axes, cells[task, label], name, scale, label, colours[label])
            axes.set(ylim=(-0.03, 1.03), xlabel=unit)
            axes.grid(alpha=0.3)
        panels[0][column].set_title(task)
    for row in panels:
        row[0].set_ylabel("success")
    _finish(figure, panels, path, "success while training", smoke)


def plot_gradients(cells: Cells, tasks: Sequence[str], path: Path, smoke: bool) -> None:
    """Draw the norm of each loss term's gradient in DAPG, and λ, over the epochs: seeds' means."""
    figure, panels = _panels(1, len(tasks))
    for axes, task in zip(panels[0], tasks, strict=True):
        axes.set(title=task, xlabel="epoch", yscale="log")
        axes.grid(alpha=0.3)
        if (task, "dapg-sparse") not in cells:
            continue
        results = cells[task, "dapg-sparse"].results
        for name, style in (("surrogate", "-"), ("value", "-"), ("cloning", "-"), ("total", ":")):
            curves = [one.curve.get(f"gradient_{name}", []) for one in results]
            x, y, _ = common_grid([range(len(curve)) for curve in curves], curves)
            axes.plot(x, y, style, label="sum, before clipping" if name == "total" else name)
        decay = results[0].curve.get("lambda", [])
        axes.plot(range(len(decay)), decay, "k--", linewidth=1, label="λ")
    panels[0][0].set_ylabel("gradient norm, λ")
    _finish(figure, panels, path, "DAPG: gradient norms of the weighted terms, and λ", smoke)


def _draw_cell(axes: Any, cell: Cell, name: str, scale: float, label: str, colour: str) -> None:
    if not cell.results[0].run.config().steps_environment:
        axes.axhline(cell.mean, linestyle="--", color=colour, label=label)
        return
    x, y, spread = common_grid(
        [[scale * value for value in one.curve[name]] for one in cell.results],
        [one.rollout_success() for one in cell.results],
    )
    end = max(scale * one.curve[name][-1] for one in cell.results)
    axes.plot(x, y, color=colour, label=label)
    low = [a - b for a, b in zip(y, spread, strict=True)]
    high = [a + b for a, b in zip(y, spread, strict=True)]
    axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.plot(end, cell.mean, "o", color=colour, markersize=4)


def _panels(rows: int, columns: int) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    size = (max(4.5, 3.2 * columns), 2.6 * rows + 0.9)
    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def _finish(figure: Any, panels: Any, path: Path, title: str, smoke: bool) -> None:
    entries: dict[str, Any] = {}
    for axes in panels.flat:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    if entries:
        figure.legend(entries.values(), entries, loc="outside lower center", ncols=len(entries))
    figure.suptitle(f"SMOKE: {title} (no result)" if smoke else title)
    write_figure(path, figure, dpi=110)


def number(value: float | None, form: str) -> str:
    """Return a number as a table shows it, a dash for none."""
    return "–" if value is None or math.isnan(value) else form.format(value)

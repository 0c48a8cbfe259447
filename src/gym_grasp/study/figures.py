"""The report's figures, each as SVG and PNG."""

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from gym_grasp.files import write_atomically
from gym_grasp.study.stats import Incidence

COLOURS = ("#1f78b4", "#d95f02", "#4daf4a", "#7570b3", "#a6761d", "#666666")
"""Of the conditions; told apart by people with colour-blindness."""
SYNTHETIC = "SYNTHETIC participants: no claim about people"
DPI = 150


def boxes(
    values: Mapping[str, Mapping[str, Sequence[float]]],
    ylabel: str,
    synthetic: bool,
    limits: tuple[float, float] | None = None,
) -> Figure:
    """Draw box plots, groups side by side and conditions within them.

    Boxes reach from the first to the third quartile, with the median in them; fences to the
    farthest value within 1.5 of that distance; circles lie beyond; the triangle is the mean.

    Args:
        values: by condition and then by group.
        ylabel: what they are, with the unit.
        synthetic: whether nobody took part, which is written over it.
        limits: of the axis.
    """
    groups = list(next(iter(values.values())))
    figure = _figure(max(6.0, 1.3 * len(groups) + 1.5), 4.0)
    axes: Any = figure.subplots()
    width = 0.7 / len(values)
    for index, (condition, found) in enumerate(values.items()):
        places = np.arange(len(groups)) + (index - (len(values) - 1) / 2) * width
        drawn = [(p, found[g]) for p, g in zip(places, groups, strict=True) if len(found[g])]
        colour = COLOURS[index % len(COLOURS)]
        if drawn:
            axes.boxplot(
                [list(one) for _, one in drawn],
                positions=[place for place, _ in drawn],
                widths=0.8 * width,
                showmeans=True,
                patch_artist=True,
                boxprops={"facecolor": colour + "55", "edgecolor": colour},
                medianprops={"color": colour, "linewidth": 2},
                whiskerprops={"color": colour},
                capprops={"color": colour},
                flierprops={"markeredgecolor": colour, "markersize": 4},
                meanprops={"markerfacecolor": "white", "markeredgecolor": colour},
                manage_ticks=False,
            )
        axes.plot([], [], color=colour, linewidth=6, alpha=0.5, label=condition)
    axes.set_xticks(range(len(groups)), groups)
    axes.set_ylabel(ylabel)
    if limits is not None:
        axes.set_ylim(*limits)
    axes.grid(axis="y", alpha=0.3)
    axes.legend(frameon=False, ncols=len(values), loc="lower left", bbox_to_anchor=(0, 1))
    _label(figure, synthetic)
    return figure


def incidences(
    found: Mapping[str, Mapping[str, Incidence]], longest: float, synthetic: bool
) -> Figure:
    """Draw how many are done by when: a panel for each task, a line for each condition.

    Dashed: how many have failed for good by then.
    """
    figure = _figure(3.6 * len(found) + 0.6, 3.4)
    panels: Any = figure.subplots(1, len(found), sharey=True, squeeze=False)[0]
    for axes, (task, curves) in zip(panels, found.items(), strict=True):
        for index, (condition, curve) in enumerate(curves.items()):
            colour = COLOURS[index % len(COLOURS)]
            times = np.r_[0.0, curve.times, max(longest, curve.times[-1])]
            for shares, dash, label in (
                (curve.done, "-", condition),
                (curve.failed, "--", None),
            ):
                steps = np.r_[0.0, shares, shares[-1]]
                axes.step(times, steps, dash, where="post", color=colour, label=label)
        axes.set_title(task)
        axes.set_xlabel("time [s]")
        axes.set_ylim(-0.02, 1.02)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("share of trials")
    panels[0].legend(frameon=False)
    _label(figure, synthetic)
    return figure


def learning(
    means: Mapping[str, Sequence[tuple[float, float, float, float]]], synthetic: bool
) -> Figure:
    """Draw mean times by the order in which trials came.

    Args:
        means: for each condition place, mean and the two ends of its interval, as shares of the
            task's mean time.
        synthetic: whether nobody took part.
    """
    figure = _figure(6.0, 3.6)
    axes: Any = figure.subplots()
    for index, (condition, rows) in enumerate(means.items()):
        if rows:
            place, mean, low, high = np.array(rows).T
            shift = 0.06 * (index - (len(means) - 1) / 2)
            axes.errorbar(
                place + shift, mean, [mean - low, high - mean], marker="o", capsize=3,
                color=COLOURS[index % len(COLOURS)], label=condition,
            )  # fmt: skip
    axes.set_xlabel("place of the trial in the session")
    axes.set_ylabel("time relative to the task's mean")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    _label(figure, synthetic)
    return figure


def save(figure: Figure, folder: Path, name: str) -> str:
    """Write NAME.svg and NAME.png; return the SVG for a page that it is to stand in."""
    text, image = io.StringIO(), io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    figure.savefig(image, format="png", dpi=DPI, metadata={"Software": None})
    svg = text.getvalue()
    write_atomically(folder / f"{name}.svg", svg.encode())
    write_atomically(folder / f"{name}.png", image.getvalue())
    # within HTML there is no prologue; names are the page's, and have to differ between figures
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'id="', f'id="{name}-', svg)
    return re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", svg)


def _figure(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), layout="constrained")


def _label(figure: Figure, synthetic: bool) -> None:
    if synthetic:
        figure.suptitle(SYNTHETIC, fontsize=9, color="#b00020", x=0.99, ha="right")

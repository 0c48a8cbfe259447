"""How policies fare in worlds that differ from the model, one thing at a time."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mujoco

from gym_grasp.envs.build import compile_scene
from gym_grasp.envs.spec import EnvSpec
from gym_grasp.files import write_atomically, write_figure, write_json
from gym_grasp.markdown import table
from gym_grasp.perturbation import NONE, Cone, Perturbation
from gym_grasp.tasks.features import Packer


@dataclass(frozen=True)
class World:
    """One column of the matrix."""

    name: str
    perturbation: Perturbation = NONE
    options: dict[str, Any] = field(default_factory=dict)
    """Options of the task that are others."""
    engine: str | None = None
    """Device, where it is another."""


NOMINAL = World("nominal")
PERTURBATIONS = (
    World("mass × 1.3", Perturbation(mass=(1.3, 1.3))),
    World("mass × 2", Perturbation(mass=(2.0, 2.0))),
    World("friction × 0.7", Perturbation(friction=(0.7, 0.7))),
    World("friction × 0.5", Perturbation(friction=(0.5, 0.5))),
    World("latency 11 ms", Perturbation(latency=(0.011, 0.011))),
    World("latency 33 ms", Perturbation(latency=(0.033, 0.033))),
    World("noise 2 mm, 1°", Perturbation(observation_noise=(0.002, 0.0175))),
    World("noise 5 mm, 3°", Perturbation(observation_noise=(0.005, 0.0524))),
    World("180 Hz physics", Perturbation(finer=2)),
)
"""What every task can differ in."""


def worlds(spec: EnvSpec, device: str = "cpu", other_device: str | None = None) -> list[World]:
    """Return the columns for policies of an environment, the nominal one first.

    Left out is what their observations do not show: a cabinet that stands elsewhere.

    Args:
        spec: the environment that they were trained in.
        device: where they are evaluated.
        other_device: another engine's, if there is one.
    """
    elliptic = compile_scene(spec).opt.cone == mujoco.mjtCone.mjCONE_ELLIPTIC
    cone: Cone = "pyramidal" if elliptic else "elliptic"
    found = [NOMINAL, *PERTURBATIONS, World(f"{cone} cone", Perturbation(cone=cone))]
    known = Packer(spec.features).names
    for name, options in spec.task_class.variants.items():
        there = spec.replace(options={**spec.options, **options})
        if Packer(there.features).names == known:
            found.append(World(name, options=dict(options)))
    if other_device:
        found.append(World(f"{other_device} for {device}", engine=other_device))
    return found


def evaluate_worlds(
    columns: Sequence[World],
    spec: EnvSpec,
    device: str,
    evaluate: Callable[[EnvSpec, Perturbation, str], dict[str, Any]],
) -> Iterator[dict[str, Any]]:
    """Evaluate in one world after the other.

    Args:
        columns: the worlds.
        spec: the environment that the policies were trained in.
        device: where.
        evaluate: returns the result for a spec, a perturbation and a device, with `success`,
            `interval`, `runs` and `device`.

    Yields:
        For each column `world`, `perturbation`, `options` and, of what `evaluate` returned,
        `success`, `interval`, `runs` and `device`.
    """
    for world in columns:
        there = spec.replace(options={**spec.options, **world.options})
        result = evaluate(there, world.perturbation, world.engine or device)
        kept = {name: result[name] for name in ("success", "interval", "runs", "device")}
        yield {
            "world": world.name,
            "perturbation": world.perturbation.to_dict(),
            "options": world.options,
            **kept,
        }


def described(result: dict[str, Any]) -> list[str]:
    """Return the lines of a Markdown table of a whole matrix."""
    rows = [
        (
            row["world"],
            f"{row['success']:.3f}",
            f"{row['interval'][0]:.3f} to {row['interval'][1]:.3f}",
            ", ".join(f"{one['successes']} of {one['episodes']}" for one in row["runs"]),
        )
        for row in result["worlds"]
    ]
    return table(("world", "success", "95 % interval", "each policy"), rows)


def write(result: dict[str, Any], stem: Path) -> list[Path]:
    """Write a matrix as JSON, Markdown and a plot; return the paths.

    Args:
        result: `task`, `device`, `runs`, `episodes` and `worlds`, as `evaluate --perturb` makes it.
        stem: path without suffix.
    """
    paths = [stem.with_name(stem.name + suffix) for suffix in (".json", ".md", ".png")]
    write_json(paths[0], result)
    head = [
        f"# {result['task']} in other worlds",
        "",
        f"{', '.join(map(str, result['runs']))}; {result['episodes']} episodes each, "
        f"{result['device']}, `gym-grasp evaluate --perturb`.",
        "",
    ]
    write_atomically(paths[1], "\n".join([*head, *described(result), ""]).encode())
    _plot(result, paths[2])
    return paths


def _plot(result: dict[str, Any], path: Path) -> None:
    from matplotlib.figure import Figure

    rows = result["worlds"][::-1]
    figure = Figure(figsize=(6, 0.6 + 0.32 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    rates = [row["success"] for row in rows]
    ends = [
        [max(0.0, row["success"] - row["interval"][0]) for row in rows],
        [max(0.0, row["interval"][1] - row["success"]) for row in rows],
    ]
    axes.barh([row["world"] for row in rows], rates, xerr=ends, color="C0", ecolor="0.4", capsize=2)
    nominal = result["worlds"][0]["success"]
    axes.axvline(nominal, color="0.6", linestyle=":")
    axes.set(xlim=(0, 1.02), xlabel="success, with 95 % interval", title=result["task"])
    write_figure(path, figure, dpi=110)

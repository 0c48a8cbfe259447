"""Measurements as Markdown and as pictures."""

from collections.abc import Sequence
from pathlib import Path

from gym_grasp.bench.throughput import PAPER, Throughput
from gym_grasp.files import write_figure
from gym_grasp.markdown import table


def throughput_table(results: Sequence[Throughput]) -> str:
    """Return a Markdown table in control steps per second, beside the paper's epochs."""
    header = (
        "task", "device", "environments", "engine alone", "env.step", "ratio", "rollout",
        "epoch", "over its parts", "paper's epoch", "memory [GB]",
    )  # fmt: skip
    rows = [
        (
            one.task,
            one.device,
            f"{one.num_envs:,}",
            f"{one.physics:,.0f}",
            f"{one.env_step:,.0f}",
            f"{one.env_over_physics:.2f}",
            "" if one.rollout is None else f"{one.rollout:,.0f}",
            "" if one.epoch is None else f"{one.epoch:,.0f}",
            "" if one.epoch_over_parts is None else f"{one.epoch_over_parts:.2f}",
            f"{PAPER[one.task]:,}" if one.task in PAPER else "",
            "" if one.gpu_memory_gb is None else f"{one.gpu_memory_gb:.1f}",
        )
        for one in results
    ]
    return "\n".join(table(header, rows))


def plot_throughput(results: Sequence[Throughput], path: Path) -> None:
    """Draw control steps per second against the number of environments, one line a task."""
    from matplotlib.figure import Figure

    has_memory = any(one.gpu_memory_gb is not None for one in results)
    figure = Figure(figsize=(7, 7 if has_memory else 4.5), layout="constrained")
    axes, *below = figure.subplots(1 + has_memory, sharex=True, squeeze=False)[:, 0]
    for task in dict.fromkeys(one.task for one in results):
        rows = [one for one in results if one.task == task]
        counts = [one.num_envs for one in rows]
        line = axes.plot(counts, [one.physics for one in rows], "--", alpha=0.6)[0]
        rates = [one.epoch or one.env_step for one in rows]
        axes.plot(counts, rates, "o-", color=line.get_color(), label=task)
        for lower in below:
            memory = [one.gpu_memory_gb for one in rows]
            lower.plot(counts, memory, "o-", color=line.get_color())
            lower.set(xscale="log", xlabel="environments", ylabel="GPU memory in use [GB]")
            lower.grid(alpha=0.3, which="both")
    axes.set(xscale="log", yscale="log", xlabel="environments", ylabel="control steps / s")
    axes.set_title("solid: whole epochs (or env.step); dashed: engine alone", fontsize=9)
    axes.legend()
    axes.grid(alpha=0.3, which="both")
    write_figure(path, figure)

"""What a run tells: metrics.json, TensorBoard, Weights & Biases, a learning curve, progress."""

import math
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gym_grasp.errors import CheckpointError, DependencyError, reason
from gym_grasp.files import read_json, to_json, writing
from gym_grasp.progress import is_shown

METRICS = "metrics.json"
CURVE = "learning_curve.png"

Metrics = dict[str, float]


class RunLog:
    """Takes each epoch's metrics and writes them wherever they are wanted.

    Args:
        run_dir: The run folder.
        epochs: Number of epochs of the whole run.
        history: Metrics of the epochs done before, if the run goes on.
        wandb_config: Settings for Weights & Biases, or None to leave it out.
        progress: Whether to show progress on standard error.
    """

    def __init__(
        self,
        run_dir: Path,
        epochs: int,
        history: list[Metrics],
        wandb_config: dict[str, Any] | None,
        progress: bool,
    ) -> None:
        self.run_dir = run_dir
        self.history, start = history, len(history)
        self._wandb = _start_wandb(run_dir, wandb_config) if wandb_config is not None else None
        from torch.utils.tensorboard import SummaryWriter  # takes a second to import

        with writing(run_dir):
            self._tensorboard = SummaryWriter(str(run_dir), purge_step=start or None)
        self._console = Console(file=sys.stderr)
        self._progress: Progress | None = None
        if progress and self._console.is_terminal and not is_shown():
            self._progress = Progress(
                TextColumn("epoch"),
                MofNCompleteColumn(),
                BarColumn(),
                TextColumn("{task.description}"),
                TimeRemainingColumn(),
                console=self._console,
            )
            self._task = self._progress.add_task("", total=epochs, completed=start)
            self._progress.start()
        self._plain = progress and self._progress is None

    def add(self, metrics: Metrics) -> None:
        """Take the metrics of one epoch; "epoch" and "steps" are among them."""
        self.history.append(metrics)
        epoch = int(metrics["epoch"])
        finite = {name: value for name, value in metrics.items() if math.isfinite(value)}
        with writing(self.run_dir):
            for name, value in finite.items():
                self._tensorboard.add_scalar(name, value, epoch)
        if self._wandb is not None:
            self._wandb.log(finite, step=epoch)
        if self._progress is not None:
            self._progress.update(self._task, completed=epoch + 1, description=_line(metrics))
        elif self._plain and (epoch + 1) % 10 == 0:
            print(f"epoch {epoch + 1}: {_line(metrics)}", file=sys.stderr, flush=True)

    def pretraining(self, epoch: int, epochs: int, metrics: Metrics) -> None:
        """Show how far cloning is that comes before the first epoch."""
        line = f"pretraining {epoch + 1} of {epochs}: {_line(metrics)}"
        if self._progress is not None:
            self._progress.update(self._task, description=line)
        elif self._plain and ((epoch + 1) % 10 == 0 or epoch + 1 == epochs):
            print(line, file=sys.stderr, flush=True)

    def to_json(self, summary: dict[str, Any]) -> bytes:
        """Return the content of metrics.json: a summary, and the metrics of every epoch."""
        rows = [
            {name: value if math.isfinite(value) else None for name, value in row.items()}
            for row in self.history
        ]
        return to_json({"summary": summary, "epochs": rows})

    def close(self) -> None:
        """Draw the learning curve and end all outputs."""
        if self._progress is not None:
            self._progress.stop()
        if self._wandb is not None:
            self._wandb.finish()
        with writing(self.run_dir):
            self._tensorboard.close()
            if self.history:
                plot_learning_curve(self.history, self.run_dir / CURVE)


def read_history(run_dir: Path) -> list[Metrics]:
    """Return the metrics of every epoch of a run.

    Raises:
        CheckpointError: metrics.json is missing or damaged.
    """
    path = run_dir / METRICS
    try:
        rows = read_json(path)["epochs"]
        return [{k: math.nan if v is None else float(v) for k, v in row.items()} for row in rows]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise CheckpointError(
            f"{path} is missing or damaged ({reason(error)}); `gym-grasp resume {run_dir}` writes "
            "it anew."
        ) from error


def plot_learning_curve(history: list[Metrics], path: Path) -> None:
    """Draw success (or, without rollouts, the held-out loss) over the epochs as a PNG."""
    from matplotlib.figure import Figure

    rollouts = "rollout/success" in history[-1]
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    if rollouts:
        steps = [row["steps"] for row in history]
        axes.plot(steps, [row.get("rollout/success", math.nan) for row in history])
        axes.set(xlabel="control steps", ylabel="success of exploring episodes", ylim=(-0.02, 1.02))
    else:
        epochs = [row["epoch"] for row in history]
        for name, label in (("loss/cloning", "training"), ("loss/validation", "held out")):
            if name in history[-1]:
                axes.plot(epochs, [row.get(name, math.nan) for row in history], label=label)
        axes.set(xlabel="epoch", ylabel="mean squared error of the action", yscale="log")
        axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


def _line(metrics: Metrics) -> str:
    """Return the few metrics that a person watches."""
    parts = []
    for name, form in (
        ("rollout/success", "success {:.0%}"),
        ("rollout/return", "return {:.1f}"),
        ("loss/cloning", "cloning {:.4f}"),
        ("loss/validation", "held out {:.4f}"),
        ("steps_per_second", "{:,.0f} steps/s"),
    ):
        if math.isfinite(metrics.get(name, math.nan)):
            parts.append(form.format(metrics[name]))
    return ", ".join(parts)


def _start_wandb(run_dir: Path, config: dict[str, Any]) -> Any:
    try:
        import wandb
    except ImportError as error:
        raise DependencyError(
            "Weights & Biases is not installed; pip install 'gym-grasp[wandb]', or leave it out."
        ) from error
    return wandb.init(project="gym-grasp", name=run_dir.name, dir=str(run_dir), config=config)

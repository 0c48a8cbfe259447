"""What a run tells: metrics.json, TensorBoard, Weights & Biases, a learning curve, progress."""

import math
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gym_grasp.errors import CheckpointError, DependencyError, reason
from gym_grasp.files import read_json, to_json, write_figure, writing
from gym_grasp.progress import is_shown

METRICS = "metrics.json"
CURVE = "learning_curve.png"

RATES = {"evaluation/success", "evaluation/low", "evaluation/high"}
MOST = 1e300
"""No finite metric is larger."""

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

        self.pretraining_history: list[Metrics] = []
        if start:
            with suppress(CheckpointError):  # the checkpoint says all that going on needs
                self.pretraining_history = _rows(run_dir, "pretraining")
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
        finite = self._scalars(metrics, epoch)
        if self._wandb is not None:
            self._wandb.log(finite, step=epoch)
        if self._progress is not None:
            self._progress.update(self._task, completed=epoch + 1, description=_line(metrics))
        elif self._plain and ((epoch + 1) % 10 == 0 or "evaluation/success" in metrics):
            print(f"epoch {epoch + 1}: {_line(metrics)}", file=sys.stderr, flush=True)

    def pretraining(self, epoch: int, epochs: int, metrics: Metrics) -> None:
        """Take the metrics of a pass of the cloning that comes before the first epoch."""
        self.pretraining_history.append({"epoch": epoch, **metrics})
        self._scalars({f"pretraining/{name}": value for name, value in metrics.items()}, epoch)
        line = f"pretraining {epoch + 1} of {epochs}: {_line(metrics)}"
        if self._progress is not None:
            self._progress.update(self._task, description=line)
        elif self._plain and ((epoch + 1) % 10 == 0 or epoch + 1 == epochs):
            print(line, file=sys.stderr, flush=True)

    def pretrained(self, evaluation: Metrics) -> None:
        """Take the evaluation of what pretraining has come to, if there was one."""
        if evaluation:
            row = self.pretraining_history[-1]
            row |= evaluation
            scalars = {f"pretraining/{name}": value for name, value in evaluation.items()}
            self._scalars(scalars, int(row["epoch"]))
            if self._plain:
                print(f"after pretraining: {_line(evaluation)}", file=sys.stderr, flush=True)

    def _scalars(self, metrics: Metrics, step: int) -> Metrics:
        """Write what is finite for TensorBoard, and return it."""
        finite = {name: value for name, value in metrics.items() if math.isfinite(value)}
        with writing(self.run_dir):
            for name, value in finite.items():
                self._tensorboard.add_scalar(name, value, step)
        return finite

    def to_json(self, summary: dict[str, Any]) -> bytes:
        """Return the content of metrics.json: a summary, and the metrics of every epoch."""
        content: dict[str, Any] = {"summary": summary}
        for name, history in (("pretraining", self.pretraining_history), ("epochs", self.history)):
            content[name] = [
                {name: value if math.isfinite(value) else None for name, value in row.items()}
                for row in history
            ]
        return to_json(content)

    def close(self) -> None:
        """Draw the learning curve and end all outputs."""
        if self._progress is not None:
            self._progress.stop()
        if self._wandb is not None:
            self._wandb.finish()
        with writing(self.run_dir):
            self._tensorboard.close()
            if self.history:
                plot_learning_curve(self.history, self.run_dir / CURVE, self.pretraining_history)


def read_history(run_dir: Path) -> list[Metrics]:
    """Return the metrics of every epoch of a run.

    Raises:
        CheckpointError: metrics.json is missing or damaged.
    """
    return _rows(run_dir, "epochs")


def _rows(run_dir: Path, name: str) -> list[Metrics]:
    path = run_dir / METRICS
    try:
        rows = read_json(path)[name]
        found = [{k: math.nan if v is None else float(v) for k, v in row.items()} for row in rows]
        check_rows(found)
        return found
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise CheckpointError(
            f"{path} is missing or damaged ({reason(error)}); `gym-grasp resume {run_dir}` writes "
            "it anew."
        ) from error


def check_rows(rows: Sequence[Metrics]) -> None:
    """Raise `ValueError` unless these can be the metrics of one epoch after the other."""
    for index, row in enumerate(rows):
        for name, value in row.items():
            if type(value) not in (int, float) or MOST < abs(value) < math.inf:
                raise ValueError(f"'{name}' of epoch {index} is {value!r}")
        if row.get("epoch") != index or not 0 <= row.get("steps", 0) < math.inf:
            raise ValueError(f"epoch {index} says epoch {row.get('epoch')}, {row.get('steps')}")
        rates = [row[name] for name in {"rollout/success", *RATES} & row.keys()]
        if any(rate < 0 or rate > 1 for rate in rates):
            raise ValueError(f"epoch {index} has rates that are none")
        if "evaluation/success" in row and not row.keys() >= RATES:
            raise ValueError(f"the evaluation of epoch {index} lacks its interval")


def plot_learning_curve(
    history: list[Metrics], path: Path, pretraining: Sequence[Metrics] = ()
) -> None:
    """Draw a run as a PNG: the cloning it began with, then success, or the loss of bc.

    Evaluations stand beside exploring episodes, with their 95 % interval.

    Args:
        history: Metrics of every epoch.
        path: The PNG.
        pretraining: Metrics of every pass of pretraining, if there was any.
    """
    from matplotlib.figure import Figure

    rollouts = any("rollout/success" in row for row in history)
    evaluations = [row for row in history if "evaluation/success" in row]
    panels = [*(["pretraining"] if pretraining else []), "loss" if not rollouts else "success"]
    if evaluations and not rollouts:
        panels.append("success")
    figure = Figure(figsize=(7 if len(panels) == 1 else 10, 4), layout="constrained")
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        if panel == "success":
            _plot_success(axes, history, evaluations, pretraining)
        else:
            _plot_cloning(axes, pretraining if panel == "pretraining" else history)
            axes.set_title("pretraining" if panel == "pretraining" else "")
        axes.grid(alpha=0.3)
    write_figure(path, figure)


def _plot_success(
    axes: Any,
    history: Sequence[Metrics],
    evaluations: Sequence[Metrics],
    pretraining: Sequence[Metrics],
) -> None:
    x = "steps" if history[-1].get("steps") else "epoch"
    if "rollout/success" in history[-1]:
        values = [row.get("rollout/success", math.nan) for row in history]
        axes.plot([row[x] for row in history], values, label="exploring episodes")
    cloned = [row | {x: 0.0} for row in pretraining[-1:] if "evaluation/success" in row]
    if shown := [*cloned, *evaluations]:
        rates = [row["evaluation/success"] for row in shown]
        ends = [
            [row["evaluation/success"] - row["evaluation/low"] for row in shown],
            [row["evaluation/high"] - row["evaluation/success"] for row in shown],
        ]
        label = "evaluation, 95 % interval"
        axes.errorbar([row[x] for row in shown], rates, ends, fmt="o-", capsize=3, label=label)
    axes.set(xlabel={"steps": "control steps"}.get(x, x), ylabel="success", ylim=(-0.02, 1.02))
    axes.legend(loc="lower right")


def _plot_cloning(axes: Any, history: Sequence[Metrics]) -> None:
    epochs = [row["epoch"] for row in history]
    for name, label in (("loss/cloning", "training"), ("loss/validation", "held out")):
        if name in history[-1]:
            axes.plot(epochs, [row.get(name, math.nan) for row in history], label=label)
    axes.set(xlabel="epoch", ylabel="mean squared error of the action", yscale="log")
    axes.legend(loc="upper right")


def _line(metrics: Metrics) -> str:
    """Return the few metrics that a person watches."""
    parts = []
    for name, form in (
        ("rollout/success", "success {:.0%}"),
        ("evaluation/success", "evaluated {:.0%}"),
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

"""Results as they are published: small files per run, which tables and figures are made from."""

import contextlib
import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

from gym_grasp.envs.spec import EnvSpec
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import GymGraspError, UsageError, reason
from gym_grasp.experiments.sweep import RESULT, Run
from gym_grasp.files import read_json, write_atomically
from gym_grasp.learning.checkpoint import POLICY, load_policy
from gym_grasp.learning.intervals import SuccessInterval, success_interval
from gym_grasp.learning.metrics import read_history
from gym_grasp.learning.published import (
    SUFFIX,
    choose_precision,
    load_published,
    save_published,
)
from gym_grasp.typed import CRAFTED

COLUMNS = {
    "steps": "steps",
    "seconds": "seconds",
    "success": "rollout/success",
    "episodes": "rollout/episodes",
    "return": "rollout/return",
    "steps_per_second": "steps_per_second",
    "lambda": "cloning_weight",
    "gradient_total": "gradient/total",
    "gradient_surrogate": "gradient/surrogate",
    "gradient_value": "gradient/value",
    "gradient_cloning": "gradient/cloning",
    "held_out": "loss/validation",
}
"""Columns of a published curve, and the metrics that they are."""
DIGITS = 5
HALF = 0.5
"""Success from which on the speed of training counts: hands are then in contact, not in the air."""


@dataclass(frozen=True)
class Result:
    """One run: what was asked for, what came out, and its curve."""

    content: dict[str, Any]
    """What result.json holds."""
    curve: dict[str, list[float]]
    """One value per epoch in each of COLUMNS that the method has; NaN where none was measured."""

    @cached_property
    def run(self) -> Run:
        """What was asked for."""
        return Run.from_dict(self.content["run"])

    @property
    def spec(self) -> dict[str, Any]:
        """The environment, as `EnvSpec.to_dict` gives it; of older results two parts of it."""
        content = self.content
        if "spec" in content:
            return content["spec"]
        steps = content["max_episode_steps"]
        return {"version": content["task_version"], "max_episode_steps": steps}

    @property
    def successes(self) -> int:
        """Successful evaluation episodes."""
        return self.content["successes"]

    @property
    def episodes(self) -> int:
        """Evaluation episodes."""
        return self.content["episodes"]

    @property
    def steps(self) -> int:
        """Control steps of training."""
        return self.content["steps"]

    @property
    def seconds(self) -> float:
        """Wall-clock time of training, without compilation, recording and evaluation."""
        return self.content["seconds"]

    def rollout_success(self) -> list[float]:
        """Return the success of exploring episodes up to each epoch; NaN where none is known.

        Each value covers the episodes of as many epochs as the longest episode takes. Fewer would
        deceive: before any attempt has run out of time, only successes have ended, and the share
        is 1 however rare they are.
        """
        horizon = self.content["config"]["horizon"]
        window = math.ceil(self.spec["max_episode_steps"] / horizon)
        unknown = [math.nan] * len(self.curve["steps"])
        ended = [0.0 if math.isnan(n) else n for n in self.curve.get("episodes", unknown)]
        share = self.curve.get("success", unknown)
        won = [n * s if n else 0.0 for n, s in zip(ended, share, strict=True)]
        values = []
        for end in range(1, len(ended) + 1):
            total = sum(ended[max(0, end - window) : end])
            full = end >= window and total > 0
            values.append(sum(won[end - window : end]) / total if full else math.nan)
        return values

    def steps_to(self, success: float) -> float | None:
        """Return the steps after which exploring first reaches a success rate; None: never."""
        reached = (
            steps
            for steps, value in zip(self.curve["steps"], self.rollout_success(), strict=True)
            if value >= success
        )
        return next(reached, None)

    def late_speed(self) -> float | None:
        """Return the median of control steps a second of the epochs past half success.

        None where there is none, or where the run shared its GPU.
        """
        if self.content["runs_per_gpu"] > 1 or "steps_per_second" not in self.curve:
            return None
        pairs = zip(self.rollout_success(), self.curve["steps_per_second"], strict=True)
        late = [speed for success, speed in pairs if success >= HALF]
        return median(late) if late else None


@dataclass(frozen=True)
class Cell:
    """The runs of one task and one label, seeds in order."""

    results: tuple[Result, ...]

    @property
    def seeds(self) -> list[int]:
        """Training seeds."""
        return [one.run.seed for one in self.results]

    @property
    def rates(self) -> list[float]:
        """Success rate of each seed."""
        return [one.successes / one.episodes for one in self.results]

    @property
    def mean(self) -> float:
        """Mean over seeds."""
        return mean(self.rates)

    @property
    def std(self) -> float | None:
        """Standard deviation over seeds (n − 1), None with one."""
        return stdev(self.rates) if len(self.rates) > 1 else None

    @property
    def interval(self) -> SuccessInterval:
        """95 % interval over all episodes that takes the spread between seeds into account."""
        return success_interval(
            [one.successes for one in self.results], [one.episodes for one in self.results]
        )

    def steps_to(self, success: float) -> list[float]:
        """Return `Result.steps_to` of the seeds that get there."""
        reached = (one.steps_to(success) for one in self.results)
        return [steps for steps in reached if steps is not None]

    @property
    def uniform(self) -> bool:
        """Whether settings and environment of all runs agree, seeds and allowed time apart."""
        apart = {"seed": 0, "max_minutes": None}
        kinds = {json.dumps([one.run.to_dict() | apart, one.spec]) for one in self.results}
        return len(kinds) == 1

    @property
    def cut(self) -> bool:
        """Whether the time that a run may take ended one before its epochs were done."""
        return any(one.content["epochs"] < one.run.epochs for one in self.results)


Cells = dict[tuple[str, str], Cell]
"""Cells by task and label."""


def publish(runs: Path, out: Path, device: str = "cpu") -> list[str]:
    """Copy the results and curves of all finished runs into a folder fit for git.

    Of each cell of Table III but clones the policy of the lowest seed goes with them, in half
    precision where an evaluation shows no loss; `reproduce` makes the others anew, and clones on a
    CPU within minutes.

    Args:
        runs: folder of the run folders.
        out: where to publish.
        device: where policies are evaluated: cpu or cuda.

    Returns:
        The names of the runs.

    Raises:
        GymGraspError: a run folder is incomplete.
    """
    names = []
    first: dict[Path, tuple[Path, dict[str, Any]]] = {}
    for path in sorted(runs.glob(f"*/*/seed-*/{RESULT}")):
        folder = path.parent
        try:
            content = read_json(path)
            run = Run.from_dict(content["run"])
        except (OSError, UsageError, *CRAFTED) as error:
            raise _damaged(path, error) from error
        history = read_history(folder)
        curve = {
            column: [_rounded(row.get(metric, math.nan)) for row in history]
            for column, metric in COLUMNS.items()
            if any(metric in row for row in history)
        }
        text = json.dumps(content, indent=1)[:-2] + ',\n "curve": {\n'
        rows = (f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in curve.items())
        write_atomically(
            out / "runs" / f"{run.name}.json", (text + ",\n".join(rows) + "\n }\n}\n").encode()
        )
        names.append(run.name)
        target = policy_path(out, run.task, run.label)
        if (
            run.label == run.row  # all demonstrations, recorded in the task as it is
            and run.method != "bc"
            and (target not in first or run.seed < first[target][1]["run"]["seed"])
        ):
            first[target] = folder, content
    for target, (folder, content) in first.items():
        _publish_policy(folder, content, target, device)
    return names


def policy_path(out: Path, task: str, label: str) -> Path:
    """Return where the policy of a cell is published."""
    return out / "policies" / task / f"{label}{SUFFIX}"


def _publish_policy(folder: Path, content: dict[str, Any], target: Path, device: str) -> None:
    """Write a run's policy, unless it or that of a lower seed is there."""
    try:
        source = hashlib.sha256((folder / POLICY).read_bytes()).hexdigest()
    except OSError as error:
        raise GymGraspError(f"Cannot read {folder / POLICY}: copy the run whole.") from error
    run = Run.from_dict(content["run"])
    if target.exists():
        there = load_published(target)
        if there["seed"] < run.seed or there["source"] == source:
            return
    policy = load_policy(folder, device)
    env = GraspVectorEnv(EnvSpec.from_dict(content["spec"]), content["episodes"], device)
    try:
        policy.check(env)
        dtype, evaluation = choose_precision(policy, env, content["episodes"])
    finally:
        env.close()
    metadata = {
        "identity": vars(policy.identity),
        "run": run.name,
        "seed": run.seed,
        "source": source,
        "evaluation": evaluation,
    }
    save_published(target, policy, metadata, dtype)


def load(out: Path) -> list[Result]:
    """Return all published results; raises `GymGraspError` for one that is damaged."""
    results = []
    for path in sorted((out / "runs").glob("*/*/seed-*.json")):
        try:
            content = read_json(path)
            curve = {
                column: [math.nan if value is None else value for value in values]
                for column, values in content.pop("curve").items()
            }
            result = Result(content, curve)
            if not result.run.name or result.episodes < 1:
                raise ValueError("it names no episodes")
        except (OSError, UsageError, *CRAFTED) as error:
            raise _damaged(path, error) from error
        results.append(result)
    return results


def _damaged(path: Path, error: Exception) -> GymGraspError:
    return GymGraspError(f"{path} is damaged ({reason(error)}); copy or make it anew.")


def cells(results: Iterable[Result]) -> Cells:
    """Return the results by task and label."""
    grouped: dict[tuple[str, str], list[Result]] = {}
    for one in results:
        grouped.setdefault((one.run.task, one.run.label), []).append(one)
    return {
        key: Cell(tuple(sorted(group, key=lambda one: one.run.seed)))
        for key, group in grouped.items()
    }


def common_grid(
    xs: Sequence[Sequence[float]], ys: Sequence[Sequence[float]], points: int = 200
) -> tuple[list[float], list[float], list[float]]:
    """Return x, mean and standard deviation of several curves where all of them exist."""
    import numpy as np

    pairs = []
    for x, y in zip(xs, ys, strict=True):
        known = ~np.isnan(y)
        if known.any():
            pairs.append((np.asarray(x)[known], np.asarray(y)[known]))
    if not pairs:
        return [], [], []
    low, high = max(x[0] for x, _ in pairs), min(x[-1] for x, _ in pairs)
    grid = np.linspace(low, high, points)
    curves = np.stack([np.interp(grid, x, y) for x, y in pairs])
    spread = curves.std(axis=0, ddof=1) if len(pairs) > 1 else np.zeros(points)
    return grid.tolist(), curves.mean(axis=0).tolist(), spread.tolist()


def _rounded(value: float) -> float | None:
    """Return a number in few digits, None for what JSON has no number for."""
    if not math.isfinite(value):
        return None
    number = value if value == int(value) else float(f"{value:.{DIGITS}g}")
    with contextlib.suppress(OverflowError):
        return int(number) if number == int(number) else number
    return number

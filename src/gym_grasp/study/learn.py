"""Does touch give better data? Policies trained on each condition's trials, in equal numbers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from gym_grasp.demos.record import describe
from gym_grasp.demos.writer import DatasetWriter
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import UsageError
from gym_grasp.experiments.perform import attempt
from gym_grasp.experiments.sweep import RESULT, Place, Run, Variant, is_done
from gym_grasp.study.folder import Study
from gym_grasp.study.trials import read_trial, trial_spec
from gym_grasp.teleop.session.session import SUCCESS

METHODS: Final[tuple[Variant, ...]] = ("bc", "dapg-sparse")
FEWEST = 2
"""Demonstrations without which nothing is trained: one to learn from and one to validate with."""
EPOCHS: Final[dict[Variant, int]] = {"bc": 100, "dapg-sparse": 40}
EPISODES = 100
"""Of each evaluation."""


def train_conditions(
    folder: Path,
    epochs: int | None = None,
    *,
    num_envs: int = 256,
    episodes: int = EPISODES,
    tell: Callable[[str], None] = lambda name: None,
) -> list[dict[str, Any]]:
    """Train BC and DAPG for each task on each condition's successful trials, and evaluate them.

    Every condition gives as many demonstrations to a task as the one that has the fewest. What is
    trained already is not trained again.

    Args:
        folder: of the study.
        epochs: of each training; None: `EPOCHS`.
        num_envs: that DAPG explores in.
        episodes: of each evaluation.
        tell: called with the name of each training that begins.

    Returns:
        For each task, condition and method: demonstrations, successes, episodes, and the error
        that stood in the way, or None.

    Raises:
        UsageError: the folder holds tables alone, and no trials to learn from.
    """
    study = Study(folder)
    found: list[dict[str, Any]] = []
    for task in study.protocol.tasks:
        files = {one: _files(study, task, one) for one in study.protocol.conditions}
        count = min(map(len, files.values()))
        for condition, paths in files.items():
            place = Place(
                folder / "policies" / condition,
                folder / "policies" / condition / "data",
                episodes=episodes,
            )
            for method in METHODS:
                row: dict[str, Any] = {"task": task, "condition": condition, "method": method}
                row |= {"demonstrations": count, "successes": 0, "episodes": episodes}
                if count < FEWEST:
                    found.append(row | {"error": f"{count} demonstrations are too few"})
                    continue
                tell(f"{task} {condition} {method}")
                run = Run(
                    "study-scene",
                    method,
                    num_envs=num_envs if method != "bc" else 1,
                    epochs=epochs or EPOCHS[method],
                    options=(("goal", task),),
                )
                _gather(study, task, paths[:count], place.dataset(run))
                found.append(row | _trained(run, place))
    return found


def _trained(run: Run, place: Place) -> dict[str, Any]:
    error = None if is_done(run, place) else attempt(run, place)
    if error is not None:
        return {"error": error}
    result = json.loads((place.folder(run) / RESULT).read_text())
    return {"error": None, "successes": result["successes"], "episodes": result["episodes"]}


def _files(study: Study, task: str, condition: str) -> list[Path]:
    """Return the successful trials that count, in the order of participants."""
    if not study.participants:
        raise UsageError(f"{study.folder} holds no trials, so there is nothing to learn from.")
    found = []
    for name in study.participants:
        progress = study.progress(name)
        for step in progress.steps:
            ended = progress.ended.get(step.key)
            here = (step.task, step.condition) == (task, condition)
            if here and ended is not None and ended["outcome"] == SUCCESS:
                found.append(study.path(name) / ended["file"])
    return found


def _gather(study: Study, task: str, paths: list[Path], out: Path) -> None:
    """Make one dataset of trials, in the environment that their tasks are learned in."""
    if out.exists():
        return
    env = GraspVectorEnv(trial_spec(study.protocol, task), 1, num_threads=1)
    operator = "synthetic" if study.protocol.synthetic else "human"
    meta = describe(env, operator, study.protocol.seed)
    env.close()
    with DatasetWriter(out, meta, overwrite=True) as writer:
        for path in paths:
            writer.add(read_trial(path))

"""Does touch give better data? Policies trained on each condition's trials, in equal numbers."""

import hashlib
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from gym_grasp.demos.record import describe
from gym_grasp.demos.writer import DatasetWriter
from gym_grasp.envs.checks import checked_count
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import UsageError
from gym_grasp.experiments.perform import attempt
from gym_grasp.experiments.sweep import RESULT, Place, Run, Variant, is_done
from gym_grasp.files import read_json
from gym_grasp.study.analysis import Trained
from gym_grasp.study.folder import POLICIES, Study
from gym_grasp.study.journal import Event
from gym_grasp.study.stats import wilson
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
) -> list[Trained]:
    """Train BC and DAPG for each task on each condition's successful trials, and evaluate them.

    Every condition gives as many demonstrations to a task as the one that has the fewest, drawn by
    the protocol's seed. What was trained on the same trials already is not trained again.

    Args:
        folder: of the study.
        epochs: of each training; None: `EPOCHS`.
        num_envs: that DAPG explores in.
        episodes: of each evaluation.
        tell: called with the name of each training that begins.

    Returns:
        What came of each task, condition and method.

    Raises:
        UsageError: the folder holds no trials to learn from, a number is out of range, or other
            epochs or episodes were asked for when the same trials were learned from before.
        DatasetError: a trial's file is damaged.
    """
    for name, value in (("epochs", epochs), ("num_envs", num_envs), ("episodes", episodes)):
        if value is not None:
            checked_count(name, value, 1)
    study = Study(folder)
    if not study.participants:
        raise UsageError(f"{folder} holds no trials, so there is nothing to learn from.")
    found: list[Trained] = []
    for task in study.protocol.tasks:
        trials = {one: _successes(study, task, one) for one in study.protocol.conditions}
        count = min(map(len, trials.values()))
        for condition, events in trials.items():
            drawn = random.Random(study.protocol.seed).sample(events, count)
            for method in METHODS:
                row = Trained(task, condition, method, count)
                if count < FEWEST:
                    few = f"needs {FEWEST} successful trials in every condition"
                    found.append(replace(row, error=few))
                    continue
                tell(f"{task}, {condition}: {method} on {count} demonstrations")
                spec = trial_spec(study.protocol, task)
                run = Run(
                    spec.task,
                    method,
                    num_envs=num_envs if method != "bc" else 1,
                    epochs=EPOCHS[method] if epochs is None else epochs,
                    options=tuple(spec.options.items()),
                    robot=spec.robot,
                    max_episode_steps=spec.max_episode_steps,
                )
                path = folder / POLICIES / condition / f"{task}-{_digest(drawn)}"
                place = Place(path, path, episodes=episodes)
                _gather(study, task, drawn, place.dataset(run))
                found.append(_learned(row, run, place))
    return found


def _learned(row: Trained, run: Run, place: Place) -> Trained:
    error = None if is_done(run, place) else attempt(run, place)
    if error is not None:
        return replace(row, error=error)
    result = read_json(place.folder(run) / RESULT)
    successes, episodes = result["successes"], result["episodes"]
    low, high = wilson(successes, episodes)
    return replace(row, successes=successes, episodes=episodes, low=low, high=high)


def _successes(study: Study, task: str, condition: str) -> list[Event]:
    """Return how successful trials that count ended, their files from the study's folder."""
    found = []
    for name in study.participants:
        progress = study.progress(name)
        for step in progress.steps:
            ended = progress.ended.get(step.key)
            here = (step.task, step.condition) == (task, condition)
            if here and ended is not None and ended["outcome"] == SUCCESS:
                found.append({**ended, "file": study.path(name) / ended["file"]})
    return found


def _digest(trials: list[Event]) -> str:
    """Return a name for these trials: others are learned from elsewhere."""
    return hashlib.sha256("".join(one["sha256"] for one in trials).encode()).hexdigest()[:8]


def _gather(study: Study, task: str, trials: list[Event], out: Path) -> None:
    """Make one dataset of trials, in the environment that their tasks are learned in."""
    if out.exists():
        return
    env = GraspVectorEnv(trial_spec(study.protocol, task), 1, num_threads=1)
    operator = "synthetic" if study.protocol.synthetic else "human"
    meta = describe(env, operator, study.protocol.seed)
    env.close()
    with DatasetWriter(out, meta, overwrite=True) as writer:
        for one in trials:
            writer.add(read_trial(one["file"]))

"""Many training runs: what each one is, which are done already, and what became of the others."""

import dataclasses
import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

from gym_grasp.demos.reader import open_dataset
from gym_grasp.differences import differences
from gym_grasp.envs.checks import checked_count, checked_device
from gym_grasp.envs.control import ControlConfig
from gym_grasp.envs.spec import EnvSpec
from gym_grasp.errors import UsageError, unknown
from gym_grasp.files import read_json
from gym_grasp.learning.config import Method, TrainConfig
from gym_grasp.progress import bar
from gym_grasp.typed import CRAFTED

Variant = Literal["dapg-sparse", "dapg-dense", "ppo-dense", "ppo-sparse", "bc"]
"""A method with its reward; bc knows no reward."""
Row = Literal[
    "dapg-sparse",
    "dapg-sparse-from-scratch",
    "dapg-sparse-robust",
    "ppo-dense",
    "ppo-sparse",
    "bc",
]
"""A row of Table III: from-scratch is without pretraining, robust in worlds that vary."""
VARIANTS: tuple[Variant, ...] = get_args(Variant)
RESULT = "result.json"
"""What a run folder holds once its policy is evaluated, and not before."""


@dataclass(frozen=True)
class Run:
    """All that decides which policy is learned; where it is learned is a `Place`."""

    task: str
    variant: Variant
    seed: int = 0
    num_envs: int = 256
    epochs: int = 300
    max_minutes: float | None = None
    demos: int | None = None
    """Demonstrations to learn from, drawn by the seed; None takes all of the training split."""
    overrides: tuple[tuple[str, Any], ...] = ()
    """Further fields of `TrainConfig` with their values."""
    options: tuple[tuple[str, Any], ...] = ()
    """Options of the task with their values; those left out are filled in."""
    robot: str = EnvSpec.robot
    """Name of the robot."""
    control: ControlConfig = field(default_factory=ControlConfig)
    """How actions become joint targets."""
    max_episode_steps: int | None = None
    """Actions after which episodes are truncated; None: the task's own limit."""
    robust: bool = False
    """Train as `gym-grasp train --robust` does; evaluated in the model as it is."""
    multiplied: int | None = None
    """What `demos` are multiplied to; None: they are not."""
    recorded: int | None = None
    """Demonstrations in the dataset, if it is recorded; None: the place's number."""
    retargeted_from: str | None = None
    """Robot whose demonstrations are carried over to `robot`; None: they are recorded with it."""

    def __post_init__(self) -> None:
        """Raise `UsageError` for what does not exist or does not go together."""
        object.__setattr__(self, "options", tuple(sorted(self.spec.options.items())))
        if self.variant not in VARIANTS:
            raise unknown("method", self.variant, VARIANTS)
        fields = {one.name for one in dataclasses.fields(TrainConfig)}
        taken = {one.name for one in dataclasses.fields(Run)} | {"method"}
        for name, _ in self.overrides:
            if name not in fields - taken:
                raise unknown("training setting", name, fields - taken)
        if self.num_envs < 1:
            raise UsageError(f"num_envs is {self.num_envs}; it must be at least 1.")
        if self.demos is not None and (self.demos < 1 or not self.config().needs_demonstrations):
            raise UsageError(
                f"demos is {self.demos} for '{self.variant}'; give at least 1, and only to a "
                "method that learns from demonstrations."
            )

        if self.multiplied is not None and (self.demos is None or self.multiplied < self.demos):
            raise UsageError(
                f"multiplied is {self.multiplied} and demos {self.demos}; give how many "
                "demonstrations are multiplied, and at least as many to come."
            )
        if self.recorded is not None and self.recorded < 1:
            raise UsageError(f"recorded is {self.recorded}; it must be at least 1.")
        if self.retargeted_from == self.robot:
            raise UsageError(f"retargeted_from is {self.robot}, the run's own; name another robot.")

    @property
    def method(self) -> Method:
        """The method without its reward."""
        return self.variant.partition("-")[0]  # type: ignore[return-value]

    @property
    def reward(self) -> Literal["sparse", "dense"]:
        """Which reward the environment gives."""
        return "dense" if self.variant.endswith("dense") else "sparse"

    @property
    def spec(self) -> EnvSpec:
        """The environment."""
        options, steps = dict(self.options), self.max_episode_steps
        return EnvSpec(self.task, options, self.robot, self.control, steps)

    @property
    def digest(self) -> str:
        """Ends the names of datasets of another environment than the task's default one."""
        differing = differences(EnvSpec(self.task).to_dict(), self.spec.to_dict(), ("", ""))
        digest = hashlib.sha256("\n".join(sorted(differing)).encode()).hexdigest()
        return f"-{digest[:8]}" if differing else ""

    @property
    def suffix(self) -> str:
        """Ends the labels of such runs: the robot, where nothing else differs, or `digest`."""
        own = EnvSpec(self.task, robot=self.robot).to_dict()
        only = not differences(own, self.spec.to_dict(), ("", ""))
        return f"-{self.robot}" if only and self.digest else self.digest

    @property
    def row(self) -> str:
        """How it learns, such as "dapg-sparse-robust" or "dapg-sparse-from-scratch"."""
        robust = "-robust" if self.robust else ""
        scratch = "-from-scratch" if self.method == "dapg" and not self.config().pretrains else ""
        return f"{self.variant}{robust}{scratch}"

    @property
    def label(self) -> str:
        """Which cells of a table it belongs to, such as "dapg-sparse" or "dapg-sparse-5-demos"."""
        demos = "" if self.demos is None else f"-{self.demos}-demos"
        demos += "" if self.multiplied is None else f"-to-{self.multiplied}"
        demos += "" if self.recorded is None else f"-of-{self.recorded}"
        demos += "" if self.retargeted_from is None else f"-from-{self.retargeted_from}"
        return f"{self.row}{demos}{self.suffix}"

    @property
    def name(self) -> str:
        """Name, and folder below that of all runs: TASK/LABEL/seed-N."""
        return f"{self.task}/{self.label}/seed-{self.seed}"

    def config(self) -> TrainConfig:
        """Return the learner's settings; raises `UsageError` where one is out of range."""
        chosen = dict(self.overrides) | ({"privileged_critic": True} if self.robust else {})
        return TrainConfig(
            method=self.method,
            seed=self.seed,
            epochs=self.epochs,
            max_minutes=self.max_minutes,
            **chosen,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold; `from_dict` takes it back."""
        values = dataclasses.asdict(self) | {"options": dict(self.options)}
        for later in ("multiplied", "recorded", "retargeted_from"):  # results from before have none
            if values[later] is None:
                del values[later]
        return json.loads(json.dumps(values))

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> "Run":
        """Return the run that `to_dict` described."""
        control = {name: _hashable(item) for name, item in value.get("control", {}).items()}
        parts = {
            "overrides": tuple((name, _hashable(item)) for name, item in value["overrides"]),
            "options": tuple(value.get("options", {}).items()),
            "control": ControlConfig(**control),
        }
        return cls(**{**value, **parts})


@dataclass(frozen=True)
class Place:
    """Where runs are performed, and in how many episodes they are judged."""

    runs: Path
    """Folder of the run folders."""
    data: Path
    """Folder of the datasets; a missing one is recorded."""
    device: str = "cpu"
    """cpu or cuda."""
    runs_per_gpu: int = 1
    """Runs at once on each GPU: where there are more, none shows the speed of a run alone."""
    episodes: int = 100
    """Evaluation episodes."""
    recorded: int = 200
    """Demonstrations in a dataset that is recorded."""
    smoke: bool = False
    """The figures mean nothing: only whether everything runs is tried."""

    def __post_init__(self) -> None:
        """Raise `UsageError` for a number out of range, or no device."""
        checked_device(self.device)
        checked_count("episodes", self.episodes, 1)

    def folder(self, run: Run) -> Path:
        """Return the folder of a run."""
        return self.runs / run.name

    def dataset(self, run: Run) -> Path:
        """Return the file of a run's demonstrations."""
        count = "" if run.recorded is None else f"-{run.recorded}"
        source = "" if run.retargeted_from is None else f"-from-{run.retargeted_from}"
        return self.data / f"{run.task}{count}{run.digest}{source}.hdf5"

    def multiplied(self, run: Run) -> Path:
        """Return the file of what a run's demonstrations are multiplied to."""
        file = self.dataset(run)
        name = f"{file.stem}-{run.demos}-to-{run.multiplied}-seed-{run.seed}.hdf5"
        return file.with_name(name)

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold, paths absolute; `from_dict` takes it back."""
        paths = {"runs": str(self.runs.resolve()), "data": str(self.data.resolve())}
        return {**dataclasses.asdict(self), **paths}

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> "Place":
        """Return the place that `to_dict` described."""
        return cls(**{**value, "runs": Path(value["runs"]), "data": Path(value["data"])})


IN_SPEC = ("task", "options", "robot", "control", "max_episode_steps")
"""Parts of a run that its result holds once more, whole, in `spec`."""

Outcome = tuple[Run, str | None]
"""A run and what went wrong, or None."""
Executor = Callable[[Sequence[Run], Place], Iterator[Outcome]]
"""Performs runs and yields each as it ends; `experiments.executors` has three."""


def is_done(run: Run, place: Place) -> bool:
    """Tell whether a run's folder holds its result.

    Raises:
        UsageError: if it is the result of a run with other settings, or other demonstrations than
            lie there now.
    """
    path = place.folder(run) / RESULT
    try:
        content = read_json(path)
        found = {**content["run"], "spec": content.get("spec", {})}
        found["evaluation episodes"] = content.get("episodes")
        learned_from = content.get("dataset")
    except (OSError, *CRAFTED):
        return False
    wanted = {**run.to_dict(), "spec": run.spec.to_dict(), "evaluation episodes": place.episodes}
    data = place.dataset(run)
    if learned_from is not None and data.exists():
        found["demonstrations"] = str(learned_from).partition("[")[0]  # then follow those chosen
        wanted["demonstrations"] = _fingerprint(data, data.stat().st_mtime_ns)
    differing = differences(found, wanted, ("was", "is"), ignore=IN_SPEC)
    if differing:
        raise UsageError(
            f"{path.parent} holds a run with other settings ({'; '.join(differing)}); move it "
            "away, or choose another folder for the runs."
        )
    return True


@lru_cache
def _fingerprint(path: Path, modified: int) -> str:
    """Return that of a dataset; opening one takes seconds, and many runs share it."""
    return open_dataset(path).fingerprint


def sweep(
    runs: Sequence[Run],
    place: Place,
    execute: Executor,
    published: Iterable[Run] = (),
) -> list[Outcome]:
    """Perform what is not done yet; go on with what was cut; tell of every run on standard error.

    Args:
        runs: what is wanted.
        place: where.
        execute: how: one of `experiments.executors`.
        published: runs whose results are at hand elsewhere, and need not be repeated.

    Returns:
        The runs that failed, with the reason of each.
    """
    at_hand = set(published)
    todo: list[Run] = []
    failed: list[Outcome] = []
    for run in dict.fromkeys(runs):
        try:
            if run not in at_hand and not is_done(run, place):
                todo.append(run)
        except UsageError as error:
            failed.append((run, str(error)))
    label = "SMOKE: " if place.smoke else ""
    _say(f"{label}{len(runs)} runs, {len(todo)} to do")
    with bar("sweeping", len(todo), "runs") as tell:
        for count, (run, reason) in enumerate(execute(todo, place), 1):
            _say(f"{label}[{count}/{len(todo)}] {run.name}: {reason or 'done'}")
            if reason:
                failed.append((run, reason))
            tell(count)
    return failed


def _hashable(item: Any) -> Any:
    return tuple(item) if isinstance(item, list) else item


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)

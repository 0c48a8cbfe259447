"""What a dataset holds, in numbers, in a picture and in words."""

import dataclasses
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from gym_grasp.demos.behaviour import PAPER_SECONDS, RESTING, Behaviour, behaviour
from gym_grasp.demos.meta import DatasetMeta
from gym_grasp.demos.reader import Dataset
from gym_grasp.envs.control import ControlConfig
from gym_grasp.files import write_figure
from gym_grasp.markdown import table
from gym_grasp.tasks.features import POLICY


@dataclass(frozen=True)
class Spread:
    """Smallest, middle and largest of several values."""

    min: float
    median: float
    max: float


@dataclass(frozen=True)
class ActionStatistics:
    """One action over all control steps of all episodes."""

    name: str
    mean: float
    std: float
    min: float
    max: float
    saturated: float
    """Share of steps at -1 or 1."""


@dataclass(frozen=True)
class Summary:
    """A dataset in numbers."""

    episodes: int
    steps: int
    train: int
    valid: int
    attempts: int
    failures: int
    success_rate: float
    """Share of the operator's attempts that succeeded."""
    length_steps: Spread
    """Episode lengths in control steps."""
    length_seconds: Spread
    """Episode lengths in [s]."""
    actions: tuple[ActionStatistics, ...]
    mistakes: int
    """Mistakes that operators made and mended, over all episodes."""
    episodes_with_mistakes: int
    behaviour: Behaviour
    """How they were performed."""

    def to_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return dataclasses.asdict(self)


def summarise(dataset: Dataset) -> Summary:
    """Return the dataset in numbers."""
    meta = dataset.meta
    lengths = np.array([len(episode) for episode in dataset.summaries])
    actions = np.concatenate([episode.actions for episode in dataset.summaries]).astype(np.float64)
    mistakes = [int(episode.events.get("mistakes", 0)) for episode in dataset.summaries]
    return Summary(
        episodes=len(dataset),
        steps=int(lengths.sum()),
        train=len(dataset.train_indices),
        valid=len(dataset.valid_indices),
        attempts=meta.attempts,
        failures=meta.failures,
        success_rate=1 - meta.failures / meta.attempts,
        length_steps=_spread(lengths),
        length_seconds=_spread(lengths / meta.control_rate),
        actions=tuple(
            ActionStatistics(
                name=name,
                mean=float(column.mean()),
                std=float(column.std()),
                min=float(column.min()),
                max=float(column.max()),
                saturated=float((np.abs(column) == 1).mean()),
            )
            for name, column in zip(meta.action_names, actions.T, strict=True)
        ),
        mistakes=sum(mistakes),
        episodes_with_mistakes=sum(count > 0 for count in mistakes),
        behaviour=behaviour(dataset.episodes(), meta),
    )


def plot_summary(dataset: Dataset, png: Path) -> None:
    """Draw episode lengths, the actions' distribution and the rewards' course into a picture."""
    meta = dataset.meta
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    figure.suptitle(f"{meta.task} v{meta.task_version}: {len(dataset)} episodes, {meta.operator}")
    lengths, actions, rewards = figure.subplots(1, 3)

    lengths.hist([len(one) / meta.control_rate for one in dataset.summaries], bins=20)
    lengths.set(xlabel="episode length [s]", ylabel="episodes")

    columns = np.concatenate([episode.actions for episode in dataset.summaries])
    actions.boxplot(columns, orientation="horizontal", whis=(1, 99), showfliers=False)
    actions.set_yticks(range(1, columns.shape[1] + 1), meta.action_names, fontsize=7)
    actions.invert_yaxis()
    actions.set(xlabel="action (box: quartiles, whiskers: 1 to 99 %)", xlim=(-1.05, 1.05))

    for episode in dataset.summaries:
        seconds = np.arange(1, len(episode) + 1) / meta.control_rate
        rewards.plot(
            seconds, np.cumsum(episode.dense_rewards), color="C0", alpha=0.2, linewidth=0.8
        )
    rewards.set(xlabel="time [s]", ylabel="sum of dense rewards")
    write_figure(png, figure)


def dataset_card(dataset: Dataset) -> str:
    """Return the dataset card in Markdown: what, how made, by whom, fields with units, licence."""
    meta, summary = dataset.meta, summarise(dataset)
    seconds, steps = summary.length_seconds, summary.length_steps
    operator = (
        "synthetic (a program, not a person)" if meta.operator == "synthetic" else meta.operator
    )
    versions = ", ".join(f"{name} {version}" for name, version in sorted(meta.versions.items()))
    facts = {
        "Operator": operator,
        **(
            {"Made by": _made_by(meta, len(dataset), summary.behaviour.skill)}
            if meta.operator == "synthetic" and meta.origin.kind == "recorded"
            else {}
        ),
        "Origin": _origin(dataset),
        "Attempts": f"{summary.attempts}, {summary.failures} of them failed and are left out"
        f" ({100 * summary.success_rate:.1f} % succeeded)",
        "Mistakes mended": f"{summary.mistakes} in {summary.episodes_with_mistakes} episodes",
        "Split": f"{summary.train} episodes to train on, {summary.valid} to validate with",
        "Length": f"{seconds.min:.1f} to {seconds.max:.1f} s, median {seconds.median:.1f} s"
        f" ({steps.min:g} to {steps.max:g} steps at {meta.control_rate:g} Hz)",
        "Environment": f"`{meta.env_name}`, base seed {meta.base_seed}",
        **{
            name.capitalize(): text
            for name in ("options", "control")
            if (text := _chosen(meta, name))
        },
        "Robot": meta.robot,
        "Scene": f"`{meta.model_digest}` (SHA-256 of the compiled model; its XML is in the file)",
        "Made with": versions,
        "Licence": meta.licence,
        "Fingerprint": f"`{dataset.fingerprint}`",
    }
    actions = [
        (
            str(index),
            one.name,
            *(f"{value:.3f}" for value in (one.mean, one.std, one.min, one.max)),
            f"{100 * one.saturated:.1f} %",
        )
        for index, one in enumerate(summary.actions)
    ]
    lines = [
        f"# {meta.task} v{meta.task_version}: {summary.episodes} demonstrations",
        "",
        *([meta.description, ""] if meta.description else []),
        *(f"- {name}: {value}" for name, value in facts.items()),
        "",
        "## Beside people",
        "",
        "The paper's people worked with haptics (its Table II); it gives no other figure of theirs."
        " Tremor is what hands are measured to have (Wells et al., 2013; Riviere & Jensen, 2000).",
        "",
        *table(("figure", "here", "people"), _beside_people(summary, meta.task)),
        "",
        "## Fields",
        "",
        "HDF5 as robomimic reads it: each episode of T control steps is a group `data/demo_<i>`,"
        " and `mask/train`, `mask/valid` name the split.",
        "",
        *table(("field", "shape and type", "meaning", "unit"), _fields(dataset)),
        "",
        "## Actions",
        "",
        "Relative changes of the desired wrist pose and finger targets, as shares of the largest"
        " change in one step.",
        "",
        *table(("index", "action", "mean", "std", "min", "max", "at ±1"), actions),
        "",
        "## States",
        "",
        "`states` and `final_state` hold the real-valued ones side by side, names sorted;"
        " `integer_states` the others likewise."
        + (f" `physics` is MuJoCo's `{meta.physics_state}`." if meta.physics_state else ""),
        "",
        *table(("state", "holds, with widths"), _states(meta)),
    ]
    return "\n".join(lines) + "\n"


def _beside_people(summary: Summary, task: str) -> list[tuple[str, str, str]]:
    """Return figure, here, and of people; what is not known of either is a dash."""
    found, people = summary.behaviour, PAPER_SECONDS.get(task)
    strategies = ", ".join(f"{name} {count}" for name, count in found.strategies.items())
    skill = "–"
    if found.skill is not None:
        least, middle, most = found.skill
        skill = f"{least:.2f} to {most:.2f}, median {middle:.2f}"
    return [
        (
            "median time",
            f"{found.seconds:.1f} s" + (f" ({found.seconds / people:.2f} ×)" if people else ""),
            f"{people:g} s" if people else "–",
        ),
        (
            f"time in which the wrist is slower than {100 * RESTING:g} cm/s",
            _known(found.rest and 100 * found.rest, "{:.0f} %"),
            "–",
        ),
        ("episodes of each strategy", strategies or "–", "–"),
        ("episodes with a mistake that is mended", f"{100 * found.mended:.0f} %", "–"),
        ("range of the thumb's rotation, median", _known(found.thumb, "{:.0f}°"), "–"),
        (
            "tremor, 8 to 12 Hz, RMS along an axis",
            _known(found.tremor and 1e3 * found.tremor, "{:.2f} mm"),
            "0.05 to 0.2 mm",
        ),
        ("skill, 0 a novice to 1 an expert", skill, "–"),
        ("attempts, of which failed", f"{summary.attempts}, {summary.failures}", "–"),
    ]


def _known(value: float | None, text: str) -> str:
    return "–" if value is None else text.format(value)


def _made_by(meta: DatasetMeta, episodes: int, skill: tuple[float, float, float] | None) -> str:
    usual = dataclasses.asdict(ControlConfig())
    control = {
        f"control.{name}": value
        for name, value in meta.spec.get("control", {}).items()
        if value != usual.get(name)
    }
    flags = {
        "episodes": episodes,
        "seed": meta.base_seed,
        **({"skill": skill[0]} if skill and skill[0] == skill[2] else {}),
        **meta.spec.get("options", {}),
        **control,
    }
    command = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in flags.items())
    return (
        f"`gym-grasp demos record {meta.task} {command}`: a scripted hand that acts"
        " through the path of teleoperation, on a delayed view of the scene, with minimum-jerk"
        " movements, hesitation, tremor and drift, each episode as skilled and in the way that it"
        " happens to be; some begin with a mistake that the hand sees and mends"
    )


def _origin(dataset: Dataset) -> str:
    """Return how the episodes came about, and from what."""
    origins = Counter(episode.origin or dataset.meta.origin for episode in dataset.summaries)
    return "; ".join(
        f"{count} {origin.kind}" + (f" from {', '.join(origin.source)}" if origin.source else "")
        for origin, count in origins.items()
    )


def _chosen(meta: DatasetMeta, part: str) -> str:
    return ", ".join(f"{name} {value}" for name, value in meta.spec.get(part, {}).items())


def _states(meta: DatasetMeta) -> list[tuple[str, str]]:
    return [
        (f"`{name}`", ", ".join(f"{part} {width}" for part, width in parts))
        for name, parts in sorted(meta.states.items())
    ]


def _fields(dataset: Dataset) -> list[tuple[str, ...]]:
    """Return path, shape and type, meaning and unit of everything in an episode."""
    first, features = dataset.episode(0), dataset.meta.features
    observations = [
        (
            f"obs/{key}",
            f"({', '.join(['T', *map(str, feature.shape)])}) {feature.dtype}",
            feature.description
            + ("" if POLICY in feature.groups else f" (for {', '.join(feature.groups)})"),
        )
        for key, feature in features.items()
    ]
    fields = [
        *observations,
        ("next_obs/…", "as obs", "the same after the step"),
        ("actions", f"(T, {len(dataset.meta.action_names)}) float32", "in [-1, 1], see below"),
        ("rewards", "(T,) float32", "sparse: 0 at success, -1 otherwise"),
        ("dense_rewards", "(T,) float32", "the task's dense reward"),
        ("dones", "(T,) uint8", "1 at the last step"),
        ("states", "(T, S) float64", "full simulator state before the step"),
        ("final_state", "(S,) float64", "the same after the last step"),
        ("integer_states", "(T + 1, K) int64", "what of the state is whole numbers"),
        *(
            (f"fields/{key}", f"{value.shape} {value.dtype}", "model field of this episode")
            for key, value in sorted(first.fields.items())
        ),
        *(
            (
                f"operator_input/{key}",
                f"{_rows(value.shape)} {value.dtype}",
                "as the operator sent it",
            )
            for key, value in sorted(first.operator_input.items())
        ),
        ("attributes", "", "num_samples, seed, success, events, state_layout, sha256"),
    ]
    units = {
        **dataset.meta.units,
        **{f"obs/{key}": feature.unit for key, feature in features.items()},
    }
    return [(f"`{name}`", shape, text, units.get(name, "")) for name, shape, text in fields]


def _spread(values: np.ndarray) -> Spread:
    return Spread(float(values.min()), float(np.median(values)), float(values.max()))


def _rows(shape: tuple[int, ...]) -> str:
    return f"({', '.join(['T', *map(str, shape[1:])])}{',' if len(shape) == 1 else ''})"

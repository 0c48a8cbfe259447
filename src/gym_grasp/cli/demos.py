"""`gym-grasp demos record|multiply|retarget|info|validate|replay|film|export|recover`."""

import dataclasses
import functools
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from gym_grasp.cli.common import TASK_NAMES, Device, dataset_path, numbers, print_json
from gym_grasp.cli.environment import EnvironmentOptions, call_one
from gym_grasp.cli.film import DEFAULT, FilmOptions
from gym_grasp.cli.multiply import multiply, parts_of
from gym_grasp.cli.retarget import retarget
from gym_grasp.errors import DatasetError, UsageError
from gym_grasp.progress import bar
from gym_grasp.tasks import TASKS, load_task

if TYPE_CHECKING:
    from gym_grasp.demos.reader import Dataset
    from gym_grasp.envs.spec import EnvSpec

AT_ONCE = 50
"""Episodes replayed at once on a CPU; no fewer take less time, and progress shows."""
File = Annotated[Path, tyro.conf.Positional]


def main(args: Sequence[str]) -> None:
    """Run one of the subcommands."""
    subcommands = (record, multiply, retarget, info, validate, replay, film, export, recover)
    call_one("gym-grasp demos", subcommands, args)


def record(
    task: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar=TASK_NAMES)] = None,
    /,
    *,
    environment: EnvironmentOptions,
    all: bool = False,
    out: Path | None = None,
    episodes: int = 200,
    seed: int = 0,
    skill: float | None = None,
    overwrite: bool = False,
    resume: bool = False,
    json: bool = False,
) -> None:
    """Let the synthetic operator demonstrate a task, and keep what succeeds.

    Args:
        task: which task to demonstrate.
        environment: in which it is demonstrated; part of what the file says about itself.
        all: demonstrate every task that policies learn instead (not study-scene).
        out: the file to write; by default data/TASK.hdf5.
        episodes: successful episodes to keep.
        seed: of start states and operators; the same seed writes the same bytes.
        skill: of the operators, from 0, novices, to 1, experts; by default a population of all.
        overwrite: replace an existing file.
        resume: go on with a recording that was cut off; the same file results as if never cut.
        json: print the counts as one JSON object.
    """
    if (task is None) == (not all):
        raise UsageError("Name one task, or give --all.")
    if all and out is not None:
        raise UsageError("--out names one file; with --all the files are data/TASK.hdf5.")
    results = {}
    learned = [name for name in TASKS if all and not load_task(name).for_people]
    for name in learned or [str(task)]:
        spec, path = environment.spec(name), out or dataset_path(name)
        if all and resume and path.exists():
            print(f"{path} exists and is left as it is", file=sys.stderr)
            continue
        results[name] = record_one(spec, path, episodes, seed, overwrite, skill, resume)
    if json:
        print_json(results)


def record_one(
    spec: "EnvSpec",
    path: Path,
    episodes: int = 200,
    seed: int = 0,
    overwrite: bool = False,
    skill: float | None = None,
    resume: bool = False,
) -> dict[str, float | str]:
    """Record one task's demonstrations and say so on standard error."""
    from gym_grasp.demos.record import record as record_episodes

    start = time.perf_counter()
    with bar(f"recording {spec.task}", episodes) as tell:
        meta = record_episodes(
            spec,
            path,
            episodes,
            seed,
            skill=skill,
            overwrite=overwrite,
            resume=resume,
            on_episode=lambda kept, attempts: tell(kept),
        )
    seconds = time.perf_counter() - start
    share = 1 - meta.failures / meta.attempts
    print(
        f"{path}: {episodes} episodes of {spec.task} in {seconds:.1f} s; "
        f"{share:.1%} of {meta.attempts} attempts succeeded",
        file=sys.stderr,
    )
    return {
        "path": str(path),
        "episodes": episodes,
        "attempts": meta.attempts,
        "failures": meta.failures,
        "seconds": round(seconds, 2),
    }


def info(
    file: File,
    /,
    *,
    plot: Path | None = None,
    card: Path | None = None,
    segments: Path | None = None,
    json: bool = False,
) -> None:
    """Describe a dataset.

    Args:
        file: the dataset.
        plot: also draw a picture (PNG) of lengths, actions and rewards.
        card: also write the dataset card (Markdown).
        segments: also write the segments that `demos multiply` finds (JSON), to correct them.
        json: print the numbers as one JSON object.
    """
    from gym_grasp.demos.card import dataset_card, plot_summary, summarise
    from gym_grasp.demos.reader import open_dataset
    from gym_grasp.files import check_suffix, write_atomically

    for path, suffix in ((plot, ".png"), (card, ".md"), (segments, ".json")):
        check_suffix(path, suffix)
    dataset = open_dataset(file)
    summary = summarise(dataset)
    parts = parts_of(dataset, segments)
    if plot is not None:
        plot_summary(dataset, plot)
    if card is not None:
        write_atomically(card, dataset_card(dataset).encode())
    if json:
        print_json({**dataclasses.asdict(summary), "segments": parts.to_dict()})
    else:
        print(dataset_card(dataset), parts.text(), sep="\n")


def validate(file: File, /, *, json: bool = False) -> None:
    """Check a dataset's every value, and replay every episode.

    Args:
        file: the dataset.
        json: print the report as one JSON object.
    """
    from gym_grasp.demos.reader import check, open_dataset

    dataset = open_dataset(file)
    with bar("checking", len(dataset)) as tell:
        check(dataset, tell)
    _replay(dataset, "cpu", json)


def replay(file: File, /, *, device: Device = "cpu", json: bool = False) -> None:
    """Apply every episode's actions to its start state again, and count the successes.

    Args:
        file: the dataset.
        device: where to simulate: cpu or cuda.
        json: print the report as one JSON object.
    """
    from gym_grasp.demos.reader import open_dataset

    _replay(open_dataset(file), device, json)


def _replay(dataset: "Dataset", device: str, json: bool) -> None:
    from gym_grasp.demos.replay import replay as replay_episodes
    from gym_grasp.envs.scene import model_digest
    from gym_grasp.envs.vector import GraspVectorEnv

    at_once = min(len(dataset), AT_ONCE) if device == "cpu" else len(dataset)
    env = GraspVectorEnv(dataset.env_spec(), at_once, device=device)
    with bar("replaying", len(dataset)) as tell:
        report = replay_episodes(dataset, env, progress=tell)
    same = dataset.meta.model_digest == model_digest(env.task.model)
    env.close()
    count = len(report.episodes)
    if json:
        print_json(report.to_dict())
    else:
        print(
            f"{report.reproduced} of {count} episodes succeed again at the same step, "
            f"{report.bit_exact} of them bit for bit; largest deviation {report.max_deviation:.2g}"
        )
    if device == "cpu" and report.reproduced < count:
        why = "Was it recorded on another kind of processor, or with another version?"
        raise DatasetError(
            f"{count - report.reproduced} of {count} episodes of {dataset.path} do not succeed "
            f"again. {why if same else 'The scene has changed since it was recorded.'}"
        )


def film(
    file: File,
    /,
    *,
    episode: str = "0",
    out: Path | None = None,
    film: FilmOptions = DEFAULT,
    json: bool = False,
) -> None:
    """Film recorded episodes, acted out anew.

    Args:
        file: the dataset.
        episode: which episodes, counted from 0: N, or N,M,…
        out: the MP4 to write; by default FILE-episode-N.mp4, beside the dataset.
        film: how it looks.
        json: print what was filmed as one JSON object.
    """
    import torch

    from gym_grasp.demos.reader import open_dataset
    from gym_grasp.envs.render import film_recorded, filming
    from gym_grasp.envs.vector import GraspVectorEnv
    from gym_grasp.files import check_suffix

    dataset = open_dataset(file)
    indices = numbers(episode)
    for index in indices:
        if not 0 <= index < len(dataset):
            raise UsageError(
                f"--episode is {index}; {file} has {len(dataset)} episodes, 0 to "
                f"{len(dataset) - 1}."
            )
    path = out or file.parent / f"{file.stem}-episode-{episode.replace(',', '-')}.mp4"
    check_suffix(path, ".mp4")
    chosen = [dataset.summaries[index] for index in indices]
    recorded = [(one.seed, torch.from_numpy(one.actions)) for one in chosen]
    with filming(), closing(GraspVectorEnv(dataset.env_spec(), 1, autoreset=False)) as env:
        frames = functools.partial(film_recorded, env, recorded)
        film.check(env).write(path, len(indices), frames)
    if json:
        print_json({"path": str(path), "episodes": indices})
    else:
        print(path)


def export(
    file: File,
    /,
    *,
    format: Literal["robomimic", "lerobot", "minari"],
    to: Path,
    camera: Literal["overview", "close"] | None = None,
    json: bool = False,
) -> None:
    """Write a dataset in another tool's format.

    Args:
        file: the dataset.
        format: which tool's.
        to: the file (robomimic) or folder to write.
        camera: lerobot only: also film every episode from there.
        json: print what was written as one JSON object.
    """
    from gym_grasp.demos.export import export as export_dataset
    from gym_grasp.demos.reader import open_dataset

    written = export_dataset(open_dataset(file), format, to, camera)
    if json:
        print_json(written)
    else:
        print("{path}: {episodes} episodes, {steps} steps\nload: {load}".format(**written))


def recover(file: File, /) -> None:
    """Make a dataset of the episodes that a killed recording had finished.

    Args:
        file: the file that was being recorded.
    """
    from gym_grasp.demos.parts import recover as recover_episodes

    print(recover_episodes(file))

"""`gym-grasp evaluate RUN...`."""

import functools
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from gym_grasp.cli.common import Device, print_json
from gym_grasp.cli.environment import (
    Environment,
    EnvironmentOptions,
    call,
    refuse_differences,
)
from gym_grasp.cli.film import DEFAULT, Film, FilmOptions
from gym_grasp.errors import GymGraspError, UsageError
from gym_grasp.learning.config import FIRST_SEED
from gym_grasp.perturbation import NONE, Perturbation
from gym_grasp.progress import bar

if TYPE_CHECKING:
    from gym_grasp.envs.spec import EnvSpec

VIDEO_EPISODES = 3


def main(args: Sequence[str]) -> None:
    """Run the subcommand."""
    from gym_grasp.experiments.perform import spec_of_policy
    from gym_grasp.learning.checkpoint import POLICY, load_policy

    paths = [Path(word) for word in args]
    found = next((one for one in paths if one.is_file() or (one / POLICY).is_file()), None)
    base = None if found is None else spec_of_policy(load_policy(found))
    call(evaluate, args, "gym-grasp evaluate", base)


def evaluate(
    runs: Annotated[tuple[Path, ...], tyro.conf.Positional],
    /,
    *,
    environment: EnvironmentOptions,
    episodes: int = 100,
    seed: int = FIRST_SEED,
    perturbation: Perturbation = NONE,
    perturb: bool = False,
    device: Device = "cpu",
    video: bool = True,
    video_episodes: int = VIDEO_EPISODES,
    film: FilmOptions = DEFAULT,
    json: bool = False,
) -> None:
    """Measure the success of trained policies: last checkpoint, mean action, fresh start states.

    Args:
        runs: folders of runs, or policy files, all trained in one environment; several are read
            as several seeds of one method.
        environment: in which they are evaluated, by default the one that they were trained in.
        episodes: per policy, one in each environment; the same start states for every policy.
        seed: of the start states, at least 2³¹; that of the published tables is 3221225472, and
            what is chosen by seeing success is chosen with others.
        perturbation: by how much the world differs from the model; the video shows the model.
        perturb: evaluate in one other world after the other: masses, friction, sizes, latency,
            noise, places of furniture, another physics rate, cone and, where there is a GPU,
            engine; writes perturbed.json, .md and .png into the first run's folder, or beside a
            policy file, POLICY-perturbed.json and so on. Films nothing.
        device: where to simulate: cpu or cuda.
        video: film the first policy at work, once the success is printed; writes video.mp4 and
            still.png into the run's folder, or beside a policy file, named like it.
        video_episodes: how many episodes to film.
        film: how it looks.
        json: print the result as one JSON object.
    """
    from gym_grasp.envs.vector import GraspVectorEnv
    from gym_grasp.experiments.perform import spec_of_policy
    from gym_grasp.learning.checkpoint import load_policy

    if perturb:
        if perturbation != NONE:
            raise UsageError(
                "--perturb tries one world after the other; leave --perturbation.… out, or leave "
                "out --perturb to evaluate in that one."
            )
        if film != DEFAULT or video_episodes != VIDEO_EPISODES:
            raise UsageError("Options of the video are given, but --perturb films nothing.")
        _perturb(runs, episodes, seed, device, environment, json)
        return
    if video_episodes < 1:
        raise UsageError(f"--video-episodes is {video_episodes}; it must be at least 1.")
    if not video and (film != DEFAULT or video_episodes != VIDEO_EPISODES):
        raise UsageError("Options of the video are given, and --no-video; leave one of them out.")
    if video and runs:  # better to learn now than after the evaluation
        spec = environment.spec(spec_of_policy(load_policy(runs[0])).task)
        env = GraspVectorEnv(spec, 1)
        film.check(env)
        env.close()
    result = evaluate_runs(runs, episodes, device, environment, perturbation, seed)
    if video:
        result["video"], result["still"] = map(str, film_paths(runs[0]))
    if json:
        print_json(result)
    else:
        _print(result)
    if video:
        spec = environment.spec(result["task"])
        film_run(runs[0], spec, video_episodes, film, "--no-video leaves the film out.")
        if not json:
            print(f"video: {result['video']}\nstill: {result['still']}")


def _perturb(
    runs: Sequence[Path],
    episodes: int,
    seed: int,
    device: str,
    environment: Environment,
    json: bool,
) -> None:
    """Evaluate policies in one world after the other, and write down how they fared."""
    from gym_grasp.experiments.perform import spec_of_policy
    from gym_grasp.experiments.perturbed import described, evaluate_worlds, worlds, write
    from gym_grasp.learning.checkpoint import load_policy

    if not runs:
        raise UsageError("Name at least one run folder or policy file.")
    spec = environment.spec(spec_of_policy(load_policy(runs[0])).task)
    columns = worlds(spec, device, other_engine(device))

    def one(there: "EnvSpec", perturbation: Perturbation, where: str) -> dict[str, Any]:
        return evaluate_runs(runs, episodes, where, there, perturbation, seed)

    rows = []
    for row in evaluate_worlds(columns, spec, device, one):
        rows.append(row)
        if not json:
            print(f"{row['world']}: {row['success']:.3f}", flush=True)
    result = {
        "task": spec.task,
        "spec": spec.to_dict(),
        "device": device,
        "episodes": episodes,
        "runs": [str(run) for run in runs],
        "worlds": rows,
    }
    stem = runs[0] / "perturbed"
    if not runs[0].is_dir():
        stem = runs[0].with_name(f"{runs[0].stem}-perturbed")
    paths = write(result, stem)
    if json:
        print_json(result)
    else:
        print("", *described(result), "", f"written: {', '.join(map(str, paths))}", sep="\n")


def other_engine(device: str) -> str | None:
    """Return a device of the other engine, if there is one."""
    import torch

    if device != "cpu":
        return "cpu"
    return "cuda" if torch.cuda.is_available() else None


def _print(result: dict[str, Any]) -> None:
    """Print what `evaluate_runs` returned, at once, as words."""
    from gym_grasp.differences import differences

    for row in result["runs"]:
        broken = f", {row['diverged']} diverged" if row["diverged"] else ""
        print(f"{row['run']}: {row['successes']} of {row['episodes']} episodes succeed{broken}")
    if "trained_spec" in result:
        lines = differences(
            result["trained_spec"], result["spec"], ("trained", "evaluated"), ignore=()
        )
        print("Evaluated in another environment:", *lines, sep="\n  ")
    low, high = result["interval"]
    print(
        f"{result['task']}: success {result['success']:.3f}, 95 % interval {low:.3f} to {high:.3f}",
        flush=True,
    )


def evaluate_runs(
    runs: Sequence[Path],
    episodes: int = 100,
    device: str = "cpu",
    environment: "Environment | EnvSpec | None" = None,
    perturbation: Perturbation = NONE,
    seed: int = FIRST_SEED,
) -> dict[str, Any]:
    """Evaluate policies trained in one environment, in that one or another of the same task.

    Returns:
        Counts of each run, the pooled interval, and the environment; where the policies were
        trained in another, that one too.

    Raises:
        UsageError: the policies were trained in different environments, cannot act in this one, or
            one is named twice.
    """
    from gym_grasp.envs.checks import checked_count
    from gym_grasp.envs.vector import GraspVectorEnv
    from gym_grasp.experiments.perform import spec_of_policy
    from gym_grasp.learning.checkpoint import load_policy
    from gym_grasp.learning.evaluate import evaluate as evaluate_policy
    from gym_grasp.learning.intervals import success_interval

    if not runs:
        raise UsageError("Name at least one run folder or policy file.")
    if len({run.resolve() for run in runs}) < len(runs):
        raise UsageError(
            f"{', '.join(map(str, runs))}: one of them is named twice, and would count as two "
            "seeds; name it once."
        )
    checked_count("episodes", episodes, 1)
    policies = [load_policy(run, device) for run in runs]
    trained = spec_of_policy(policies[0])
    for run, policy in zip(runs, policies, strict=True):
        what = f"{runs[0]} and {run} were trained in different environments; evaluate them apart:"
        refuse_differences(trained, spec_of_policy(policy), (str(runs[0]), str(run)), what)
    spec = trained
    if isinstance(environment, Environment):
        spec = environment.spec(trained.task)
    elif environment is not None:
        spec = environment
    _refuse_unfit(runs[0], trained, spec)
    env = GraspVectorEnv(spec, episodes, device=device, perturbation=perturbation)
    rows: list[dict[str, Any]] = []
    for run, policy in zip(runs, policies, strict=True):
        if spec == trained:
            policy.check(env)
        with bar(f"evaluating {run}", episodes) as tell:
            result = evaluate_policy(policy, env, episodes, seed, tell)
        rows.append(
            {
                "run": str(run),
                "episodes": result.episodes,
                "successes": result.successes,
                "mean_length": sum(result.lengths) / result.episodes,
                "diverged": result.diverged,
            }
        )
    env.close()
    interval = success_interval([row["successes"] for row in rows], [episodes] * len(rows))
    return {
        "task": spec.task,
        "spec": spec.to_dict(),
        **({} if spec == trained else {"trained_spec": trained.to_dict()}),
        "episodes": episodes,
        "evaluation_seed": result.seed,
        "perturbation": perturbation.to_dict(),
        "device": device,
        "runs": rows,
        "success": interval.rate,
        "interval": [interval.low, interval.high],
    }


def _refuse_unfit(run: Path, trained: "EnvSpec", spec: "EnvSpec") -> None:
    """Raise `UsageError` where observations or actions are others than a policy knows."""
    from gym_grasp.tasks.features import Packer

    for what, known, given in (
        ("observations", Packer(trained.features).names, Packer(spec.features).names),
        ("actions", trained.action_names, spec.action_names),
    ):
        if known != given:
            raise UsageError(
                f"{run} knows {len(known)} {what} of {trained.robot}, but {spec.robot} has "
                f"{len(given)}, or others; leave --robot out."
            )


def film_paths(run: Path) -> tuple[Path, Path]:
    """Return where video and still of a run folder or policy file lie."""
    if run.is_dir():
        return run / "video.mp4", run / "still.png"
    return run.with_suffix(".mp4"), run.with_suffix(".png")


def film_run(
    run: Path,
    spec: "EnvSpec | None" = None,
    episodes: int = VIDEO_EPISODES,
    look: Film = DEFAULT,
    advice: str = "",
) -> tuple[Path, Path]:
    """Film a policy in evaluation episodes, once its success is told.

    Args:
        run: its run folder or file.
        spec: the environment; by default the one that it was trained in.
        episodes: how many.
        look: how the film looks.
        advice: what to do where it cannot be filmed.

    Returns:
        The paths of video and still.

    Raises:
        GymGraspError: it cannot be filmed; the message says that the success stands.
    """
    from gym_grasp.envs.render import film, filming, write_picture
    from gym_grasp.envs.vector import GraspVectorEnv
    from gym_grasp.experiments.perform import spec_of_policy
    from gym_grasp.learning.checkpoint import load_policy

    video, still = film_paths(run)
    try:
        policy = load_policy(run)
        env = GraspVectorEnv(spec or spec_of_policy(policy), 1, autoreset=False)
        with filming(), closing(env):
            frames = functools.partial(film, env, policy, episodes, FIRST_SEED)
            write_picture(still, look.check(env).write(video, episodes, frames))
    except GymGraspError as error:
        raise GymGraspError(f"The success above stands. {error} {advice}".rstrip()) from error
    return video, still


def end_with_film(
    result: dict[str, Any], run: Path, began: float, json: bool, video: bool = True
) -> None:
    """Film the policy that a command made, and say what there is; a fault costs the film alone.

    Args:
        result: what the command found; gets `seconds`, and `video` and `still` with a film.
        run: folder of the policy.
        began: `time.perf_counter()` as the command began.
        json: print `result` as one JSON object, instead of the film's path and the next command.
        video: whether there is to be a film.
    """
    try:
        if video:
            result["video"], result["still"] = map(str, film_run(run))
    finally:
        result["seconds"] = round(time.perf_counter() - began, 1)
        if json:
            print_json(result)
    if not json:
        if video:
            print(f"video: {result['video']}")
        print(f"next: gym-grasp evaluate {run} --episodes 1000")

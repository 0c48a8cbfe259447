"""`gym-grasp benchmark`."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import tyro

from gym_grasp.cli.common import TASK_NAMES, Device, print_json
from gym_grasp.cli.environment import (
    Environment,
    EnvironmentOptions,
    call,
    refuse_differences,
    spec_of_run,
)
from gym_grasp.errors import UsageError
from gym_grasp.tasks import TASKS


def main(args: Sequence[str]) -> None:
    """Run the subcommand."""
    given = dict(pairwise(part for word in args for part in word.split("=", 1))).get("--run")
    call(
        benchmark, args, "gym-grasp benchmark", None if given is None else spec_of_run(Path(given))
    )


def benchmark(
    tasks: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar=f"[{TASK_NAMES} ...]")
    ] = (),
    /,
    *,
    environment: EnvironmentOptions,
    num_envs: tuple[int, ...] = (1024,),
    device: Device = "cpu",
    rounds: int = 5,
    train: bool = True,
    run: Path | None = None,
    peers: bool = False,
    mjlab: Path | None = None,
    repeats: int | None = None,
    plot: Path | None = None,
    json: bool = False,
) -> None:
    """Measure control steps per second: the engine alone, environment, rollout, training epoch.

    Args:
        tasks: which tasks; by default all, with --run that of the run.
        environment: what is measured; with --run by default that of the run.
        num_envs: environments at once; several numbers are measured one after the other.
        device: cpu or cuda.
        rounds: of 32 control steps each; medians are reported.
        train: also time rollouts with a policy and whole PPO epochs.
        run: folder of a training run: its policy, demonstrations and settings make the epochs,
            so that hands are in contact; by default PPO from nothing.
        peers: instead, measure this learner, rsl_rl's PPO on the same environment (needs
            gym-grasp[rsl-rl]) and, with --mjlab, mjlab's lift task, each in a process of its own,
            in turn.
        mjlab: Python of an environment that has mjlab, such as .venv-mjlab/bin/python.
        repeats: how often each of the peers is measured; by default 3 times.
        plot: draw throughput against the number of environments into this PNG.
        json: print the results as one JSON object.
    """
    from gym_grasp.bench.report import plot_throughput, throughput_table
    from gym_grasp.bench.throughput import measure
    from gym_grasp.envs.checks import checked_count
    from gym_grasp.files import check_suffix

    check_suffix(plot, ".png")
    checked_count("--rounds", rounds, 1)
    if not num_envs:
        raise UsageError("--num-envs names no number; give one, or leave it out.")
    if run is not None and not tasks:
        tasks = (spec_of_run(run).task,)
    if run is not None and not train:
        raise UsageError("--run says what is trained, and --no-train trains nothing.")
    if peers and not train:
        raise UsageError("--peers measures training; leave --no-train out.")
    if peers:
        times = 3 if repeats is None else repeats
        _peers(tasks, environment, num_envs, device, rounds, run, mjlab, times, plot, json)
        return
    for option, value in (("--mjlab", mjlab), ("--repeats", repeats)):
        if value is not None:
            raise UsageError(f"{option} goes with --peers.")
    if run is not None and {*tasks} != {spec_of_run(run).task}:
        raise UsageError(f"{run} is of the task '{spec_of_run(run).task}'; name no other.")
    specs = [environment.spec(task) for task in tasks or TASKS]
    if run is not None:
        what = f"The policy of {run} is of another environment than the one to measure:"
        for spec in specs:
            refuse_differences(spec_of_run(run), spec, ("run", "options"), what)
    results = [
        measure(spec, count, device, rounds=rounds, train=train, run=run)
        for spec in specs
        for count in num_envs
    ]
    if json:
        print_json({"results": [result.to_dict() for result in results]})
    else:
        print(throughput_table(results), flush=True)
    if plot is not None:
        plot_throughput(results, plot)


def _peers(
    tasks: Sequence[str],
    environment: Environment,
    num_envs: Sequence[int],
    device: str,
    rounds: int,
    run: Path | None,
    mjlab: Path | None,
    repeats: int,
    plot: Path | None,
    json: bool,
) -> None:
    """Measure learners beside each other, and print what ours is to each."""
    from gym_grasp.bench.peers import commands, compare, peers_table

    if len(tasks) != 1 or len(num_envs) != 1 or plot is not None:
        raise UsageError("--peers compares in one task, at one --num-envs, and draws no --plot.")
    spec = environment.spec(tasks[0])
    what = "--peers measures tasks as they are; leave these options out:"
    refuse_differences(type(spec)(spec.task), spec, ("task", "options"), what)
    if repeats < 1:
        raise UsageError(f"--repeats is {repeats}; it must be at least 1.")
    learners = commands(tasks[0], num_envs[0], device, rounds, run, mjlab)
    result = compare(learners, spec.control.interval, repeats)
    if json:
        print_json({"task": tasks[0], "num_envs": num_envs[0], "device": device, "peers": result})
    else:
        print(peers_table(result))

"""This learner beside its peers: rsl_rl on the same environment, and mjlab on its own lift task.

Each runs in a process of its own, in turn, several times over: what else the machine does meets all
of them alike.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from gym_grasp.errors import GymGraspError
from gym_grasp.markdown import table

OURS = "gym-grasp"
SPEEDS = ("training", "stepping")


def commands(
    task: str, num_envs: int, device: str, rounds: int, run: Path | None, mjlab: Path | None
) -> dict[str, list[str]]:
    """Return the command that measures each of the learners, by name.

    Args:
        task: of this framework and of rsl_rl on it.
        num_envs: environments at once.
        device: cpu or cuda.
        rounds: training iterations that each times.
        run: a training run of ours, whose policy and demonstrations make the epochs.
        mjlab: a Python that has mjlab; None leaves it out.
    """
    common = ["--num-envs", str(num_envs), "--device", device]
    timed = ["--rounds", str(rounds)]
    own = [] if run is None else ["--run", str(run)]
    here = [sys.executable, "-m"]
    found = {
        OURS: [*here, "gym_grasp.cli.main", "benchmark", task, *common, *timed, *own, "--json"],
        "rsl_rl on it": [
            *(*here, "gym_grasp.bench.rsl_rl", task, *common),
            *("--epochs", str(rounds), "--episodes", "1"),
        ],
    }
    if mjlab is not None:
        script = Path(__file__).with_name("mjlab_lift.py")
        # -I: else modules beside the script would stand for packages of their names.
        found["mjlab"] = [str(mjlab), "-I", str(script), *common, *timed]
    return found


def read(name: str, output: Mapping[str, Any], interval: int) -> dict[str, float]:
    """Return what a command found: `training` and `stepping`, in steps/s, and `physics_steps`.

    Args:
        name: of the learner.
        output: the JSON object that it printed.
        interval: physics steps of a control step of ours.
    """
    if name == OURS:
        (result,) = output["results"]
        return {
            "training": result["epoch"],
            "stepping": result["env_step"],
            "physics_steps": interval,
        }
    if name == "mjlab":
        return {key: output[key] for key in (*SPEEDS, "physics_steps")}
    return {"training": output["rsl_rl"]["steps_per_second"], "physics_steps": interval}


def compare(
    learners: Mapping[str, Sequence[str]], interval: int, repeats: int
) -> dict[str, dict[str, Any]]:
    """Measure all learners in turn; return for each its medians, spread and what ours is to it.

    Args:
        learners: as `commands` returns them, ours among them.
        interval: physics steps of a control step of ours.
        repeats: how often each is measured.

    Raises:
        GymGraspError: one of them cannot be measured; the message holds the end of what it said.
    """
    found: dict[str, list[dict[str, float]]] = {name: [] for name in learners}
    for _ in range(repeats):
        for name, command in learners.items():
            found[name].append(read(name, _run(name, command), interval))
    return {name: _summary(rounds, found[OURS]) for name, rounds in found.items()}


def _run(name: str, command: Sequence[str]) -> Any:
    done = subprocess.run(command, capture_output=True, text=True)
    try:
        return json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError) as error:
        said = " ".join((done.stderr or done.stdout).split())[-500:]
        raise GymGraspError(
            f"'{name}' could not be measured (exit code {done.returncode}): {said}"
        ) from error


def _summary(
    rounds: Sequence[Mapping[str, float]], ours: Sequence[Mapping[str, float]]
) -> dict[str, Any]:
    summary: dict[str, Any] = {"physics_steps": rounds[0]["physics_steps"]}
    for speed in SPEEDS:
        if speed not in rounds[0]:
            continue
        values = [one[speed] for one in rounds]
        ratios = [mine[speed] / value for mine, value in zip(ours, values, strict=True)]
        steps = ours[0]["physics_steps"] / rounds[0]["physics_steps"]
        summary[speed] = {
            "control_steps": median(values),
            "spread": [min(values), max(values)],
            "ours": median(ratios),
            "ours_physics": median(ratios) * steps,
        }
    return summary


def peers_table(result: Mapping[str, Mapping[str, Any]]) -> str:
    """Return what `compare` found as Markdown."""
    rows = []
    for name, summary in result.items():
        for speed in SPEEDS:
            if speed not in summary:
                continue
            one = summary[speed]
            low, high = one["spread"]
            rows.append(
                (
                    name,
                    speed,
                    f"{one['control_steps']:,.0f} ({low:,.0f} to {high:,.0f})",
                    f"{one['control_steps'] * summary['physics_steps']:,.0f}",
                    f"{one['ours']:.2f}",
                    f"{one['ours_physics']:.2f}",
                )
            )
    head = ("learner", "", "control steps/s", "physics steps/s", "ours ÷ it", "in physics steps")
    return "\n".join(table(head, rows))

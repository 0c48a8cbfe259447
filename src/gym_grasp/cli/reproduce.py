"""`gym-grasp reproduce table1|table3|fig7|demos|hands`."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from gym_grasp.cli.common import DATA, RUNS, TASK_NAMES, Device, print_json
from gym_grasp.cli.environment import call
from gym_grasp.cli.sweep import raise_failures
from gym_grasp.errors import UsageError
from gym_grasp.experiments.executors import Execution
from gym_grasp.experiments.sweep import Outcome, Place, Row, Run, sweep

RESULTS = Path("results")
SMOKE: dict[str, Any] = {"episodes": 4, "recorded": 10, "smoke": True}


@dataclass
class Reproduce:
    """Make the paper's tables and figures anew: train what is missing, then gather all there is.

    table1: control steps per second. table3: success of DAPG, PPO and BC. fig7: films of PPO dense
    beside DAPG. demos: BC and DAPG with fewer demonstrations, plain and multiplied. hands: BC and
    DAPG with other hands and another arm.
    """

    what: tyro.conf.Positional[Literal["table1", "table3", "fig7", "demos", "hands"]]
    """Which table or figure."""
    tasks: Annotated[tuple[str, ...], tyro.conf.arg(metavar=TASK_NAMES)] = ()
    """Only these tasks."""
    methods: tuple[Row, ...] = ()
    """Only these rows (table3): a method with its reward; from-scratch: without pretraining."""
    robots: tuple[str, ...] = ()
    """Only these robots (hands)."""
    seeds: tuple[int, ...] = ()
    """Only these training seeds; by default 0 1 2."""
    device: Device = "cpu"
    """cpu or cuda."""
    gather: bool = False
    """Train nothing: make tables and figures from the runs at hand."""
    smoke: bool = False
    """The smallest runs, only to see that everything runs; kept apart from results."""
    out: Path | None = None
    """Folder to publish into, and whose runs need no repetition; by default results."""
    runs: Path | None = None
    """Folder of the runs; by default runs/reproduce."""
    execution: Annotated[Execution, tyro.conf.arg(name="")] = field(default_factory=Execution)
    json: bool = False
    """Print the files written as one JSON object."""


def main(args: Sequence[str]) -> None:
    """Run the subcommand."""
    options = call(Reproduce, args, "gym-grasp reproduce")
    from gym_grasp.experiments.results import load, policy_path, publish

    if options.methods and options.what != "table3":
        raise UsageError(f"--methods chooses among table3's; {options.what} has its own.")
    if options.robots and options.what != "hands":
        raise UsageError(f"--robots chooses among those of hands; {options.what} has the paper's.")
    if options.seeds and options.what in ("fig7", "table1"):
        raise UsageError(f"--seeds: {options.what} trains no seeds of its own; leave it out.")
    runs = options.runs or RUNS / ("smoke" if options.smoke else "reproduce")
    out = options.out or (runs / "results" if options.smoke else RESULTS)
    data = runs / "data" if options.smoke else DATA
    place = Place(runs, data, options.device, options.execution.runs_per_gpu)
    if options.smoke:
        place = dataclasses.replace(place, **SMOKE)
    wanted = [] if options.gather else _runs(options)
    failed: list[Outcome] = []
    if wanted:
        execute = options.execution.make(options.device)
        at_hand = [
            one.run
            for one in load(out)
            if one.content["smoke"] == options.smoke and one.spec == one.run.spec.to_dict()
        ]
        if options.what == "fig7":  # needs the policies themselves
            at_hand = [run for run in at_hand if policy_path(out, run.task, run.label).exists()]
        failed = sweep(wanted, place, execute, at_hand)
    publish(runs, out, options.device)
    files = _gather(options, out)
    if options.json:
        print_json(
            {
                "smoke": options.smoke,
                "files": [str(path) for path in files],
                "failed": {run.name: error for run, error in failed},
            }
        )
    else:
        for path in files:
            print(f"{'SMOKE: ' if options.smoke else ''}{path}")
    raise_failures(failed, len(wanted))


def _runs(options: Reproduce) -> list[Run]:
    """Return the runs that a table or figure is made from."""
    from gym_grasp.paper import fewer_demos, fig7, hands, table3

    tasks, seeds, device, smoke = options.tasks, options.seeds, options.device, options.smoke
    if options.what == "table3":
        return table3.runs(tasks, options.methods, seeds, device, smoke)
    if options.what == "fig7":
        return table3.runs(tasks or (fig7.TASK,), fig7.SIDES, (0,), device, smoke)
    if options.what == "demos":
        return fewer_demos.runs(tasks, seeds, device, smoke)
    if options.what == "hands":
        return hands.runs(tasks, options.robots, seeds, device, smoke)
    return []


def _gather(options: Reproduce, out: Path) -> list[Path]:
    from gym_grasp.experiments.results import load

    results = [one for one in load(out) if one.content["smoke"] == options.smoke]
    if options.what == "table3":
        from gym_grasp.paper import table3

        return table3.gather(results, out, options.smoke)
    if options.what == "demos":
        from gym_grasp.paper import fewer_demos

        return fewer_demos.gather(results, out, options.smoke)
    if options.what == "hands":
        from gym_grasp.paper import hands

        return hands.gather(results, out, options.smoke)
    if options.what == "table1":
        from gym_grasp.paper import table1, table3

        tasks = () if options.gather else options.tasks or tuple(table3.EPOCHS)
        return table1.make(results, out, tasks, options.device, options.smoke)
    from gym_grasp.paper import fig7

    filmed = [fig7.make(out, task, options.smoke) for task in options.tasks or (fig7.TASK,)]
    return [path for paths in filmed for path in paths]

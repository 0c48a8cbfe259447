"""`gym-grasp train TASK`."""

import dataclasses
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from gym_grasp.cli.common import RUNS, Device, TaskName, dataset_path, print_json
from gym_grasp.cli.environment import EnvironmentOptions, call
from gym_grasp.errors import UsageError
from gym_grasp.learning.config import TrainConfig, default_num_envs
from gym_grasp.learning.metrics import CURVE
from gym_grasp.perturbation import NONE, ROBUST, Perturbation

if TYPE_CHECKING:
    from gym_grasp.envs.spec import EnvSpec


@dataclass
class Train:
    """Train a policy with BC, PPO or DAPG."""

    task: TaskName
    """Task to learn, e.g. open-drawer."""
    environment: EnvironmentOptions
    config: Annotated[TrainConfig, tyro.conf.arg(name="")] = field(default_factory=TrainConfig)
    reward: Literal["sparse", "dense"] = "sparse"
    """sparse: 0 on success, −1 otherwise; dense: as the task defines it."""
    num_envs: int | None = None
    """Environments at once; by default 256 on a CPU and 16,384 on a GPU."""
    perturbation: Perturbation = field(default_factory=Perturbation)
    robust: bool = False
    """Train for other worlds than the model: all that `perturbation` has, in stated ranges (see the
    guide on learning), and a critic that knows what they are."""
    device: Device = "cpu"
    """Where physics and learning run: cpu, cuda or cuda:INDEX."""
    demos: Path | None = None
    """Demonstrations; by default data/TASK.hdf5."""
    demo_starts: bool = False
    """ppo and dapg: three in four episodes begin within a demonstration, ever farther from its end;
    evaluation never does."""
    run: Path | None = None
    """Folder of the run; by default runs/TASK-METHOD-REWARD-SEED."""
    json: bool = False
    """Print the summary as one JSON object."""


def main(args: Sequence[str]) -> None:
    """Run the subcommand."""
    options = call(Train, args, "gym-grasp train")
    config, perturbation = options.config, options.perturbation
    if options.robust:
        if perturbation != NONE:
            raise UsageError("--robust chooses the perturbation; leave --perturbation.… out.")
        perturbation = ROBUST
        config = dataclasses.replace(config, privileged_critic=True)
    config.refuse_idle()
    summary = train_one(
        options.environment.spec(options.task),
        config,
        reward=options.reward,
        num_envs=options.num_envs,
        perturbation=perturbation,
        device=options.device,
        demos=options.demos,
        demo_starts=options.demo_starts,
        folder=options.run,
    )
    if options.json and summary:
        print_json(summary)
    elif summary:
        print(end_of_training(summary))


def end_of_training(summary: dict[str, Any]) -> str:
    """Return what a person wants to know at the end of a run: where, how good, and what now."""
    run, last = summary["run"], summary["last"]
    success, held_out = last.get("rollout/success"), last.get("loss/validation")
    if success is not None:
        good = f"success of the last exploring episodes: {success:.0%}"
    elif held_out is not None:
        good = f"error on held-out demonstrations: {held_out:.4f}; no episode was run yet"
    else:
        good = "no episode has ended yet"
    window = summary.get("demo_window")
    if window is not None:
        good += f"; three in four of them began in the last {window:.0%} of a demonstration"
    broken = summary["counters"]["diverged"]
    lines = [
        f"run: {run}, {summary['epochs']} epochs in {summary['seconds']:.0f} s",
        good,
        *([f"simulations that diverged and began anew: {broken}"] if broken else []),
        f"curve: {Path(run) / CURVE}",
        f"next: gym-grasp evaluate {shlex.quote(run)}",
    ]
    return "\n".join(lines)


def train_one(
    spec: "EnvSpec",
    config: TrainConfig,
    *,
    reward: Literal["sparse", "dense"] = "sparse",
    num_envs: int | None = None,
    perturbation: Perturbation = NONE,
    device: str = "cpu",
    demos: Path | None = None,
    demo_starts: bool = False,
    folder: Path | None = None,
    resume: bool = False,
) -> dict[str, Any]:
    """Make environment and demonstrations, and train; returns the run's summary and folder.

    Started by `torchrun`, processes but the first return nothing.
    """
    from gym_grasp.demos.reader import open_dataset
    from gym_grasp.demos.starts import begin_within
    from gym_grasp.envs.vector import GraspVectorEnv
    from gym_grasp.experiments.perform import check_training, learn
    from gym_grasp.learning import distributed
    from gym_grasp.learning.demonstrations import Demonstrations

    if not config.steps_environment:
        for option, given in (
            ("--num-envs", num_envs is not None and not resume),
            ("--reward dense", reward != "sparse"),
            ("--perturbation", perturbation != NONE),
            ("--demo-starts", demo_starts),
        ):
            if given:
                raise UsageError(
                    f"{option} is given, but the method '{config.method}' steps no environment."
                )
    check_training(spec)
    folder = folder or RUNS / f"{spec.task}-{config.method}-{reward}-{config.seed}"
    demonstrations = dataset = None
    if config.needs_demonstrations or demo_starts:
        demos = demos or dataset_path(spec.task)
        dataset = open_dataset(demos, spec=spec)
        if config.needs_demonstrations:
            demonstrations = Demonstrations.from_dataset(dataset)
    elif demos is not None:
        raise UsageError(
            f"--demos is given, but the method '{config.method}' uses none without --demo-starts."
        )
    if not config.steps_environment:
        num_envs = 1
    elif num_envs is None:
        num_envs = default_num_envs(device)
    with distributed.joined(device) as own_device:
        env = GraspVectorEnv(
            spec,
            num_envs,
            device=own_device,
            reward=reward,
            num_threads=distributed.threads(),
            first_env=num_envs * distributed.rank(),
            perturbation=perturbation,
            privileged=config.privileged_critic,
        )
        if dataset is not None and demo_starts:
            begin_within(env, dataset)
        summary, counters = learn(env, config, folder, demonstrations, demos, device, resume)
    if not summary:
        return {}
    within = env.episodes.demos
    window = {} if within is None else {"demo_window": round(float(within.window), 4)}
    return {"run": str(folder), **summary, "counters": counters, **window}

"""One run from nothing to its result; as a module, the process that an executor starts for it."""

import contextlib
import ctypes
import dataclasses
import json
import logging
import os
import platform
import random
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gym_grasp.demos.multiply.multiply import multiply
from gym_grasp.demos.reader import open_dataset
from gym_grasp.demos.record import record
from gym_grasp.demos.retarget import retarget
from gym_grasp.envs.judge import divergences_text
from gym_grasp.envs.spec import EnvSpec
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import DatasetError, GymGraspError, UsageError
from gym_grasp.experiments.sweep import RESULT, Place, Run
from gym_grasp.files import locked, read_json, write_json
from gym_grasp.learning import distributed
from gym_grasp.learning.checkpoint import CHECKPOINT, LoadedPolicy, load_policy
from gym_grasp.learning.config import FIRST_SEED, PUBLISHED_SEED, TrainConfig
from gym_grasp.learning.demonstrations import Demonstrations
from gym_grasp.learning.evaluate import Evaluation, evaluate
from gym_grasp.learning.metrics import METRICS
from gym_grasp.learning.networks import Policy
from gym_grasp.learning.train import train
from gym_grasp.learning.watch import Watch
from gym_grasp.perturbation import NONE, ROBUST

PR_SET_PDEATHSIG = 1

log = logging.getLogger(__name__)


def perform(run: Run, place: Place, threads: int = 0) -> dict[str, Any]:
    """Record demonstrations if there are none, train, evaluate the last policy, keep the result.

    A run that was cut goes on from its checkpoint. The result is written last and at once.

    Args:
        run: what to learn.
        place: where.
        threads: of the CPU physics; 0 takes every core.

    Returns:
        What result.json holds.

    Raises:
        GymGraspError: whatever stood in the way.
    """
    folder = place.folder(run)
    check_training(run.spec)
    with only_one(folder / ".lock", wait=False):
        config = run.config()
        demonstrations, path, learned_from = None, None, {"demonstrations": 0, "dataset": None}
        if config.needs_demonstrations:
            demonstrations, path, learned_from = load_demonstrations(run, place, threads)
        env = GraspVectorEnv(
            run.spec,
            run.num_envs if config.steps_environment else 1,
            device=place.device,
            reward=run.reward,
            num_threads=threads,
            perturbation=ROBUST if run.robust else NONE,
            privileged=config.privileged_critic,
        )
        resume = (folder / CHECKPOINT).exists()
        _, counters = learn(env, config, folder, demonstrations, path, place.device, resume)
        evaluation = evaluate_run(run, place, threads)
        summary = read_json(folder / METRICS)["summary"]
        result = {
            "smoke": place.smoke,
            "run": run.to_dict(),
            "spec": run.spec.to_dict(),
            "config": json.loads(json.dumps(dataclasses.asdict(config))),
            **learned_from,
            "device": device_name(place.device),
            "runs_per_gpu": place.runs_per_gpu,
            "versions": summary["versions"],
            "epochs": summary["epochs"],
            "steps": summary["steps"],
            "seconds": round(summary["seconds"], 2),
            "steps_per_second": round(summary["steps_per_second"]),
            "counters": counters,
            "evaluation_seed": evaluation.seed,
            "episodes": evaluation.episodes,
            "successes": evaluation.successes,
            "outcomes": "".join("01"[success] for success in evaluation.success),
            "mean_length": round(sum(evaluation.lengths) / evaluation.episodes, 1),
            "diverged": evaluation.diverged,
        }
        write_json(folder / RESULT, result)
    return result


def check_training(spec: EnvSpec) -> None:
    """Raise `UsageError` where something about the environment is kept for evaluation."""
    if spec.task_class.held_out(spec.task_options):
        chosen = ", ".join(f"{name}={value}" for name, value in spec.options.items())
        raise UsageError(
            f"The task '{spec.task}' with {chosen} is kept for evaluation (see its card); train "
            "with others."
        )


def learn(
    env: GraspVectorEnv,
    config: TrainConfig,
    folder: Path,
    demonstrations: Demonstrations | None,
    path: Path | None,
    device: str,
    resume: bool,
) -> tuple[dict[str, Any], dict[str, int]]:
    """Train, with all in config.json that making the same environment again takes; close `env`.

    Args:
        env: the environments.
        config: settings of the run.
        folder: of the run.
        demonstrations: what is learned from, or None.
        path: their file, or None.
        device: as it was asked for; processes that share a run have one of their own each.
        resume: go on from the folder's checkpoint.

    Returns:
        The summary, as `train` returns it, and the environment's counters.
    """
    settings = {
        "spec": env.env_spec.to_dict(),
        "reward": env.reward_kind,
        "num_envs": env.num_envs,
        "perturbation": env.perturber.perturbation.to_dict(),
        "device": device,
        "demo_starts": env.episodes.demos is not None,
        "demos": None if path is None else str(path.resolve()),
        "demos_from_run": None if path is None else os.path.relpath(path, folder),
    }
    watch = watching(env, config)
    try:
        summary = train(
            env, config, folder, demonstrations, resume=resume, settings=settings, watch=watch
        )
    finally:
        counters = env.counters()
        if env.device.type != "cpu" and counters["diverged"]:  # there each step says it at once
            log.warning(divergences_text(env.divergences.tolist()))
        env.close()
        watch.close()
    return summary, counters


def watching(env: GraspVectorEnv, config: TrainConfig) -> Watch:
    """Return what looking at a policy takes while it is trained in `env`, if it is to be."""
    if distributed.rank() != 0:
        return Watch()
    evaluated = None
    if config.evaluation_interval is not None:
        spec, count = env.env_spec, config.evaluation_episodes
        threads = distributed.threads()
        evaluated = GraspVectorEnv(spec, count, device=env.device, num_threads=threads)
    if config.film_interval is None:
        return Watch(evaluated)
    from gym_grasp.envs.render import Camera

    with Camera(env):
        pass  # better to learn now than after training that nothing can be drawn
    return Watch(evaluated, partial(_film, env.env_spec))


def _film(spec: EnvSpec, policy: Policy, path: Path) -> None:
    """Film the first evaluation episode, on the CPU."""
    from gym_grasp.envs.render import film, filming, views_of, write_video

    device = policy.normalizer.mean.device

    def act(observation: Tensor) -> Tensor:
        return policy(observation.to(device)).cpu()

    with filming(), contextlib.closing(GraspVectorEnv(spec, 1, autoreset=False)) as env:
        frames = film(env, act, 1, FIRST_SEED, camera=views_of(env), every=2)
        write_video(path, frames, env.control_rate / 2)


def spec_of_policy(policy: LoadedPolicy) -> EnvSpec:
    """Return the environment that a policy was trained in."""
    return EnvSpec.from_dict(policy.identity.spec)


def attempt(run: Run, place: Place, threads: int = 0) -> str | None:
    """Perform a run; return what went wrong, so that others can go on."""
    try:
        perform(run, place, threads)
    except GymGraspError as error:
        return str(error)
    except Exception as error:
        traceback.print_exc()
        return f"{type(error).__name__}: {error}"
    return None


def load_demonstrations(
    run: Run, place: Place, threads: int = 0
) -> tuple[Demonstrations, Path, dict[str, Any]]:
    """Return what a run learns from, its file, and what the run's result says about it.

    That is: how many recorded episodes, the fingerprint, and of how many attempts at the whole
    dataset how many failed.

    The first run that needs a dataset records, carries over or multiplies it, others wait.
    """
    path = _dataset(run, place, threads)
    dataset = open_dataset(path, spec=run.spec)
    train = list(dataset.train_indices)
    chosen: list[int] | None = None
    if run.demos is not None:
        if run.demos > len(train):
            raise DatasetError(
                f"{path} has {len(train)} episodes to train on and {run.demos} are wanted; ask "
                "for fewer, or record more."
            )
        # Another draw for every seed: the spread over seeds then covers the choice as well.
        chosen = sorted(random.Random(run.seed).sample(train, run.demos))
    about: dict[str, Any] = {"attempts": dataset.meta.attempts, "failures": dataset.meta.failures}
    count = len(train if chosen is None else chosen)
    if run.multiplied is not None:
        path = place.multiplied(run)
        wanted = partial(multiply, dataset, path, run.multiplied, episodes=chosen, seed=run.seed)
        _once(path, lambda: wanted(num_threads=threads, overwrite=True))
        dataset, chosen = open_dataset(path, spec=run.spec), None
    demonstrations = Demonstrations.from_dataset(dataset, chosen)
    about |= {"demonstrations": count, "dataset": demonstrations.fingerprint}
    return demonstrations, path, about


def _dataset(run: Run, place: Place, threads: int) -> Path:
    """Return the file of a run's dataset, made if it is missing."""
    path = place.dataset(run)
    if run.retargeted_from is None:
        spec, count = run.spec.replace(max_episode_steps=None), run.recorded or place.recorded
        _once(path, lambda: record(spec, path, count, overwrite=True, num_threads=threads))
        return path
    first = dataclasses.replace(run, robot=run.retargeted_from, retargeted_from=None)
    source = _dataset(first, place, threads)
    _once(path, lambda: retarget(source, path, run.robot, num_threads=threads, overwrite=True))
    return path


def _once(path: Path, make: Callable[[], object]) -> None:
    """Make a file that is missing, in one process; others wait for it."""
    if not path.exists():
        with only_one(path.with_name(f".{path.name}.lock"), wait=True):
            if not path.exists():
                make()


def evaluate_run(run: Run, place: Place, threads: int = 0) -> Evaluation:
    """Evaluate a run's last policy, one episode an environment, in the start states of all runs."""
    policy = load_policy(place.folder(run), place.device)
    env = GraspVectorEnv(run.spec, place.episodes, device=place.device, num_threads=threads)
    policy.check(env)
    try:
        return evaluate(policy, env, place.episodes, PUBLISHED_SEED)
    finally:
        env.close()


def only_one(path: Path, wait: bool) -> contextlib.AbstractContextManager[None]:
    """Hold a lock file, see `files.locked`."""
    busy = f"Another process is at work in {path.parent}; wait for it, or end it."
    return locked(path, busy, wait=wait)


def device_name(device: str) -> str:
    """Return the model of the GPU, or of the processor with the cores that this process may use."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    model = platform.machine()
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if "model name" in line)
    cores = len(os.sched_getaffinity(0))
    return f"{cores} core{'s' if cores > 1 else ''} of {model}"


def main(argv: Sequence[str]) -> int:
    """Perform the run that one argument describes: JSON with run, place and cores."""
    order = json.loads(argv[0])
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)  # not to outlive who started it
    os.sched_setaffinity(0, order["cores"])
    error = attempt(Run.from_dict(order["run"]), Place.from_dict(order["place"]))
    if error:
        print(error, file=sys.stderr)
    return 1 if error else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

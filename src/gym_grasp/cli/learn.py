"""`gym-grasp learn FILE`: from a file of one demonstration, or a few, to a film of a policy."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from gym_grasp.cli.common import RUNS, Device, numbers
from gym_grasp.cli.environment import call
from gym_grasp.cli.multiply import multiply_one, told

GOOD = 0.97
"""Success from which the clone is good enough."""
GRADIENT_STEPS = 12_000
"""Of cloning: passes over few demonstrations are many, over many few."""
PASSES = (10, 300)
"""Passes at least and at most."""


def main(args: Sequence[str]) -> None:
    """Run the subcommand."""
    call(learn, args, "gym-grasp learn")


def learn(
    file: Annotated[Path, tyro.conf.Positional],
    /,
    *,
    to: int = 1_000,
    out: Path | None = None,
    episode: str | None = None,
    segments: Path | None = None,
    episodes: int = 100,
    max_minutes: float = 10.0,
    seed: int = 0,
    device: Device = "cpu",
    video: bool = True,
    json: bool = False,
) -> None:
    """Multiply demonstrations, clone them, evaluate; where that is not enough, DAPG; film.

    Args:
        file: the dataset, if only of one demonstration.
        to: demonstrations to multiply it to.
        out: folder of everything it makes; by default runs/learn-NAME-OF-THE-FILE.
        episode: which of its episodes are used, counted from 0: N, or N,M,…; by default all.
        segments: a file of corrected segments, see `gym-grasp demos multiply`.
        episodes: evaluation episodes.
        max_minutes: of DAPG; 0: none.
        seed: of start states, networks and exploration.
        device: where physics and learning run: cpu or cuda.
        video: film the policy that is returned.
        json: print the result as one JSON object.
    """
    from gym_grasp.cli.evaluate import end_with_film, evaluate_runs
    from gym_grasp.cli.train import train_one
    from gym_grasp.demos.reader import open_dataset
    from gym_grasp.envs.checks import checked_count
    from gym_grasp.envs.render import Camera
    from gym_grasp.envs.vector import GraspVectorEnv
    from gym_grasp.experiments.perform import check_training
    from gym_grasp.learning.checkpoint import CHECKPOINT
    from gym_grasp.learning.config import LONG_ROLLOUTS, TrainConfig

    checked_count("episodes", episodes, 1)
    began = time.perf_counter()

    def say(text: str) -> None:
        print(f"[{time.perf_counter() - began:5.0f} s] {text}", file=sys.stderr, flush=True)

    checked_count("to", to, 1)
    further: dict[str, Any] = {
        "epochs": 100_000,
        "max_minutes": max_minutes,
        "initial_std": 0.1,
        **LONG_ROLLOUTS,
    }
    TrainConfig(method="dapg", seed=seed, **further)  # says now what is out of range
    chosen = None if episode is None else numbers(episode)
    spec = open_dataset(file).env_spec().replace(max_episode_steps=None)
    check_training(spec)
    if video:
        with Camera(GraspVectorEnv(spec)):
            pass  # better to learn now than after training that nothing can be drawn
    folder = out or RUNS / f"learn-{file.stem}"
    many = folder / "multiplied.hdf5"
    say(f"multiplying {file} to {to} demonstrations")
    report = multiply_one(file, many, to, chosen, segments, seed, device=device, overwrite=True)
    for line in told(report).splitlines():
        say(f"    {line}")
    pairs = sum(len(one) for one in open_dataset(many).summaries)
    passes = min(PASSES[1], max(PASSES[0], round(GRADIENT_STEPS * 1024 / pairs)))
    steps: list[dict[str, Any]] = []

    def train(name: str, config: TrainConfig) -> float:
        run = folder / name
        (run / CHECKPOINT).unlink(missing_ok=True)
        start = time.perf_counter()
        train_one(spec, config, demos=many, folder=run, device=device)
        seconds = round(time.perf_counter() - start, 1)
        result = evaluate_runs([run], episodes, device)
        steps.append(
            {
                "step": name,
                "run": str(run),
                "seconds": seconds,
                **{key: result[key] for key in ("success", "interval", "episodes")},
            }
        )
        return float(result["success"])

    say(f"cloning them: {passes} passes")
    clone = train("bc", TrainConfig(method="bc", seed=seed, epochs=passes))
    best = folder / "bc"
    say(f"    the clone succeeds in {clone:.0%} of {episodes} episodes")
    if clone < GOOD and max_minutes:
        say(f"DAPG from the clone on sparse reward, {max_minutes:g} minutes")
        config = TrainConfig(method="dapg", seed=seed, pretrain_epochs=passes, **further)
        better = train("dapg", config)
        best = folder / "dapg" if better > clone else best
        kept = "kept" if better > clone else "left: the clone is as good"
        say(f"    DAPG succeeds in {better:.0%}, {better - clone:+.0%}: {kept}")
    result: dict[str, Any] = {
        "task": spec.task,
        "run": str(best),
        "success": max(one["success"] for one in steps),
        "multiplied": report.to_dict(),
        "steps": steps,
    }
    if not json:
        for one in steps:
            low, high = one["interval"]
            print(
                f"{one['step']}: success {one['success']:.2f} of {one['episodes']} episodes, 95 % "
                f"interval {low:.2f} to {high:.2f}, {one['seconds']:.0f} s of training"
            )
        print(f"policy: {best}", flush=True)
    if video:
        say("filming")
    end_with_film(result, best, began, json, video)

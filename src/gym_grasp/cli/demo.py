"""`gym-grasp demo`: the whole way from nothing to a film of a trained policy."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from gym_grasp.cli.environment import EnvironmentOptions, call

TASK = "open-drawer"
EPOCHS = 10
MOST_MINUTES = 4.0
"""Training ends with whichever comes first; enough for OpenDrawer, see docs/measurements.md."""


def main(args: Sequence[str]) -> None:
    """Run the subcommand."""
    from gym_grasp.envs.spec import EnvSpec

    call(demo, args, "gym-grasp demo", EnvSpec(TASK))


def demo(
    *,
    environment: EnvironmentOptions,
    out: Path = Path("runs/demo"),
    seed: int = 0,
    epochs: int = EPOCHS,
    episodes: int = 200,
    json: bool = False,
) -> None:
    """Record demonstrations of OpenDrawer, train DAPG on sparse reward, evaluate and film it.

    Training ends after 4 minutes, or when all epochs are done, whichever comes first.

    Args:
        environment: in which all of it happens.
        out: folder of everything it makes; a folder that holds a demo already is replaced.
        seed: of the recording and the training.
        epochs: of training.
        episodes: demonstrations to record.
        json: print the result as one JSON object.
    """
    from gym_grasp.cli.demos import record_one
    from gym_grasp.cli.evaluate import end_with_film, evaluate_runs
    from gym_grasp.cli.train import train_one
    from gym_grasp.envs.render import Camera
    from gym_grasp.envs.vector import GraspVectorEnv
    from gym_grasp.learning.config import LONG_ROLLOUTS, TrainConfig

    config = TrainConfig(
        method="dapg",
        seed=seed,
        epochs=epochs,
        max_minutes=MOST_MINUTES,
        initial_std=0.1,
        **LONG_ROLLOUTS,
    )
    start = time.perf_counter()
    spec = environment.spec(TASK)
    with Camera(GraspVectorEnv(spec)):
        pass  # better to learn now than after training that nothing can be drawn

    def say(text: str) -> None:
        print(f"[{time.perf_counter() - start:5.0f} s] {text}", file=sys.stderr)

    dataset, folder = out / f"{TASK}.hdf5", out / "dapg"
    say("1/4 recording demonstrations with the synthetic operator, an expert")
    record_one(spec, dataset, episodes, seed, overwrite=True, skill=1.0)
    say(
        f"2/4 training: DAPG on sparse reward, {epochs} epochs or {MOST_MINUTES:g} minutes, "
        "whichever ends first"
    )
    (folder / "checkpoints" / "last.pt").unlink(missing_ok=True)
    summary = train_one(spec, config, demos=dataset, folder=folder)
    if summary["epochs"] < epochs:
        say(f"    the time was up after {summary['epochs']} of {epochs} epochs")
    say("3/4 evaluating 100 episodes")
    result = evaluate_runs([folder])
    rate = f"success rate: {result['success']:.0%} of {result['episodes']} episodes"
    print(rate, file=sys.stderr if json else sys.stdout, flush=True)
    say("4/4 filming")
    end_with_film(result, folder, start, json)

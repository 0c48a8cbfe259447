"""`gym-grasp evaluate RUN...`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from gym_grasp.cli.common import print_json
from gym_grasp.errors import UsageError

VIDEO_EPISODES = 3


def main(args: Sequence[str]) -> None:
    """Run the verb."""
    tyro.cli(evaluate, args=args, prog="gym-grasp evaluate")


def evaluate(
    runs: Annotated[tuple[Path, ...], tyro.conf.Positional],
    /,
    *,
    episodes: int = 100,
    device: str = "cpu",
    video: bool = True,
    json: bool = False,
) -> None:
    """Measure the success of trained policies: last checkpoint, mean action, fresh start states.

    Args:
        runs: folders of runs, or policy files, all of one task; several are read as several seeds
            of one method.
        episodes: per policy, one in each environment; the same start states for every policy.
        device: where to simulate: cpu or cuda.
        video: film the first policy at work; writes video.mp4 and still.png into the run's folder,
            or beside a policy file, named like it.
        json: print the result as one JSON object.
    """
    result = evaluate_runs(runs, episodes, device)
    if video:
        result["video"], result["still"] = map(str, film_run(runs[0]))
    if json:
        print_json(result)
        return
    for row in result["runs"]:
        print(f"{row['run']}: {row['successes']} of {row['episodes']} episodes succeed")
    low, high = result["interval"]
    print(
        f"{result['task']}: success {result['success']:.3f}, 95 % interval {low:.3f} to {high:.3f}"
    )
    if video:
        print(f"video: {result['video']}\nstill: {result['still']}")


def evaluate_runs(runs: Sequence[Path], episodes: int = 100, device: str = "cpu") -> dict[str, Any]:
    """Evaluate policies of one task; returns per-run counts and the pooled interval."""
    from gym_grasp.envs.vector import GraspVectorEnv
    from gym_grasp.learning.checkpoint import load_policy
    from gym_grasp.learning.evaluate import evaluate as evaluate_policy
    from gym_grasp.learning.intervals import success_interval

    if not runs:
        raise UsageError("Name at least one run folder or policy file.")
    policies = [load_policy(run, device) for run in runs]
    task = policies[0].identity.task_name
    env = GraspVectorEnv(task, episodes, device=device)
    rows: list[dict[str, Any]] = []
    for run, policy in zip(runs, policies, strict=True):
        policy.check(env)
        result = evaluate_policy(policy, env, episodes)
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
        "task": task,
        "episodes": episodes,
        "evaluation_seed": result.seed,
        "device": device,
        "runs": rows,
        "success": interval.rate,
        "interval": [interval.low, interval.high],
    }


def film_run(run: Path, episodes: int = VIDEO_EPISODES) -> tuple[Path, Path]:
    """Film a policy in evaluation episodes; returns the paths of video and still."""
    from gym_grasp.envs.render import film, write_picture, write_video
    from gym_grasp.envs.vector import GraspVectorEnv
    from gym_grasp.learning.checkpoint import load_policy
    from gym_grasp.learning.evaluate import FIRST_SEED

    policy = load_policy(run)
    env = GraspVectorEnv(policy.identity.task_name, 1, autoreset=False)
    policy.check(env)
    video, still = run.with_suffix(".mp4"), run.with_suffix(".png")
    if run.is_dir():
        video, still = run / "video.mp4", run / "still.png"
    frames = list(film(env, policy, episodes, seed=FIRST_SEED))
    write_video(video, frames, env.control_rate)
    write_picture(still, frames[-1])
    env.close()
    return video, still

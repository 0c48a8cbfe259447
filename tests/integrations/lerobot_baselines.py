"""ACT and Diffusion on states, trained and evaluated by LeRobot itself, at a size for CPUs.

    gym-grasp demos export data/TASK.hdf5 --format lerobot --to FOLDER/TASK   # for each task
    PYTHONPATH=tests python tests/integrations/lerobot_baselines.py FOLDER RUNS TASK ...

in the environment that `make test-datasets` makes for LeRobot. STEPS, EPISODES, COUNTS and LIMIT
are environment variables: gradient steps, episodes of each evaluation, demonstrations, and
actions in an episode.
The scripts are LeRobot's own; what differs is that a dataset is read into memory once (its loader
wants 13 ms for a sample) and that evaluations step one batch, which is not filmed.
"""

import functools
import importlib
import inspect
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import foreign
from gym_grasp.learning.intervals import success_interval

foreign.use_torchvision()
from gym_grasp.integrations.lerobot.batch import make_env  # noqa: E402

STEPS, EPISODES = int(os.environ.get("STEPS", 500)), int(os.environ.get("EPISODES", 20))
COUNTS = [int(one) for one in os.environ.get("COUNTS", "50,200").split(",")]
LIMIT = int(os.environ.get("LIMIT", 300))
"""Actions in an episode; the tasks' own limit is longer."""
SMALL = {
    "act": {
        "dim_model": 128,
        "n_heads": 4,
        "dim_feedforward": 256,
        "n_encoder_layers": 2,
        "use_vae": "false",
        "dropout": 0.0,
        "chunk_size": 16,
        "n_action_steps": 8,
        "optimizer_lr": 5e-4,
    },
    "diffusion": {
        "down_dims": "[64,128]",
        "horizon": 16,
        "n_action_steps": 8,
        "num_train_timesteps": 50,
        "noise_scheduler_type": "DDIM",
        "num_inference_steps": 10,
        "optimizer_lr": 5e-4,
        "scheduler_warmup_steps": 100,
    },
}


class InMemory(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """A LeRobotDataset without videos whose samples are the same ones, read from memory."""

    def __init__(self, theirs: Any) -> None:
        self.theirs = theirs
        rows = theirs.hf_dataset.with_format("torch")
        self.columns = {key: rows[key][:] for key in rows.column_names}
        episodes = self.columns["episode_index"]
        self.begin = torch.searchsorted(episodes, episodes, side="left")
        self.end = torch.searchsorted(episodes, episodes, side="right")
        for index in (0, len(self) // 2, len(self) - 1):
            ours, expected = self[index], theirs[index]
            assert ours.keys() == expected.keys()
            for key, value in expected.items():
                assert value == ours[key] if key == "task" else torch.equal(value, ours[key]), key

    def __getattr__(self, name: str) -> Any:
        return getattr(self.theirs, name)

    def __len__(self) -> int:
        return len(self.columns["index"])

    def __getitem__(self, index: int) -> dict[str, Any]:
        item: dict[str, Any] = {key: column[index] for key, column in self.columns.items()}
        for key, deltas in self.theirs.delta_indices.items():
            wanted = torch.tensor(deltas) + index
            inside = wanted.clamp(self.begin[index], self.end[index] - 1)
            item[key], item[f"{key}_is_pad"] = self.columns[key][inside], wanted != inside
        item["task"] = self.theirs.meta.tasks.iloc[int(item["task_index"])].name
        return item


def call(script: str, *options: str) -> float:
    """Run one of LeRobot's scripts in this process; return the CPU time it took, in s."""
    module, begun = importlib.import_module(f"lerobot.scripts.{script}"), time.process_time()
    sys.argv = [script, *options]
    module.main()
    return time.process_time() - begun


def adapt() -> None:
    """Let LeRobot's training read from memory, and its evaluation step a batch."""
    inspect.getsource = functools.cache(inspect.getsource)  # its parser asks for every option
    training = importlib.import_module("lerobot.scripts.lerobot_train")
    evaluation = importlib.import_module("lerobot.scripts.lerobot_eval")
    make = training.make_dataset
    training.make_dataset = lambda config: InMemory(make(config))
    evaluation.make_env = lambda config, n_envs=1, **options: make_env(n_envs, cfg=config)


def train(data: Path, run: Path, task: str, policy: str, count: int) -> None:
    """Train on the first demonstrations of a task, unless that was done already."""
    if (run / "cpu_s.json").exists():
        return
    seconds = call(
        "lerobot_train",
        f"--dataset.repo_id=gym-grasp/{task}",
        f"--dataset.root={data / task}",
        f"--dataset.episodes={list(range(count))}",
        *(f"--policy.{key}={value}" for key, value in SMALL[policy].items()),
        *(f"--policy.type={policy}", "--policy.device=cpu", "--policy.push_to_hub=false"),
        *(f"--steps={STEPS}", f"--save_freq={STEPS}", "--log_freq=500", "--seed=1"),
        *("--batch_size=32", "--num_workers=0", "--eval_freq=0", "--wandb.enable=false"),
        f"--output_dir={run}",
    )
    (run / "cpu_s.json").write_text(json.dumps(round(seconds)))


def judge(run: Path, task: str, policy: str, count: int) -> dict[str, Any]:
    """Evaluate what was trained, and say what came out."""
    seconds = call(
        "lerobot_eval",
        *("--env.type=gym_grasp", f"--env.task={task}", f"--env.episode_length={LIMIT}"),
        "--policy.device=cpu",
        f"--policy.path={run}/checkpoints/last/pretrained_model",
        *(f"--eval.n_episodes={EPISODES}", f"--eval.batch_size={EPISODES}"),
        f"--output_dir={run}-evaluation",
    )
    told = json.loads(Path(f"{run}-evaluation/eval_info.json").read_text())["overall"]
    successes = round(told["pc_success"] / 100 * told["n_episodes"])
    interval = success_interval([successes], [told["n_episodes"]])
    trained = run / "checkpoints/last/training_state/training_step.json"
    return {
        "task": task,
        "policy": policy,
        "demonstrations": count,
        "steps": json.loads(trained.read_text())["step"],
        "successes": successes,
        "episodes": told["n_episodes"],
        "interval": np.round([interval.low, interval.high], 2).tolist(),
        "train_cpu_s": json.loads((run / "cpu_s.json").read_text()),
        "evaluate_cpu_s": round(seconds),
    }


def main(data: str, runs: str, *tasks: str) -> None:
    """Train all, then evaluate all; print one JSON object a line."""
    adapt()
    Path(runs).mkdir(parents=True, exist_ok=True)
    every = [
        (Path(runs) / f"{task}-{policy}-{count}", task, policy, count)
        for count in COUNTS
        for task in tasks
        for policy in SMALL
    ]
    for run, *of in every:
        train(Path(data), run, *of)
    for run, *of in every:
        print(json.dumps(judge(run, *of)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""One of the processes of test_distributed: python distributed_worker.py WHAT FOLDER."""

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent))
from conftest import Reach

from gym_grasp.errors import GymGraspError
from gym_grasp.learning import distributed, heart
from gym_grasp.learning.config import TrainConfig
from gym_grasp.learning.learner import Learner
from gym_grasp.learning.train import train

ENVS = 8
SMALL = TrainConfig(
    method="ppo", epochs=4, hidden_sizes=(16,), horizon=8, mini_epochs=2, checkpoint_interval=2
)


def learn_from_a_share(folder: Path) -> None:
    """Update once from this process' share of one rollout; all samples in each gradient step.

    And pool statistics of (rank + 1) · [0, 1, 2, 3], two columns.
    """
    config = TrainConfig(method="ppo", hidden_sizes=(16,), horizon=8, minibatch_size=10_000)
    share = ENVS // distributed.size()
    rows = slice(distributed.rank() * share, (distributed.rank() + 1) * share)
    env = Reach(num_envs=share)
    learner = Learner(env, config, None)
    generator = torch.Generator().manual_seed(1)
    for name in ("observations", "final_observations", "actions", "means", "rewards"):
        values = getattr(learner._rollout, name)
        whole = torch.randn((8, ENVS, *values.shape[2:]), generator=generator)
        values.copy_(whole[:, rows])
    learner._rollout.terminated[3] = True
    last = torch.randn((ENVS, env.observation_size), generator=generator)[rows]
    metrics = learner.update(0, last)
    moments = distributed.moments((distributed.rank() + 1) * torch.arange(8.0).view(4, 2))
    state = {"learner": learner.state_dict(), "metrics": metrics, "moments": moments}
    torch.save(state, folder / f"share-{distributed.rank()}-of-{distributed.size()}.pt")


def small(folder: Path, **options: Any) -> dict[str, Any]:
    """Train a little in the folder's `run`; return the summary."""
    return train(Reach(num_envs=ENVS), SMALL, folder / "run", progress=False, **options)


def run(folder: Path) -> None:
    summary = small(folder)
    (folder / f"summary-{distributed.rank()}.json").write_text(json.dumps(summary))


def lose_one(folder: Path) -> None:
    """Process 1 dies in its second epoch."""

    def die(epoch: int, metrics: object) -> None:
        if epoch == 1 and distributed.rank() == 1:
            os._exit(3)

    small(folder, on_epoch=die)


def stall(folder: Path, stalled: int) -> None:
    """Stop one process after the checkpoint of its second epoch, as SIGSTOP does."""

    def stop(epoch: int, metrics: object) -> None:
        if epoch == 2 and distributed.rank() == stalled:
            os.kill(os.getpid(), signal.SIGSTOP)

    small(folder, on_epoch=stop)


def stall_0(folder: Path) -> None:
    stall(folder, 0)


def stall_1(folder: Path) -> None:
    stall(folder, 1)


def pause(folder: Path) -> None:
    """Rest a while after the checkpoint of the second epoch, and say so."""

    def rest(epoch: int, metrics: object) -> None:
        if epoch == 2:
            print("paused", flush=True)
            time.sleep(3)

    small(folder, on_epoch=rest)


def resume(folder: Path) -> None:
    summary = small(folder, resume=True)
    (folder / f"summary-{distributed.rank()}.json").write_text(json.dumps(summary))


def wait_long(folder: Path) -> None:
    """Process 1 takes longer than one that has stalled."""

    def wait(epoch: int, metrics: object) -> None:
        if epoch == 1 and distributed.rank() == 1:
            time.sleep(5)

    small(folder, on_epoch=wait)


if __name__ == "__main__":
    torch.set_num_threads(1)
    heart.STALLED = float(os.environ.get("STALLED", heart.STALLED))
    with distributed.joined("cpu"):
        try:
            globals()[sys.argv[1]](Path(sys.argv[2]))
        except GymGraspError as error:
            print(error)
            sys.stdout.flush()
            os._exit(1)  # the process group cannot be left in order any more

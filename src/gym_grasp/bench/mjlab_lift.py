"""mjlab's lift task, timed: `PYTHON -I mjlab_lift.py`, by a Python that has mjlab.

mjlab pins another MuJoCo, so it needs an environment of its own; nothing of gym_grasp is imported.
"""

import argparse
import contextlib
import io
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from statistics import median
from typing import Any

import mjlab.tasks  # noqa: F401 - registers the tasks
import torch
from mjlab.envs import ManagerBasedRlEnv
from mjlab.rl import RslRlVecEnvWrapper
from mjlab.tasks.registry import load_env_cfg, load_rl_cfg, load_runner_cls
from mjlab.utils.torch import configure_torch_backends

TASK = "Mjlab-Lift-Cube-Yam"
WARM_UP = 3


def measure(num_envs: int, device: str, rounds: int) -> dict[str, Any]:
    """Return control steps per second of stepping and of whole training iterations.

    Args:
        num_envs: environments at once.
        device: cpu or cuda.
        rounds: iterations that are timed, after `WARM_UP` others; medians are reported.
    """
    configure_torch_backends()
    config, learner = load_env_cfg(TASK), load_rl_cfg(TASK)
    config.scene.num_envs = num_envs
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its managers and networks
        env = ManagerBasedRlEnv(cfg=config, device=device)
        wrapped = RslRlVecEnvWrapper(env, clip_actions=learner.clip_actions)
        runner = load_runner_cls(TASK)(wrapped, asdict(learner), None, device)
    horizon = learner.num_steps_per_env
    actions = torch.rand(horizon, num_envs, wrapped.num_actions, device=device) * 2 - 1

    def steps() -> None:
        for action in actions:
            wrapped.step(action)

    def iteration() -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            runner.learn(1, init_at_random_ep_len=True)

    stepping, training = (
        num_envs * horizon / _typical(work, device, rounds) for work in (steps, iteration)
    )
    model = env.sim.mj_model
    result = {
        "task": TASK,
        "num_envs": num_envs,
        "stepping": stepping,
        "training": training,
        "physics_steps": config.decimation,
        "dofs": int(model.nv),
        "versions": {name: version(name) for name in ("mjlab", "mujoco", "rsl-rl-lib", "torch")},
    }
    env.close()
    return result


def _typical(work: Callable[[], None], device: str, rounds: int) -> float:
    """Return the median duration of a work, in s."""
    times = []
    for _ in range(WARM_UP + rounds):
        begun = time.perf_counter()
        work()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begun)
    return median(times[WARM_UP:])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num-envs", type=int, default=16_384)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--rounds", type=int, default=10)
    print(json.dumps(measure(**vars(parser.parse_args()))))

"""A policy's success by robomimic's own rollouts, and by our evaluation, in other episodes.

    PYTHONPATH=tests python tests/integrations/robomimic_success.py CHECKPOINT EPISODES

in the environment that `make test-datasets` makes for robomimic; CHECKPOINT is a .pth that
`python -m gym_grasp.integrations.robomimic train` wrote. Prints one JSON object.
"""

import json
import sys
from typing import Any

import numpy as np
import torch

import foreign
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.learning.evaluate import evaluate
from gym_grasp.learning.intervals import success_interval


def by_robomimic(policy: Any, checkpoint: dict[str, Any], episodes: int) -> int:
    """Return the successes of its rollouts, in the environment that it makes itself."""
    from robomimic.utils.file_utils import env_from_checkpoint
    from robomimic.utils.train_utils import run_rollout

    env, _ = env_from_checkpoint(ckpt_dict=checkpoint, verbose=False)
    np.random.seed(0)  # noqa: NPY002
    limit = env.base_env.max_episode_steps
    told = [
        run_rollout(policy, env, limit, terminate_on_success=True)["Success_Rate"]
        for _ in range(episodes)
    ]
    return round(sum(told))


def by_us(policy: Any, checkpoint: dict[str, Any], episodes: int) -> int:
    """Return the successes of our evaluation, in a batch of the environment of the dataset."""
    env = GraspVectorEnv(checkpoint["env_metadata"]["env_kwargs"]["task"], episodes)

    def act(observation: torch.Tensor) -> torch.Tensor:
        named = {key: value.float() for key, value in env.packer.unpack(observation).items()}
        return policy.policy.get_action(obs_dict=named).clamp(-1.0, 1.0)

    policy.start_episode()
    return evaluate(act, env, episodes).successes


def main(path: str, count: str) -> None:
    """Evaluate both ways and compare the intervals."""
    foreign.use_torchvision()
    from robomimic.utils.file_utils import policy_from_checkpoint

    import gym_grasp.integrations.robomimic  # noqa: F401

    policy, checkpoint = policy_from_checkpoint(ckpt_path=path)
    told: dict[str, Any] = {"episodes": int(count)}
    for name, judge in (("robomimic", by_robomimic), ("gym_grasp", by_us)):
        successes = judge(policy, checkpoint, int(count))
        interval = success_interval([successes], [int(count)])
        told[name] = {"successes": successes, "interval": [interval.low, interval.high]}
    low, high = told["gym_grasp"]["interval"]
    told["within"] = low <= told["robomimic"]["successes"] / int(count) <= high
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])

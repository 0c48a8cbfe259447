"""rsl_rl's PPO: `pip install "gym-grasp[rsl-rl]"`, then `python rsl_rl_ppo.py`."""

import sys

from rsl_rl.runners import OnPolicyRunner

from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.integrations.rsl_rl import RslRlEnv

num_envs, iterations = (16, 2) if "--smoke" in sys.argv else (1024, 500)
env = RslRlEnv(GraspVectorEnv("open-drawer", num_envs, reward="dense"))
network = {"class_name": "MLPModel", "hidden_dims": [256, 256], "obs_normalization": True}
noise = {"class_name": "GaussianDistribution", "init_std": 1.0}
settings = {
    "num_steps_per_env": 32,
    "save_interval": 100,
    "obs_groups": {"actor": ["policy"], "critic": ["policy"]},
    "actor": {**network, "distribution_cfg": noise},
    "critic": network,
    "algorithm": {"class_name": "PPO", "num_mini_batches": 4, "desired_kl": 0.01},
}
runner = OnPolicyRunner(env, settings, log_dir="runs/rsl_rl", device="cpu")
runner.learn(iterations, init_at_random_ep_len=True)

"""Stable-Baselines3's PPO: `pip install "gym-grasp[sb3]"`, then `python sb3_ppo.py`."""

import sys

from stable_baselines3 import PPO

from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.integrations.sb3 import SB3VecEnv

smoke = "--smoke" in sys.argv
num_envs, samples = (16, 512) if smoke else (1024, 20_000_000)
env = SB3VecEnv(GraspVectorEnv("open-drawer", num_envs, reward="dense"))
agent = PPO("MlpPolicy", env, n_steps=32, batch_size=num_envs * 4, verbose=1, device="cpu")
agent.learn(samples)
agent.save("sb3_ppo.zip")
env.close()

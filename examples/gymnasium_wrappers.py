"""Gymnasium's own vector wrappers around the batch with NumPy arrays."""

import sys

import gymnasium
from gymnasium.wrappers import vector as wrappers

import gym_grasp  # noqa: F401 (registers the tasks)

steps = 20 if "--smoke" in sys.argv else 2_000
env = gymnasium.make_vec(
    "gym_grasp/OpenDrawer-v5", num_envs=16, backend="numpy", reward="dense", max_episode_steps=10
)
env = wrappers.RecordEpisodeStatistics(env)
env = wrappers.NormalizeReward(wrappers.NormalizeObservation(env))
env.reset(seed=0)
env.action_space.seed(0)
for _ in range(steps):
    *_, info = env.step(env.action_space.sample())
    if "episode" in info:
        print("mean return", info["episode"]["r"].mean(), "length", info["episode"]["l"].mean())
env.close()

"""TorchRL's collector and REINFORCE: `pip install "gym-grasp[torchrl]"`."""

import sys

import torch
from tensordict.nn import (
    NormalParamExtractor,
    ProbabilisticTensorDictModule,
    ProbabilisticTensorDictSequential,
    TensorDictModule,
)
from torchrl.collectors import Collector
from torchrl.modules import TanhNormal

from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.integrations.torchrl import TorchRLEnv

num_envs, samples = (16, 1_024) if "--smoke" in sys.argv else (1024, 20_000_000)
env = TorchRLEnv(GraspVectorEnv("open-drawer", num_envs, reward="dense", autoreset=False))
net = torch.nn.Sequential(torch.nn.LazyLinear(64), torch.nn.ELU(), torch.nn.LazyLinear(22))
mean = TensorDictModule(
    torch.nn.Sequential(net, NormalParamExtractor()), ["observation"], ["loc", "scale"]
)
draw = ProbabilisticTensorDictModule(
    ["loc", "scale"], ["action"], distribution_class=TanhNormal, return_log_prob=True
)
policy = ProbabilisticTensorDictSequential(mean, draw)
policy(env.reset())
optimiser = torch.optim.Adam(policy.parameters(), 3e-4)
for batch in Collector(env, policy, frames_per_batch=num_envs * 16, total_frames=samples):
    reward = batch["next", "reward"].flip(1).cumsum(1).flip(1)[..., 0]
    chance = policy.get_dist(batch).log_prob(batch["action"].clamp(-0.999, 0.999))
    loss = -(chance * (reward - reward.mean(0))).mean()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    print(f"return to go {reward.mean():.3f}")

"""skrl's PPO: `pip install "gym-grasp[skrl]"`, then `python skrl_ppo.py`."""

import sys

import torch
from skrl.agents.torch.ppo import PPO, PPO_CFG
from skrl.memories.torch import RandomMemory
from skrl.models.torch import DeterministicMixin, GaussianMixin, Model
from skrl.trainers.torch import SequentialTrainer

from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.integrations.skrl import SkrlEnv


def layers(outputs):
    hidden = torch.nn.LazyLinear(256)
    return torch.nn.Sequential(hidden, torch.nn.ELU(), torch.nn.Linear(256, outputs))


class Actor(GaussianMixin, Model):
    def __init__(self, env):
        spaces = {"observation_space": env.observation_space, "action_space": env.action_space}
        Model.__init__(self, **spaces, device=env.device)
        GaussianMixin.__init__(self)
        self.net, self.log_std = layers(11), torch.nn.Parameter(torch.zeros(11))

    def compute(self, inputs, role):
        return self.net(inputs["observations"]), {"log_std": self.log_std}


class Critic(DeterministicMixin, Model):
    def __init__(self, env):
        spaces = {"observation_space": env.observation_space, "action_space": env.action_space}
        Model.__init__(self, **spaces, device=env.device)
        DeterministicMixin.__init__(self)
        self.net = layers(1)

    def compute(self, inputs, role):
        return self.net(inputs["observations"]), {}


num_envs, steps = (16, 64) if "--smoke" in sys.argv else (1024, 16_000)
env = SkrlEnv(GraspVectorEnv("open-drawer", num_envs, reward="dense"))
agent = PPO(
    models={"policy": Actor(env), "value": Critic(env)},
    memory=RandomMemory(memory_size=32, num_envs=num_envs, device=env.device),
    observation_space=env.observation_space,
    action_space=env.action_space,
    device=env.device,
    cfg=PPO_CFG(rollouts=32, mini_batches=4, learning_rate=3e-4),
)
trainer = SequentialTrainer(env=env, agents=agent, cfg={"timesteps": steps, "headless": True})
trainer.train()

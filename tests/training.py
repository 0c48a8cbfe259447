"""Small trainings for tests, and what is equal of them."""

import torch

from gym_grasp.learning.config import ROLLOUTS, TrainConfig
from gym_grasp.learning.train import train

SMALL = {
    "hidden_sizes": (32, 32),
    "demo_batch_size": 32,
    "horizon": 16,
    "mini_epochs": 2,
    "pretrain_epochs": 0,
}


def run(env, folder, demos=None, resume=False, on_epoch=None, **settings):
    small = SMALL
    if settings.get("method") == "bc":
        small = {name: value for name, value in SMALL.items() if name not in ROLLOUTS}
    config = TrainConfig(**small | settings)
    return train(env, config, folder, demos, resume=resume, on_epoch=on_epoch, progress=False)


def same(a, b):
    """Whether two nested containers are equal to the last bit."""
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b

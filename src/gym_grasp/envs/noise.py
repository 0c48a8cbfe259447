"""Noise on flat observations that depends on episode and step alone."""

import torch
from torch import Tensor

from gym_grasp.envs.episodes import Episodes
from gym_grasp.noise import NO_NOISE, Noise, checked_noise, deviations
from gym_grasp.tasks.features import Packer
from gym_grasp.tasks.random import normal


class ObservationNoise:
    """Adds another normal error to every value, in every environment and step.

    Args:
        noise: standard deviations by unit.
        packer: of the observations.
        episodes: whose seeds and steps the errors follow from, on any device and batch size alike.

    Raises:
        UsageError: the noise is not two deviations from 0 on.
    """

    def __init__(self, noise: Noise, packer: Packer, episodes: Episodes) -> None:
        self.deviations = checked_noise("observation_noise", noise)
        """Of lengths in m, and of angles in rad."""
        self._episodes = episodes
        spread = deviations(self.deviations, packer.units)
        self._deviation = torch.tensor(spread, device=episodes.seed.device)

    def add(self, observation: Tensor) -> Tensor:
        """Return observations (N, O) with the present step's errors."""
        if self.deviations == NO_NOISE:
            return observation
        seeds, steps = self._episodes.seed, self._episodes.elapsed
        return observation + self._deviation * normal(seeds, steps, len(self._deviation))

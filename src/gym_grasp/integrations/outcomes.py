"""How often episodes succeed, for logs that take one number."""

import torch
from torch import Tensor


class Outcomes:
    """Remembers how each environment's last episode ended, without waiting for a GPU."""

    def __init__(self, num_envs: int, device: torch.device) -> None:
        self._known = torch.zeros(num_envs, dtype=torch.bool, device=device)
        self._successes = torch.zeros_like(self._known)

    def update(self, done: Tensor, success: Tensor) -> Tensor:
        """Take note of the episodes that ended; both (N,) bool. Return the share of successes."""
        self._known |= done
        self._successes = torch.where(done, success, self._successes)
        return self._successes.sum() / self._known.sum().clamp_min(1)

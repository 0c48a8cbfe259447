"""Draws worlds that differ from the model: `Perturbation` in numbers."""

import dataclasses
from collections.abc import Sequence
from typing import Final

import mujoco
import numpy as np
import torch
from torch import Tensor

from gym_grasp.envs.control import ControlConfig
from gym_grasp.errors import UsageError
from gym_grasp.perturbation import FACTORS, Perturbation
from gym_grasp.physics.fields import model_field
from gym_grasp.tasks.base import Task
from gym_grasp.tasks.random import uniform

_STREAM: Final = 2_000
"""First stream of random numbers; no task draws from there on."""


class Perturber:
    """Draws what differs in the episodes of a batch, on top of what the task draws.

    Args:
        perturbation: by how much.
        task: of the environment; its `randomise` comes first.
        period: of control, in s.

    Raises:
        UsageError: something asked for cannot take effect.
    """

    def __init__(self, perturbation: Perturbation, task: Task, period: float) -> None:
        self.perturbation = perturbation
        self._task = task
        model, device = task.model, task.device
        timestep = float(model.opt.timestep)
        self._latency = tuple(end / timestep for end in perturbation.latency)
        self.late = round(self._latency[1]) > 0
        """Whether commands may come late."""
        if round(self._latency[1]) > round(period / timestep):
            raise UsageError(
                f"perturbation.latency is {perturbation.latency} s; at most a control step, "
                f"{period:.4f} s, can be simulated."
            )
        if perturbation.latency[1] > 0.0 and not self.late:
            raise UsageError(
                f"perturbation.latency is {perturbation.latency} s, less than half a physics step "
                f"of {timestep:.4f} s: it would have no effect."
            )
        wanted = {name for name in FACTORS if getattr(perturbation, name) != (1.0, 1.0)}
        servos = [*range(model.nu)]
        self._scaled: list[tuple[str, str, Tensor, Tensor]] = []
        for name, field, rows in (
            ("mass", "body_mass", _moved(task)),
            ("mass", "body_inertia", _moved(task)),
            ("friction", "geom_friction", [*range(model.ngeom)]),
            ("friction", "pair_friction", [*range(model.npair)]),
            ("gains", "actuator_gainprm", servos),
            ("gains", "actuator_biasprm", servos),
        ):
            if name in wanted and rows:
                own = torch.tensor(np.array(model_field(model, field)), device=device)
                chosen = torch.zeros(len(own), dtype=torch.bool, device=device)
                chosen[rows] = True
                self._scaled.append((name, field, own.float(), chosen))
        for name in sorted(wanted - {one[0] for one in self._scaled}):
            raise UsageError(
                f"perturbation.{name} is {getattr(perturbation, name)}, but the task "
                f"'{task.name}' has nothing that it would change."
            )
        sizes = {"mass": 1, "friction": 1, "gains": model.nu}
        self._ends = {
            name: torch.tensor(getattr(perturbation, name), device=device).repeat(sizes[name], 1).T
            for name in sorted(wanted)
        }

    def factors(self, seeds: Tensor) -> dict[str, Tensor]:
        """Return the factors of the episodes of these seeds, by name, each (N, 1) or (N, nu)."""
        return {
            name: uniform(seeds, ends[0], ends[1], _STREAM + FACTORS.index(name))
            for name, ends in self._ends.items()
        }

    def delay(self, seeds: Tensor) -> Tensor:
        """Return how many physics steps commands come late in these episodes. (N,), int64."""
        low, high = (torch.full((1,), end, device=seeds.device) for end in self._latency)
        drawn = uniform(seeds, low, high, stream=_STREAM + len(FACTORS))
        return drawn[:, 0].round().long()

    def randomise(self, seeds: Tensor) -> dict[str, Tensor]:
        """Return model fields for the episodes of these seeds, as `Task.randomise` does."""
        fields = self._task.randomise(seeds)
        factors = self.factors(seeds)
        for name, field, own, chosen in self._scaled:
            values = fields.get(field, own.expand(len(seeds), *own.shape))
            by = factors[name].view(len(seeds), -1, *[1] * (own.dim() - 1))
            rows = chosen.view(1, -1, *[1] * (own.dim() - 1))
            scaled = values * by
            if name == "friction":  # MuJoCo's least
                scaled = torch.maximum(scaled, own.clamp_max(mujoco.mjMINMU))
            fields[field] = torch.where(rows, scaled, values)
        return fields

    def constants(self, seeds: Tensor) -> dict[str, Tensor] | None:
        """Return what follows from them, as `Task.constants` does."""
        return None if "mass" in self._ends else self._task.constants(seeds)

    def described(self, seeds: Tensor) -> Tensor:
        """Return all that differs in the episodes of these seeds, for a critic. Shape (N, D)."""
        parts = [*self.factors(seeds).values()]
        if self.late:
            parts.append(self.delay(seeds)[:, None].float())
        nothing = torch.zeros(len(seeds), 0, device=seeds.device)
        return torch.cat([nothing, *parts], dim=-1)


def _moved(task: Task) -> Sequence[int]:
    """Return the bodies beside the robot that move."""
    model = task.model
    robot = model.body_rootid[task.indices.wrist_body]
    ours = model.body_rootid == robot
    return np.flatnonzero((model.body_weldid != 0) & ~ours & (model.body_mass > 0.0)).tolist()


def prepare(model: mujoco.MjModel, perturbation: Perturbation) -> None:
    """Set what is alike in all simulations: the duration of a physics step, and the cone."""
    model.opt.timestep /= perturbation.finer
    if perturbation.cone != "task":
        model.opt.cone = getattr(mujoco.mjtCone, f"mjCONE_{perturbation.cone.upper()}")


def finer_control(control: ControlConfig, perturbation: Perturbation) -> ControlConfig:
    """Return a control with as many physics steps an action as its duration takes.

    Raises:
        UsageError: these are too many, or commands come late and the Jacobian transpose, which
            makes one for each physics step, cannot wait.
    """
    if perturbation.latency[1] and control.method == "jacobian-transpose":
        raise UsageError(
            "perturbation.latency is given, and control.method jacobian-transpose, which knows no "
            "late commands; leave one of them out."
        )
    return dataclasses.replace(control, interval=control.interval * perturbation.finer)

"""The environment: control, task, time limit, autoreset and seeds over a batch of simulations."""

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gym_grasp.capture import Captured
from gym_grasp.envs import checks
from gym_grasp.envs.build import as_spec, compile_scene, make_physics
from gym_grasp.envs.commands import Commands
from gym_grasp.envs.control import ControlConfig, Controller
from gym_grasp.envs.episodes import Episodes
from gym_grasp.envs.face import VectorFace
from gym_grasp.envs.judge import RewardKind, diverged_text, judge
from gym_grasp.envs.noise import ObservationNoise
from gym_grasp.envs.perturber import Perturber, finer_control, prepare
from gym_grasp.envs.scene import model_digest
from gym_grasp.envs.spec import EnvSpec
from gym_grasp.envs.state import put_state, take_state
from gym_grasp.errors import UsageError
from gym_grasp.insulated import insulated
from gym_grasp.noise import NO_NOISE
from gym_grasp.perturbation import NONE, Perturbation
from gym_grasp.tasks.features import POLICY, Packer

log = logging.getLogger(__name__)


class GraspVectorEnv(VectorFace):
    """Many environments of one task, batched in torch on the physics' device.

    Follows `gymnasium.vector.VectorEnv` with SAME_STEP autoreset, tensors in place of arrays; for
    arrays see `envs.arrays`. How the caller has set torch up has no effect (see `insulated`).

    Args:
        task: an `EnvSpec`, the same as `EnvSpec.to_dict` gives it, or the name of a task, whose
            spec is made of `task_options`, `robot`, `control` and `max_episode_steps`.
        num_envs: number of environments.
        device: `cpu`, or `cuda[:i]` with the extra `gym-grasp[cuda]`.
        reward: `sparse`, 0 on success and −1 otherwise, or `dense`, as the task defines it.
        num_threads: CPU engine only: size of its thread pool; 0 takes every core.
        autoreset: whether the next episode begins in the step that ends one.
        first_env: number of the first environment, from which the seeds of its episodes follow:
            where processes share a batch, how many environments come before.
        perturbation: by how much the world differs from the model, see `Perturbation`.
        privileged: whether `info` says what a critic may see beside the policy, see `privileged`.
        render_mode: None; `envs.render.Camera` draws, and `ArrayVectorEnv` takes `rgb_array`.

    Raises:
        DependencyError: there is no such GPU, or MuJoCo Warp is not installed.
        UsageError: something does not exist, is out of range, or is given twice.
    """

    @insulated
    def __init__(
        self,
        task: str | EnvSpec | Mapping[str, Any],
        num_envs: int = 1,
        device: str | torch.device = "cpu",
        reward: RewardKind = "sparse",
        control: ControlConfig | Mapping[str, Any] | None = None,
        max_episode_steps: int | None = None,
        num_threads: int = 0,
        autoreset: bool = True,
        render_mode: str | None = None,
        task_options: Mapping[str, Any] | None = None,
        first_env: int = 0,
        robot: str | None = None,
        perturbation: Perturbation = NONE,
        privileged: bool = False,
    ) -> None:
        num_envs = checks.checked_count("num_envs", num_envs, 1)
        num_threads = checks.checked_count("num_threads", num_threads, 0)
        first_env = checks.checked_count("first_env", first_env, 0)
        checks.check_choices(reward, autoreset, render_mode, perturbation, privileged)
        parts = {"options": task_options, "robot": robot, "control": control}
        self.env_spec = as_spec(task, **parts, max_episode_steps=max_episode_steps)
        """What this environment is."""
        self.device = checks.checked_device(device)
        spec, self.robot = self.env_spec, self.env_spec.robot_model
        model = compile_scene(spec)
        self._digest = model_digest(model)
        prepare(model, perturbation)
        self.physics = make_physics(model, num_envs, self.device, num_threads)
        self.task = spec.task_class(model, self.device, self.robot, spec.task_options)
        self.task.memory = torch.zeros(num_envs, self.task.memory_size, device=self.device)
        control_config = finer_control(spec.control, perturbation)
        self.controller = Controller(self.physics, control_config, self.robot)
        self.num_envs, self.task_name = num_envs, spec.task
        self.reward_kind = reward
        self.autoreset = autoreset
        self.control_rate = 1.0 / self.controller.period
        assert spec.max_episode_steps is not None
        self.max_episode_steps = spec.max_episode_steps
        self.features = spec.features
        """Every observation, by key."""
        self.packer = Packer(self.features)
        """Packs those that policies act on."""
        self.observation_size, self.observation_units = self.packer.size, self.packer.units
        self.action_size = self.robot.action_size
        self._show(self.observation_size, self.action_size)
        self.perturber = Perturber(perturbation, self.task, self.controller.period)
        self.episodes = Episodes(self.task, self.perturber, num_envs, first_env)
        self.episode_seed, self.elapsed = self.episodes.seed, self.episodes.elapsed
        """Of the present episodes: seeds, for `reset_to`, and steps so far. Shape (N,), int64."""
        self.noise = ObservationNoise(perturbation.observation_noise, self.packer, self.episodes)
        # Written in place: a GPU replays captured functions on the very tensors of the capture.
        self._observation = torch.zeros(num_envs, self.observation_size, device=self.device)
        self.commands = Commands(self.physics, self.controller, self.perturber)
        whole = self.physics, self.controller, self.episodes, self.task
        self._parts = (*whole, self.commands.state)
        self._privileged = privileged
        self.privileged_size = self.privileged().shape[-1] if privileged else 0
        """P, the number of values of `privileged`; 0 where it was not asked for."""
        self._begun = False
        self._outcome: dict[str, Tensor] = {}
        self.divergences = torch.zeros(num_envs, dtype=torch.int64, device=self.device)
        """How often each environment's simulation has diverged so far. Shape (N,)."""
        self._judge = Captured(self._judge_step, self.device)
        self._draw = Captured(self.episodes.draw_next, self.device)
        self._enter = Captured(self._enter_episodes, self.device)
        checks.check_observations(spec.task, self.features, self.observe(), num_envs)

    def compile(self) -> None:
        """Let `torch.compile` fuse what turns actions into the arm's joint targets.

        The next step takes about a minute longer, and joint targets agree to rounding from then on.
        Worth it for many steps on a GPU, where each of the 550 operations is a kernel of its own.

        Raises:
            DependencyError: a compiler is missing.
        """
        self.commands.compile()

    @property
    def seeded(self) -> bool:
        """Whether a seed has been chosen."""
        return self.episodes.base_seed is not None

    @property
    def description(self) -> dict[str, Any]:
        """What policies belong to: spec, names of observed values and of actions, and scene."""
        names = {"observations": [*self.packer.names], "actions": [*self.robot.action_names]}
        return {"spec": self.env_spec.to_dict(), **names, "scene": self._digest}

    @insulated
    def reset(  # type: ignore[override]
        self, *, seed: Any = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Tensor, dict[str, Any]]:
        """Begin new episodes.

        Args:
            seed: seed of the whole batch; None goes on in the present sequence of episodes. A
                list, array or tensor holds one episode seed per environment, as a file of
                demonstrations does, or None where an environment's next episode begins.
            options: `reset_mask`, (N,) bool: which environments to reset; by default all.
                `stagger`: True lets the episodes begin with a random part of their time limit
                over, so that they do not all end at once; training does this.

        Returns:
            The observation, shape (N, O), and an empty dictionary.
        """
        mask, stagger = checks.checked_reset(options, self.num_envs, self.device)
        seeds = None
        if checks.are_seeds(seed):
            seeds = checks.checked_episode_seeds(seed, self.num_envs, self.device)
            if seeds[1].all() and mask.all():  # the episodes that follow depend on them too
                self.episodes.restart(int(seeds[0][0]))
        elif seed is not None:
            self.episodes.restart(checks.checked_seed(seed))
        if not self.seeded:
            self.episodes.restart(int(np.random.SeedSequence().generate_state(1)[0]) >> 1)
        if seeds is None:
            self._begin_next(mask)
        else:
            self.episodes.mask.copy_(mask)
            self.episodes.draw_given(*seeds)
            self._begin()
        if stagger:
            self.episodes.stagger(self.max_episode_steps)
        return self._observation.clone(), {}

    @insulated
    def reset_to(self, seeds: Tensor) -> Tensor:
        """Begin, in every environment, the episode of a seed, int64, (N,); return observations."""
        if not self.seeded:
            self.episodes.restart(0)
        self.episodes.draw(seeds)
        self._begin()
        return self._observation.clone()

    @insulated
    def step(self, actions: Any) -> tuple[Tensor, Tensor, Tensor, Tensor, dict[str, Any]]:  # type: ignore[override]
        """Apply one action in every environment.

        Args:
            actions: see `EnvSpec.action_names`; clipped to [−1, 1]. Shape (N, A).

        Returns:
            Observation (N, O), reward, terminated, truncated (N,) and info: `success`, `diverged`,
            `at_limit` (as `Controller` says) (N,) bool, `progress`, `dense_reward` and its terms,
            `reward/…` (N,); where an episode ended, `final_obs` (N, O) holds its last observation
            (other rows the present one; `_final_obs` is the mask; so does `final_privileged` (N, P)
            where asked for), `episode_return` and `episode_length` its sums (N,).

        Raises:
            UsageError: the actions are no numbers of that shape on that device or, on the CPU, hold
                NaN. On a GPU, where looking would stall it, NaN acts as 0 and is counted in
                `counters`.
        """
        self.begin_step(actions)
        interval = self.controller.config.interval
        if self.controller.config.method == "jacobian-transpose":
            for _ in range(interval):
                self.advance()
        else:
            self.advance(interval)
        return self.end_step()

    @insulated
    def begin_step(self, actions: Any) -> None:
        """Begin a step for one who paces the physics, as teleoperation does.

        `begin_step`, `controller.config.interval` times `advance` and `end_step` are together the
        same as `step`, bit by bit on the CPU.

        Args:
            actions: as for `step`. Shape (N, A).
        """
        if not self.seeded:
            raise UsageError("step() came before the first reset(); call reset(seed=…) first.")
        shape = (self.num_envs, self.action_size)
        self.commands.begin(checks.checked_actions(actions, shape, self.device))
        self._begun = True

    @insulated
    def advance(self, substeps: int = 1) -> None:
        """Advance the physics by some of the substeps of the step that was begun."""
        if not self._begun and self.controller.config.method == "jacobian-transpose":
            self.commands.renew()
        self._begun = False
        self.commands.advance(substeps)

    @insulated
    def end_step(self) -> tuple[Tensor, Tensor, Tensor, Tensor, dict[str, Any]]:
        """Observe, reward, reset what ended (without autoreset what diverged); return as `step`."""
        self._judge()
        outcome = self._outcome
        on_host = self.device.type == "cpu"
        if not on_host:  # the next replay writes over it
            outcome = {name: value.clone() for name, value in outcome.items()}
        diverged = outcome["diverged"]
        # On the CPU looking is free; elsewhere it would wait for the device.
        if on_host and diverged.any():
            broken = diverged.nonzero()[:, 0]
            log.warning(diverged_text(broken.tolist(), self.episodes.seed[broken].tolist()))
        ended = outcome["_final_obs"] if self.autoreset else diverged
        if not on_host or ended.any():
            self._begin_next(ended)
        reward, terminated, truncated = map(outcome.pop, ("reward", "terminated", "truncated"))
        return self._observation.clone(), reward, terminated, truncated, outcome

    def _judge_step(self) -> None:
        diverged = self.commands.diverged.clone()
        parts = self.task, self.physics, self.episodes
        self._outcome = judge(*parts, diverged, self.reward_kind, self.max_episode_steps)
        self.divergences += diverged
        observation = torch.where(diverged[:, None], self._observation, self._observe())
        self._observation.copy_(observation)
        self._outcome |= {"final_obs": observation, "at_limit": self.controller.at_limit.clone()}
        if self._privileged:
            self._outcome["final_privileged"] = self.privileged()

    def counters(self) -> dict[str, int]:
        """What went wrong so far: diverged simulations, NaN actions, and what the engine counts."""
        return {
            "diverged": int(self.divergences.sum()),
            "nan_actions": int(self.commands.nan_count),
            **self.physics.counters(),
        }

    @insulated
    def get_state(self) -> dict[str, Tensor]:
        """Return a copy of all that the next steps depend on, each (N, ...)."""
        return take_state(*self._parts)

    @insulated
    def set_state(self, state: dict[str, Tensor]) -> None:
        """Restore what `get_state` of an equal environment returned, bit by bit on the CPU."""
        put_state(state, *self._parts)
        self.commands.enter(self.episodes.seed)
        self._observation.copy_(self._observe())

    @insulated
    def privileged(self) -> Tensor:
        """Return what a critic may know beside the policy, now. Shape (N, P).

        Velocities of all joints, by what the world differs from the model, and, where observations
        are noisy, these without noise. Of simulations that diverged zeros.
        """
        parts = [self.physics.bind("qvel"), self.perturber.described(self.episodes.seed)]
        if self.noise.deviations != NO_NOISE:
            parts.append(self.packer.pack(self.task.observe(self.physics)))
        return torch.where(self.commands.diverged[:, None], 0.0, torch.cat(parts, dim=-1))

    @insulated
    def observation(self, group: str = POLICY) -> Tensor:
        """Return the present observation of a group of features. Shape (N, O)."""
        if group == POLICY:
            return self._observation.clone()
        return Packer(self.features, group).pack(self.observe())

    @insulated
    def observe(self) -> dict[str, Tensor]:
        """Return every feature as it is now, whatever its group. Each (N, …)."""
        return self.task.observe(self.physics)

    def close_extras(self, **kwargs: Any) -> None:
        """Free the engine, if construction came that far."""
        if "physics" in self.__dict__:
            self.physics.close()

    def _observe(self) -> Tensor:
        return self.noise.add(self.packer.pack(self.task.observe(self.physics)))

    def _begin_next(self, mask: Tensor) -> None:
        """Begin the next episode of the environments in a mask (N,)."""
        self.episodes.mask.copy_(mask)
        self._draw()
        self._begin()

    def _begin(self) -> None:
        episodes = self.episodes
        self.physics.put_fields(episodes.fields, episodes.mask, episodes.constants)
        self.physics.reset(episodes.mask, episodes.start)
        self._enter()

    def _enter_episodes(self) -> None:
        mask = self.episodes.mask
        self.controller.reset(mask)
        self.episodes.enter(self.controller)
        self.commands.enter(self.episodes.seed, mask, self.controller.holding)
        self._observation.copy_(torch.where(mask[:, None], self._observe(), self._observation))

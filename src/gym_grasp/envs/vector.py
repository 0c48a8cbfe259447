"""The environment: control, task, time limit, autoreset and seeds over a batch of simulations."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import gymnasium
import mujoco
import numpy as np
import torch
from gymnasium.vector.utils import batch_space
from torch import Tensor

from gym_grasp.capture import Captured
from gym_grasp.envs.control import ControlConfig, Controller, prepare_model
from gym_grasp.envs.spec import EnvSpec
from gym_grasp.errors import UsageError
from gym_grasp.physics.base import Physics
from gym_grasp.tasks.features import Packer
from gym_grasp.tasks.random import episode_seeds, uniform

log = logging.getLogger(__name__)

RewardKind = Literal["sparse", "dense"]
REWARDS = ("sparse", "dense")
DIVERGED_REWARD = -1.0
"""Reward of a step in which the simulation broke: that of a step without success."""

FIELD = "field "
"""Begins the names of model fields in a state."""
_STAGGER = 1_000
"""Stream of random numbers that no task draws from."""


class GraspVectorEnv(gymnasium.vector.VectorEnv):
    """Many environments of one task, batched in torch on the physics' device.

    Follows `gymnasium.vector.VectorEnv` with SAME_STEP autoreset, tensors in place of arrays.

    Args:
        task: an `EnvSpec`, or the name of a task, whose spec is made of what follows.
        num_envs: number of environments.
        device: `cpu`, or `cuda[:i]` with the extra `gym-grasp[cuda]`.
        reward: `sparse`, 0 on success and −1 otherwise, or `dense`, as the task defines it.
        num_threads: CPU engine only: size of its thread pool; 0 takes every core.
        autoreset: whether the next episode begins in the step that ends one.
        render_mode: None; `rgb_array` is for single environments.
        first_env: number of the first environment, from which the seeds of its episodes follow:
            where several processes share a batch, how many environments come before.
        task_options, robot, control, max_episode_steps: parts of the spec, see `EnvSpec`; only
            with the name of a task.

    Raises:
        UsageError: something does not exist, is out of range, or is given twice.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 (Gymnasium's interface)
        "render_modes": ["rgb_array"],
        "autoreset_mode": gymnasium.vector.AutoresetMode.SAME_STEP,
    }

    def __init__(
        self,
        task: str | EnvSpec,
        num_envs: int = 1,
        device: str | torch.device = "cpu",
        reward: RewardKind = "sparse",
        control: ControlConfig | None = None,
        max_episode_steps: int | None = None,
        num_threads: int = 0,
        autoreset: bool = True,
        render_mode: str | None = None,
        task_options: Mapping[str, Any] | None = None,
        first_env: int = 0,
        robot: str | None = None,
    ) -> None:
        if num_envs < 1:
            raise UsageError(f"num_envs is {num_envs}; it must be at least 1.")
        if reward not in REWARDS:
            raise UsageError(f"Unknown reward '{reward}'. Known: {', '.join(REWARDS)}.")
        self.env_spec = _spec(task, task_options, robot, control, max_episode_steps)
        """What this environment is."""
        spec, self.robot = self.env_spec, self.env_spec.robot_model
        model = compile_scene(spec)
        self.device = torch.device(device)
        self.physics = make_physics(model, num_envs, self.device, num_threads)
        self.task = spec.task_class(model, self.device, self.robot, spec.task_options)
        self.task.memory = torch.zeros(num_envs, self.task.memory_size, device=self.device)
        self.controller = Controller(self.physics, spec.control, self.robot)
        self.num_envs = num_envs
        self.reward_kind = reward
        self.autoreset = autoreset
        self.render_mode = render_mode
        self.control_rate = 1.0 / self.controller.period
        mode = gymnasium.vector.AutoresetMode
        self.metadata = {
            **self.metadata,
            "autoreset_mode": mode.SAME_STEP if autoreset else mode.DISABLED,
            "render_fps": round(self.control_rate),
        }
        assert spec.max_episode_steps is not None
        self.max_episode_steps = spec.max_episode_steps
        self.features = spec.features
        """Every observation, by key."""
        self.packer = Packer(self.features)
        """Packs those that policies act on."""
        self.observation_size = self.packer.size
        self.action_size = self.robot.action_size
        self.single_observation_space = gymnasium.spaces.Box(
            -np.inf, np.inf, (self.observation_size,), np.float32
        )
        self.single_action_space = gymnasium.spaces.Box(-1.0, 1.0, (self.action_size,), np.float32)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

        def zeros(dtype: torch.dtype) -> Tensor:
            return torch.zeros(num_envs, dtype=dtype, device=self.device)

        # What outlives one of the captured functions is written in place: a GPU replays them on
        # the very tensors that they were captured with.
        self._env_index = first_env + torch.arange(num_envs, device=self.device)
        self._base_seed: int | None = None
        self._base = torch.zeros((), dtype=torch.int64, device=self.device)
        self.episode_seed = zeros(torch.int64)
        """Seed of each environment's present episode; `reset_to` begins it anew. Shape (N,)."""
        self._episode = zeros(torch.int64)
        self.elapsed = zeros(torch.int64)
        """Steps of each environment's present episode. Shape (N,)."""
        self._return = zeros(torch.float32)
        self._observation = torch.zeros(num_envs, self.observation_size, device=self.device)
        self._actions = torch.zeros(num_envs, self.action_size, device=self.device)
        self._ctrl = torch.zeros(num_envs, model.nu, device=self.device)
        self._begun = False
        self._diverged = zeros(torch.bool)
        self._mask = zeros(torch.bool)
        self._start = torch.zeros(num_envs, model.nq, device=self.device)
        self._drawn = self.task.randomise(self.episode_seed)
        self._outcome: dict[str, Tensor] = {}
        self._diverged_count = zeros(torch.int64)
        self._nan_count = torch.zeros((), dtype=torch.int64, device=self.device)
        self._command = Captured(self._command_joints, self.device)
        self._judge = Captured(self._judge_step, self.device)
        self._draw = Captured(self._draw_episodes, self.device)
        self._enter = Captured(self._enter_episodes, self.device)

    @property
    def seeded(self) -> bool:
        """Whether a seed has been chosen, by the caller or by chance."""
        return self._base_seed is not None

    @property
    def task_name(self) -> str:
        """Name of the task."""
        return self.task.name

    @property
    def task_version(self) -> int:
        """Version of the task's definition."""
        return self.task.version

    def reset(  # type: ignore[override]
        self,
        *,
        seed: int | Sequence[int] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Tensor, dict[str, Any]]:
        """Begin new episodes.

        Args:
            seed: seed of the whole batch; None goes on in the present sequence of episodes. A
                list holds one episode seed per environment, as `reset_to` takes them.
            options: `reset_mask`, (N,) bool: which environments to reset; by default all.
                `stagger`: True lets the episodes begin with a random part of their time limit
                over, so that they do not all end at once; training does this.

        Returns:
            The observation, shape (N, O), and an empty dictionary.
        """
        if isinstance(seed, Sequence):
            return self.reset_to(torch.tensor(seed, dtype=torch.int64)), {}
        if seed is None and self._base_seed is None:
            seed = int(np.random.SeedSequence().generate_state(1)[0]) >> 1
        if seed is not None:
            self._base_seed = int(seed)
            self._base.fill_(self._base_seed)
            self._episode.zero_()
        mask = torch.ones(self.num_envs, dtype=torch.bool, device=self.device)
        if options and options.get("reset_mask") is not None:
            mask = torch.as_tensor(options["reset_mask"], dtype=torch.bool, device=self.device)
        self._begin_next(mask)
        if options and options.get("stagger"):
            limit = torch.full((1,), float(self.max_episode_steps), device=self.device)
            elapsed = uniform(self.episode_seed, 0 * limit, limit, stream=_STAGGER)[:, 0].long()
            self.elapsed.copy_(torch.where(mask, elapsed, self.elapsed))
        return self._observation.clone(), {}

    def reset_to(self, seeds: Tensor) -> Tensor:
        """Begin, in every environment, the episode of the given seed.

        Args:
            seeds: episode seeds as in `episode_seed`, int64. Shape (N,).

        Returns:
            The observation. Shape (N, O).
        """
        if self._base_seed is None:
            self._base_seed = 0
        self._mask.fill_(True)
        self.episode_seed.copy_(seeds)
        self._draw_start()
        self._begin()
        return self._observation.clone()

    def step(self, actions: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, dict[str, Any]]:  # type: ignore[override]
        """Apply one action in every environment.

        Args:
            actions: see `EnvSpec.action_names`; clipped to [−1, 1]. Shape (N, A).

        Returns:
            Observation (N, O), reward (N,), terminated (N,), truncated (N,) and info: `success`
            and `diverged` (N,) bool, `progress` and `dense_reward` (N,); where an episode ended,
            `final_obs` (N, O) holds its last observation (other rows hold the present one;
            `_final_obs` is the mask), `episode_return` and `episode_length` (N,) what it summed to.

        Raises:
            UsageError: the actions have the wrong shape or, on the CPU, hold NaN. On a GPU, where
                looking would stall it, NaN acts as 0 and is counted in `counters`.
        """
        with _one_thread():
            return self._step(actions)

    def _step(self, actions: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, dict[str, Any]]:
        self.begin_step(actions)
        interval = self.controller.config.interval
        if self.controller.config.method == "jacobian-transpose":
            for _ in range(interval):
                self.advance()
        else:
            self.advance(interval)
        return self.end_step()

    def begin_step(self, actions: Tensor) -> None:
        """Begin a step for one who paces the physics, as teleoperation does.

        `begin_step`, `controller.config.interval` times `advance` and `end_step` are together the
        same as `step`, bit by bit on the CPU.

        Args:
            actions: as for `step`. Shape (N, A).
        """
        if self._base_seed is None:
            raise UsageError("step() came before the first reset(); call reset(seed=…) first.")
        self._actions.copy_(self._checked(actions))
        self._command()
        self._begun = True
        self._diverged.zero_()

    def advance(self, substeps: int = 1) -> None:
        """Advance the physics by some of the substeps of the step that was begun."""
        if not self._begun and self.controller.config.method == "jacobian-transpose":
            self._ctrl.copy_(self.controller.joint_targets())
        self._begun = False
        self.physics.step(self._ctrl, substeps)
        self._diverged |= self.physics.diverged

    def end_step(self) -> tuple[Tensor, Tensor, Tensor, Tensor, dict[str, Any]]:
        """Observe, reward and, where an episode ended, reset; returns what `step` returns."""
        self._judge()
        outcome = self._outcome
        on_host = self.device.type == "cpu"
        if not on_host:  # the next replay writes over it
            outcome = {name: value.clone() for name, value in outcome.items()}
        diverged = outcome["diverged"]
        # On the CPU looking is free; elsewhere it would wait for the device.
        if on_host and diverged.any():
            log.warning("%d simulation(s) diverged and were reset.", int(diverged.sum()))
        ended = outcome["_final_obs"] if self.autoreset else diverged
        if not on_host or ended.any():
            self._begin_next(ended)
        reward, terminated, truncated = map(outcome.pop, ("reward", "terminated", "truncated"))
        return self._observation.clone(), reward, terminated, truncated, outcome

    def _command_joints(self) -> None:
        actions = self._actions
        if self.device.type != "cpu":  # where NaN has not been refused
            nan = actions.isnan()
            self._nan_count += nan.any(dim=1).sum()
            actions = torch.where(nan, 0.0, actions)
        self.controller.apply(actions.clamp(-1.0, 1.0))
        self._ctrl.copy_(self.controller.joint_targets())

    def _judge_step(self) -> None:
        diverged = self._diverged.clone()
        if self.task.memory_size:
            self.task.memory.copy_(self.task.remember(self.physics))
        success = self.task.success(self.physics) & ~diverged
        progress = self.task.progress(self.physics)
        progress = torch.where(success, progress.clamp_min(1.0), progress)
        dense = self.task.dense_reward(self.physics, progress)
        dense = torch.where(diverged, DIVERGED_REWARD, dense)
        reward = dense if self.reward_kind == "dense" else success.float() - 1.0
        observation = torch.where(diverged[:, None], self._observation, self._observe())
        self._observation.copy_(observation)
        self.elapsed += 1
        self._return += reward
        self._diverged_count += diverged
        truncated = ~success & ((self.elapsed >= self.max_episode_steps) | diverged)
        self._outcome = {
            "reward": reward,
            "terminated": success,
            "truncated": truncated,
            "success": success,
            "diverged": diverged,
            "progress": progress,
            "dense_reward": dense,
            "final_obs": observation,
            "_final_obs": success | truncated,
            "episode_return": self._return.clone(),
            "episode_length": self.elapsed.clone(),
        }

    def counters(self) -> dict[str, int]:
        """Return what went wrong since the start: diverged simulations, NaN actions."""
        return {
            "diverged": int(self._diverged_count.sum()),
            "nan_actions": int(self._nan_count),
            **self.physics.counters(),
        }

    def get_state(self) -> dict[str, Tensor]:
        """Return a copy of all that the next steps depend on, each (N, ...)."""
        return {
            "physics": self.physics.get_state(),
            "targets": self.controller.targets.flat(),
            "elapsed": self.elapsed.clone(),
            "episode": self._episode.clone(),
            "episode_seed": self.episode_seed.clone(),
            "base_seed": torch.full_like(self._episode, self._base_seed or 0),
            "return": self._return.clone(),
            **({"memory": self.task.memory.clone()} if self.task.memory_size else {}),
            **{f"{FIELD}{name}": values for name, values in self.physics.fields().items()},
        }

    def set_state(self, state: dict[str, Tensor]) -> None:
        """Restore what `get_state` returned; what follows is bit-equal on the CPU."""
        self.physics.set_state(state["physics"].to(self.device))
        self.controller.targets.load(state["targets"])
        self.elapsed.copy_(state["elapsed"])
        self._episode.copy_(state["episode"])
        self.episode_seed.copy_(state["episode_seed"])
        self._base_seed = int(state["base_seed"][0])
        self._base.fill_(self._base_seed)
        self._return.copy_(state["return"])
        if self.task.memory_size:
            self.task.memory.copy_(state["memory"])
        for name, values in state.items():
            if name.startswith(FIELD):
                self.physics.set_field(name.removeprefix(FIELD), values.to(self.device))
        self._observation.copy_(self._observe())

    def observation(self) -> Tensor:
        """Return the present observation. Shape (N, O)."""
        return self._observation.clone()

    def observe(self) -> dict[str, Tensor]:
        """Return every feature as it is now, whatever its group. Each (N, …)."""
        return self.task.observe(self.physics)

    def close_extras(self, **kwargs: Any) -> None:
        """Free the engine."""
        self.physics.close()

    def _observe(self) -> Tensor:
        return self.packer.pack(self.task.observe(self.physics))

    def _begin_next(self, mask: Tensor) -> None:
        """Begin the next episode of the environments in a mask (N,)."""
        self._mask.copy_(mask)
        self._draw()
        self._begin()

    def _begin(self) -> None:
        for name, values in self._drawn.items():
            self.physics.set_field(name, values, self._mask)
        self.physics.reset(self._mask, self._start)
        self._enter()

    def _draw_episodes(self) -> None:
        seeds = episode_seeds(self._base, self._env_index, self._episode)
        self._episode += self._mask
        self.episode_seed.copy_(torch.where(self._mask, seeds, self.episode_seed))
        self._draw_start()

    def _draw_start(self) -> None:
        self._start.copy_(self.task.start(self.episode_seed))
        for name, values in self.task.randomise(self.episode_seed).items():
            self._drawn[name].copy_(values)

    def _enter_episodes(self) -> None:
        mask = self._mask
        self.controller.reset(mask)
        self.elapsed.masked_fill_(mask, 0)
        self._return.masked_fill_(mask, 0.0)
        self.task.memory.masked_fill_(mask[:, None], 0.0)
        observation = torch.where(mask[:, None], self._observe(), self._observation)
        self._observation.copy_(observation)

    def _checked(self, actions: Tensor) -> Tensor:
        actions = torch.as_tensor(actions, dtype=torch.float32, device=self.device)
        if actions.shape != (self.num_envs, self.action_size):
            raise UsageError(
                f"Actions have shape {tuple(actions.shape)}; "
                f"expected ({self.num_envs}, {self.action_size}) = (num_envs, action size)."
            )
        if self.device.type == "cpu" and actions.isnan().any():
            where = actions.isnan().any(dim=1).nonzero()[:, 0].tolist()
            raise UsageError(
                f"The actions of {len(where)} environment(s) hold NaN, first of environment "
                f"{where[0]}; actions are numbers in [-1, 1]. Nothing was stepped."
            )
        return actions


@contextmanager
def _one_thread() -> Iterator[None]:
    """Run torch on one thread: tensors are small here, and the cores belong to the physics.

    Handing an operation of 1,024 rows to a second thread costs more than it saves, and while the
    other cores are busy it can cost a hundred times more.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _spec(
    task: str | EnvSpec,
    options: Mapping[str, Any] | None,
    robot: str | None,
    control: ControlConfig | None,
    max_episode_steps: int | None,
) -> EnvSpec:
    parts = {
        "options": options,
        "robot": robot,
        "control": control,
        "max_episode_steps": max_episode_steps,
    }
    given = {name: value for name, value in parts.items() if value is not None}
    if not isinstance(task, EnvSpec):
        return EnvSpec(task, **given)  # type: ignore[arg-type]
    if given:
        raise UsageError(
            f"An EnvSpec is given, and {', '.join(given)} besides; change the spec instead: "
            "spec.replace(…)."
        )
    return task


def compile_scene(spec: EnvSpec) -> mujoco.MjModel:
    """Compile the scene of a spec, robot and all."""
    model = spec.task_class.build(spec.robot_model, spec.task_options).compile()
    prepare_model(model, spec.control.method, spec.robot_model)
    return model


def make_physics(model: Any, num_envs: int, device: torch.device, num_threads: int = 0) -> Physics:
    """Choose the engine by the device: mujoco.batch on the CPU, MuJoCo Warp on a GPU."""
    if device.type == "cpu":
        from gym_grasp.physics.cpu import CpuPhysics

        return CpuPhysics(model, num_envs, num_threads)
    if device.type != "cuda":
        raise UsageError(f"Unknown device '{device}'. Known: cpu, cuda, cuda:<index>.")
    from gym_grasp.physics.warp import WarpPhysics

    return WarpPhysics(model, num_envs, device)

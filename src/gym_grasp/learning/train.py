"""The one training loop of BC, PPO and DAPG."""

import dataclasses
import math
import time
from collections.abc import Callable, Mapping
from contextlib import closing, nullcontext
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gym_grasp import __version__
from gym_grasp.errors import CheckpointError, GymGraspError, UsageError, reason
from gym_grasp.files import locked, write_json, write_together
from gym_grasp.learning import checkpoint, distributed, stopping
from gym_grasp.learning.checkpoint import (
    CHECKPOINT,
    POLICY,
    PREVIOUS,
    Identity,
    Progress,
)
from gym_grasp.learning.config import TrainConfig
from gym_grasp.learning.demonstrations import Demonstrations
from gym_grasp.learning.env import Environment
from gym_grasp.learning.fit import check_fit
from gym_grasp.learning.learner import Learner
from gym_grasp.learning.metrics import METRICS, Metrics, RunLog, check_rows
from gym_grasp.learning.networks import Policy
from gym_grasp.learning.record import CONFIG, describe, epoch_metrics, summarise, versions
from gym_grasp.learning.resuming import bound, load_to_resume, refuse_edited
from gym_grasp.learning.watch import Watch
from gym_grasp.typed import CRAFTED, construct

LOCK = "lock"


def train(
    env: Environment,
    config: TrainConfig,
    run_dir: Path,
    demonstrations: Demonstrations | None = None,
    *,
    resume: bool = False,
    settings: Mapping[str, Any] | None = None,
    on_epoch: Callable[[int, Metrics], None] | None = None,
    progress: bool = True,
    watch: Watch | None = None,
) -> dict[str, Any]:
    """Train a policy and leave everything about the run in its folder, which it holds meanwhile.

    The folder holds config.json, metrics.json, checkpoints/last.pt (to resume) and the one before,
    checkpoints/policy.pt (to use), learning_curve.png and TensorBoard events. On the CPU a
    resumed run ends bit-equal to one that was never interrupted.

    Within `distributed.joined` several processes train one policy, each calling this with
    environments of its own; the first one writes. Resumed with another number of processes, what
    was learned goes on and episodes begin anew.

    Args:
        env: The environments; for bc they are not stepped, and one is enough.
        config: Settings of the run.
        run_dir: The run folder.
        demonstrations: Needed by bc and dapg; with ppo, only the loss on the held-out ones is
            reported.
        resume: Continue from the folder's last checkpoint.
        settings: What else config.json is to hold, such as how the environment was made.
        on_epoch: Called with the epoch and its metrics after each epoch and its checkpoint, in
            every process.
        progress: Whether to show progress on standard error.
        watch: What evaluations and films under way take, if the settings want any; the first
            process needs it.

    Returns:
        The summary that metrics.json holds too; nothing in processes but the first, or where no
        epoch was left to do.

    Raises:
        UsageError: If the folder holds a run already, or demonstrations are missing.
        CheckpointError: If the run cannot be resumed.
        GymGraspError: If training diverges, the folder cannot be written, or another process trains
            into it.
        Stopped: SIGINT, SIGTERM or SIGHUP came; what was learned is saved.
    """
    run_dir = Path(run_dir)
    busy = (
        f"Another process trains into {run_dir}; let it end, or choose another folder with --run."
    )
    with locked(run_dir / LOCK, busy) if distributed.rank() == 0 else nullcontext():
        return _train(
            env,
            config,
            run_dir,
            demonstrations,
            resume,
            settings or {},
            on_epoch,
            progress,
            watch or Watch(),
        )


def _train(
    env: Environment,
    config: TrainConfig,
    run_dir: Path,
    demonstrations: Demonstrations | None,
    resume: bool,
    settings: Mapping[str, Any],
    on_epoch: Callable[[int, Metrics], None] | None,
    progress: bool,
    watch: Watch,
) -> dict[str, Any]:
    if distributed.rank() == 0:
        watch.check(config)
    if not resume and (run_dir / CHECKPOINT).exists():
        raise UsageError(
            f"{run_dir} holds a run already; choose another folder with --run, or go on with "
            f"`gym-grasp resume {run_dir}`."
        )
    run = Run(env, config, run_dir, demonstrations, settings)
    if resume:
        run.restore()
    else:
        (run_dir / PREVIOUS).unlink(missing_ok=True)  # another run's
    run.start_episodes()
    log: RunLog | None = None
    if distributed.rank() == 0:
        description = describe(env, config, settings, run.dataset, run.versions)
        if resume:
            refuse_edited(run_dir / CONFIG, description)
        write_json(run_dir / CONFIG, description)
        tracked = description if config.wandb else None
        log = RunLog(run_dir, config.epochs, run.history, tracked, progress)
    summary: dict[str, Any] = {}
    with (
        stopping.watching() as stop,  # first: torchrun ends the others as soon as one is gone
        distributed.naming_the_dead(),
        closing(log) if log else nullcontext(),
    ):
        if config.pretrains and not resume:
            run.pretrain(log, stop)
            if log is not None:
                log.pretrained(watch.look(run.policy, config, 0, False, run_dir))
        while not run.finished:
            metrics = run.learn()
            stopped = distributed.most(stop.number)
            if log is not None:
                last = run.finished or bool(stopped)
                metrics |= watch.look(run.policy, config, run.epoch, last, run_dir)
                log.add(metrics)
            if run.finished or stopped or run.epoch % config.checkpoint_interval == 0:
                summary = run.save(log)
            if on_epoch is not None:
                on_epoch(run.epoch - 1, metrics)
            if stopped and not run.finished:
                raise stopping.Stopped(
                    stopped,
                    f"stopped after epoch {run.epoch} of {config.epochs}, which is saved; go on "
                    f"with `gym-grasp resume {run_dir}`",
                )
    return summary


class Run:
    """A run under way, as one of its processes sees it.

    Attributes:
        epoch: Epochs done.
        steps: Control steps of all environments of all processes.
        seconds: Training time over all sessions; checkpoints are not counted.
        dataset: Fingerprint of the demonstrations that the method learns from.
        versions: Versions that the result depends on.
        settings: What was asked for besides, and has to stay, see `bound`.
    """

    def __init__(
        self,
        env: Environment,
        config: TrainConfig,
        run_dir: Path,
        demonstrations: Demonstrations | None,
        settings: Mapping[str, Any],
    ) -> None:
        self.epoch, self.steps, self.seconds = 0, 0, 0.0
        self.history: list[Metrics] = []
        self.learner = Learner(env, config, demonstrations)
        self.dataset: str | None = None
        if demonstrations is not None and config.needs_demonstrations:
            self.dataset = demonstrations.fingerprint
        self.versions = versions()
        self.settings = bound(settings)
        self._env, self._config, self._run_dir = env, config, run_dir
        self._demonstrations = demonstrations
        self._observation: Tensor | None = None

    @property
    def policy(self) -> Policy:
        """The policy as it is now."""
        return self.learner.model.policy

    @property
    def finished(self) -> bool:
        """Whether all epochs are done or the time is up."""
        limit = self._config.max_minutes
        late = limit is not None and self.seconds >= 60 * limit
        return late or self.epoch >= self._config.epochs

    def restore(self) -> None:
        """Continue from the last checkpoint, or raise `CheckpointError`.

        With another number of processes what was learned goes on, but not the episodes.
        """
        env, learner = self._env, self.learner
        try:
            given = self._config, self.dataset, self.settings
            content = load_to_resume(self._run_dir, env, *given)
            learner.load_state_dict(content["learner"])
            far = construct(Progress, {one.name: content[one.name] for one in fields(Progress)})
            self.epoch, self.steps, self.seconds = far.epoch, far.steps, far.seconds
            self.history = far.history
            check_rows(self.history)
            counted = self.steps >= 0 and 0 <= self.seconds < math.inf
            if self.epoch != len(self.history) or not counted:
                raise ValueError(f"{self.epoch} epochs, {self.steps} steps, {self.seconds} s")
            if len(content["processes"]) == distributed.size():
                own = content["processes"][distributed.rank()]
                learner.load_random_state(own["random"])
                if self._config.steps_environment:
                    env.set_state({k: v.to(env.device) for k, v in own["environment"].items()})
                    wanted = torch.zeros(env.num_envs, env.observation_size)
                    check_fit(own["observation"], wanted, "observation")
                    self._observation = own["observation"].to(env.device)
        except CRAFTED as error:
            raise CheckpointError(
                f"{self._run_dir / CHECKPOINT} is no checkpoint that gym-grasp {__version__} could "
                f"have written ({reason(error)}); restore a copy, or train anew."
            ) from error

    def start_episodes(self) -> None:
        """Reset the environments, if they are stepped and were not restored."""
        if self._config.steps_environment and self._observation is None:
            # Episodes that all begin and end together would show each epoch another part of the
            # task.
            self._observation, _ = self._env.reset(
                seed=self._config.seed, options={"stagger": True}
            )

    def pretrain(self, log: RunLog | None, stop: stopping.Stop) -> None:
        """Learn from the demonstrations alone, and begin with the policy that results.

        Raises:
            Stopped: a signal came.
        """
        began = time.perf_counter()
        passes = self._config.pretrain_epochs
        cloner = Learner(self._env, self._config.of_pretraining(), self._demonstrations)
        for epoch in range(passes):
            metrics = cloner.update(epoch, None)
            if log is not None:
                log.pretraining(epoch, passes, metrics)
            if stopped := distributed.most(stop.number):
                text = "stopped while pretraining, of which nothing is saved; train anew"
                raise stopping.Stopped(stopped, text)
        self.learner.begin_with(cloner.model.policy)
        self.seconds = distributed.average_number(time.perf_counter() - began)

    def learn(self) -> Metrics:
        """Do one epoch and return its metrics.

        Raises:
            GymGraspError: If the gradient is not finite.
        """
        began = time.perf_counter()
        samples = 0
        if self._observation is not None:
            self._observation = self.learner.collect(self._observation)
            samples = self._config.horizon * self._env.num_envs * distributed.size()
        collected = time.perf_counter()
        raw = self.learner.update(self.epoch, self._observation)
        ended = time.perf_counter()
        elapsed = distributed.average_number(ended - began)
        self.steps += samples
        self.seconds += elapsed
        metrics = epoch_metrics(raw, self._config, self.epoch, self.steps)
        metrics["seconds"] = self.seconds
        metrics["seconds/rollout"] = collected - began
        metrics["seconds/update"] = ended - collected
        if samples:
            metrics["steps_per_second"] = samples / elapsed
        if not math.isfinite(metrics["gradient/total"]):
            raise GymGraspError(
                f"Training diverged in epoch {self.epoch}: the gradient is not finite. The last "
                "checkpoint is from before; lower learning_rate or max_learning_rate."
            )
        self.epoch += 1
        return metrics

    def save(self, log: RunLog | None) -> dict[str, Any]:
        """Write checkpoint, policy and metrics.json; return the summary.

        Every process has to call it; all but the first, which holds the log, write and return
        nothing.
        """
        env, config, learner = self._env, self._config, self.learner
        own = {
            "random": learner.random_state(),
            "environment": env.get_state() if config.steps_environment else None,
            "observation": self._observation,
        }
        processes = distributed.gather(_on_host(own))
        if log is None:
            return {}
        identity = Identity(**env.description)
        state = {
            "identity": vars(identity),
            "config": dataclasses.asdict(config),
            "num_envs": env.num_envs,
            "dataset": self.dataset,
            "settings": self.settings,
            "epoch": self.epoch,
            "steps": self.steps,
            "seconds": self.seconds,
            "history": log.history,
            "learner": learner.state_dict(),
            "processes": processes,
        }
        summary = summarise(
            config, self.epoch, self.steps, self.seconds, log.history, self.versions
        )
        checkpoint.keep_previous(self._run_dir)
        # The checkpoint comes last: what a crash leaves undone is done again from the one before.
        write_together(
            {
                self._run_dir / POLICY: checkpoint.policy_file(learner.model.policy, identity),
                self._run_dir / METRICS: log.to_json(summary),
                self._run_dir / CHECKPOINT: checkpoint.to_bytes("training", state),
            }
        )
        return summary


def _on_host(value: Any) -> Any:
    """Return nested dictionaries with their tensors in the host's memory."""
    if isinstance(value, dict):
        return {key: _on_host(item) for key, item in value.items()}
    return value.cpu() if isinstance(value, torch.Tensor) else value

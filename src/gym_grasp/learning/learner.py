"""The learner: networks, optimiser, and the update that all methods share."""

import math
from collections import defaultdict
from typing import Any

import torch
from torch import Tensor, nn

from gym_grasp.errors import DatasetError, UsageError
from gym_grasp.learning import loss
from gym_grasp.learning.config import TrainConfig, Weights
from gym_grasp.learning.demonstrations import Demonstrations, DemonstrationSampler
from gym_grasp.learning.env import Environment
from gym_grasp.learning.networks import ActorCritic
from gym_grasp.learning.rollout import (
    STATISTICS,
    Rollout,
    advantages,
    collect,
    next_values,
    values_of,
)

Samples = dict[str, Tensor]
"""A rollout, or a minibatch of it, as tensors (B, ...) under the names that the loss uses."""


class Learner:
    """Holds all that changes while a policy is trained, and changes it.

    Rules, the same for every method:
    - The normaliser of observations is fed by the rollouts, after the update, so that the policy
      that is updated is exactly the one that acted. Where demonstrations count, it begins with
      the training demonstrations (never with the held-out ones).
    - Every gradient step draws a fresh batch of demonstrations.
    - One gradient, of the weighted sum of all terms, is clipped by its norm.
    - After each pass over the rollout the KL rule moves the step size. Without a rollout (bc) a
      cosine takes it to zero.
    """

    def __init__(
        self, env: Environment, config: TrainConfig, demonstrations: Demonstrations | None
    ) -> None:
        self.env = env
        self.config = config
        self.device = torch.device(env.device)
        if self.device.type == "cuda":
            torch.set_float32_matmul_precision("high")  # TF32
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.model = ActorCritic(
                env.observation_size, env.action_size, config.hidden_sizes, config.initial_std
            ).to(self.device)
        self._generator = torch.Generator(self.device).manual_seed(config.seed)
        self.learning_rate = torch.tensor(config.learning_rate, device=self.device)
        self._parameters = list(self.model.parameters())
        self._optimizer = torch.optim.Adam(self._parameters, lr=self.learning_rate, fused=True)
        self._rollout = Rollout.allocate(env, config.horizon) if config.steps_environment else None
        self._sampler: DemonstrationSampler | None = None
        self._demonstrations: Demonstrations | None = None
        if demonstrations is not None:
            self._demonstrations = self._fitting(demonstrations).to(self.device)
        if config.needs_demonstrations:
            if self._demonstrations is None:
                raise UsageError(
                    f"Method '{config.method}' learns from demonstrations and none were given; "
                    "record some, or choose method 'ppo'."
                )
            self._sampler = DemonstrationSampler(
                self._demonstrations, config.demo_batch_size, config.seed
            )
            self.model.policy.normalizer.update(self._demonstrations.observations)

    def collect(self, observation: Tensor) -> Tensor:
        """Step the environments for one horizon; return the observation it ends with."""
        assert self._rollout is not None
        return collect(self.env, self.model, observation, self._rollout, self._generator)

    def update(self, epoch: int, last: Tensor | None) -> dict[str, float]:
        """Learn from the rollout (which ended with `last`), the demonstrations, or both.

        Returns the epoch's metrics, the only values that are read from the device.
        """
        config, weights = self.config, self.config.weights(epoch)
        samples = self._samples(last) if last is not None else None
        log: dict[str, list[Tensor]] = defaultdict(list)
        if samples is None:
            progress = epoch / config.epochs
            self.learning_rate.fill_(
                config.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
            )
        norms = epoch % config.gradient_norm_interval == 0
        for pass_index in range(config.mini_epochs if samples is not None else 1):
            divergences = []
            for batch_index, batch in enumerate(self._minibatches(samples)):
                terms = self._terms(batch, weights, log)
                if norms and pass_index == batch_index == 0:
                    for name, norm in self._gradient_norms(terms).items():
                        log[f"gradient/{name}"].append(norm)
                log["gradient/total"].append(self._step(torch.stack(list(terms.values())).sum()))
                if batch is not None:
                    divergences.append(log["policy/kl"][-1])
            if divergences:
                self._adapt_learning_rate(torch.stack(divergences).mean())
        metrics = {name: torch.stack(values).mean() for name, values in log.items()}
        metrics["learning_rate"] = self.learning_rate
        if samples is not None:
            assert self._rollout is not None
            metrics["policy/std"] = self.model.log_std.detach().exp().mean()
            metrics["value/explained_variance"] = samples["explained_variance"]
            self.model.policy.normalizer.update(self._rollout.observations)
            metrics |= dict(zip(STATISTICS, self._rollout.statistics, strict=True))
        validation = self.validation_loss()
        if validation is not None:
            metrics["loss/validation"] = validation
        return dict(zip(metrics, torch.stack(list(metrics.values())).tolist(), strict=True))

    @torch.no_grad()
    def validation_loss(self) -> Tensor | None:
        """Return the cloning loss on the held-out demonstrations, if there are any."""
        demos = self._demonstrations
        if demos is None or len(demos.valid_observations) == 0:
            return None
        return loss.cloning_loss(
            self.model.policy.mean(demos.valid_observations), demos.valid_actions
        )

    def state_dict(self) -> dict[str, Any]:
        """Return all that continuing bit for bit needs, but the environment."""
        cuda = self.device.type == "cuda"
        return {
            "model": self.model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "learning_rate": self.learning_rate.clone(),
            "generator": self._generator.get_state(),
            "sampler": self._sampler.state_dict() if self._sampler else None,
            "torch_rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state(self.device) if cuda else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        self.model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.learning_rate.copy_(state["learning_rate"])
        self._optimizer.param_groups[0]["lr"] = self.learning_rate
        self._generator.set_state(state["generator"])
        if self._sampler is not None:
            self._sampler.load_state_dict(state["sampler"])
        torch.set_rng_state(state["torch_rng"])
        if state["cuda_rng"] is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(state["cuda_rng"], self.device)

    def _samples(self, last: Tensor) -> Samples:
        """Return the rollout with its advantages and value targets, time and batch flattened."""
        config, model, rollout = self.config, self.model, self._rollout
        assert rollout is not None
        old_values = values_of(model, rollout.observations)
        values = model.denormalize_value(old_values)
        following = next_values(model, rollout, values, last)
        done = rollout.terminated | rollout.truncated
        advantage = advantages(
            rollout.rewards, values, following, done, config.discount, config.gae_lambda
        )
        returns = advantage + values
        model.value_normalizer.update(returns[..., None])
        with torch.no_grad():
            old_log_std = model.log_std.clone()
            samples = {
                "observation": rollout.observations,
                "action": rollout.actions,
                "old_mean": rollout.means,
                "old_log_prob": loss.log_prob(rollout.actions, rollout.means, old_log_std),
                "old_value": old_values,
                "target": model.value_normalizer.normalize(returns),
                "advantage": (advantage - advantage.mean()) / (advantage.std() + 1e-8),
            }
        samples = {name: value.flatten(0, 1) for name, value in samples.items()}
        # The normaliser stands still during an update, so every pass reads the same features.
        with torch.no_grad():
            samples["features"] = model.policy.features(samples.pop("observation"))
        samples["old_log_std"] = old_log_std
        samples["explained_variance"] = 1 - advantage.var() / (returns.var() + 1e-8)
        return samples

    def _minibatches(self, samples: Samples | None):
        """Yield one pass over the rollout in random order, or None for each demo batch."""
        if samples is None:
            assert self._sampler is not None
            yield from [None] * self._sampler.batches_per_pass
            return
        whole = ("old_log_std", "explained_variance")
        count = len(samples["advantage"])
        order = torch.randperm(count, generator=self._generator, device=self.device)
        # Shuffled once a pass: minibatches are then slices, which cost a GPU no further launches.
        shuffled = {name: x[order] for name, x in samples.items() if name not in whole}
        cuts = {
            name: x.tensor_split(self.config.minibatches(count)) for name, x in shuffled.items()
        }
        for batch in zip(*cuts.values(), strict=True):
            yield dict(zip(cuts, batch, strict=True)) | {"old_log_std": samples["old_log_std"]}

    def _terms(
        self, batch: Samples | None, weights: Weights, log: dict[str, list[Tensor]]
    ) -> dict[str, Tensor]:
        """Return the weighted terms whose sum is the loss; log them without their weights."""
        config, policy = self.config, self.model.policy
        terms: dict[str, tuple[float, Tensor]] = {}
        # Rollout and demonstrations pass the actor together, the latter last.
        features = [] if batch is None else [batch["features"]]
        if weights.cloning > 0:
            assert self._sampler is not None
            demo_observation, demo_action = self._sampler.draw()
            features.append(policy.features(demo_observation))
        means = policy.actor(torch.cat(features))
        if batch is not None:
            log_std, old_log_std = self.model.log_std, batch["old_log_std"]
            mean = means[: len(batch["features"])]
            surrogate, clipped = loss.surrogate_loss(
                loss.log_prob(batch["action"], mean, log_std),
                batch["old_log_prob"],
                batch["advantage"],
                config.clip_range,
            )
            value = loss.value_loss(
                self.model.critic(batch["features"]).squeeze(-1),
                batch["old_value"],
                batch["target"],
                config.clip_range,
            )
            bounds = loss.bounds_loss(mean, config.mean_limit)
            terms["surrogate"] = (weights.ppo, surrogate)
            terms["value"] = (weights.ppo * config.value_weight, value)
            terms["bounds"] = (weights.ppo * config.bounds_weight, bounds)
            with torch.no_grad():
                log["policy/kl"].append(
                    loss.gaussian_kl(batch["old_mean"], old_log_std, mean, log_std)
                )
            log["policy/clipped"].append(clipped)
        if weights.cloning > 0:
            cloning = loss.cloning_loss(means[-len(demo_action) :], demo_action)
            terms["cloning"] = (weights.cloning, cloning)
        for name, (_, term) in terms.items():
            log[f"loss/{name}"].append(term.detach())
        return {name: weight * term for name, (weight, term) in terms.items()}

    def _gradient_norms(self, terms: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the norm of each weighted term's own gradient."""
        return {
            name: nn.utils.get_total_norm(
                torch.autograd.grad(
                    term, self._parameters, retain_graph=True, materialize_grads=True
                )
            )
            for name, term in terms.items()
        }

    def _step(self, total: Tensor) -> Tensor:
        """Take one gradient step, the only place that does; return the norm before clipping."""
        self._optimizer.zero_grad(set_to_none=True)
        total.backward()
        norm = nn.utils.clip_grad_norm_(self._parameters, self.config.gradient_limit)
        self._optimizer.step()
        return norm.detach()

    def _adapt_learning_rate(self, kl: Tensor) -> None:
        config = self.config
        self.learning_rate.copy_(
            loss.adapt_learning_rate(
                self.learning_rate,
                kl,
                config.kl_threshold,
                config.min_learning_rate,
                config.max_learning_rate,
            )
        )

    def _fitting(self, demonstrations: Demonstrations) -> Demonstrations:
        """Return demonstrations that have the environment's sizes, or raise `DatasetError`."""
        found = (demonstrations.observations.shape[1], demonstrations.actions.shape[1])
        expected = (self.env.observation_size, self.env.action_size)
        if found != expected:
            raise DatasetError(
                f"The demonstrations hold {found[0]} observed values and {found[1]} actions, the "
                f"task '{self.env.task_name}' has {expected[0]} and {expected[1]}; record "
                "demonstrations of this task and version."
            )
        return demonstrations

"""The learner: networks, optimiser, and the update that all methods share."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from gym_grasp.capture import Captured, can_compile, compiled, side_by_side
from gym_grasp.errors import UsageError
from gym_grasp.learning import distributed, loss
from gym_grasp.learning.config import TrainConfig
from gym_grasp.learning.demonstrations import Demonstrations, DemonstrationSampler
from gym_grasp.learning.env import Environment, compile_steps, privileged_size
from gym_grasp.learning.fit import check_learner, check_random
from gym_grasp.learning.networks import ActorCritic, Policy, deviation_floor
from gym_grasp.learning.rollout import STATISTICS, Rollout, collect
from gym_grasp.learning.samples import Minibatches, Samples, make_samples
from gym_grasp.noise import deviations

PPO_LOG = ("policy/kl", "policy/clipped", "loss/surrogate", "loss/value", "loss/bounds")
CLONING_LOG = ("loss/cloning",)
NORM = "gradient/total"


class Learner:
    """Holds all that changes while a policy is trained, and changes it.

    Rules, the same for every method:
    - The normaliser of observations is that of the training demonstrations, where they count: to
      shift it would undo what was cloned. Else the rollouts feed it, after the update, so that the
      policy that is updated is exactly the one that acted.
    - Every gradient step draws a fresh batch of demonstrations.
    - One gradient, of the weighted sum of all terms, is clipped by its norm.
    - After each pass over the rollout the KL rule moves the learning rate. Without a rollout (bc) a
      cosine takes it to zero.
    - Several processes have rollouts and demonstration batches of their own; gradient, statistics
      and KL are those of all together, so that they stay equal in everything else.

    A gradient step reads and writes the same tensors every time, which lets a GPU capture it.
    """

    def __init__(
        self, env: Environment, config: TrainConfig, demonstrations: Demonstrations | None
    ) -> None:
        self.env = env
        self.config = config
        self.device = torch.device(env.device)
        cuda, steps = self.device.type == "cuda", config.steps_environment
        accelerated = cuda and steps
        self._mixed_precision = config.accelerate("mixed_precision", accelerated)
        self._compiles = config.accelerate("compile", accelerated and can_compile(self.device))
        beside = privileged_size(env) if config.privileged_critic else 0
        if cuda:
            torch.set_float32_matmul_precision("high")  # TF32
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.model = ActorCritic(
                env.observation_size,
                env.action_size,
                config.hidden_sizes,
                config.exploration_std,
                deviation_floor(env.observation_units),
                beside,
            ).to(self.device)
        seed = distributed.own_seed(config.seed)
        self._generator = torch.Generator(self.device).manual_seed(seed)
        self.learning_rate = torch.tensor(config.learning_rate, device=self.device)
        self._parameters = list(self.model.parameters())
        # One buffer for the whole gradient: one norm, one message to the other processes.
        self._gradient = torch.zeros(sum(p.numel() for p in self._parameters), device=self.device)
        parts = self._gradient.split([p.numel() for p in self._parameters])
        for parameter, part in zip(self._parameters, parts, strict=True):
            parameter.grad = part.view_as(parameter)
        self._optimizer = torch.optim.Adam(
            self._parameters, lr=self.learning_rate, fused=True, capturable=cuda
        )
        self._rollout = Rollout.allocate(env, config.horizon, beside) if steps else None
        self._sampler: DemonstrationSampler | None = None
        self._demonstrations: Demonstrations | None = None
        if demonstrations is not None:
            demonstrations.check(env)
            self._demonstrations = demonstrations.to(self.device)
        if config.needs_demonstrations:
            if self._demonstrations is None:
                raise UsageError(
                    f"Method '{config.method}' learns from demonstrations and none were given; "
                    "record some, or choose method 'ppo'."
                )
            self._sampler = DemonstrationSampler(self._demonstrations, config.demo_batch_size, seed)
            self.model.policy.normalizer.update(self._demonstrations.observations)
        self._prepare_steps()

    def _prepare_steps(self) -> None:
        """Allocate what a gradient step reads and writes."""
        names: tuple[str, ...] = ()
        self._samples: Samples | None = None  # from the first rollout on always the same tensors
        if self._rollout is not None:
            names += PPO_LOG
            count = self._rollout.rewards.numel()
            self._minibatches = Minibatches(count, self.config.minibatches(count), self._generator)
            self._old_log_std = torch.zeros_like(self.model.log_std)
        if self._sampler is not None:
            names += CLONING_LOG
            size = self._sampler.batch_size
            self._demo_rows = torch.zeros(size, dtype=torch.int64, device=self.device)
            noise = deviations(self.config.cloning_noise, self.env.observation_units)
            self._noisy = any(noise)
            self._demo_deviation = torch.tensor(noise, device=self.device)
            self._demo_noise = torch.zeros(size, self.env.observation_size, device=self.device)
        self._log_names = (*names, NORM)
        self._log = torch.zeros(len(names), device=self.device)
        self._log_sum = torch.zeros(len(self._log_names), device=self.device)
        self._cloning_weight = torch.zeros((), device=self.device)
        self._actor_part, self._critic_part = self._actor_terms, self._critic_terms
        if self._compiles:
            compile_steps(self.env)
            self._actor_part = compiled(self._actor_terms)
            self._critic_part = compiled(self._critic_terms)
        self._backward = Captured(self._compute_gradient, self.device)
        self._apply = Captured(self._apply_gradient, self.device)

    def begin_with(self, policy: Policy) -> None:
        """Continue from a policy that is good already, at first with the lowest learning rate."""
        self.model.policy.load_state_dict(policy.state_dict())
        self.learning_rate.fill_(self.config.min_learning_rate)

    def collect(self, observation: Tensor) -> Tensor:
        """Step the environments for one horizon; return the observation it ends with."""
        assert self._rollout is not None
        return collect(self.env, self.model, observation, self._rollout, self._generator)

    def update(self, epoch: int, last: Tensor | None) -> dict[str, float]:
        """Learn from the rollout, the demonstrations, or both.

        Args:
            epoch: Number of the epoch, counted from 0.
            last: Observation (N, O) that the rollout ended with; None for bc.

        Returns:
            The epoch's metrics, the only values that are read from the device.
        """
        config = self.config
        self._cloning_weight.fill_(config.cloning_weight(epoch))
        metrics: dict[str, Tensor] = {}
        if last is None:
            cosine = 0.5 * (1 + math.cos(math.pi * epoch / config.epochs))
            self.learning_rate.fill_(config.cloning_learning_rate * cosine)
        else:
            metrics["value/explained_variance"] = self._take_samples(last)
        measured = epoch % config.gradient_norm_interval == 0
        passes: list[Tensor] = []
        for _ in range(config.mini_epochs if last is not None else 1):
            self._log_sum.zero_()
            steps = self._begin_pass()
            for step in range(steps):
                self._choose_samples(step)
                if measured and not passes and step == 0:
                    metrics |= self._gradient_norms()
                self._backward()
                distributed.average(self._gradient)
                self._apply()
            passes.append(self._log_sum / steps)
            if last is not None:
                self._adapt_learning_rate(passes[-1][self._log_names.index("policy/kl")])
        metrics |= dict(zip(self._log_names, torch.stack(passes).mean(0), strict=True))
        metrics["learning_rate"] = self.learning_rate
        if self._rollout is not None:
            metrics["policy/std"] = self.model.log_std.detach().exp().mean()
            if self._sampler is None:
                normalizer = self.model.policy.normalizer
                normalizer.merge(*distributed.moments(self._rollout.observations))
            if self.config.privileged_critic:
                normalizer = self.model.privileged_normalizer
                normalizer.merge(*distributed.moments(self._rollout.privileged))
            sums = self._rollout.statistics * distributed.size()  # about to be averaged
            metrics |= dict(zip(STATISTICS, sums, strict=True)) | self._rollout.reward_terms
        validation = self.validation_loss()
        if validation is not None:
            metrics["loss/validation"] = validation
        values = distributed.average(torch.stack(list(metrics.values())))
        return dict(zip(metrics, values.tolist(), strict=True))

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
        """Return what is learned, the same in every process."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "learning_rate": self.learning_rate.clone(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned; raises `ValueError` where it is another's."""
        own = self.state_dict()
        check_learner(state, own, self._parameters)
        self.model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(own["optimizer"] | {"state": state["optimizer"]["state"]})
        self.learning_rate.copy_(state["learning_rate"])
        self._optimizer.param_groups[0]["lr"] = self.learning_rate
        self._apply.reset()  # the optimiser's tensors are others now

    def random_state(self) -> dict[str, Any]:
        """Return what draws this process' random numbers."""
        cuda = self.device.type == "cuda"
        return {
            "generator": self._generator.get_state(),
            "sampler": self._sampler.state_dict() if self._sampler else None,
            "torch_rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state(self.device) if cuda else None,
        }

    def load_random_state(self, state: dict[str, Any]) -> None:
        """Continue from what `random_state` returned; raises `ValueError` where it is another's."""
        check_random(state, self.random_state())
        self._generator.set_state(state["generator"])
        if self._sampler is not None:
            self._sampler.load_state_dict(state["sampler"])
        torch.set_rng_state(state["torch_rng"])
        if state["cuda_rng"] is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(state["cuda_rng"], self.device)

    def _take_samples(self, last: Tensor) -> Tensor:
        """Make samples of the rollout; return the explained variance of its values."""
        assert self._rollout is not None
        samples, explained = make_samples(self._rollout, self.model, last, self.config)
        self._old_log_std.copy_(self.model.log_std.detach())
        if self._samples is None:
            self._samples = samples.clone()
        else:
            self._samples.copy_(samples)
        return explained

    def _begin_pass(self) -> int:
        """Put the samples in a random order; return the number of gradient steps of the pass."""
        if self._rollout is None:
            assert self._sampler is not None
            return self._sampler.batches_per_pass
        self._minibatches.shuffle()
        return self._minibatches.count

    def _choose_samples(self, step: int) -> None:
        """Choose the samples and the demonstrations of a gradient step."""
        if self._rollout is not None:
            self._minibatches.choose(step)
        if self._sampler is not None:
            self._demo_rows.copy_(self._sampler.draw())
            if self._noisy:
                self._demo_noise.normal_(generator=self._generator).mul_(self._demo_deviation)

    def _actor_terms(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the weighted terms of the loss that shape the policy, and what is logged."""
        config, policy, samples = self.config, self.model.policy, self._samples
        terms: dict[str, Tensor] = {}
        log: dict[str, Tensor] = {}
        features = []
        if samples is not None:
            rows = self._minibatches.rows
            features.append(samples.features[rows])
        if self._sampler is not None:
            assert self._demonstrations is not None
            demo_action = self._demonstrations.actions[self._demo_rows]
            seen = self._demonstrations.observations[self._demo_rows] + self._demo_noise
            features.append(policy.features(seen))
        # Rollout and demonstrations pass the actor together, the latter last.
        means = self._in_precision(policy.actor, torch.cat(features))
        if samples is not None:
            log_std = self.model.log_std
            mean = means[: len(rows)]
            log["loss/surrogate"], log["policy/clipped"] = loss.surrogate_loss(
                loss.log_prob(samples.action[rows], mean, log_std),
                samples.old_log_prob[rows],
                samples.advantage[rows],
                config.clip_range,
            )
            log["loss/bounds"] = loss.bounds_loss(mean, config.mean_limit)
            log["policy/kl"] = loss.gaussian_kl(
                samples.old_mean[rows], self._old_log_std, mean, log_std
            )
            terms["surrogate"] = log["loss/surrogate"]
            terms["bounds"] = config.bounds_weight * log["loss/bounds"]
        if self._sampler is not None:
            log["loss/cloning"] = loss.cloning_loss(means[-len(demo_action) :], demo_action)
            terms["cloning"] = self._cloning_weight * log["loss/cloning"]
        return terms, log

    def _critic_terms(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the weighted terms of the loss that shape the critic, and what is logged."""
        if self._samples is None:
            return {}, {}
        rows, samples = self._minibatches.rows, self._samples
        value = self._in_precision(self.model.critic, samples.seen_by_critic(rows)).squeeze(-1)
        error = loss.value_loss(
            value, samples.old_value[rows], samples.target[rows], self.config.clip_range
        )
        return {"value": self.config.value_weight * error}, {"loss/value": error}

    def _in_precision(self, network: nn.Module, x: Tensor) -> Tensor:
        """Return a network's output for x (N, …) in float32, computed as the settings say."""
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self._mixed_precision):
            return network(x).float()

    def _compute_gradient(self) -> None:
        self._gradient.zero_()
        self._log.zero_()
        # They share nothing, so a GPU may compute them at the same time.
        side_by_side(
            lambda: self._accumulate(*self._actor_part()),
            lambda: self._accumulate(*self._critic_part()),
            self.device,
        )

    def _accumulate(self, terms: dict[str, Tensor], log: dict[str, Tensor]) -> None:
        if terms:
            torch.stack(list(terms.values())).sum().backward()
        for name, value in log.items():
            self._log[self._log_names.index(name)].copy_(value.detach())

    @torch.no_grad()
    def _apply_gradient(self) -> None:
        """Take one gradient step, the only place that does."""
        norm = torch.linalg.vector_norm(self._gradient)
        self._gradient.mul_((self.config.gradient_limit / (norm + 1e-6)).clamp(max=1.0))
        self._optimizer.step()
        self._log_sum.add_(torch.cat((self._log, norm[None])))

    def _gradient_norms(self) -> dict[str, Tensor]:
        """Return the norm of each weighted term's own gradient, of this process' batch."""
        terms = self._actor_terms()[0] | self._critic_terms()[0]
        norms = {}
        for name, term in terms.items():
            gradient = torch.autograd.grad(
                term, self._parameters, retain_graph=True, materialize_grads=True
            )
            norms[f"gradient/{name}"] = nn.utils.get_total_norm(gradient)
        return norms

    def _adapt_learning_rate(self, kl: Tensor) -> None:
        config, rate = self.config, self.learning_rate
        limits = config.kl_threshold, config.min_learning_rate, config.max_learning_rate
        rate.copy_(loss.adapt_learning_rate(rate, distributed.average(kl), *limits))

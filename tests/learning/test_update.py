"""Whole epochs of BC, PPO and DAPG against the same arithmetic written out here, in float64.

Nothing of the learner's arithmetic is used: only its start weights, and the same random numbers.
"""

import math

import pytest
import torch

from gym_grasp.learning.config import ROLLOUTS, TrainConfig
from gym_grasp.learning.demonstrations import Demonstrations
from gym_grasp.learning.learner import Learner

N, T, A, O, EPOCHS = 3, 5, 2, 3, 3  # noqa: E741
SETTINGS = {
    "seed": 11,
    "epochs": EPOCHS,
    "horizon": T,
    "mini_epochs": 2,
    "minibatch_size": 4,  # 15 samples: 4 minibatches of 3, and 3 samples wait
    "demo_batch_size": 3,  # 7 pairs: 2 batches, and 1 pair waits
    "hidden_sizes": (4,),
    "initial_std": 0.4,
    "cloning_learning_rate": 0.02,
    "learning_rate": 0.01,
    "min_learning_rate": 0.005,
    "max_learning_rate": 0.01,
    "kl_threshold": 0.02,
    "discount": 0.9,
    "gae_lambda": 0.8,
    "clip_range": 0.15,
    "value_weight": 0.7,
    "bounds_weight": 0.3,
    "mean_limit": 0.4,
    "gradient_limit": 2.0,
    "bc_weight": 1.5,
    "bc_decay": 0.6,
    "gradient_norm_interval": 2,
}


class Walk:
    """Three points walk: out of a circle is success, three steps are the time limit."""

    num_envs, observation_size, action_size = N, O, A
    device = torch.device("cpu")
    task_name = "walk"
    observation_units = ("steps",) * O

    def reset(self, *, seed=None, options=None):
        self.place = torch.tensor([[0.1, 0.0], [0.0, 0.7], [-0.4, 0.2]])
        self.steps, self.sums = torch.zeros(N), torch.zeros(N)
        self.steps[1] = 1
        return self.observation(), {}

    def observation(self):
        return torch.cat((self.place, 7 * self.steps[:, None]), 1)  # the last is clipped at 10

    def step(self, action):
        self.place, self.steps = self.place + 0.3 * action, self.steps + 1
        terminated = self.place.norm(dim=1) > 0.8
        truncated = (self.steps >= 3) & ~terminated
        reward = 2 * terminated.float() - self.place[:, 0] - 0.5
        self.sums = self.sums + reward
        done = terminated | truncated
        info = {
            "success": terminated,
            "diverged": truncated & (self.place[:, 0] < -0.3),  # counted, and cut off like others
            "final_obs": self.observation(),
            "episode_return": self.sums.clone(),
            "episode_length": self.steps.clone(),
        }
        self.place = torch.where(done[:, None], torch.tensor([0.3, -0.2]), self.place)
        self.steps, self.sums = self.steps * ~done, self.sums * ~done
        return self.observation(), reward, terminated, truncated, info


def demonstrations():
    generator = torch.Generator().manual_seed(5)
    parts = [
        torch.randn(rows, size, generator=generator) for rows, size in ((7, O), (7, A), (4, O))
    ]
    return Demonstrations(
        3 * parts[0] + 1, parts[1].clamp(-1, 1), parts[2], torch.full((4, A), 0.3), "d"
    )


class Moments:
    """All that was seen, kept whole."""

    def __init__(self, size):
        self.mean, self.var = torch.zeros(size).double(), torch.ones(size).double()
        self.seen = torch.zeros(0, size).double()

    def feed(self, rows):
        self.seen = torch.cat((self.seen, rows))
        self.mean = self.seen.mean(0)
        self.var = ((self.seen - self.mean) ** 2).mean(0)

    def scale(self, x):
        return (x - self.mean) / (self.var + 1e-5) ** 0.5

    def unscale(self, x):
        return x * (self.var + 1e-5) ** 0.5 + self.mean


class ByHand:
    """The same learner, one line of arithmetic after the other."""

    def __init__(self, method, weights, demos):
        self.config = SETTINGS
        self.weights = {name: w.detach().double().clone() for name, w in weights.items()}
        self.first = {name: torch.zeros_like(w) for name, w in self.weights.items()}
        self.second = {name: torch.zeros_like(w) for name, w in self.weights.items()}
        self.count = 0
        self.rate = SETTINGS["learning_rate"]
        self.seen, self.returns = Moments(O), Moments(1)
        self.random = torch.Generator().manual_seed(SETTINGS["seed"])
        self.demo_random = torch.Generator().manual_seed(SETTINGS["seed"])
        self.method, self.demos = method, demos
        self.queue = []
        if method != "ppo":
            self.seen.feed(demos.observations.double())
        if method != "bc":
            self.env = Walk()
            self.observation = self.env.reset()[0].double()

    def features(self, observation):
        return self.seen.scale(observation).clamp(-10, 10)

    def network(self, weights, name, x):
        x = x @ weights[f"{name}.0.weight"].T + weights[f"{name}.0.bias"]
        x = torch.where(x > 0, x, torch.exp(x) - 1)
        return x @ weights[f"{name}.2.weight"].T + weights[f"{name}.2.bias"]

    def actor(self, weights, features):
        return self.network(weights, "policy.actor", features)

    def critic(self, weights, features):
        return self.network(weights, "critic", features)[:, 0]

    def rollout(self):
        rows = {name: [] for name in ("x", "mean", "action", "reward", "end", "cut", "final")}
        metrics = dict.fromkeys(("episodes", "successes", "return_sum"), 0.0)
        metrics |= dict.fromkeys(("length_sum", "diverged"), 0.0)
        for _ in range(T):
            mean = self.actor(self.weights, self.features(self.observation))
            noise = torch.randn(N, A, generator=self.random).double()
            action = mean + torch.exp(self.weights["log_std"]) * noise
            values = [self.observation, mean, action]
            following, reward, end, cut, info = self.env.step(action.clamp(-1, 1).float())
            self.observation = following.double()
            values += [reward.double(), end, cut, info["final_obs"].double()]
            for name, value in zip(rows, values, strict=True):
                rows[name].append(value)
            for i in range(N):
                if end[i] or cut[i]:
                    metrics["episodes"] += 1
                    metrics["successes"] += float(end[i])
                    metrics["return_sum"] += float(info["episode_return"][i])
                    metrics["length_sum"] += float(info["episode_length"][i])
                    metrics["diverged"] += float(info["diverged"][i])
        return {name: torch.stack(value) for name, value in rows.items()}, metrics

    def samples(self, rows):
        """Step by step backwards: δ = r + γ·V(next) − V, A = δ + γλ·A(next)."""
        g, lam = self.config["discount"], self.config["gae_lambda"]

        def value(x):
            return self.returns.unscale(self.critic(self.weights, self.features(x)))

        advantage = torch.zeros(T, N).double()
        for i in range(N):
            after = 0.0
            for t in reversed(range(T)):
                x = rows["x"][t][i : i + 1]
                if rows["end"][t, i]:
                    following, after = 0.0, 0.0
                elif rows["cut"][t, i]:
                    following, after = float(value(rows["final"][t][i : i + 1])), 0.0
                else:
                    later = rows["x"][t + 1] if t + 1 < T else self.observation
                    following = float(value(later[i : i + 1]))
                delta = float(rows["reward"][t, i]) + g * following - float(value(x))
                after = delta + g * lam * after
                advantage[t, i] = after
        x = rows["x"].reshape(-1, O)
        features = self.features(x)
        old_value = self.critic(self.weights, features)
        returns = advantage.flatten() + self.returns.unscale(old_value)
        self.returns.feed(returns[:, None])
        centred = advantage.flatten() - advantage.mean()
        samples = {
            "features": features,
            "action": rows["action"].reshape(-1, A),
            "mean": rows["mean"].reshape(-1, A),
            "old_value": old_value,
            "target": self.returns.scale(returns),
            "advantage": centred / (centred**2).mean() ** 0.5,
            "log_std": self.weights["log_std"].expand(T * N, A),
        }
        return samples, 1 - float(advantage.var() / returns.var())

    def density(self, action, mean, log_std):
        z = (action - mean) / torch.exp(log_std)
        return (-(z**2) / 2 - log_std - math.log(2 * math.pi) / 2).sum(1)

    def terms(self, weights, batch, demo, cloning_weight):
        c, terms, log = self.config, {}, {}
        if batch is not None:
            mean, log_std = self.actor(weights, batch["features"]), weights["log_std"]
            old_std, std = torch.exp(batch["log_std"]), torch.exp(log_std)
            ratio = torch.exp(self.density(batch["action"], mean, log_std)) / torch.exp(
                self.density(batch["action"], batch["mean"], batch["log_std"])
            )
            low, high, adv = 1 - c["clip_range"], 1 + c["clip_range"], batch["advantage"]
            log["loss/surrogate"] = -torch.minimum(ratio * adv, ratio.clamp(low, high) * adv).mean()
            log["policy/clipped"] = ((ratio < low) | (ratio > high)).double().mean()
            value, old = self.critic(weights, batch["features"]), batch["old_value"]
            near = torch.minimum(torch.maximum(value, old - 0.15), old + 0.15)
            target = batch["target"]
            errors = torch.stack(((value - target) ** 2, (near - target) ** 2))
            log["loss/value"] = errors.max(0).values.mean()
            excess = torch.relu(mean.abs() - c["mean_limit"])
            log["loss/bounds"] = (excess**2).sum(1).mean()
            distance = (old_std**2 + (batch["mean"] - mean) ** 2) / (2 * std**2)
            log["policy/kl"] = (torch.log(std / old_std) + distance - 0.5).sum(1).mean()
            terms["surrogate"] = log["loss/surrogate"]
            terms["value"] = c["value_weight"] * log["loss/value"]
            terms["bounds"] = c["bounds_weight"] * log["loss/bounds"]
        if demo is not None:
            features = self.features(self.demos.observations[demo].double())
            error = self.actor(weights, features) - self.demos.actions[demo]
            log["loss/cloning"] = (error**2).mean()
            terms["cloning"] = cloning_weight * log["loss/cloning"]
        return terms, log

    def gradient(self, term):
        names = list(self.leaves)
        found = torch.autograd.grad(
            term, [self.leaves[n] for n in names], retain_graph=True, materialize_grads=True
        )
        return dict(zip(names, found, strict=True))

    def norm(self, gradient):
        return math.sqrt(sum(float((g**2).sum()) for g in gradient.values()))

    def step(self, batch, demo, cloning_weight, measured):
        """Gradient, clipping and Adam; return what is logged."""
        self.leaves = {n: w.clone().requires_grad_() for n, w in self.weights.items()}
        terms, log = self.terms(self.leaves, batch, demo, cloning_weight)
        norms = {}
        if measured:
            norms = {f"gradient/{n}": self.norm(self.gradient(term)) for n, term in terms.items()}
        gradient = self.gradient(sum(terms.values()))
        norm = self.norm(gradient)
        self.count += 1
        for name, g in gradient.items():
            g = g * min(1.0, self.config["gradient_limit"] / norm)
            self.first[name] = 0.9 * self.first[name] + 0.1 * g
            self.second[name] = 0.999 * self.second[name] + 0.001 * g**2
            mean = self.first[name] / (1 - 0.9**self.count)
            square = self.second[name] / (1 - 0.999**self.count)
            self.weights[name] = self.weights[name] - self.rate * mean / (square**0.5 + 1e-8)
        return {n: float(v.detach()) for n, v in log.items()} | {"gradient/total": norm}, norms

    def demo_batch(self):
        if not self.queue:
            order = torch.randperm(7, generator=self.demo_random)
            self.queue = [order[:3], order[3:6]]
        return self.queue.pop(0)

    def epoch(self, k):
        c, metrics, logs = self.config, {}, []
        rolls, clones = self.method != "bc", self.method != "ppo"
        weight = c["bc_weight"] * c["bc_decay"] ** k if rolls else 1.0
        if rolls:
            rows, metrics = self.rollout()
            samples, metrics["value/explained_variance"] = self.samples(rows)
        else:
            self.rate = c["cloning_learning_rate"] * (1 + math.cos(math.pi * k / EPOCHS)) / 2
        for index in range(c["mini_epochs"] if rolls else 1):
            order = torch.randperm(N * T, generator=self.random) if rolls else None
            divergences = []
            for step in range(4 if rolls else 2):
                batch = None
                if rolls:
                    batch = {n: v[order[3 * step : 3 * step + 3]] for n, v in samples.items()}
                demo = self.demo_batch() if clones else None
                first = k % 2 == 0 and index == 0 and step == 0
                log, norms = self.step(batch, demo, weight, first)
                logs.append(log)
                metrics |= norms
                divergences.append(log.get("policy/kl"))
            if rolls:
                kl = sum(divergences) / 4
                if kl > 2 * c["kl_threshold"]:
                    self.rate = max(self.rate / 1.5, c["min_learning_rate"])
                elif kl < c["kl_threshold"] / 2:
                    self.rate = min(self.rate * 1.5, c["max_learning_rate"])
        metrics |= {name: sum(log[name] for log in logs) / len(logs) for name in logs[0]}
        metrics["learning_rate"] = self.rate
        if rolls:
            metrics["policy/std"] = float(torch.exp(self.weights["log_std"]).mean())
            if not clones:
                self.seen.feed(rows["x"].reshape(-1, O))
        held_out = self.features(self.demos.valid_observations.double())
        error = self.actor(self.weights, held_out) - self.demos.valid_actions.double()
        metrics["loss/validation"] = float((error**2).mean())
        return metrics


def start(method):
    """Return a learner with weights that make every clip and limit act, and its double."""
    demos = demonstrations()
    left_out = ROLLOUTS if method == "bc" else ()
    settings = {name: value for name, value in SETTINGS.items() if name not in left_out}
    learner = Learner(Walk(), TrainConfig(method=method, **settings), demos)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, weight in learner.model.named_parameters():
            if name != "log_std":
                weight.copy_(0.5 * torch.randn(weight.shape, generator=generator))
    return learner, ByHand(method, dict(learner.model.named_parameters()), demos)


@pytest.mark.parametrize("method", ["bc", "ppo", "dapg"])
def test_whole_epochs_by_hand(method):
    learner, double = start(method)
    observation = learner.env.reset()[0] if method != "bc" else None
    for epoch in range(EPOCHS):
        if method != "bc":
            observation = learner.collect(observation)
        found, expected = learner.update(epoch, observation), double.epoch(epoch)
        assert found == pytest.approx(expected, rel=1e-5, abs=1e-5), epoch
        for name, weight in learner.model.named_parameters():
            torch.testing.assert_close(
                weight.detach().double(), double.weights[name], atol=1e-5, rtol=1e-5, msg=name
            )
        for found, expected in (
            (learner.model.policy.normalizer, double.seen),
            (learner.model.value_normalizer, double.returns),
        ):
            torch.testing.assert_close(found.mean.double(), expected.mean, atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(found.var.double(), expected.var, atol=1e-5, rtol=1e-5)
            assert found.count == len(expected.seen)

"""Settings of a training run; importing this module imports neither torch nor mujoco."""

import math
import numbers
import operator
from dataclasses import dataclass
from typing import Any, Final, Literal

from gym_grasp.errors import UsageError, unknown
from gym_grasp.noise import Noise, checked_noise

Method = Literal["bc", "ppo", "dapg"]
METHODS: tuple[Method, ...] = ("bc", "ppo", "dapg")

ROLLOUTS = (
    *("horizon", "mini_epochs", "minibatch_size", "pretrain_epochs", "initial_std"),
    *("learning_rate", "min_learning_rate", "max_learning_rate", "kl_threshold", "discount"),
    *("gae_lambda", "clip_range", "value_weight", "bounds_weight", "mean_limit", "bc_weight"),
    *("bc_decay", "privileged_critic"),
)
"""Settings of the methods that step environments, which bc does not."""
CLONING = (
    *("demo_batch_size", "pretrain_epochs", "cloning_learning_rate", "cloning_noise", "bc_decay"),
)
"""Settings of the methods that learn from demonstrations, which ppo does not."""
WATCHED = ("evaluation_interval", "evaluation_episodes", "film_interval")
"""Settings of what is looked at while a run is under way, and changes nothing that is learned."""
FIRST_SEED = 2**31
"""Seeds from here on are for evaluation; training uses the ones below."""
PUBLISHED_SEED = FIRST_SEED + 2**30
"""Seeds from here on are for published tables alone, and no choice is made by what they show."""
LONG_ROLLOUTS: Final[dict[str, Any]] = {"horizon": 128, "gae_lambda": 0.98}
"""Settings with which DAPG keeps what was cloned: the critic sees farther."""
LARGEST_MINIBATCH = 32_768
LONGEST_HORIZON, WIDEST = 65_536, 16_384
MINIBATCHES_PER_ROLLOUT = 4


def default_num_envs(device: str) -> int:
    """Return how many environments a run has if nothing else is said: the paper's on a GPU."""
    return 16_384 if device.startswith("cuda") else 256


@dataclass(frozen=True)
class TrainConfig:
    """How a policy is trained. The defaults fit 256 environments on a CPU and 16,384 on a GPU."""

    method: Method = "dapg"
    """bc: demonstrations alone; ppo: reward alone; dapg: BC, then PPO + bc_weight·bc_decayᵏ·BC."""

    seed: int = 0
    """Seed of the networks, the exploration and the environment (below 2³¹)."""

    epochs: int = 300
    """Number of rollouts with their updates; for bc, of passes over the demonstrations."""

    max_minutes: float | None = None
    """Stop after this time in pretraining, rollouts and updates, even if epochs are left."""

    horizon: int = 32
    """Steps of every environment in one epoch."""

    mini_epochs: int = 5
    """Passes over each rollout."""

    minibatch_size: int | None = None
    """Samples in one gradient step, as nearly as equal parts of the rollout allow; by default a
    quarter of it, at most 32,768."""

    demo_batch_size: int = 1024
    """Demonstration samples in one gradient step, drawn afresh for each; at most all there are."""

    hidden_sizes: tuple[int, ...] = (512, 256, 256)
    """Hidden layers of the actor, and of the critic."""

    pretrain_epochs: int = 100
    """dapg begins as a clone: passes over the demonstrations before the first rollout."""

    initial_std: float | None = None
    """Standard deviation of the exploration noise at the start, in units of the action; by default
    0.5, after pretraining 0.05: more throws a clone off its path."""

    cloning_learning_rate: float = 4e-3
    """Adam's learning rate at the start of bc and of pretraining; a cosine takes it to 0."""

    cloning_noise: Noise = (0.002, 0.0175)
    """Noise on demonstrated observations, drawn anew for each gradient step: standard deviations of
    lengths in m and of angles in rad."""

    learning_rate: float = 5e-4
    """Adam's learning rate at the first rollout, after pretraining min_learning_rate instead; then
    the KL rule moves it."""

    min_learning_rate: float = 1e-5
    """Lower end of the KL rule."""

    max_learning_rate: float = 1e-3
    """Upper end of the KL rule, which sees an update that is too large only once it is made."""

    kl_threshold: float = 0.016
    """The KL rule: after a pass with more than twice this KL divergence the learning rate is
    divided by 1.5, with less than half multiplied by it."""

    discount: float = 0.998
    """Discount γ of one control step: e⁻¹ after 17 s, about as long as people take to pour. With
    0.99, e⁻¹ after 3 s, the end of such an episode is hardly felt at its beginning."""

    gae_lambda: float = 0.95
    """λ of the generalised advantage estimate."""

    clip_range: float = 0.2
    """PPO's clip of the probability ratio, and of the normalised value."""

    value_weight: float = 1.0
    """Weight of the value loss."""

    bounds_weight: float = 0.01
    """Weight of the squared excess of the action mean over mean_limit."""

    mean_limit: float = 1.1
    """Action means up to this size are free; actions themselves end at 1."""

    gradient_limit: float = 1.0
    """Largest norm of the gradient of the whole sum."""

    bc_weight: float = 50.0
    """λ₀ of DAPG; the tables give stack-cubes 500. With 0, DAPG is PPO."""

    bc_decay: float = 0.99
    """λ₁ of DAPG; the exponent k is the epoch, counted from 0."""

    privileged_critic: bool = False
    """Let the critic see more than the policy: velocities, what the world differs by, observations
    without noise. Policies are none the wiser once trained."""

    mixed_precision: bool | None = None
    """Compute the networks of PPO's updates in bfloat16, everything else in float32; by default on
    a GPU. Cloning alone is float32."""

    compile: bool | None = None
    """Compile PPO's updates and what steers the arm with torch.compile, which takes about a minute
    the first time; by default on a GPU where a C compiler is found."""

    checkpoint_interval: int = 10
    """Epochs between checkpoints; the last epoch is always saved."""

    gradient_norm_interval: int = 10
    """Epochs between measurements of each loss term's own gradient norm."""

    evaluation_interval: int | None = None
    """Epochs between evaluations of the policy, apart from training: mean action, start states that
    training never sees. After pretraining and after the last epoch too; by default none."""

    evaluation_episodes: int = 50
    """Episodes of each of these evaluations."""

    film_interval: int | None = None
    """Epochs between films of an evaluation episode, RUN/films/epoch-N.mp4. After pretraining and
    after the last epoch too; by default none."""

    wandb: bool = False
    """Mirror the metrics to Weights & Biases (needs gym-grasp[wandb])."""

    def __post_init__(self) -> None:
        """Raise `UsageError` for the first value out of range."""
        if self.method not in METHODS:
            raise unknown("method", self.method, METHODS)
        for name in (
            *("epochs", "mini_epochs", "demo_batch_size", "checkpoint_interval"),
            *("gradient_norm_interval", "evaluation_episodes"),
            *("minibatch_size", "evaluation_interval", "film_interval"),
        ):
            self._check(name, 1, math.inf, whole=True)
        self._check("horizon", 1, LONGEST_HORIZON, whole=True)
        for name in ("privileged_critic", "mixed_precision", "compile", "wandb"):
            if getattr(self, name) not in (True, False, getattr(type(self), name)):
                raise UsageError(f"{name} is {getattr(self, name)!r}; it must be True or False.")
        if self.evaluation_interval is None and self.evaluation_episodes != 50:
            raise UsageError(
                f"evaluation_episodes is {self.evaluation_episodes}, but evaluation_interval is "
                "not given, so that nothing is evaluated; give both."
            )
        self._check("pretrain_epochs", 0, math.inf, whole=True)
        self._check("seed", 0, 2**31 - 1, whole=True)
        for name in ("discount", "gae_lambda", "bc_decay"):
            self._check(name, 0, 1)
        for name in ("bc_weight", "value_weight", "bounds_weight"):
            self._check(name, 0, math.inf)
        for name in (
            "initial_std",
            "cloning_learning_rate",
            "learning_rate",
            "min_learning_rate",
            "max_learning_rate",
            "kl_threshold",
            "clip_range",
            "mean_limit",
            "gradient_limit",
        ):
            self._check(name, 1e-12, math.inf)
        if self.min_learning_rate > self.max_learning_rate:
            raise UsageError(
                f"min_learning_rate is {self.min_learning_rate}, above max_learning_rate "
                f"{self.max_learning_rate}; swap or mend them."
            )
        object.__setattr__(
            self, "cloning_noise", checked_noise("cloning_noise", self.cloning_noise)
        )
        self._check("max_minutes", 0, math.inf)
        given = self.hidden_sizes
        sizes = given if isinstance(given, (tuple, list)) else ()
        whole = all(isinstance(size, int) and size is not True for size in sizes)
        object.__setattr__(self, "hidden_sizes", tuple(sizes))
        if not whole or not all(1 <= size <= WIDEST for size in sizes or (0,)):
            raise UsageError(
                f"hidden_sizes is {given!r}; give sizes of layers within [1, {WIDEST}]."
            )
        if self.method == "bc":
            self.refuse_idle()

    def refuse_idle(self) -> None:
        """Raise `UsageError` for the first changed setting that has no effect beside the others.

        For what is asked for one training; what several methods share may have some for others.
        """
        names, why = self.unused()
        for name in names:
            if getattr(self, name) != getattr(type(self), name):
                raise UsageError(
                    f"{name} is {getattr(self, name)}, but {why} and has no use for it; leave it "
                    "out."
                )
        if self.steps_environment and not self.pretrains:
            limits = self.min_learning_rate, self.max_learning_rate
            self._check("learning_rate", *limits)

    def unused(self) -> tuple[tuple[str, ...], str]:
        """Return settings that can have no effect beside the others, and why."""
        if self.method == "bc":
            return ROLLOUTS, "the method 'bc' steps no environment"
        if self.method == "ppo":
            return (*CLONING, "bc_weight"), "the method 'ppo' learns from no demonstrations"
        if self.bc_weight == 0:
            return CLONING, "dapg without bc_weight learns from no demonstrations"
        if self.pretrain_epochs == 0:
            return ("cloning_learning_rate",), "dapg without pretrain_epochs does not pretrain"
        return ("learning_rate",), "pretraining is followed by min_learning_rate"

    def _check(self, name: str, low: float, high: float, whole: bool = False) -> None:
        """Keep a number as Python's own; raise `UsageError` where it is none, or out of range."""
        value = getattr(self, name)
        if value is None and getattr(type(self), name) is None:
            return
        kind: Any = numbers.Integral if whole else numbers.Real
        if isinstance(value, bool) or not isinstance(value, kind) or not low <= value <= high:
            what = "a whole number " if whole else ""
            raise UsageError(f"{name} is {value}; it must be {what}within [{low:g}, {high:g}].")
        if not isinstance(value, int):
            object.__setattr__(self, name, operator.index(value) if whole else float(value))

    def of_pretraining(self) -> "TrainConfig":
        """Return the settings of the clone that dapg begins as."""
        left_out = {"method", "epochs", "mixed_precision", "compile", *WATCHED, *ROLLOUTS}
        kept = {k: v for k, v in vars(self).items() if k not in left_out}
        return TrainConfig(method="bc", epochs=self.pretrain_epochs, **kept)

    def cloning_weight(self, epoch: int) -> float:
        """Return the weight of the BC loss in an epoch, counted from 0; PPO's is 1 or absent."""
        if self.method == "bc":
            return 1.0
        return self.bc_weight * self.bc_decay**epoch if self.method == "dapg" else 0.0

    @property
    def exploration_std(self) -> float:
        """Standard deviation of the exploration noise at the start."""
        if self.initial_std is not None:
            return self.initial_std
        return 0.05 if self.pretrains else 0.5

    @property
    def pretrains(self) -> bool:
        """Whether training begins with cloning alone."""
        return self.method == "dapg" and self.bc_weight > 0 and self.pretrain_epochs > 0

    @property
    def steps_environment(self) -> bool:
        """Whether the method collects rollouts."""
        return self.method != "bc"

    @property
    def needs_demonstrations(self) -> bool:
        """Whether the method learns from demonstrations."""
        return self.method == "bc" or (self.method == "dapg" and self.bc_weight > 0)

    def accelerate(self, name: str, possible: bool) -> bool:
        """Return whether a setting that only some machines can have takes effect.

        Raises:
            UsageError: it is asked for where it cannot.
        """
        value: bool | None = getattr(self, name)
        if value and not possible:
            raise UsageError(
                f"{name} is asked for, but it is for ppo and dapg on a GPU (and to compile needs "
                "triton and a C compiler); leave it out."
            )
        return possible if value is None else value

    def minibatches(self, samples: int) -> int:
        """Return into how many minibatches a rollout of this many samples is cut."""
        size = self.minibatch_size or min(LARGEST_MINIBATCH, samples // MINIBATCHES_PER_ROLLOUT)
        return max(1, round(samples / max(1, size)))

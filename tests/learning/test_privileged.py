"""A critic that sees more than the policy: what it sees, when, and that policies do not."""

import pytest
import torch

from gym_grasp.errors import UsageError
from gym_grasp.learning.config import TrainConfig
from gym_grasp.learning.learner import Learner
from gym_grasp.learning.networks import ActorCritic
from gym_grasp.learning.rollout import Rollout, collect, next_values, values_of
from gym_grasp.learning.train import train

SETTINGS = {"method": "ppo", "hidden_sizes": (8,), "horizon": 30, "epochs": 2}


@pytest.fixture
def knowing(reach):
    """Reach, of which a critic may see the steps so far and the distance left."""

    class Knowing(reach):
        privileged_size = 2

        def privileged(self):
            distance = (self.target - self.position).norm(dim=-1)
            return torch.stack((self.steps.float(), distance), dim=-1)

        def step(self, action):
            before = self.steps + 1, self.position + 0.1 * action, self.target
            result = super().step(action)
            steps, position, target = before
            final = torch.stack((steps.float(), (target - position).norm(dim=-1)), dim=-1)
            result[-1]["final_privileged"] = final
            return result

    return Knowing


def test_the_critic_reads_it_and_the_policy_does_not():
    model = ActorCritic(4, 2, (8,), initial_std=0.5, privileged_size=3)
    observation, beside = torch.randn(5, 4), torch.randn(5, 3)
    value = model.normalized_value(observation, beside)
    assert (model.normalized_value(observation, beside + 1.0) - value).abs().min() > 1e-4
    names = [name for name, _ in model.policy.named_parameters()]
    plain = ActorCritic(4, 2, (8,), initial_std=0.5)
    assert names == [name for name, _ in plain.policy.named_parameters()]
    model.privileged_normalizer.merge(torch.full((3,), 7.0), torch.full((3,), 4.0), 100)
    assert model.privileged_features(torch.full((1, 3), 9.0)).mean() == pytest.approx(1.0, rel=1e-3)


def test_a_rollout_keeps_what_was_known_then(knowing):
    env = knowing(num_envs=8, tolerance=0.3)
    model = ActorCritic(4, 2, (8,), initial_std=0.5, privileged_size=2)
    observation, _ = env.reset(seed=3)
    rollout = Rollout.allocate(env, 30, 2)
    last = collect(env, model, observation, rollout, torch.Generator().manual_seed(0))
    # The distance left follows from the observation of the same step.
    for seen, beside in (
        (rollout.observations, rollout.privileged),
        (rollout.final_observations, rollout.final_privileged),
    ):
        distance = (seen[..., 2:] - seen[..., :2]).norm(dim=-1)
        torch.testing.assert_close(beside[..., 1], distance)
    done = rollout.terminated | rollout.truncated
    assert done.any()
    assert (rollout.privileged[1:, :, 0][done[:-1]] == 0).all()
    assert (rollout.final_privileged[..., 0][rollout.truncated] == env.max_episode_steps).all()
    values = model.denormalize_value(values_of(model, rollout.observations, rollout.privileged))
    following = next_values(model, rollout, values, last)
    whole = rollout.final_observations, rollout.final_privileged
    expected = model.denormalize_value(values_of(model, *whole))
    cut = rollout.truncated & ~rollout.terminated
    torch.testing.assert_close(following[cut], expected[cut])
    torch.testing.assert_close(following[-1][~done[-1]], expected[-1][~done[-1]])


def test_it_explains_what_observations_do_not(knowing):
    """Where it alone tells the return, the critic that sees it learns it."""
    left = {}
    for privileged in (False, True):
        env = knowing(num_envs=64, reward_kind="sparse", tolerance=1e-6)  # only time ends it
        config = TrainConfig(**SETTINGS, privileged_critic=privileged, learning_rate=1e-3)
        learner = Learner(env, config, None)
        observation, _ = env.reset(seed=0, options={"stagger": True})
        for epoch in range(12):
            observation = learner.collect(observation)
            metrics = learner.update(epoch, observation)
        left[privileged] = 1 - metrics["value/explained_variance"]
    assert left[True] < 0.8 * left[False]


def test_it_needs_an_environment_that_tells(reach):
    config = TrainConfig(**SETTINGS, privileged_critic=True)
    with pytest.raises(UsageError, match="make it with privileged=True"):
        Learner(reach(num_envs=4), config, None)
    with pytest.raises(UsageError, match="privileged_critic"):
        TrainConfig(method="bc", privileged_critic=True)


def test_resumed_as_if_never_cut(knowing, tmp_path):
    def finish(folder, *parts):
        for index, epochs in enumerate(parts):
            config = TrainConfig(**{**SETTINGS, "epochs": epochs}, privileged_critic=True)
            env = knowing(num_envs=8)
            train(env, config, folder, resume=index > 0, progress=False)
        return torch.load(folder / "checkpoints" / "last.pt", weights_only=False)

    once, twice = finish(tmp_path / "a", 3), finish(tmp_path / "b", 1, 3)
    for name, value in once["learner"]["model"].items():
        assert torch.equal(value, twice["learner"]["model"][name]), name
    assert once["learner"]["model"]["privileged_normalizer.count"] == 3 * 30 * 8

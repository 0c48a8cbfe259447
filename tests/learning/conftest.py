"""A toy task that any learner must solve: move a point to a target."""

import pytest
import torch

from gym_grasp.learning.demonstrations import Demonstrations


@pytest.fixture(autouse=True)
def _one_thread():
    """Networks this small are slower on several threads, much slower on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Reach:
    """A point moves by up to 0.1 per step in D dimensions; success within a tolerance."""

    max_episode_steps = 25
    task_name = "reach"
    device = torch.device("cpu")

    def __init__(self, num_envs=64, reward_kind="dense", size=2, tolerance=0.1):
        self.num_envs, self.reward_kind = num_envs, reward_kind
        self.size, self.tolerance = size, tolerance
        axes = range(size)
        self.description = {
            "spec": {"task": "reach", "version": 1, "tolerance": tolerance},
            "observations": [f"{key}.{axis}" for key in ("position", "target") for axis in axes],
            "actions": [f"step {axis}" for axis in axes],
            "scene": "a plane",
        }
        self.observation_size = 2 * size
        self.observation_units = ("point widths",) * self.observation_size
        self.action_size = size
        self.generator = torch.Generator()

    def reset(self, *, seed=None, options=None):
        if seed is not None:
            self.generator.manual_seed(seed)
        self.position, self.target = self._start()
        self.steps = torch.zeros(self.num_envs, dtype=torch.int64)
        if options and options.get("stagger"):
            limit = (self.num_envs,)
            self.steps = torch.randint(self.max_episode_steps, limit, generator=self.generator)
        self.returns = torch.zeros(self.num_envs)
        return self._observation(), {}

    def step(self, action):
        assert action.abs().max() <= 1
        self.position = self.position + 0.1 * action
        self.steps, distance = self.steps + 1, (self.target - self.position).norm(dim=-1)
        terminated = distance < self.tolerance
        truncated = (self.steps >= self.max_episode_steps) & ~terminated
        reward = -(~terminated).float() if self.reward_kind == "sparse" else -distance
        self.returns = self.returns + reward
        done = terminated | truncated
        info = {
            "success": terminated,
            "diverged": torch.zeros_like(terminated),
            "final_obs": self._observation(),
            "episode_return": torch.where(done, self.returns, torch.nan),
            "episode_length": self.steps.clone(),
        }
        position, target = self._start()
        self.position = torch.where(done[:, None], position, self.position)
        self.target = torch.where(done[:, None], target, self.target)
        self.steps = self.steps.masked_fill(done, 0)
        self.returns = self.returns.masked_fill(done, 0.0)
        return self._observation(), reward, terminated, truncated, info

    def get_state(self):
        names = ("position", "target", "steps", "returns")
        state = {name: getattr(self, name).clone() for name in names}
        return state | {"generator": self.generator.get_state()}

    def set_state(self, state):
        self.generator.set_state(state["generator"])
        for name in ("position", "target", "steps", "returns"):
            setattr(self, name, state[name].clone())

    def close(self):
        pass

    def _start(self):
        position = torch.randn((self.num_envs, self.size), generator=self.generator)
        target = torch.randn((self.num_envs, self.size), generator=self.generator)
        unit = target / target.norm(dim=-1, keepdim=True)
        return 0.1 * position, 0.1 * position + unit

    def _observation(self):
        return torch.cat((self.position, self.target), dim=-1)


@pytest.fixture
def reach():
    """The class of the toy task."""
    return Reach


def make_demonstrations(size=2, episodes=20):
    """Make demonstrations of the toy task."""
    env = Reach(num_envs=episodes, size=size)
    observation, _ = env.reset(seed=1)
    observations, actions = [observation], []
    for _ in range(9):
        step = (env.target - env.position) / 0.1
        action = step / step.norm(dim=-1, keepdim=True).clamp(min=1)
        observation, *_ = env.step(action)
        observations.append(observation)
        actions.append(action)
    recorded = list(zip(torch.stack(observations, 1), torch.stack(actions, 1), strict=True))
    split = episodes * 9 // 10
    return Demonstrations.from_episodes(recorded[:split], recorded[split:], "toy")


@pytest.fixture
def demonstrate():
    """Return a function that makes demonstrations of the toy task."""
    return make_demonstrations

import math

import gymnasium
import pytest
import torch

from gym_grasp.envs.control import ControlConfig
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import DependencyError, UsageError
from gym_grasp.tasks import gym_id


def make(count=4, **kwargs) -> GraspVectorEnv:
    return GraspVectorEnv("open-drawer", count, num_threads=1, **kwargs)


def random_actions(count: int, steps: int, size: int = 11) -> torch.Tensor:
    return torch.rand(steps, count, size, generator=torch.Generator().manual_seed(0)) * 2 - 1


def rollout(env: GraspVectorEnv, steps: int, seed: int) -> torch.Tensor:
    rows = [env.reset(seed=seed)[0]]
    for action in random_actions(env.num_envs, steps, env.action_size):
        rows.append(env.step(action)[0])
    return torch.stack(rows)


def test_same_seed_same_trajectory_bit_by_bit():
    first, again, other = (rollout(make(), 40, seed) for seed in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first[0], other[0])


def test_to_compile_takes_a_compiler(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    env = GraspVectorEnv("open-drawer", 1)
    with pytest.raises(DependencyError, match=r"g\+\+ or clang\+\+ to write code for 'cpu'"):
        env.compile()
    env.reset(seed=0)
    env.step(torch.zeros(1, env.action_size))


@pytest.mark.parametrize("robot", ["ur5-sih", "panda-leap"])
def test_compiled_steps_are_the_same_in_one_graph(monkeypatch, robot):
    """Traced as for a GPU and run by torch's own operations; a break would be more kernels."""
    compiled = []

    def traced(function):
        compiled.append(function.__name__)
        return torch.compile(function, fullgraph=True, dynamic=False, backend="eager")

    monkeypatch.setattr("gym_grasp.envs.commands.compiled", traced)
    monkeypatch.setattr("gym_grasp.envs.commands.can_compile", lambda device: True)
    plain, env = make(robot=robot), make(robot=robot)
    env.commands._command._calls = 9  # as where a GPU has captured it
    env.compile()
    assert env.commands._command._calls == 0
    assert torch.equal(rollout(env, 20, 3), rollout(plain, 20, 3))
    assert compiled == ["_steer_arm"]


def test_trajectory_does_not_depend_on_threads_or_neighbours():
    """An episode is its seed and its actions: not how many run beside it."""
    wide, narrow = make(4), GraspVectorEnv("open-drawer", 2, num_threads=2)
    seeds = torch.tensor([11, 22, 33, 44])
    a, b = [wide.reset_to(seeds)[:2]], [narrow.reset_to(seeds[:2])]
    for action in random_actions(4, 20):
        a.append(wide.step(action)[0][:2])
        b.append(narrow.step(action[:2])[0])
    assert torch.equal(torch.stack(a), torch.stack(b))


def test_observation_is_of_the_end_of_the_step():
    """Recomputing everything from the state after a step gives the very observation returned."""
    env = make()
    env.reset(seed=0)
    for action in random_actions(4, 10):
        observation, *_ = env.step(action)
    state = env.get_state()
    twin = make()
    twin.reset(seed=9)
    twin.set_state(state)
    assert torch.equal(twin.observation(), observation)


def test_state_restores_bit_exactly_mid_episode():
    env, twin = make(), make()
    env.reset(seed=1)
    twin.reset(seed=2)
    actions = random_actions(4, 60)
    for action in actions[:30]:
        env.step(action)
    twin.set_state(env.get_state())
    for action in actions[30:]:
        for a, b in zip(env.step(action)[:4], twin.step(action)[:4], strict=True):
            assert torch.equal(a, b)


def test_time_limit_truncates_and_restarts_in_the_same_step():
    env = make(2, max_episode_steps=3)
    env.reset(seed=0)
    first_seeds = env.episode_seed.clone()
    still = torch.zeros(2, 11)
    for _ in range(2):
        _, _, terminated, truncated, _ = env.step(still)
        assert not (terminated | truncated).any()
    observation, reward, terminated, truncated, info = env.step(still)
    assert truncated.all()
    assert not terminated.any()
    assert reward.tolist() == [-1.0, -1.0]
    assert info["episode_length"].tolist() == [3, 3]
    assert info["episode_return"].tolist() == [-3.0, -3.0]
    assert (env.episode_seed != first_seeds).all()
    assert not torch.equal(observation, info["final_obs"])
    assert torch.equal(observation, env.reset_to(env.episode_seed))


def open_the_drawer(env: GraspVectorEnv, index: int, opening: float) -> None:
    state = env.get_state()
    qpos = state["physics"][index, 1:]  # the row begins with the time
    qpos[env.task.slide] = opening
    qpos[0] += 1.5  # the hand aside, or the handle would stand in it
    env.set_state(state)


@pytest.mark.parametrize(("opening", "done"), [(0.195, False), (0.205, True)])
def test_success_terminates_at_twenty_centimetres(opening, done):
    env = make(2)
    env.reset(seed=0)
    open_the_drawer(env, 1, opening)
    _, reward, terminated, truncated, info = env.step(torch.zeros(2, 11))
    assert terminated.tolist() == [False, done]
    assert info["success"].tolist() == [False, done]
    assert reward.tolist() == [-1.0, 0.0 if done else -1.0]
    assert not truncated.any()
    drawer = env.packer.unpack(info["final_obs"])["drawer_opening"]
    assert drawer[1, 0] == pytest.approx(opening, abs=2e-3)


def test_reset_mask_touches_only_what_it_names():
    env = make(4)
    env.reset(seed=0)
    for action in random_actions(4, 5):
        env.step(action)
    before = env.get_state()
    env.reset(options={"reset_mask": torch.tensor([False, True, False, True])})
    after = env.get_state()
    for key in ("physics", "targets", "elapsed"):
        same = (before[key] == after[key]).reshape(4, -1).all(dim=1)
        assert same.tolist() == [True, False, True, False], key


def test_a_diverged_simulation_is_reset_counted_and_logged(caplog):
    env = make(3)
    env.reset(seed=0)
    before = env.observation()
    state = env.get_state()
    qvel = 1 + env.physics.model.nq
    state["physics"][1, qvel] = math.nan
    env.set_state(state)
    env._observation.copy_(before)  # the last finite one
    observation, reward, terminated, truncated, info = env.step(torch.zeros(3, 11))
    assert info["diverged"].tolist() == [False, True, False]
    assert truncated.tolist() == [False, True, False]
    assert not terminated.any()
    assert reward.tolist() == [-1.0] * 3
    assert torch.equal(info["final_obs"][1], before[1])
    assert observation.isfinite().all()
    assert env.counters()["diverged"] == 1
    assert "environments 1 (seed" in caplog.text


def test_nan_actions_are_refused_and_nothing_moves():
    env = make(3)
    env.reset(seed=0)
    before = env.get_state()
    action = torch.zeros(3, 11)
    action[2, 4] = math.nan
    with pytest.raises(UsageError, match="environment 2"):
        env.step(action)
    assert all(torch.equal(before[key], value) for key, value in env.get_state().items())


def test_actions_out_of_range_are_clipped():
    a, b = make(1), make(1)
    a.reset(seed=0)
    b.reset(seed=0)
    assert torch.equal(a.step(torch.full((1, 11), math.inf))[0], b.step(torch.ones(1, 11))[0])


def test_wrong_shape_wrong_names_and_missing_reset_are_refused():
    env = make(2)
    with pytest.raises(UsageError, match="reset"):
        env.step(torch.zeros(2, 11))
    env.reset(seed=0)
    with pytest.raises(UsageError, match=r"\(2, 11\)"):
        env.step(torch.zeros(2, 10))
    with pytest.raises(UsageError, match="Did you mean 'open-drawer'"):
        GraspVectorEnv("open-drawr")
    with pytest.raises(UsageError, match="sparse"):
        make(1, reward="spars")
    with pytest.raises(UsageError, match="device"):
        make(1, device="tpu" if False else "meta")


def test_gymnasium_vector_face():
    env = gymnasium.make_vec(gym_id("open-drawer"), num_envs=3, reward="dense")
    assert env.metadata["autoreset_mode"] is gymnasium.vector.AutoresetMode.SAME_STEP
    assert env.observation_space.shape == (3, 21)
    assert env.single_action_space.shape == (11,)
    observation, _ = env.reset(seed=0)
    assert env.observation_space.contains(observation.numpy())
    env.action_space.seed(0)
    _, reward, *_ = env.step(env.action_space.sample())
    assert (reward < 0).all()
    env.close()


@pytest.mark.parametrize("method", ["damped-least-squares", "jacobian-transpose"])
def test_a_step_in_pieces_is_the_step(method):
    control = ControlConfig(method=method)
    whole, pieces = make(2, control=control), make(2, control=control)
    whole.reset(seed=4)
    pieces.reset(seed=4)
    for action in random_actions(2, 10):
        expected = whole.step(action)
        pieces.begin_step(action)
        for _ in range(control.interval):
            pieces.advance()
        for a, b in zip(expected[:4], pieces.end_step()[:4], strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize("method", ["damped-least-squares", "jacobian-transpose"])
def test_only_the_transpose_follows_the_wrist_within_a_step(method):
    env = make(1, control=ControlConfig(method=method))
    env.reset(seed=4)
    env.begin_step(torch.ones(1, 11))
    env.advance()
    first = env.commands._present.clone()
    env.advance()
    followed = not torch.equal(env.commands._present, first)
    assert followed == (method == "jacobian-transpose")


def test_staggered_episodes_end_one_after_another():
    env = make(64, max_episode_steps=8)
    env.reset(seed=0, options={"stagger": True})
    ended = []
    for _ in range(8):
        *_, truncated, info = env.step(torch.zeros(64, 11))
        ended.append(int(truncated.sum()))
        assert (info["episode_length"][truncated] == 8).all()
    assert sum(ended) == 64  # each ends once in 8 steps
    assert min(ended) >= 1
    env.reset(seed=0)
    *_, info = env.step(torch.zeros(64, 11))
    assert (info["episode_length"] == 1).all()


def test_processes_that_share_a_batch_have_episodes_of_their_own():
    """The second process' environments are the second half of one large batch."""
    whole, second = make(4), make(2, first_env=2)
    a, _ = whole.reset(seed=5)
    b, _ = second.reset(seed=5)
    assert torch.equal(a[2:], b)
    assert torch.equal(whole.episode_seed[2:], second.episode_seed)
    assert not torch.equal(a[:2], b)


def test_a_restored_state_keeps_what_is_left_of_the_time_limit():
    env, twin = make(2, max_episode_steps=4), make(2, max_episode_steps=4)
    env.reset(seed=0)
    twin.reset(seed=1)
    still = torch.zeros(2, 11)
    for _ in range(3):
        env.step(still)
    twin.set_state(env.get_state())
    *_, truncated, info = twin.step(still)
    assert truncated.all()
    assert info["episode_length"].tolist() == [4, 4]
    assert info["episode_return"].tolist() == [-4.0, -4.0]


def test_actions_with_a_gradient_leave_the_environment_free_of_graphs():
    env = make(2)
    env.reset(seed=0)
    actions = torch.zeros(2, 11, requires_grad=True)
    observation, *_ = env.step(actions * 2)
    assert not observation.requires_grad
    env.step(torch.zeros(2, 11))
    assert not any(value.requires_grad for value in env.get_state().values())


def test_there_is_a_seed_for_each_environment():
    env = make(3)
    for seeds in ([5], [1, 2, 3, 4]):
        with pytest.raises(UsageError, match="one for each environment"):
            env.reset(seed=seeds)
    with pytest.raises(UsageError, match="float32"):
        env.reset_to(torch.zeros(3))
    env.reset(seed=[7, 8, 9])
    assert env.episode_seed.tolist() == [7, 8, 9]


@pytest.mark.parametrize(
    ("name", "value"),
    [("control_rate", 60.0), ("max_episode_steps", 10), ("num_envs", 3), ("reward_kind", "dense")],
)
def test_what_says_how_it_was_made_cannot_be_set(name, value):
    env = GraspVectorEnv("open-drawer", 2)
    before = getattr(env, name)
    with pytest.raises(UsageError, match=f"{name} is set to .* Make another one"):
        setattr(env, name, value)
    assert getattr(env, name) == before
    env.close()

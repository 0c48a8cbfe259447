"""OpenDrawer's rewards and observation by absolute values."""

import numpy as np
import pytest
import torch

from gym_grasp.demos.record import perform
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import UsageError


@pytest.fixture
def env() -> GraspVectorEnv:
    """Two environments; in the second the drawer is open by 0.05 m, the arm turned aside."""
    env = GraspVectorEnv("open-drawer", 2, num_threads=1)
    env.reset(seed=0)
    state = env.get_state()
    state["physics"][1, 1] = 1.5
    state["physics"][1, 1 + env.task.slide] = 0.05
    env.set_state(state)
    return env


def test_progress_is_the_share_of_twenty_centimetres(env):
    assert env.task.progress(env.physics).tolist() == pytest.approx([0.0, 0.25], abs=1e-6)
    assert env.observe()["drawer_opening"][:, 0].tolist() == pytest.approx([0.0, 0.05], abs=1e-6)


def test_distance_is_from_the_palm_to_the_handle(env):
    """The handle stands at (.735, 0, .22) m and moves towards the robot with the drawer."""
    model, sites = env.physics.model, env.physics.bind("site_xpos")
    handle = sites[:, model.site("handle").id]
    np.testing.assert_allclose(handle, [[0.735, 0.0, 0.22], [0.685, 0.0, 0.22]], atol=1e-6)
    palm = sites[:, model.site("hand/palm").id]
    distance = env.task.hand_distance(env.physics)
    np.testing.assert_allclose(distance, np.linalg.norm(palm - handle, axis=1), atol=1e-6)
    wrist = sites[:, model.site("hand/wrist").id]
    assert np.linalg.norm(palm - wrist, axis=1) == pytest.approx(np.hypot(0.018, 0.09), abs=1e-4)


def test_dense_reward_at_a_known_state(env):
    """progress − 1 − 0.3·tanh(distance / 0.3)."""
    distance = env.task.hand_distance(env.physics)
    _, _, _, _, info = env.step(torch.zeros(2, 11))
    expected = [-1.0, -0.75] - 0.3 * np.tanh(distance.numpy() / 0.3)
    np.testing.assert_allclose(info["dense_reward"], expected, atol=5e-3)


def test_the_cabinet_stands_still_unless_asked_to(env):
    assert env.physics.fields() == {}
    assert "handle_pose" not in env.features
    with pytest.raises(UsageError, match=r"Unknown placement 'random'.*fixed, varied"):
        GraspVectorEnv("open-drawer", task_options={"placement": "random"})


def test_a_varied_cabinet_shows_its_handle():
    """The observed pose is that of the handle site, and the drawer slides along its −x."""
    env = GraspVectorEnv("open-drawer", 256, task_options={"placement": "varied"})
    env.reset(seed=0)
    before = env.observe()["handle_pose"].numpy()
    moved = before[:, :2] - [0.735, 0.0]
    assert 0.048 < np.abs(moved).max() <= 0.05 + 1e-6
    yaw = np.arctan2(before[:, 4], before[:, 3])
    assert np.radians(14.5) < np.abs(yaw).max() <= np.radians(15) + 1e-6
    assert (np.abs(before[:, 2] - 0.22) < 1e-6).all()
    qpos = env.physics.bind("qpos").clone()
    qpos[:, env.task.slide] = 0.1
    env.physics.reset(torch.ones(256, dtype=torch.bool), qpos)
    after = env.observe()["handle_pose"].numpy()
    out = -0.1 * np.stack([np.cos(yaw), np.sin(yaw)], axis=-1)
    np.testing.assert_allclose((after - before)[:, :2], out, atol=1e-6)
    np.testing.assert_allclose(after[:, 3:], before[:, 3:], atol=1e-6)


def test_operators_open_a_varied_drawer():
    env = GraspVectorEnv("open-drawer", 16, autoreset=False, task_options={"placement": "varied"})
    env.reset(seed=5)
    assert sum(episode.success for episode in perform(env)) >= 15

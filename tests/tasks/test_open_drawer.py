"""OpenDrawer's rewards and observation by absolute values."""

import numpy as np
import pytest
import torch

from gym_grasp.envs.vector import GraspVectorEnv


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

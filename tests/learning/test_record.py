import math

import pytest

from gym_grasp.learning.config import TrainConfig
from gym_grasp.learning.record import epoch_metrics, summarise

RAW = {"episodes": 4.0, "successes": 3.0, "return_sum": -10.0, "length_sum": 50.0, "diverged": 1.0}


def test_sums_over_episodes_become_means():
    config = TrainConfig(method="dapg", bc_weight=8.0, bc_decay=0.5)
    assert epoch_metrics(RAW | {"loss/value": 0.3}, config, 2, 640) == {
        "epoch": 2,
        "steps": 640,
        "loss/value": 0.3,
        "cloning_weight": 2.0,
        "rollout/success": 0.75,
        "rollout/return": -2.5,
        "rollout/length": 12.5,
        "rollout/episodes": 4.0,
        "rollout/diverged": 1.0,
    }


def test_where_no_episode_ended_there_is_no_mean():
    metrics = epoch_metrics(dict.fromkeys(RAW, 0.0), TrainConfig(method="ppo"), 0, 1)
    assert metrics["rollout/episodes"] == 0
    assert all(math.isnan(metrics[f"rollout/{name}"]) for name in ("success", "return", "length"))


def test_a_summary_tells_the_last_finite_metrics():
    history = [{"loss/value": 1.0}, {"loss/value": 2.0, "rollout/success": math.nan}]
    summary = summarise(TrainConfig(method="ppo", seed=5), 2, 600, 3.0, history, {"torch": "2"})
    assert summary == {
        "method": "ppo",
        "seed": 5,
        "epochs": 2,
        "steps": 600,
        "seconds": 3.0,
        "steps_per_second": pytest.approx(200),
        "last": {"loss/value": 2.0},
        "versions": {"torch": "2"},
    }

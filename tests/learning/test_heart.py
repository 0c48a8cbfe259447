"""Who is found silent once talking to the others has failed."""

import time

import pytest
import torch.distributed as dist

from gym_grasp.learning import heart
from gym_grasp.learning.heart import Heart


@pytest.fixture
def store(monkeypatch):
    """Return a store in this process' memory; beats are short."""
    monkeypatch.setattr(heart, "BEAT", 0.2)
    monkeypatch.setattr(heart, "ANSWER_WITHIN", 1.0)
    store = dist.HashStore()
    for rank in range(3):
        store.set(f"beat/{rank}", "")
    return store


def test_a_beat_sent_before_death_and_read_after_it_is_no_life(store):
    own = Heart(store, 0, 3)
    other = Heart(store, 1, 3)
    try:
        time.sleep(0.3)
        store.set("beat/2", "7")  # its last; not yet read
        assert own.silent() == [2]
    finally:
        own.stop()
        other.stop()


def test_one_that_left_in_order_is_not_silent(store):
    own = Heart(store, 0, 3)
    others = [Heart(store, 1, 3), Heart(store, 2, 3)]
    try:
        time.sleep(0.3)
        others[1].leave()
        assert own.silent() == []
    finally:
        own.stop()
        others[0].stop()

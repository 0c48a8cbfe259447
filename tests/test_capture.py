"""What a capture needs of Python; captures themselves are tested where there is a GPU."""

import gc
import weakref

import pytest
import torch

from gym_grasp.capture import Captured, no_garbage


class Cycle:
    """Garbage that only a collection frees."""

    def __init__(self):
        self.itself = self


def test_garbage_is_collected_before_and_not_during():
    before = weakref.ref(Cycle())
    with no_garbage():
        assert before() is None
        assert not gc.isenabled()
    assert gc.isenabled()


def test_collection_comes_back_after_an_error():
    with pytest.raises(ValueError, match="broken"), no_garbage():
        raise ValueError("broken")
    assert gc.isenabled()


def test_the_cpu_calls_as_it_is():
    calls = []
    captured = Captured(lambda: calls.append(1), torch.device("cpu"))
    for _ in range(5):
        captured()
    assert calls == [1] * 5

import torch

from gym_grasp.learning.samples import Minibatches


def drawn(minibatches):
    """Return the samples of one pass, in order."""
    minibatches.shuffle()
    rows = []
    for index in range(minibatches.count):
        minibatches.choose(index)
        rows += minibatches.rows.tolist()
    return rows


def test_every_sample_is_drawn_once_a_pass_in_another_order():
    minibatches = Minibatches(512, 4, torch.Generator().manual_seed(0))
    first, second = drawn(minibatches), drawn(minibatches)
    assert sorted(first) == sorted(second) == list(range(512))
    assert first != second != list(range(512))


def test_samples_that_fill_no_minibatch_are_left_out():
    minibatches = Minibatches(15, 4, torch.Generator().manual_seed(0))
    assert len(set(drawn(minibatches))) == 12


def test_the_rows_are_always_the_same_tensor():
    minibatches = Minibatches(8, 2, torch.Generator().manual_seed(0))
    place = minibatches.rows.data_ptr()
    drawn(minibatches)
    assert minibatches.rows.data_ptr() == place

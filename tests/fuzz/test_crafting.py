"""Making a crafted file takes no memory of note, however much the file declares."""

import random

import h5py
import numpy as np
import torch

from fuzz.test_files import craft
from mutations import change_hdf5


def test_a_checkpoint_that_declares_terabytes(monkeypatch):
    filled = []
    contiguous = torch.Tensor.contiguous
    monkeypatch.setattr(
        torch.Tensor, "contiguous", lambda one: filled.append(one.nbytes) or contiguous(one[:1])
    )
    monkeypatch.setattr("fuzz.test_files.change_tree", lambda rng, content: content)
    data = craft(None, {"x": torch.zeros(1).expand(1 << 40)}, "training")
    assert not filled
    assert len(data) < 10_000


class Number(random.Random):
    """Chooses the array, and to change its numbers."""

    def choice(self, options):
        return options[-1]

    def random(self):
        return 1.0

    def randrange(self, *_):
        return 7


def test_a_dataset_that_declares_terabytes(tmp_path):
    with h5py.File(tmp_path / "x.hdf5", "w") as file:
        file.create_dataset("x", shape=(10**12,), dtype="f4", chunks=(10**6,))
        change_hdf5(Number(), file)
        assert file["x"].shape == (10**12,)
        file.create_dataset("y", data=np.ones(3))
        change_hdf5(Number(), file)
        assert file["y"][0] == -2

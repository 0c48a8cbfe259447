"""HDF5 in a file that stops taking anything: one error, at every place where that may happen."""

import errno
import os

import h5py
import numpy as np
import pytest

from gym_grasp.demos.parts import parts_folder
from gym_grasp.demos.sink import sink
from gym_grasp.demos.writer import DatasetWriter
from gym_grasp.errors import DatasetError


def fill(monkeypatch, room):
    """Let a disk have room for so many bytes; those that still fit are written."""
    write = os.pwrite

    def pwrite(descriptor, data, offset):
        nonlocal room
        if room == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        done = write(descriptor, data[:room], offset)
        room -= done
        return done

    monkeypatch.setattr(os, "pwrite", pwrite)


@pytest.mark.parametrize("room", [0, 1, 100, 3_000, 20_000, 50_000, 100_000, 150_000])
def test_a_disk_that_is_full_while_merging(
    tmp_path, monkeypatch, make_episode, make_meta, record, room
):
    path = tmp_path / "a.hdf5"
    whole = record(tmp_path / "whole.hdf5", 4).read_bytes()
    assert len(whole) > 150_000
    writer = DatasetWriter(path, make_meta())
    for seed in range(4):
        writer.add(make_episode(seed))
    with monkeypatch.context() as patch:
        fill(patch, room)
        with pytest.raises(DatasetError, match="No space left on device"):
            writer.close()
    assert not path.exists()
    assert not list(parts_folder(path).glob("*.unfinished"))
    writer.close()
    assert path.read_bytes() == whole


@pytest.mark.parametrize("room", [0, 700, 5_000, 10**9])
def test_what_did_not_fit_is_read_as_if_it_had(tmp_path, monkeypatch, room):
    values = np.random.default_rng(0).normal(size=(4, 1000))
    fill(monkeypatch, room)
    with open(tmp_path / "x", "w+b") as raw:
        if room < values.nbytes:
            with pytest.raises(OSError, match="No space"), sink(raw) as kept:
                look(kept, values)
        else:
            with sink(raw) as kept:
                look(kept, values)
    if room >= values.nbytes:
        with h5py.File(tmp_path / "x") as file:
            assert np.array_equal(file["a/3"], values[3])


def look(kept, values):
    with h5py.File(kept, "w", rdcc_nbytes=0) as file:
        for index, row in enumerate(values):
            file[f"a/{index}"] = row
            file.flush()
        for index, row in enumerate(values):
            assert np.array_equal(file[f"a/{index}"], row)

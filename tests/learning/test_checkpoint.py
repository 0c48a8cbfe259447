import errno
import os
import pickle

import pytest
import torch

from gym_grasp.errors import CheckpointError, GymGraspError
from gym_grasp.files import write_atomically
from gym_grasp.learning import checkpoint
from gym_grasp.learning.checkpoint import Identity, load, load_policy, policy_file, to_bytes
from gym_grasp.learning.networks import Policy


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "last.pt"
    write_atomically(
        path, to_bytes("training", {"weights": torch.arange(5000.0), "epoch": 3, "none": None})
    )
    return path


def test_what_is_saved_is_loaded(path):
    content = load(path, "training")
    assert torch.equal(content["weights"], torch.arange(5000.0))
    assert (content["epoch"], content["none"]) == (3, None)


@pytest.mark.parametrize("place", [0.02, 0.3, 0.5, 0.9, 0.99])
def test_a_flipped_byte_is_found(path, place):
    data = bytearray(path.read_bytes())
    for offset in range(16):
        data[int(place * (len(data) - 16)) + offset] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="damaged"):
        load(path, "training")


def test_a_truncated_or_foreign_file_is_refused(path):
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="damaged"):
        load(path, "training")
    path.write_bytes(b"")
    with pytest.raises(CheckpointError, match="damaged"):
        load(path, "training")
    torch.save({"weights": torch.zeros(2)}, path)
    with pytest.raises(CheckpointError, match="no file of gym-grasp"):
        load(path, "training")


def test_code_in_a_file_is_not_run(path, tmp_path):
    class Attack:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "attacked"),)

    torch.save({"format": 1, "weights": Attack()}, path)
    with pytest.raises(CheckpointError):
        load(path, "training")
    path.write_bytes(pickle.dumps(Attack()))
    with pytest.raises(CheckpointError):
        load(path, "training")
    assert not (tmp_path / "attacked").exists()


def test_other_versions_and_kinds_are_refused(path, monkeypatch):
    with pytest.raises(CheckpointError, match="is a training file"):
        load(path, "policy")
    monkeypatch.setattr(checkpoint, "FORMAT", 4)
    with pytest.raises(CheckpointError, match=r"has format 3, gym-grasp .* reads 4"):
        load(path, "training")


def test_a_full_disk_leaves_the_previous_file(path, monkeypatch):
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(GymGraspError, match=r"Cannot write .*last\.pt: No space left"):
        write_atomically(path, to_bytes("training", {"epoch": 4}))
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["last.pt"]


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(GymGraspError, match="Cannot write"):
        write_atomically(tmp_path / "file" / "last.pt", to_bytes("training", {}))


def test_policy_files_hold_all_that_acting_needs(reach, tmp_path):
    env = reach()
    policy = Policy(4, 2, (8, 8))
    policy.normalizer.update(torch.randn(50, 4) * 3 + 1)
    path = tmp_path / "checkpoints" / "policy.pt"
    write_atomically(path, policy_file(policy, Identity(**env.description)))
    for source in (path, tmp_path):
        loaded = load_policy(source)
        observation = torch.randn(9, 4)
        assert torch.equal(loaded(observation), policy(observation))
        loaded.check(env)
    env.description["scene"] = "a plane with a hole"
    with pytest.raises(CheckpointError, match="the files of its scene have changed since"):
        loaded.check(env)
    env.description["observations"].reverse()
    with pytest.raises(CheckpointError, match=r"observations: file position\.0, position\.1"):
        loaded.check(env)

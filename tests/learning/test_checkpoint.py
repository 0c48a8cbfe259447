import errno
import io
import os
import pickle
import time
import zipfile

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


def crafted(content, path, kind=zipfile.ZIP_STORED):
    """Write a checkpoint whose digest fits, packed otherwise."""
    path.write_bytes(to_bytes("training", content))
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, data in files.items():
            archive.writestr(name, data)


def test_what_grows_when_it_is_read_is_refused(path, monkeypatch):
    crafted({"weights": torch.zeros(10_000_000)}, path, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 100_000
    read = []
    with monkeypatch.context() as patch:
        patch.setattr(torch, "load", lambda *args, **kwargs: read.append(args))
        with pytest.raises(CheckpointError, match="damaged"):
            load(path, "training")
    assert not read
    one = torch.zeros(1)
    nested = [one]
    for _ in range(20):
        nested = [nested, nested]  # a million times the same tensor
    buffer = io.BytesIO()
    for many in (nested, one.expand(1 << 40)):
        torch.save({"format": checkpoint.FORMAT, "kind": "training", "x": many}, buffer)
        path.write_bytes(buffer.getvalue())
        began = time.perf_counter()
        with pytest.raises(CheckpointError, match="damaged"):
            load(path, "training")
        assert time.perf_counter() - began < 5


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"identity": {"spec": {}}}, "missing 3 required"),
        ({"identity": None}, "Identity is None"),
        ({"hidden_sizes": [8, -8]}, "hidden_sizes is"),
        ({"hidden_sizes": [10**9, 10**9]}, "'actor.0.weight' is not"),
        ({"hidden_sizes": [8, 8, 8]}, "another number of weights"),
        ({"state": {}}, "another number of weights"),
        ({"normalizer.mean": torch.full((4,), torch.nan)}, "NaN or infinity"),
        ({"actor.0.weight": torch.zeros(8, 4, dtype=torch.float64)}, "is not torch.float32"),
        ({"actor.0.weight": torch.zeros(8)}, "is not torch.float32 of shape"),
    ],
)
def test_a_crafted_policy_is_refused(reach, path, change, text):
    policy = Policy(4, 2, (8, 8))
    content = {
        "identity": vars(Identity(**reach().description)),
        "hidden_sizes": [8, 8],
        "state": dict(policy.state_dict()),
    }
    path.write_bytes(to_bytes("policy", content))
    load_policy(path)
    weights = {k: v for k, v in change.items() if k in content["state"]}
    content["state"] |= weights
    content |= {k: v for k, v in change.items() if k not in weights}
    path.write_bytes(to_bytes("policy", content))
    with pytest.raises(CheckpointError, match=text) as caught:
        load_policy(path)
    assert len(str(caught.value).splitlines()) == 1

import dataclasses
import json
import os

import h5py
import numpy as np
import pytest

from gym_grasp.demos import hdf5
from gym_grasp.demos.episode import Origin
from gym_grasp.demos.reader import check, open_dataset
from gym_grasp.demos.writer import DatasetWriter
from gym_grasp.errors import DatasetError
from gym_grasp.learning.demonstrations import Demonstrations


def test_dataset_gives_what_was_recorded(dataset, make_episode):
    assert len(dataset) == 10
    assert (dataset.meta.task, dataset.meta.attempts, dataset.meta.failures) == (
        "open-drawer",
        10,
        0,
    )
    assert list(dataset.meta.features) == ["drawer_opening", "fingers", "wrist"]
    assert len(dataset.valid_indices) == 1
    assert sorted(dataset.train_indices + dataset.valid_indices) == list(range(10))
    check(dataset)


def test_flat_is_in_layout_order(dataset, make_episode):
    for index, (observations, actions) in zip([3, 1], dataset.flat([3, 1]), strict=True):
        episode = make_episode(index)
        assert observations.shape == (len(episode) + 1, 13)
        assert observations.dtype == actions.dtype == np.float32
        np.testing.assert_array_equal(observations[:, :1], episode.observations["drawer_opening"])
        np.testing.assert_array_equal(observations[:, 1:6], episode.observations["fingers"])
        np.testing.assert_array_equal(observations[:, 6:], episode.observations["wrist"])
        np.testing.assert_array_equal(actions, episode.actions)


def test_missing_file(tmp_path):
    with pytest.raises(DatasetError, match=r"no dataset .*nowhere.hdf5. Record one"):
        open_dataset(tmp_path / "nowhere.hdf5")
    with pytest.raises(DatasetError, match="There is no dataset"):
        open_dataset(tmp_path)


@pytest.mark.parametrize("content", [b"", b"hello", os.urandom(5000)])
def test_not_hdf5(tmp_path, content):
    (tmp_path / "x.hdf5").write_bytes(content)
    with pytest.raises(DatasetError, match=r"x.hdf5 is damaged or no dataset: .*Restore it"):
        open_dataset(tmp_path / "x.hdf5")


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.9, 0.999])
def test_truncated(dataset, share):
    content = dataset.path.read_bytes()
    dataset.path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DatasetError, match="is damaged"):
        open_dataset(dataset.path)


def test_other_hdf5(tmp_path):
    with h5py.File(tmp_path / "x.hdf5", "w") as file:
        file["data/demo_0/actions"] = np.zeros((3, 11))
    with pytest.raises(DatasetError, match="not a file of gym-grasp demonstrations"):
        open_dataset(tmp_path / "x.hdf5")


def replace(group, name, value):
    del group[name]
    group[name] = value


def too_large_for_its_type(file):
    attributes = file["data/demo_2"].attrs
    attributes["state_layout"] = attributes["state_layout"].replace("<f8", "<f4")
    poke("data/demo_2/states", (0, 0), 1e300)(file)


def poke(name, index, value):
    def change(file):
        file[name][index] = value

    return change


def cut(name):
    return lambda file: replace(file, name, file[name][:-1])


def attribute(group, name, value):
    return lambda file: file[group].attrs.modify(name, value)


def meta(**changes):
    def change(file):
        file.attrs["meta"] = json.dumps(json.loads(file.attrs["meta"]) | changes)

    return change


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (attribute("/", "format_version", 99), "format version 99, but this gym-grasp reads 2"),
        (attribute("/", "format_version", 1), "format version 1, but this gym-grasp reads 2"),
        (lambda file: file.attrs.__delitem__("meta"), "damaged"),
        (attribute("/", "meta", "{"), "damaged"),
        (attribute("/", "meta", "{}"), "bad metadata"),
        (meta(colour="red"), "bad metadata"),
        (meta(attempts=12), "12 attempts and 0 failures, but holds 10"),
        (attribute("data", "total", 7), "not 7"),
        (poke("data/demo_2/actions", (1, 3), np.nan), r"\(data/demo_2\).*actions: NaN.* row 1"),
        (poke("data/demo_2/actions", (1, 3), -1.01), r"1\.01 in size"),
        (poke("data/demo_2/rewards", 0, 0), "sparse rewards"),
        (poke("data/demo_2/dones", 0, 1), "'dones'"),
        (poke("data/demo_2/obs/wrist", (0, 0), np.inf), "observation 'wrist': NaN"),
        (poke("data/demo_2/obs/wrist", (1, 0), 5), "next_obs/wrist is not obs/wrist one step"),
        (cut("data/demo_2/actions"), "'actions' has"),
        (cut("data/demo_2/obs/wrist"), "rows"),
        (cut("data/demo_2/dense_rewards"), "'dense_rewards' has"),
        (attribute("data/demo_2", "num_samples", 1), "num_samples is 1"),
        (lambda file: file["data/demo_2/obs"].__delitem__("wrist"), "differ"),
        (lambda file: file["data/demo_2"].__delitem__("actions"), r"\(data/demo_2\) is damaged"),
        (lambda file: file["data"].__delitem__("demo_2"), "demo_0 to demo_N"),
        (lambda file: file.__delitem__("data"), "damaged"),
        (lambda file: file.__delitem__("mask"), "damaged"),
        (lambda file: replace(file, "mask/valid", np.array([b"demo_77"])), "do not split"),
        (cut("mask/train"), "do not split"),
    ],
)
def test_damaged_content_is_refused(dataset, change, text):
    with h5py.File(dataset.path, "r+") as file:
        change(file)
    with pytest.raises(DatasetError, match=text) as caught:
        open_dataset(dataset.path)
    assert str(dataset.path) in str(caught.value)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (poke("data/demo_2/states", (0, 0), np.nan), "NaN"),
        (cut("data/demo_2/integer_states"), r"\(data/demo_2\)"),
        (cut("data/demo_2/operator_input/time"), "operator input 'time'"),
        (poke("data/demo_2/dense_rewards", 0, 5), "demo_2 has changed since"),
        (poke("data/demo_2/operator_input/time", 0, 5), "demo_2 has changed since"),
        (poke("data/demo_2/fields/geom_friction", (0, 0), 5), "demo_2 has changed since"),
        (attribute("data/demo_2", "state_layout", "{}"), "add up"),
        (too_large_for_its_type, "state 'physics': NaN or infinity"),
        (attribute("data/demo_2", "seed", 1), "demo_2 has changed since"),
        (attribute("data/demo_2", "origin", '{"kind": "multiplied"}'), "demo_2 has changed since"),
    ],
)
def test_check_finds_what_opening_does_not_read(dataset, change, text):
    with h5py.File(dataset.path, "r+") as file:
        change(file)
        file.attrs["structure"] = hdf5.structure(file)
    with pytest.raises(DatasetError, match=text):
        check(open_dataset(dataset.path))


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file.move("data/demo_2/operator_input/time", "data/demo_2/operator_input/t"),
        lambda file: file.move("data/demo_2/fields/geom_friction", "data/demo_2/fields/body_mass"),
        lambda file: file.move("data/demo_2/operator_input", "data/demo_2/input"),
        lambda file: replace(file, "data/demo_2/integer_states", file["data/demo_1/states"][()]),
        lambda file: replace(
            file, "data/demo_2/final_state", file["data/demo_2/final_state"][()].astype(np.float32)
        ),
        attribute("data/demo_2", "state_layout", "{}"),
        attribute("data/demo_2", "seed", 1),
        attribute("data/demo_2", "sha256", "0"),
        attribute("/", "structure", "0"),
        attribute("data", "env_args", "{}"),
        lambda file: file["data"].attrs.create("author", "me"),
        lambda file: file["data/demo_0/actions"].attrs.create("unit", "m"),
        lambda file: file.create_group("data/demo_0/extra"),
        meta(licence="MIT"),
        lambda file: replace(file, "scene", "<mujoco model='other'/>"),
        lambda file: [
            replace(file, f"mask/{name}", np.array([f"demo_{i}" for i in indices], np.bytes_))
            for name, indices in (("train", range(9)), ("valid", [9]))
        ],
    ],
)
def test_another_structure_is_refused(dataset, change):
    assert dataset.valid_indices != (9,)
    with h5py.File(dataset.path, "r+") as file:
        change(file)
    with pytest.raises(DatasetError, match="a name, shape, type or attribute in it has changed"):
        open_dataset(dataset.path)


def test_check_refuses_copies_and_mixtures(tmp_path, make_episode, make_meta):
    for name, other, text in [
        ("a", make_episode(0), "demo_1 and demo_0 have the same seed 0"),
        ("b", make_episode(1, states={}), "demo_1 holds other states"),
    ]:
        with DatasetWriter(tmp_path / name, make_meta()) as writer:
            writer.add(make_episode(0))
            writer.add(other)
        with pytest.raises(DatasetError, match=text):
            check(open_dataset(tmp_path / name))


def test_damaged_bytes_never_pass_unseen(tmp_path, record):
    """A flipped byte is refused, or lies where it changes nothing that was recorded."""
    dataset = open_dataset(record(tmp_path / "a.hdf5", 2))
    fingerprint = dataset.fingerprint
    content = bytearray(dataset.path.read_bytes())
    rng = np.random.default_rng(0)
    for position in rng.integers(len(content), size=12):
        damaged = content.copy()
        damaged[position] ^= 0xFF
        dataset.path.write_bytes(damaged)
        try:
            other = open_dataset(dataset.path)
            check(other)
        except DatasetError:
            continue
        assert other.fingerprint == fingerprint


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 50},
        {"actions": np.zeros((4, 11), np.float32)},
        {"dense_rewards": np.zeros(4, np.float32)},
        {"states": {}},
        {"states": {"other": np.zeros((5, 1))}},
        {"operator_input": {}},
        {"fields": {}},
        {"origin": Origin("multiplied", ("a",))},
        {"events": {"mistakes": 3}},
    ],
)
def test_fingerprint_changes_with_content(tmp_path, make_episode, make_meta, changes):
    def fingerprint(name, episode, meta):
        with DatasetWriter(tmp_path / name, meta) as writer:
            writer.add(episode)
        return open_dataset(tmp_path / name).fingerprint

    episode = make_episode(0, steps=4)
    original = fingerprint("a", episode, make_meta())
    assert fingerprint("b", episode, make_meta(description="other words")) == original
    assert fingerprint("c", dataclasses.replace(episode, **changes), make_meta()) != original
    assert (
        fingerprint(
            "d", episode, make_meta(spec={"task": "lift-object", "version": 0, "robot": "ur5-sih"})
        )
        != original
    )


def test_altered_demonstrations_are_not_learned_from(tmp_path, record):
    path = record(tmp_path / "a.hdf5", 3)
    assert len(Demonstrations.from_dataset(open_dataset(path)).actions)
    with h5py.File(path, "r+") as file:
        for name in file["data"]:
            file[f"data/{name}/actions"][:] = -file[f"data/{name}/actions"][:]
    with pytest.raises(DatasetError, match="demo_0 has changed since it was recorded"):
        Demonstrations.from_dataset(open_dataset(path))

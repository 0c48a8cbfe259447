import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np
import pytest

from gym_grasp.demos import hdf5
from gym_grasp.demos.episode import Origin
from gym_grasp.demos.parts import ABOUT, parts_folder, recover, split
from gym_grasp.demos.reader import check, open_dataset
from gym_grasp.demos.writer import DatasetWriter
from gym_grasp.errors import DatasetError
from gym_grasp.tasks import gym_id
from gym_grasp.tasks.features import Feature
from gym_grasp.tasks.open_drawer import OpenDrawer

RECORD_FOREVER = """
import itertools, sys
from conftest import build_episode, build_meta
from gym_grasp.demos.parts import ABOUT
from gym_grasp.demos.writer import DatasetWriter
writer = DatasetWriter(sys.argv[1], build_meta())
for seed in itertools.count():
    writer.add(build_episode(seed))
    print(seed, flush=True)
"""


def start(script, *arguments, **kwargs):
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, **kwargs)


def assert_same(one, other):
    """Both episodes hold the same bits."""
    for field in dataclasses.fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(a, np.ndarray):
            a, b = {"": a}, {"": b}
        if isinstance(a, dict) and a and isinstance(next(iter(a.values())), np.ndarray):
            assert set(a) == set(b)
            for key in a:
                assert (a[key].dtype, a[key].shape) == (b[key].dtype, b[key].shape), key
                assert a[key].tobytes() == b[key].tobytes(), key
        else:
            assert a == b, field.name


def test_round_trip_is_bit_exact(tmp_path, make_episode, record):
    dataset = open_dataset(record(tmp_path / "a.hdf5", 4))
    assert len(dataset) == 4
    for seed, episode in enumerate(dataset.episodes()):
        assert_same(episode, make_episode(seed))


def test_episode_without_states_and_input(tmp_path, make_episode, make_meta):
    episode = make_episode(0, steps=1, states={}, operator_input={}, events={})
    with DatasetWriter(tmp_path / "a.hdf5", make_meta()) as writer:
        writer.add(episode)
    assert_same(open_dataset(tmp_path / "a.hdf5").episode(0), episode)


def test_observations_of_any_type_and_shape(tmp_path, make_episode, make_meta):
    rng = np.random.default_rng(0)
    beside = {
        "image": Feature("camera", "1", tuple("rgb"), (8, 8, 3), "uint8", ("camera",)),
        "contacts": Feature("touching geoms", "1", ("a", "b"), dtype="int64", groups=("critic",)),
        "far": Feature("too large for float32", "m", ("x",), dtype="float64", groups=("critic",)),
    }
    episode = make_episode(0, steps=5)
    seen = {
        "image": rng.integers(0, 256, (6, 8, 8, 3), dtype=np.uint8),
        "contacts": rng.integers(-(2**63), 2**63, (6, 2), dtype=np.int64),
        "far": rng.normal(size=(6, 1)),
    }
    episode = dataclasses.replace(
        episode,
        observations={**episode.observations, **seen},
        origin=Origin("multiplied", ("a1b2", "c3.hdf5")),
    )
    meta = make_meta(features={**make_meta().features, **beside})
    with DatasetWriter(tmp_path / "a.hdf5", meta) as writer:
        for key, bad in [
            ("image", seen["image"].astype(np.float32)),
            ("image", seen["image"][:, :, :4]),
            ("contacts", seen["contacts"].astype(np.int32)),
            ("far", np.full((6, 1), np.inf)),
        ]:
            changed = {**episode.observations, key: bad}
            with pytest.raises(DatasetError, match=f"observation '{key}'"):
                writer.add(dataclasses.replace(episode, observations=changed))
        writer.add(episode)
    dataset = open_dataset(tmp_path / "a.hdf5")
    check(dataset)
    assert dataset.meta == dataclasses.replace(meta, attempts=1)
    assert_same(dataset.episode(0), episode)
    # What policies do not act on is not held in memory.
    assert list(dataset.summaries[0].observations) == ["drawer_opening", "fingers", "wrist"]
    assert dataset.flat([0])[0][0].shape == (6, 13)
    with h5py.File(tmp_path / "a.hdf5") as file:
        image = file["data/demo_0/obs/image"]
        assert (image.shape, image.dtype) == ((5, 8, 8, 3), np.uint8)


def test_large_images_are_stored_in_parts_that_can_be_read_alone(tmp_path):
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        hdf5._store(file, "small", np.zeros((300, 20)))
        hdf5._store(file, "image", np.zeros((10, 512, 512, 3), np.uint8))
        assert file["small"].chunks == (300, 20)
        assert file["image"].chunks == (1, 512, 512, 3)


def test_same_input_same_bytes(tmp_path, record):
    first = record(tmp_path / "a.hdf5", 3).read_bytes()
    time.sleep(1.1)  # a time stamp in the file would show
    assert record(tmp_path / "b.hdf5", 3).read_bytes() == first


def test_robomimic_reads_it(tmp_path, make_episode, record):
    with h5py.File(record(tmp_path / "a.hdf5", 3), "r") as file:
        data = file["data"]
        assert json.loads(data.attrs["env_args"]) == {
            "env_name": gym_id("open-drawer"),
            "type": 2,
            "env_kwargs": {
                "task": {"task": "open-drawer", "version": OpenDrawer.version, "robot": "ur5-sih"}
            },
        }
        assert file["scene"][()] == b"<mujoco/>"
        assert data.attrs["total"] == sum(len(make_episode(seed)) for seed in range(3))
        names = file["mask/train"][()].tolist() + file["mask/valid"][()].tolist()
        assert sorted(names) == [b"demo_0", b"demo_1", b"demo_2"]
        for seed in range(3):
            demo, episode = data[f"demo_{seed}"], make_episode(seed)
            steps = len(episode)
            assert demo.attrs["num_samples"] == steps
            assert demo["actions"].shape == (steps, 11)
            for key, value in episode.observations.items():
                np.testing.assert_array_equal(demo["obs"][key][()], value[:-1])
                np.testing.assert_array_equal(demo["next_obs"][key][()], value[1:])
            assert demo["rewards"][()].tolist() == [-1] * (steps - 1) + [0]
            assert demo["dones"][()].tolist() == [0] * (steps - 1) + [1]
            assert demo["states"].shape == (steps, 30 + 6)
            np.testing.assert_array_equal(demo["states"][:, :30], episode.states["physics"][:-1])


def test_failures_are_counted_and_left_out(tmp_path, make_episode, make_meta):
    failed = make_episode(1, success=False)
    with DatasetWriter(tmp_path / "a.hdf5", make_meta()) as writer:
        assert writer.add(make_episode(0))
        assert not writer.add(failed)
        writer.count_failure()
        assert (len(writer), writer.failures, writer.attempts) == (1, 2, 3)
    dataset = open_dataset(tmp_path / "a.hdf5")
    assert (len(dataset), dataset.meta.attempts, dataset.meta.failures) == (1, 3, 2)


def test_no_episode_makes_no_file(tmp_path, make_meta):
    writer = DatasetWriter(tmp_path / "a.hdf5", make_meta())
    writer.count_failure()
    assert writer.close() is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"actions": np.full((3, 11), 1.5, np.float32)}, r"1\.5 in size"),
        ({"actions": np.full((3, 11), np.nan, np.float32)}, "actions: NaN"),
        ({"actions": np.zeros((3, 11))}, "expected float32"),
        ({"actions": np.zeros((3, 10), np.float32)}, r"got float32 of \(3, 10\)"),
        ({"actions": np.zeros((0, 11), np.float32)}, "no steps"),
        ({"rewards": np.zeros(3, np.float32)}, "sparse rewards"),
        ({"dense_rewards": np.full(3, np.inf, np.float32)}, "dense_rewards: NaN"),
        ({"observations": {}}, "observations are"),
        ({"states": {"x": np.zeros((3, 2))}}, "expected 4 rows"),
        ({"fields": {"a/b": np.zeros(3)}}, "field 'a/b': a name must not"),
        ({"fields": {"x": np.array([0, np.nan])}}, "field 'x': NaN or infinity in row 1"),
        ({"states": {"x": np.full((4, 2), np.nan)}}, "state 'x': NaN"),
        ({"states": {"x": np.zeros(4, dtype=complex)}}, "complex128"),
        ({"operator_input": {"a/b": np.zeros(3)}}, "must not contain"),
        ({"events": {"x": [1]}}, "plain scalar"),
        ({"events": {"x": float("nan")}}, "not a finite"),
    ],
)
def test_bad_episode_is_refused_and_the_recording_goes_on(
    tmp_path, make_episode, make_meta, changes, text
):
    with DatasetWriter(tmp_path / "a.hdf5", make_meta()) as writer:
        with pytest.raises(DatasetError, match=text):
            writer.add(make_episode(0, steps=3, **changes))
        writer.add(make_episode(1))
    assert len(open_dataset(tmp_path / "a.hdf5")) == 1


@pytest.mark.parametrize("delay", [0.0, 0.004, 0.015])
def test_killed_recording_loses_at_most_the_episode_in_hand(tmp_path, make_episode, delay):
    path = tmp_path / "a.hdf5"
    process = start(RECORD_FOREVER, path)
    for _ in range(5):
        process.stdout.readline()
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    acknowledged = 5 + len(process.communicate()[0].splitlines())
    assert not path.exists()
    with pytest.raises(DatasetError, match="recover it"):
        open_dataset(path)
    dataset = open_dataset(recover(path))
    assert acknowledged <= len(dataset) <= acknowledged + 1
    for seed, episode in enumerate(dataset.episodes()):
        assert_same(episode, make_episode(seed))
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.hdf5"]


RECORD_AND_CLOSE = """
import sys
from conftest import build_episode, build_meta
from gym_grasp.demos.parts import ABOUT
from gym_grasp.demos.writer import DatasetWriter
writer = DatasetWriter(sys.argv[1], build_meta())
for seed in range(25):
    writer.add(build_episode(seed))
print("closing", flush=True)
writer.close()
"""


@pytest.mark.parametrize("delay", [0.0, 0.02, 0.06])
def test_killed_while_merging_loses_nothing(tmp_path, make_episode, delay):
    path = tmp_path / "a.hdf5"
    process = start(RECORD_AND_CLOSE, path)
    process.stdout.readline()
    time.sleep(delay)
    process.kill()
    process.communicate()
    if (parts_folder(path) / ABOUT).exists():
        recover(path)
    dataset = open_dataset(path)
    assert [episode.seed for episode in dataset.summaries] == list(range(25))
    check(dataset)


def test_interrupted_recording_goes_on_as_if_it_had_not_been(
    tmp_path, make_episode, make_meta, record
):
    path = tmp_path / "a.hdf5"
    with suppress(KeyboardInterrupt), DatasetWriter(path, make_meta()) as writer:
        writer.add(make_episode(0))
        writer.count_failure()
        writer.add(make_episode(1))
        raise KeyboardInterrupt
    assert not path.exists()
    with pytest.raises(DatasetError, match=r"holds 2 episodes.*unfinished"):
        DatasetWriter(path, make_meta())
    with pytest.raises(DatasetError, match="other settings"):
        DatasetWriter(path, make_meta(base_seed=5), resume=True)
    with DatasetWriter(path, make_meta(), resume=True) as writer:
        assert (len(writer), writer.failures) == (2, 1)
        writer.add(make_episode(2))
    with DatasetWriter(tmp_path / "b.hdf5", make_meta()) as writer:
        writer.count_failure()
        for seed in range(3):
            writer.add(make_episode(seed))
    assert path.read_bytes() == (tmp_path / "b.hdf5").read_bytes()


def test_finished_file_is_overwritten_only_when_asked_and_only_at_the_end(
    tmp_path, make_episode, make_meta, record
):
    path = record(tmp_path / "a.hdf5", 3)
    with pytest.raises(DatasetError, match="exists already"):
        DatasetWriter(path, make_meta())
    with DatasetWriter(path, make_meta(), overwrite=True) as writer:
        writer.add(make_episode(7))
        assert len(open_dataset(path)) == 3
    assert [episode.seed for episode in open_dataset(path).episodes()] == [7]


def test_overwrite_drops_an_unfinished_recording(tmp_path, make_episode, make_meta):
    path = tmp_path / "a.hdf5"
    with suppress(KeyboardInterrupt), DatasetWriter(path, make_meta()) as writer:
        for seed in range(3):
            writer.add(make_episode(seed))
        raise KeyboardInterrupt
    with DatasetWriter(path, make_meta(), overwrite=True) as writer:
        writer.add(make_episode(9))
    assert [episode.seed for episode in open_dataset(path).episodes()] == [9]


def test_killed_between_merging_and_tidying_up(tmp_path, make_episode, make_meta, record):
    path = tmp_path / "a.hdf5"
    with suppress(KeyboardInterrupt), DatasetWriter(path, make_meta()) as writer:
        for seed in range(3):
            writer.add(make_episode(seed))
        raise KeyboardInterrupt
    finished = record(tmp_path / "b.hdf5", 3).rename(path)
    assert recover(finished) == path
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.hdf5"]


def test_recover_refuses(tmp_path, make_episode, make_meta, record):
    path = tmp_path / "a.hdf5"
    with pytest.raises(DatasetError, match="Nothing to recover"):
        recover(path)
    with suppress(KeyboardInterrupt), DatasetWriter(path, make_meta()) as writer:
        writer.add(make_episode(0))
        with pytest.raises(DatasetError, match="Another process"):
            recover(path)
        with pytest.raises(DatasetError, match="Another process"):
            DatasetWriter(path, make_meta(), resume=True)
        raise KeyboardInterrupt
    before = record(tmp_path / "b.hdf5", 2).rename(path).read_bytes()
    with pytest.raises(DatasetError, match="differs from the recording"):
        recover(path)
    assert path.read_bytes() == before
    recover(path, overwrite=True)
    assert len(open_dataset(path)) == 1


FULL_DISK = """
import resource, sys
from conftest import build_episode, build_meta
from gym_grasp.demos.parts import ABOUT
from gym_grasp.demos.writer import DatasetWriter
from gym_grasp.errors import DatasetError
writer = DatasetWriter(sys.argv[1], build_meta())
for seed in range(5):
    writer.add(build_episode(seed))
limit = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    writer.add(build_episode(5))
    writer.close()
except DatasetError as error:
    print(error)
"""


@pytest.mark.parametrize(("limit", "kept"), [(1000, 5), (60_000, 6)])
def test_full_disk_is_one_clear_error_and_loses_nothing(tmp_path, limit, kept):
    path = tmp_path / "a.hdf5"
    process = start(FULL_DISK, path, limit, stderr=subprocess.PIPE)
    out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    assert out.startswith(f"Cannot write {path}: File too large. The {kept} episodes so far are")
    assert len(out.splitlines()) == 1
    assert not path.exists()
    assert len(open_dataset(recover(path))) == kept


def test_folder_that_cannot_be_written(tmp_path, make_meta):
    (tmp_path / "file").touch()
    with pytest.raises(DatasetError, match=r"Cannot write .*Not a directory"):
        DatasetWriter(tmp_path / "file" / "a.hdf5", make_meta())


@pytest.mark.parametrize("count", [1, 2, 5, 10, 47, 200])
def test_split(count):
    train, valid = split(count, seed=3)
    assert sorted(train + valid) == list(range(count))
    assert train == sorted(train)
    assert len(valid) == (0 if count == 1 else max(1, round(count / 10)))
    assert (train, valid) == split(count, seed=3)
    if count >= 47:
        assert valid != split(count, seed=4)[1]
        assert valid != list(range(count - len(valid), count))


def test_counts_that_cannot_be_saved_are_not_counted(
    tmp_path, make_episode, make_meta, monkeypatch
):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    with DatasetWriter(tmp_path / "a.hdf5", make_meta()) as writer:
        for seed in range(2):
            writer.add(make_episode(seed))
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            for _ in range(2):
                with pytest.raises(DatasetError, match="No space left"):
                    writer.count_failure()
            assert (len(writer), writer.failures) == (2, 0)
            writer.drop_last()  # takes no space
        assert (len(writer), writer.failures, writer.dropped) == (1, 0, 1)
        assert writer.finished == {0, 1}  # its number, and so its seed, does not come twice
    dataset = open_dataset(tmp_path / "a.hdf5")
    assert [episode.seed for episode in dataset.summaries] == [0]
    assert (dataset.meta.attempts, dataset.meta.failures) == (1, 0)

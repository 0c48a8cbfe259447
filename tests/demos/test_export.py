import dataclasses
import json
from pathlib import Path

import h5py
import imageio_ffmpeg
import numpy as np
import pytest
import torch

from gym_grasp.cli.main import main
from gym_grasp.demos import export as export_module
from gym_grasp.demos.export import export
from gym_grasp.demos.reader import open_dataset
from gym_grasp.demos.record import record
from gym_grasp.envs.flat import flatten, unflatten
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import DatasetError, UsageError


@pytest.fixture(scope="module")
def drawer(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "drawer.hdf5"
    record("open-drawer", path, episodes=3, seed=1)
    return open_dataset(path)


def test_flat_states_come_back_bit_by_bit():
    rng = np.random.default_rng(0)
    state = {
        "real": rng.normal(size=(2, 3)),
        "single": rng.normal(size=(2, 2, 2)).astype(np.float32),
        "seed": np.array([2**63 - 1, -(2**63)]),
        "small": np.array([[1, -1], [0, 7]], dtype=np.int32),
        "flag": np.array([True, False]),
    }
    rows = flatten(state)
    assert rows.shape == (2, 3 + 4 + 2 + 4 + 2)
    assert rows.dtype == np.float64
    back = unflatten(rows, state)
    assert back.keys() == state.keys()
    for name, value in state.items():
        assert back[name].dtype == value.dtype
        assert back[name].tobytes() == value.tobytes()
    with pytest.raises(ValueError, match="expected"):
        unflatten(rows[:, 1:], state)


def test_robomimics_file_holds_every_number_and_the_states_go_on(drawer, tmp_path):
    path = tmp_path / "out.hdf5"
    written = export(drawer, "robomimic", path)
    steps = sum(map(len, drawer.summaries))
    assert (written["episodes"], written["steps"]) == (3, steps)
    with h5py.File(path) as file:
        assert file["data"].attrs["total"] == steps
        about = json.loads(file["data"].attrs["env_args"])
        assert about["type"] == 2
        assert about["env_name"] == drawer.meta.env_name
        assert about["env_kwargs"] == {"task": drawer.meta.spec}
        assert about["env_version"] == drawer.meta.versions["gym-grasp"]
        masks = [name.decode() for part in ("train", "valid") for name in file[f"mask/{part}"]]
        assert sorted(masks) == ["demo_0", "demo_1", "demo_2"]
        for index, episode in enumerate(drawer.summaries):
            group = file[f"data/demo_{index}"]
            assert group["actions"][()].tobytes() == episode.actions.tobytes()
            assert group["dones"][()].tolist() == [0] * (len(episode) - 1) + [1]
            assert sorted(group["obs"]) == sorted(drawer.meta.packer.layout)
            for key, rows in episode.observations.items():
                assert group[f"obs/{key}"][()].tobytes() == rows[:-1].tobytes()
                assert group[f"next_obs/{key}"][()].tobytes() == rows[1:].tobytes()
        states, actions = file["data/demo_1/states"][()], file["data/demo_1/actions"][()]
    env = GraspVectorEnv(drawer.env_spec(), 1, autoreset=False, num_threads=1)
    env.reset(seed=5)
    like = {key: value.numpy() for key, value in env.get_state().items()}
    middle = len(states) // 2
    parts = unflatten(states[middle : middle + 1], like)
    env.set_state({key: torch.from_numpy(value) for key, value in parts.items()})
    expected = drawer.summaries[1].flat_observations(drawer.meta.packer)
    assert env.observation()[0].numpy().tobytes() == expected[middle].tobytes()
    for step in range(middle, len(actions)):
        *_, info = env.step(torch.from_numpy(actions[step : step + 1]))
    assert info["final_obs"][0].numpy().tobytes() == expected[-1].tobytes()
    assert bool(info["success"][0])


def test_lerobots_folder_holds_every_number(drawer, tmp_path, capsys):
    pq = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "out"
    command = ["demos", "export", str(drawer.path), "--format", "lerobot", "--to", str(path)]
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["episodes"] == 3
    info = json.loads((path / "meta/info.json").read_text())
    assert (info["codebase_version"], info["fps"], info["robot_type"]) == ("v3.0", 30, "ur5-sih")
    assert (info["total_episodes"], info["splits"]) == (3, {"train": "0:3"})
    assert info["video_path"] is None
    features = info["features"]
    assert features["action"]["names"] == list(drawer.meta.action_names)
    everything = features["observation.environment_state"]["names"]
    assert everything == list(drawer.meta.packer.names)
    robot = features["observation.state"]["names"]
    assert robot == [name for name in everything if name != "drawer_opening"]
    rows = pq.read_table(path / "data/chunk-000/file-000.parquet").to_pydict()
    assert rows["index"] == list(range(info["total_frames"]))
    begin = 0
    for index, episode in enumerate(drawer.summaries):
        part = slice(begin, begin + len(episode))
        actions = np.array(rows["action"][part], dtype=np.float32)
        assert actions.tobytes() == episode.actions.tobytes()
        seen = episode.flat_observations(drawer.meta.packer)[:-1]
        stored = np.array(rows["observation.environment_state"][part], dtype=np.float32)
        assert stored.tobytes() == seen.tobytes()
        stored = np.array(rows["observation.state"][part], dtype=np.float32)
        assert stored.tobytes() == np.ascontiguousarray(seen[:, 1:]).tobytes()
        assert set(rows["episode_index"][part]) == {index}
        assert rows["frame_index"][part] == list(range(len(episode)))
        assert rows["timestamp"][part][1] == pytest.approx(1 / 30)
        begin += len(episode)
    assert begin == info["total_frames"] == len(rows["index"])
    episodes = pq.read_table(path / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    assert [one["length"] for one in episodes] == [len(one) for one in drawer.summaries]
    assert episodes[1]["dataset_from_index"] == episodes[0]["dataset_to_index"]
    tasks = pq.read_table(path / "meta/tasks.parquet")
    assert episodes[0]["tasks"] == tasks["__index_level_0__"].to_pylist()
    assert b"__index_level_0__" in tasks.schema.metadata[b"pandas"]
    stats = json.loads((path / "meta/stats.json").read_text())["action"]
    actions = np.concatenate([one.actions for one in drawer.summaries]).astype(np.float64)
    assert stats["count"] == [len(actions)]
    np.testing.assert_allclose(stats["std"], actions.std(0), rtol=1e-12)
    np.testing.assert_allclose(stats["q10"], np.quantile(actions, 0.1, axis=0), rtol=1e-12)


# ffmpeg's pipes are left to the collector by imageio.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_lerobots_videos_show_every_step(drawer, tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    from gym_grasp.demos.export import lerobot

    class Lens:
        """Shows how far the drawer is open."""

        def __init__(self, env, camera, width, height):
            assert (camera, width, height) == ("close", 320, 240)
            self.env = env

        def frame(self):
            opening = float(self.env.observation()[0, 0])
            return np.full((240, 320, 3), 40 + 900 * max(opening, 0.0), dtype=np.uint8)

        def close(self):
            pass

    monkeypatch.setattr(lerobot, "Camera", Lens)
    whole = drawer.episode(0)
    last = len(whole) - 30
    episode = dataclasses.replace(
        whole,
        actions=whole.actions[last:],
        states={key: value[last:] for key, value in whole.states.items()},
    )
    film, stats = lerobot._Film(drawer, tmp_path, "close"), {}
    place = film.episode(1203, episode, stats)
    totals = film.statistics()
    film.close()
    key = "observation.images.close"
    assert place[f"videos/{key}/chunk_index"] == 1
    assert place[f"videos/{key}/to_timestamp"] == pytest.approx(1.0)
    file = tmp_path / f"videos/{key}/chunk-001/file-203.mp4"
    reader = imageio_ffmpeg.read_frames(str(file))
    size = next(reader)["size"]
    levels = [np.frombuffer(frame, np.uint8).mean() for frame in reader]
    assert (size, len(levels)) == ((320, 240), 30)
    opening = whole.observations["drawer_opening"][last:-1, 0].clip(0)
    assert np.ptp(opening) > 0.02
    np.testing.assert_allclose(levels, np.floor(40 + 900 * opening), atol=6)
    assert totals == stats[key]
    assert np.shape(totals["mean"]) == (3, 1, 1)
    assert totals["count"] == [3]
    sampled = np.floor(40 + 900 * opening[::10]).mean() / 255
    assert totals["mean"][2][0][0] == pytest.approx(sampled, abs=0.01)


def test_minari_reads_what_it_wrote(drawer, tmp_path, monkeypatch):
    """With a relative path, which Minari itself does not take."""
    minari = pytest.importorskip("minari")
    monkeypatch.chdir(tmp_path)
    export(drawer, "minari", Path("root"))
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "root"))
    found = minari.load_dataset("gym-grasp/open-drawer/synthetic-v0")
    assert (found.total_episodes, found.total_steps) == (3, sum(map(len, drawer.summaries)))
    for episode, ours in zip(found.iterate_episodes(), drawer.summaries, strict=True):
        assert episode.actions.tobytes() == ours.actions.tobytes()
        flat = ours.flat_observations(drawer.meta.packer)
        assert episode.observations.tobytes() == flat.tobytes()
        assert episode.terminations.tolist() == [False] * (len(ours) - 1) + [True]
    env = found.recover_environment()
    assert env.observation_space == found.observation_space
    assert env.spec.kwargs == {"task": drawer.meta.spec}
    env.close()


def test_what_cannot_take_effect_is_refused(drawer, tmp_path, monkeypatch):
    with pytest.raises(UsageError, match=r"Did you mean 'robomimic'"):
        export(drawer, "robomimik", tmp_path / "out")
    with pytest.raises(UsageError, match="holds no videos"):
        export(drawer, "minari", tmp_path / "out", camera="overview")
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(DatasetError, match="exists already"):
        export(drawer, "robomimic", tmp_path / "taken")
    assert (tmp_path / "taken").read_text() == "mine"
    with monkeypatch.context() as patch:
        patch.setattr(type(drawer), "episodes", lambda self: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            export(drawer, "robomimic", tmp_path / "out")
    assert [one.name for one in tmp_path.iterdir()] == ["taken"]
    assert set(export_module.FORMATS) == {"robomimic", "lerobot", "minari"}

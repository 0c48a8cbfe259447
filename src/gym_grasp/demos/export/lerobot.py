"""LeRobot's dataset format 3.0, written with pyarrow: the package itself pins an older torch."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from gym_grasp.demos.episode import Episode
from gym_grasp.demos.export.columns import ACTION, columns
from gym_grasp.demos.export.robomimic import whole_states
from gym_grasp.demos.meta import DatasetMeta
from gym_grasp.demos.reader import Dataset
from gym_grasp.envs.render import Camera, write_video
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.files import to_json

FILE = "chunk-{chunk_index:03d}/file-{file_index:03d}"
DATA, VIDEO = f"data/{FILE}.parquet", f"videos/{{video_key}}/{FILE}.mp4"
WIDTH, HEIGHT = 320, 240
"""Of videos, in pixels: as `integrations.lerobot` shows them to policies."""
CHUNK = 1000
"""Videos, one for each episode, in a folder."""
QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}
COUNTERS = ("frame_index", "episode_index", "index", "task_index")


def write(dataset: Dataset, path: Path, camera: str | None = None) -> str:
    """Write the folder; return how to load it."""
    meta = dataset.meta
    text = dataset.env_spec().task_class.summary
    names = column_names(meta)
    gathered: dict[str, list[np.ndarray]] = {key: [] for key in (*names, "timestamp", *COUNTERS)}
    rows: list[dict[str, Any]] = []
    film = _Film(dataset, path, camera) if camera else None
    begin = 0
    try:
        for index, episode in enumerate(dataset.episodes()):
            steps = len(episode)
            values = {
                **vectors(meta, episode),
                "timestamp": np.arange(steps, dtype=np.float32) / np.float32(meta.control_rate),
                "frame_index": np.arange(steps),
                "episode_index": np.full(steps, index),
                "index": np.arange(begin, begin + steps),
                "task_index": np.zeros(steps, dtype=np.int64),
            }
            for key, value in values.items():
                gathered[key].append(value)
            stats = {key: statistics(value) for key, value in values.items()}
            row: dict[str, Any] = {
                "episode_index": index,
                "tasks": [text],
                "length": steps,
                "dataset_from_index": begin,
                "dataset_to_index": begin + steps,
                "data/chunk_index": 0,
                "data/file_index": 0,
                "meta/episodes/chunk_index": 0,
                "meta/episodes/file_index": 0,
            }
            if film:
                row |= film.episode(index, episode, stats)
            for key, one in stats.items():
                row |= {f"stats/{key}/{name}": value for name, value in one.items()}
            rows.append(row)
            begin += steps
    finally:
        if film:
            film.close()
    whole = {key: np.concatenate(value) for key, value in gathered.items()}
    totals = {key: statistics(value) for key, value in whole.items()}
    if film:
        totals[film.key] = film.statistics()
    _write_table(
        path / "data/chunk-000/file-000.parquet", {k: _column(v) for k, v in whole.items()}
    )
    _write_table(path / "meta/episodes/chunk-000/file-000.parquet", pa.Table.from_pylist(rows))
    _write_tasks(path / "meta/tasks.parquet", text)
    (path / "meta/stats.json").write_bytes(to_json(totals))
    (path / "meta/info.json").write_bytes(to_json(_info(dataset, begin, film)))
    return f"LeRobotDataset('gym-grasp/{meta.task}', root='{{path}}')"


def column_names(meta: DatasetMeta) -> dict[str, tuple[str, ...]]:
    """Return the names of the values of each vector."""
    names = np.array(meta.packer.names)
    chosen = {key: tuple(names[places].tolist()) for key, places in columns(meta.packer).items()}
    return {**chosen, ACTION: meta.action_names}


def vectors(meta: DatasetMeta, episode: Episode) -> dict[str, np.ndarray]:
    """Return what `column_names` names, before each step. Each (T, D), float32."""
    rows = episode.flat_observations(meta.packer)[:-1]
    chosen = {key: rows[:, places] for key, places in columns(meta.packer).items()}
    return {**chosen, ACTION: episode.actions}


def statistics(values: np.ndarray, count: int | None = None) -> dict[str, list[float]]:
    """Return LeRobot's statistics over the first axis: min, max, mean, std, count, quantiles."""
    rows = values.reshape(len(values), -1).astype(np.float64)
    found = {"min": rows.min(0), "max": rows.max(0), "mean": rows.mean(0), "std": rows.std(0)}
    found |= {name: np.quantile(rows, share, axis=0) for name, share in QUANTILES.items()}
    return {key: value.tolist() for key, value in found.items()} | {"count": [count or len(rows)]}


class _Film:
    """Films episodes from their recorded states, one video each."""

    def __init__(self, dataset: Dataset, path: Path, camera: str) -> None:
        self.key = f"observation.images.{camera}"
        self._env = GraspVectorEnv(dataset.env_spec(), 1, autoreset=False, num_threads=1)
        self._env.reset(seed=0)
        self._camera = Camera(self._env, camera, WIDTH, HEIGHT)
        self._path, self.rate = path, dataset.meta.control_rate
        self._pixels: list[np.ndarray] = []

    def episode(self, index: int, episode: Episode, stats: dict[str, Any]) -> dict[str, Any]:
        """Film one, add its statistics, and return its columns among the episodes."""
        place: dict[str, Any] = {"chunk_index": index // CHUNK, "file_index": index % CHUNK}
        file = self._path / VIDEO.format(video_key=self.key, **place)
        file.parent.mkdir(parents=True, exist_ok=True)
        states, thin = whole_states(episode), []

        def frames() -> Any:
            for step in range(len(episode)):
                state = {
                    key: torch.from_numpy(value[step : step + 1]) for key, value in states.items()
                }
                self._env.set_state(state)
                frame = self._camera.frame()
                if step % 10 == 0:
                    thin.append(frame[::4, ::4].reshape(-1, 3) / np.float32(255))
                yield frame

        write_video(file, frames(), self.rate)
        self._pixels.append(np.concatenate(thin))
        stats[self.key] = _channels(statistics(self._pixels[-1], len(thin)))
        place |= {"from_timestamp": 0.0, "to_timestamp": len(episode) / self.rate}
        return {f"videos/{self.key}/{name}": value for name, value in place.items()}

    def statistics(self) -> dict[str, Any]:
        """Return the statistics over all episodes."""
        frame = len(range(0, HEIGHT, 4)) * len(range(0, WIDTH, 4))
        pixels = np.concatenate(self._pixels)
        return _channels(statistics(pixels, len(pixels) // frame))

    def close(self) -> None:
        """Free renderer and engine."""
        self._camera.close()
        self._env.close()


def _channels(stats: dict[str, list[float]]) -> dict[str, Any]:
    """Give statistics of pixels the shape that LeRobot wants: (3, 1, 1)."""
    return {k: v if k == "count" else [[[one]] for one in v] for k, v in stats.items()}


def _info(dataset: Dataset, steps: int, film: _Film | None) -> dict[str, Any]:
    meta, rate = dataset.meta, round(dataset.meta.control_rate)
    features: dict[str, Any] = {
        key: {"dtype": "float32", "shape": [len(names)], "names": list(names)}
        for key, names in column_names(meta).items()
    }
    if film:
        codec = {"video.codec": "h264", "video.pix_fmt": "yuv420p", "video.fps": rate}
        size = {"video.height": HEIGHT, "video.width": WIDTH, "video.channels": 3}
        features[film.key] = {
            "dtype": "video",
            "shape": [HEIGHT, WIDTH, 3],
            "names": ["height", "width", "channels"],
            "info": {**codec, **size, "video.is_depth_map": False, "has_audio": False},
        }
    features["timestamp"] = {"dtype": "float32", "shape": [1], "names": None}
    for key in COUNTERS:
        features[key] = {"dtype": "int64", "shape": [1], "names": None}
    return {
        "codebase_version": "v3.0",
        "robot_type": meta.robot,
        "total_episodes": len(dataset),
        "total_frames": steps,
        "total_tasks": 1,
        "chunks_size": CHUNK,
        "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 200,
        "fps": rate,
        "splits": {"train": f"0:{len(dataset)}"},
        "data_path": DATA,
        "video_path": VIDEO if film else None,
        "features": features,
        "gym_grasp": {
            "env_name": meta.env_name,
            "spec": dict(meta.spec),
            "seeds": [episode.seed for episode in dataset.summaries],
            "train": list(dataset.train_indices),
            "valid": list(dataset.valid_indices),
            "units": dict(zip(meta.packer.names, meta.packer.units, strict=True)),
            "licence": meta.licence,
        },
    }


def _column(values: np.ndarray) -> pa.Array:
    if values.ndim == 1:
        return pa.array(values)
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])


def _write_table(path: Path, columns: "dict[str, pa.Array] | pa.Table") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(columns if isinstance(columns, pa.Table) else pa.table(columns), path)


def _write_tasks(path: Path, text: str) -> None:
    """Write the table of tasks as pandas does, which has the text for its index."""
    index = "__index_level_0__"
    kinds = (("task_index", "task_index", "int64"), (None, index, "unicode"))
    described = {
        "index_columns": [index],
        "column_indexes": [],
        "columns": [
            {
                "name": name,
                "field_name": field,
                "pandas_type": kind,
                "numpy_type": "object" if kind == "unicode" else kind,
                "metadata": None,
            }
            for name, field, kind in kinds
        ],
        "pandas_version": "2.0.0",
    }
    table = pa.table({"task_index": pa.array([0], pa.int64()), index: pa.array([text])})
    table = table.replace_schema_metadata({"pandas": json.dumps(described)})
    _write_table(path, table)

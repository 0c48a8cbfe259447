import dataclasses

import numpy as np
import pytest

from gym_grasp.demos.episode import Episode
from gym_grasp.demos.meta import DatasetMeta
from gym_grasp.demos.reader import open_dataset
from gym_grasp.demos.writer import DatasetWriter
from gym_grasp.tasks import gym_id
from gym_grasp.tasks.features import Feature, scalar
from gym_grasp.tasks.open_drawer import OpenDrawer

FEATURES = {
    "wrist": Feature("wrist: position and quaternion", "m, 1", tuple("xyzabcd")),
    "drawer_opening": scalar("how far it is open", "m"),
    "fingers": Feature("drives", "1", tuple("abcde")),
}
ACTIONS = tuple(f"action {index}" for index in range(11))


def build_episode(seed, steps=None, **changes):
    """Return a successful random episode; the same for the same seed."""
    rng = np.random.default_rng(seed)
    steps = steps or int(rng.integers(3, 9))
    rewards = np.full(steps, -1, dtype=np.float32)
    rewards[-1] = 0
    episode = Episode(
        observations={
            key: rng.normal(size=(steps + 1, *feature.shape)).astype(np.float32)
            for key, feature in FEATURES.items()
        },
        actions=rng.uniform(-1, 1, size=(steps, 11)).astype(np.float32),
        rewards=rewards,
        dense_rewards=rng.normal(size=steps).astype(np.float32),
        seed=seed,
        success=True,
        states={
            "physics": rng.normal(size=(steps + 1, 30)),
            "generator": rng.integers(-(2**63), 2**63, size=(steps + 1, 2), dtype=np.int64),
            "counter": np.arange(steps + 1, dtype=np.uint64) + np.uint64(2**63 + 5),
            "target": rng.normal(size=(steps + 1, 2, 3)).astype(np.float32),
            "engaged": rng.integers(0, 2, size=steps + 1).astype(bool),
        },
        fields={"geom_friction": rng.normal(size=(4, 3)).astype(np.float32)},
        operator_input={
            "wrist_pose": rng.normal(size=(steps, 7)),
            "time": np.arange(steps) / 30,
            "tracked": np.ones(steps, dtype=bool),
        },
        events={"mistakes": seed % 2, "approach": "above", "tremor": 0.1},
    )
    return dataclasses.replace(episode, **changes)


def build_meta(**changes):
    return dataclasses.replace(
        DatasetMeta(
            spec={"task": "open-drawer", "version": OpenDrawer.version, "robot": "ur5-sih"},
            env_name=gym_id("open-drawer"),
            features=FEATURES,
            action_names=ACTIONS,
            control_rate=30.0,
            operator="synthetic",
            base_seed=4,
            scene="<mujoco/>",
        ),
        **changes,
    )


def record_file(path, count, **kwargs):
    with DatasetWriter(path, build_meta(), **kwargs) as writer:
        for seed in range(count):
            writer.add(build_episode(seed))
    return path


@pytest.fixture
def make_episode():
    return build_episode


@pytest.fixture
def make_meta():
    return build_meta


@pytest.fixture
def record():
    return record_file


@pytest.fixture(scope="session")
def recorded_bytes(tmp_path_factory):
    return record_file(tmp_path_factory.mktemp("recorded") / "drawer.hdf5", 10).read_bytes()


@pytest.fixture
def dataset(tmp_path, recorded_bytes):
    """Return a dataset of 10 episodes whose file a test may damage."""
    path = tmp_path / "drawer.hdf5"
    path.write_bytes(recorded_bytes)
    return open_dataset(path)

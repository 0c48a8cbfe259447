"""robomimic itself reads the exported file, and its rollouts make the environment."""

import json
import os
import subprocess
import sys

import h5py
import numpy as np
import pytest
import torch

from foreign import exported, use_torchvision
from gym_grasp.envs.vector import GraspVectorEnv

pytest.importorskip("robomimic")
use_torchvision()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return exported("robomimic", tmp_path_factory.mktemp("data"), 4)


@pytest.fixture(scope="module")
def env(files):
    import robomimic.utils.env_utils as env_utils
    import robomimic.utils.file_utils as file_utils

    from gym_grasp.integrations import robomimic

    meta = file_utils.get_env_metadata_from_dataset(str(files[1]))
    env = env_utils.create_env_from_metadata(meta)
    assert isinstance(env, robomimic.GraspEnv)
    assert env.serialize() == meta
    return env


def test_robomimic_reads_every_number(files):
    """As it reads for training, the exported file and the recorded one."""
    import robomimic.utils.obs_utils as obs_utils
    from robomimic.utils.dataset import SequenceDataset

    ours, exported_file = files
    keys = sorted(ours.meta.packer.layout)
    obs_utils.initialize_obs_utils_with_obs_specs({"obs": {"low_dim": keys}})
    for path in (exported_file, exported_file.parent / "drawer.hdf5"):
        theirs = SequenceDataset(
            str(path), keys, ["actions"], load_next_obs=False, hdf5_use_swmr=False
        )
        assert theirs.n_demos == 4
        assert len(theirs) == sum(map(len, ours.summaries))
        items, index = [theirs[one] for one in range(len(theirs))], 0
        for episode in ours.summaries:
            part = items[index : index + len(episode)]
            actions = np.concatenate([one["actions"] for one in part])
            assert actions.tobytes() == episode.actions.tobytes()
            rows = [ours.meta.packer.pack(one["obs"])[0] for one in part]
            flat = episode.flat_observations(ours.meta.packer)[:-1]
            assert np.stack(rows).tobytes() == flat.tobytes()
            index += len(episode)


def test_demonstrations_succeed_again_in_robomimics_environment(files, env):
    dataset, path = files
    with h5py.File(path) as file:
        for index, episode in enumerate(dataset.summaries):
            group = file[f"data/demo_{index}"]
            observation = env.reset_to({"states": group["states"][0]})
            for step, action in enumerate(group["actions"][()]):
                for key, value in observation.items():
                    assert value.tobytes() == group[f"obs/{key}"][step].tobytes()
                observation, reward, done, _ = env.step(action)
                assert done == (step == len(episode) - 1) == env.is_success()["task"]
                assert reward == episode.rewards[step]


def test_states_are_taken_back(env):
    observation = env.reset()
    state = env.get_state()
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (5, env.action_dimension))
    after = [env.step(action)[0]["wrist_pose"] for action in actions]
    again = env.reset_to(state)
    assert all(np.array_equal(again[key], observation[key]) for key in observation)
    for action, expected in zip(actions, after, strict=True):
        assert np.array_equal(env.step(action)[0]["wrist_pose"], expected)


def test_every_view_has_its_size(env):
    env.reset()
    assert env.render(height=48, width=64).shape == (48, 64, 3)
    assert env.render(height=32, width=40, camera_name="close").shape == (32, 40, 3)
    assert env.render(height=48, width=64).shape == (48, 64, 3)


def test_robomimics_rollout_is_ours(env):
    import robomimic.utils.train_utils as train_utils

    from gym_grasp.tasks.features import Packer

    packer = Packer(env.env.features)
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(packer.size, env.action_dimension, generator=generator)

    class Policy(train_utils.RolloutPolicy):
        def __init__(self):
            pass

        def start_episode(self):
            pass

        def __call__(self, ob, goal=None):
            return np.tanh(packer.pack(ob) @ weights.numpy())

    result = train_utils.run_rollout(Policy(), env, 30, terminate_on_success=True)
    assert (result["Horizon"], result["Success_Rate"], result["Return"]) == (30, 0.0, -30.0)
    ours = GraspVectorEnv("open-drawer", 1, autoreset=False, num_threads=1)
    ours.reset(seed=0)
    observation = ours.reset_to(env.env.episode_seed)
    for _ in range(30):
        observation, *_ = ours.step(torch.tanh(observation @ weights))
    seen = env.get_observation()
    np.testing.assert_allclose(packer.pack(seen), observation[0].numpy(), atol=1e-3)


def test_training_rolls_out(files, tmp_path):
    config = {
        "algo_name": "bc",
        "experiment": {
            "name": "drawer",
            "epoch_every_n_steps": 2,
            "logging": {"terminal_output_to_txt": False, "log_tb": False},
            "render_video": False,
            "rollout": {"n": 2, "horizon": 10, "rate": 1},
            "save": {"enabled": False},
        },
        "train": {
            "data": str(files[1]),
            "output_dir": str(tmp_path),
            "hdf5_filter_key": "train",
            "cuda": False,
            "batch_size": 16,
            "num_epochs": 1,
        },
        "observation": {
            "modalities": {"obs": {"low_dim": sorted(files[0].meta.packer.layout), "rgb": []}}
        },
    }
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    code = (
        "import runpy, sys, foreign; foreign.use_torchvision(); sys.argv[0] = '';"
        "runpy.run_module('gym_grasp.integrations.robomimic', run_name='__main__')"
    )
    command = [sys.executable, "-c", code, "train", "--config", str(path)]
    found = os.pathsep.join(sys.path)  # foreign.py, and the package wherever it is
    done = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": found},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert "finished run successfully" in done.stdout, done.stdout + done.stderr
    assert '"Success_Rate": 0.0' in done.stdout

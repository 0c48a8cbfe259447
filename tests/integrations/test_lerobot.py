"""LeRobot itself reads the exported folder, trains on it and evaluates in our environments."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from foreign import exported, use_torchvision
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import UsageError
from gym_grasp.tasks import TASKS, load_task

pytest.importorskip("lerobot")
use_torchvision()
LEARNED = sorted(task for task in TASKS if not load_task(task).for_people)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return exported("lerobot", tmp_path_factory.mktemp("data"), 4)


def test_every_number_is_read(files):
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    ours, path = files
    theirs = LeRobotDataset("gym-grasp/open-drawer", root=path)
    assert (theirs.num_episodes, theirs.num_frames) == (4, sum(map(len, ours.summaries)))
    assert (theirs.fps, theirs.meta.robot_type) == (30, "ur5-sih")
    assert theirs[0]["task"] == load_task("open-drawer").summary
    rows = theirs.hf_dataset.with_format("numpy")
    actions = np.stack(rows["action"][:])
    states = np.stack(rows["observation.environment_state"][:])
    for index, episode in enumerate(ours.summaries):
        about = theirs.meta.episodes[index]
        part = slice(about["dataset_from_index"], about["dataset_to_index"])
        assert actions[part].tobytes() == episode.actions.tobytes()
        flat = episode.flat_observations(ours.meta.packer)
        assert states[part].tobytes() == flat[:-1].tobytes()


@pytest.mark.parametrize("task", LEARNED)
def test_environments_are_made_and_are_ours(task):
    from lerobot.envs.factory import make_env
    from lerobot.envs.utils import preprocess_observation

    from gym_grasp.integrations.lerobot import GymGraspEnv

    config = GymGraspEnv(task=task, episode_length=4)
    ((_, envs),) = make_env(config, n_envs=2).items()
    env = envs[0]
    assert env.call("_max_episode_steps") == (4, 4)
    assert env.call("task_description")[0] == load_task(task).summary
    observation, _ = env.reset(seed=[5, 6])
    named = preprocess_observation(observation)
    ours = GraspVectorEnv(task, 1, num_threads=1)
    expected, _ = ours.reset(seed=[6])
    assert torch.equal(named["observation.environment_state"][1], expected[0])
    width = config.features["agent_pos"].shape[0]
    assert named["observation.state"].shape == (2, width)
    for step in range(4):
        action = torch.full((1, 11), 0.1 * step)
        expected, *_, info = ours.step(action)
        observation, _, terminated, truncated, told = env.step(action.repeat(2, 1).numpy())
        assert truncated.tolist() == [step == 3] * 2
        assert not terminated.any()
    last = np.concatenate([one["environment_state"] for one in told["final_obs"]])
    assert last[-ours.observation_size :].tobytes() == info["final_obs"][0].numpy().tobytes()
    assert told["final_info"]["is_success"].tolist() == [False, False]
    env.close()


def test_a_batch_is_a_list_of_environments():
    """Every value that LeRobot's rollouts see, over an end of episodes."""
    from lerobot.envs.factory import make_env

    from gym_grasp.integrations.lerobot import GymGraspEnv, batch

    config = GymGraspEnv(task="lift-object", episode_length=3)
    theirs = make_env(config, n_envs=2)["gym_grasp"][0]
    ours = batch.make_env(2, cfg=config)["gym_grasp"][0]
    for name in ("_max_episode_steps", "task_description", "task"):
        assert ours.call(name) == theirs.call(name)
        assert getattr(ours.envs[0], name) == ours.call(name)[1]
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    observations = [env.reset(seed=[7, 8])[0] for env in (ours, theirs)]
    rng = np.random.default_rng(0)
    for step in range(3):
        for key, value in observations[1].items():
            np.testing.assert_array_equal(observations[0][key], value)
        action = rng.uniform(-1, 1, (2, 11)).astype(np.float32)
        (mine, *outcome, info), (other, *expected, told) = (e.step(action) for e in (ours, theirs))
        observations = [mine, other]
        for found, wanted in zip(outcome, expected, strict=True):
            np.testing.assert_array_equal(found, wanted)
        assert ("final_info" in info) == ("final_info" in told) == (step == 2)
    assert info["final_info"]["is_success"].tolist() == told["final_info"]["is_success"].tolist()
    for row, last in enumerate(told["final_obs"]):
        for key, value in last.items():
            np.testing.assert_array_equal(info["final_obs"][key][row], value)
    ours.close()
    theirs.close()
    for wrong in ({"pixels": True}, {"width": 64}, {"camera": "wrist"}):
        with pytest.raises(UsageError, match="no pictures"):
            batch.make_env(2, cfg=GymGraspEnv(**wrong))
    with pytest.raises(UsageError, match="one process"):
        batch.make_env(2, use_async_envs=True)


def test_it_trains_and_evaluates(files, tmp_path):
    small = ["dim_model=32", "n_heads=2", "dim_feedforward=32", "n_encoder_layers=1"]
    small += ["use_vae=false", "chunk_size=8", "n_action_steps=8", "push_to_hub=false"]
    run(
        "lerobot_train",
        "--dataset.repo_id=gym-grasp/open-drawer",
        f"--dataset.root={files[1]}",
        "--policy.type=act",
        "--policy.device=cpu",
        *(f"--policy.{one}" for one in small),
        *("--steps=2", "--save_freq=2", "--batch_size=8", "--num_workers=0", "--eval_freq=0"),
        *("--wandb.enable=false", f"--output_dir={tmp_path / 'run'}"),
    )
    run(
        "lerobot_eval",
        "--env.discover_packages_path=gym_grasp.integrations.lerobot",
        *("--env.type=gym_grasp", "--env.task=open-drawer", "--env.episode_length=4"),
        *("--env.width=32", "--env.height=24"),
        f"--policy.path={tmp_path / 'run/checkpoints/last/pretrained_model'}",
        *("--policy.device=cpu", "--eval.n_episodes=2", "--eval.batch_size=2"),
        f"--output_dir={tmp_path / 'eval'}",
    )
    info = json.loads((tmp_path / "eval/eval_info.json").read_text())
    assert info["overall"]["n_episodes"] == 2
    assert info["overall"]["avg_sum_reward"] == -4.0


@pytest.mark.parametrize("task", LEARNED)
def test_lerobot_eval_runs_every_task(task, tmp_path, monkeypatch):
    """With an untrained policy, over its list of environments and over a batch: the same return."""
    from lerobot.scripts import lerobot_eval

    from gym_grasp.integrations.lerobot import batch

    small = ["dim_model=32", "n_heads=2", "dim_feedforward=32", "n_encoder_layers=1"]
    small += ["use_vae=false", "chunk_size=2", "n_action_steps=2", "device=cpu"]
    made = lerobot_eval.make_env
    for name, main in (("list", lerobot_eval.main), ("batch", batch.main)):
        options = [
            *("--env.type=gym_grasp", f"--env.task={task}", "--env.episode_length=2"),
            *(("--env.width=32", "--env.height=24") if name == "list" else ()),
            "--policy.type=act",
            *(f"--policy.{one}" for one in small),
            *("--eval.n_episodes=2", "--eval.batch_size=2", f"--output_dir={tmp_path / name}"),
        ]
        monkeypatch.setattr(lerobot_eval, "make_env", made)
        monkeypatch.setattr(sys, "argv", ["lerobot-eval", *options])
        main()
        told = json.loads((tmp_path / name / "eval_info.json").read_text())["overall"]
        assert (told["n_episodes"], told["avg_sum_reward"], told["pc_success"]) == (2, -2.0, 0.0)
        assert len(told["video_paths"]) == (2 if name == "list" else 0)


def run(script, *options):
    code = (
        "import importlib, sys, foreign; foreign.use_torchvision();"
        f"importlib.import_module('lerobot.scripts.{script}').main()"
    )
    command = [sys.executable, "-c", code, *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]

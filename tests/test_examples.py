"""The examples that leave the package: ONNX, deployment, viewers."""

import importlib.util
import inspect
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from gym_grasp.demos.reader import open_dataset
from gym_grasp.demos.record import record
from gym_grasp.envs.spec import EnvSpec
from gym_grasp.envs.vector import GraspVectorEnv

EXAMPLES = Path(__file__).parents[1] / "examples"


def example(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Session:
    """A policy with ONNX Runtime's interface."""

    def __init__(self, spec, size):
        self.spec, self.seen = spec, []
        self.weights = np.random.default_rng(0).normal(size=(size, 11)).astype(np.float32)

    def get_modelmeta(self):
        return self

    @property
    def custom_metadata_map(self):
        name = json.dumps(f"gym_grasp/OpenDrawer-v{self.spec.version}")
        return {"spec": json.dumps(self.spec.to_dict()), "env_name": name}

    def run(self, outputs, inputs):
        self.seen.append(inputs["observation"].copy())
        return [np.tanh(inputs["observation"] @ self.weights)]


@pytest.fixture
def session():
    spec = EnvSpec("open-drawer", max_episode_steps=25)
    return Session(spec, GraspVectorEnv(spec, 1, num_threads=1).observation_size)


def test_deployed_policies_move_the_arm_as_the_environment_does(session):
    pytest.importorskip("onnxruntime")
    deploy = example("deploy_ur5")
    robot = deploy.Simulated(session.spec, seed=7, realtime=False)
    latency = deploy.deploy(session, robot, robot, robot.perceive, robot.done)
    assert len(latency.seconds) == robot.steps == 25
    assert robot.stopped
    env = GraspVectorEnv(session.spec, 1, autoreset=False, num_threads=1)
    observation, _ = env.reset(seed=7)
    for seen in session.seen:
        np.testing.assert_allclose(seen, observation.numpy(), atol=2e-5)
        observation, *_ = env.step(torch.from_numpy(np.tanh(observation.numpy() @ session.weights)))
    latency = deploy.Latency(0.03, [0.01, 0.02, 0.06])
    assert latency.report() == "3 steps at 33 Hz: mean 30.0, p99 59.2, max 60.0 ms; 1 late"


def test_the_arm_is_stopped_whatever_happens(session):
    pytest.importorskip("onnxruntime")
    deploy = example("deploy_ur5")
    robot = deploy.Simulated(session.spec, seed=7, realtime=False)
    with pytest.raises(ZeroDivisionError):
        deploy.deploy(session, robot, robot, lambda: 1 / 0, robot.done)
    assert robot.stopped
    assert robot.steps == 0


def test_the_simulated_arm_has_ur_rtdes_interface():
    pytest.importorskip("onnxruntime")
    control = pytest.importorskip("rtde_control").RTDEControlInterface
    receive = pytest.importorskip("rtde_receive").RTDEReceiveInterface
    deploy = example("deploy_ur5")
    for name, method in inspect.getmembers(deploy.Arm, inspect.isfunction):
        if name[0] == "_":
            continue
        real = getattr(receive if name.startswith("get") else control, name)
        signature = real.__doc__.splitlines()[0]
        count = len(inspect.signature(method).parameters) - 1
        required = signature.partition(" -> ")[0].count(": ") - 1 - signature.count(" = ")
        assert required == count, signature
        assert hasattr(deploy.Simulated, name)


def test_onnx_alone_drives_the_environment(session, monkeypatch, capsys):
    pytest.importorskip("onnxruntime")
    module = example("onnx_only")
    monkeypatch.setattr(module, "load", lambda path: session)
    assert module.main("policy.onnx", 1) == 0
    assert "open-drawer: 0 of 1 episodes succeed" in capsys.readouterr().out
    assert len(session.seen) == 25


def test_episodes_are_played_from_their_states(tmp_path):
    play = example("play_episode")
    record("open-drawer", tmp_path / "drawer.hdf5", episodes=1, seed=1)
    dataset = open_dataset(tmp_path / "drawer.hdf5")
    _, moments = play.moments(dataset, 0)
    observed = dataset.summaries[0].observations
    wrist = dataset.env_spec().robot_model.wrist
    count = 0
    for step, data in enumerate(moments):
        np.testing.assert_allclose(
            data.site(wrist).xpos, observed["wrist_pose"][step, :3], atol=1e-5
        )
        count += 1
    assert count == len(dataset.summaries[0]) + 1
    rerun = pytest.importorskip("rerun")
    play.in_rerun(dataset, 0, tmp_path / "episode.rrd")
    rerun.disconnect()
    assert (tmp_path / "episode.rrd").stat().st_size > 10_000

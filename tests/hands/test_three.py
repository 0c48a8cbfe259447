"""The way of a hand that the package does not know: operated, recorded, trained, drawn, felt."""

import json

import mujoco
import numpy as np
import pytest
import torch
from three import THREE

from gym_grasp.cli.main import main
from gym_grasp.demos.operators.operator import SyntheticOperator
from gym_grasp.envs import vector
from gym_grasp.envs.render import Camera
from gym_grasp.envs.spec import EnvSpec
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.teleop.devices.operator import OperatorDevice
from gym_grasp.teleop.session.session import Session, SessionConfig, State

ROBOT = "ur5-three"
TASKS = ["open-drawer", "lift-object"]
EPISODES = 16
ENOUGH = 0.8


@pytest.fixture(scope="module", params=TASKS)
def operated(request) -> dict:
    """What the operators did: successes (N,), observations, actions, the hand in the picture."""
    env = GraspVectorEnv(request.param, EPISODES, num_threads=1, autoreset=False, robot=ROBOT)
    env.reset(seed=7)
    operator = SyntheticOperator(env)
    running = torch.ones(EPISODES, dtype=torch.bool)
    success = torch.zeros_like(running)
    actions = []
    with Camera(env, "close") as camera:
        picture, hand = camera.frame(), pixels_of_hand(env)
        while running.any():
            action, _ = operator.act()
            actions.append(action)
            *_, terminated, truncated, info = env.step(action)
            success |= running & info["success"]
            running &= ~(terminated | truncated)
            operator.rest(~running)
    states = env.physics.bind("qpos").clone()
    env.close()
    result = {"task": request.param, "success": success, "actions": actions, "qpos": states}
    return {**result, "picture": picture, "pixels": hand}


def pixels_of_hand(env: GraspVectorEnv) -> int:
    """Count the pixels of the first simulation's close-up that show the hand."""
    model = env.task.model
    data = mujoco.MjData(model)
    data.qpos[:] = env.physics.bind("qpos")[0]
    mujoco.mj_forward(model, data)
    with mujoco.Renderer(model, 480, 640) as renderer:
        renderer.enable_segmentation_rendering()
        renderer.update_scene(data, camera="close")
        geoms = renderer.render()[..., 0]
    ours = [i for i in range(model.ngeom) if model.geom(i).name.startswith("hand/")]
    return int(np.isin(geoms, ours).sum())


def test_the_operators_manage_with_it(operated):
    assert operated["success"].float().mean() >= ENOUGH


def test_it_is_in_the_picture(operated):
    assert operated["picture"].std() > 10
    assert operated["pixels"] > 5000


def test_the_same_actions_do_the_same_again(operated):
    env = GraspVectorEnv(operated["task"], EPISODES, autoreset=False, robot=ROBOT)
    env.reset(seed=7)
    for action in operated["actions"]:
        env.step(action)
    assert torch.equal(env.physics.bind("qpos"), operated["qpos"])
    env.close()


@pytest.mark.parametrize("task", TASKS)
def test_sizes_of_its_environment(task):
    spec = EnvSpec(task, robot=ROBOT)
    env = GraspVectorEnv(spec, 2)
    scene = {"open-drawer": 1, "lift-object": 9}[task]
    assert env.action_size == 3 + 3 + 4
    assert env.observation_size == 7 + 9 + scene
    fingers = [name for name in env.packer.names if name.startswith("finger_positions.")]
    assert fingers == [f"finger_positions.{joint}" for joint in THREE.joints]
    env.reset(seed=0)
    opened = env.observe()["finger_positions"][0]
    expected = torch.tensor([0.02, 0.04, 0.02, 0.04, 1.571, 0.05, 0.05])
    torch.testing.assert_close(opened, expected, atol=1e-6, rtol=0)
    # Its drives stand in an order of their own: the third is the thumb.
    action = torch.zeros(2, 10)
    action[0, 8] = 1.0
    for _ in range(8):
        env.step(action)
    moved = env.observe()["finger_positions"] - expected
    assert (moved[0, 5:] > 0.4).all()
    assert moved[0, :5].abs().max() < 0.02
    assert moved[1].abs().max() < 0.02
    env.close()


@pytest.mark.parametrize("task", TASKS)
def test_recorded_replayed_trained_and_evaluated(task, tmp_path, capsys):
    def run(*args: str) -> dict:
        assert main([*args, "--json"]) == 0
        return json.loads(capsys.readouterr().out.splitlines()[-1])

    data, policy = str(tmp_path / "data.hdf5"), str(tmp_path / "run")
    recorded = run("demos", "record", task, "--robot", ROBOT, "--episodes", "6", "--out", data)
    assert recorded[task]["episodes"] == 6
    assert run("demos", "replay", data)["bit_exact"] == 6
    small = ("--epochs", "3", "--hidden-sizes", "32", "--demos", data, "--run", policy)
    run("train", task, "--robot", ROBOT, "--method", "bc", *small)
    result = run("evaluate", policy, "--episodes", "2", "--max-episode-steps", "10", "--no-video")
    assert result
    # The five-fingered robot's policies are others.
    assert main(["train", task, "--method", "bc", *small]) == 1
    assert "robot" in capsys.readouterr().err


@pytest.mark.parametrize("task", TASKS)
def test_teleoperated_by_the_operator(task):
    env = GraspVectorEnv(task, 1, num_threads=1, autoreset=False, robot=ROBOT)
    now, felt = 100.0, 0.0
    session = Session(env, OperatorDevice(env, clock=lambda: now), config=SessionConfig(seed=3))
    for _ in range(90 * 20):
        now += env.physics.timestep
        session.tick(now)
        felt = max(felt, float(session.haptics.brake.max()))
        if session.state is State.DONE:
            break
    assert session.state is State.DONE
    assert session.haptics.fingers == ("thumb", "index", "middle")
    assert felt > 0.1
    session.close()
    env.close()


@pytest.mark.parametrize("task", TASKS)
def test_the_gpu_engine_steps_it(task, monkeypatch):
    pytest.importorskip("mujoco_warp")
    from gym_grasp.physics.warp import WarpPhysics

    cpu = GraspVectorEnv(task, 2, num_threads=1, robot=ROBOT)
    monkeypatch.setattr(vector, "make_physics", _on_warps_cpu(WarpPhysics))
    warp = GraspVectorEnv(task, 2, robot=ROBOT)
    for env in (cpu, warp):
        env.reset(seed=1)
    start = warp.physics.bind("qpos").clone()
    action = torch.full((2, 10), 0.5)
    for _ in range(5):
        cpu.step(action)
        warp.step(action)
    found, expected = warp.physics.bind("qpos"), cpu.physics.bind("qpos")
    assert (found - start)[:, 6:13].abs().max() > 0.1
    torch.testing.assert_close(found, expected, atol=2e-3, rtol=0)
    counters = warp.counters()
    assert counters["overflow_contacts"] == counters["overflow_constraints"] == 0
    for env in (cpu, warp):
        env.close()


def _on_warps_cpu(engine):
    return lambda model, num_envs, *_: engine(model, num_envs, torch.device("cpu"))

"""What stands in a scene: distances as MuJoCo measures them, and who belongs to it."""

import mujoco
import numpy as np
import pytest
import torch

from building import ROBOT
from gym_grasp.envs.control import ControlConfig, Controller
from gym_grasp.envs.obstacles import ROUNDED, Obstacles, loose
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.physics.cpu import CpuPhysics
from gym_grasp.tasks.scene import load_scene


def obstacles(task: str, count: int = 2) -> tuple[GraspVectorEnv, Obstacles, list[str]]:
    env = GraspVectorEnv(task, count)
    env.reset(seed=0)
    found = Obstacles(env.physics, env.task.indices)
    names = [env.physics.model.geom(int(geom)).name for geom in found._geoms]
    return env, found, names


@pytest.mark.parametrize("task", ["open-drawer", "open-door", "pour-cup"])
def test_distances_are_those_of_mujoco(task):
    """Furniture moved; edges are a little round, corners by (√3 − 1) of `ROUNDED`."""
    env, found, names = obstacles(task)
    env.reset(seed=3)
    points = torch.rand(40, 2, 3, generator=torch.Generator().manual_seed(0))
    points = points * torch.tensor([0.8, 1.0, 0.7]) + torch.tensor([0.3, -0.5, 0.0])
    points = points.permute(2, 0, 1).contiguous()
    distance, towards = found.nearest(points)
    model = env.physics.model_of(1)
    data = mujoco.MjData(model)
    data.qpos[:] = env.physics.bind("qpos")[1]
    mujoco.mj_kinematics(model, data)
    seen = set()
    for index, point in enumerate(points[:, :, 1].T.double().numpy()):
        near = []
        for name in names:
            geom = model.geom(name)
            turn = data.geom_xmat[geom.id].reshape(3, 3)
            length, way = nearest(geom, turn.T @ (point - data.geom_xpos[geom.id]))
            near.append((length, name, turn @ way))
        length, name, way = min(near, key=lambda one: one[0])
        if length > 2 * ROUNDED:
            seen.add(name)
            assert distance[index, 1].item() == pytest.approx(length, abs=0.74 * ROUNDED)
            if sorted(near, key=lambda one: one[0])[1][0] > length + ROUNDED:
                assert towards[:, index, 1].double().numpy() @ way > 0.9
    assert len(seen) >= 3


def nearest(geom, here: np.ndarray) -> tuple[float, np.ndarray]:
    """Distance of a geom from a point in its frame, and the unit vector to it."""
    size = geom.size
    if geom.type[0] == mujoco.mjtGeom.mjGEOM_PLANE:
        return abs(here[2]), np.array([0.0, 0.0, -np.sign(here[2])])
    if geom.type[0] == mujoco.mjtGeom.mjGEOM_CAPSULE:
        half, radius = np.array([0.0, 0.0, size[1]]), size[0]
    else:
        half, radius = size, 0.0
    out = here - here.clip(-half, half)
    length = np.linalg.norm(out)
    return length - radius, -out / max(length, 1e-9)


def test_what_stands_and_what_can_be_picked_up():
    _, _, drawer = obstacles("open-drawer")
    assert {"table_top_collision", "drawer_front_collision", "handle_bar_collision"} <= set(drawer)
    _, _, lift = obstacles("lift-object")
    assert set(lift) == {"floor_collision", "table_top_collision"}
    env, _, pour = obstacles("pour-cup")
    assert "bowl_wall_0_collision" in pour
    assert not [name for name in pour if "cup" in name or "particle" in name]
    model = env.physics.model
    assert loose(model, model.body("cup").id)
    assert loose(model, model.body("particle_00").id)
    assert not loose(model, model.body("bowl").id)


def test_where_nothing_stands_nothing_slows_the_hand(tmp_path):
    (tmp_path / "empty.xml").write_text(
        '<mujoco><include file="gym_grasp.physics.xml"/><worldbody/></mujoco>'
    )
    scene = load_scene(tmp_path / "empty.xml")
    ROBOT.attach(scene)
    physics = CpuPhysics(scene.compile(), 2, 1)
    qpos = torch.zeros(2, physics.model.nq)
    qpos[:, :6] = torch.tensor(ROBOT.arm.home)
    physics.reset(torch.ones(2, dtype=torch.bool), qpos)
    controller = Controller(physics, ControlConfig(), ROBOT)
    height = controller.wrist_pose()[0][:, 2].clone()
    action = torch.zeros(2, ROBOT.action_size)
    action[0, 2] = -1.0
    for _ in range(15):
        controller.apply(action)
        physics.step(controller.joint_targets(), 3)
    fallen = height - controller.wrist_pose()[0][:, 2]
    assert fallen[0] > 0.15  # .6 m/s for half a second, to the border of the workspace
    assert fallen[1].abs() < 0.01

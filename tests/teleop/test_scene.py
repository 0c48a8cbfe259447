"""The drawn scene of any robot: where its bodies are, and which of them are fingertips."""

import re
from itertools import product
from pathlib import Path

import mujoco
import numpy as np
import pytest

import gym_grasp.teleop
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.math.rotations import np_matrix
from gym_grasp.robots import HANDS, load_robot, robot_names
from gym_grasp.robots.base import HUMAN_FINGERS, HUMAN_FLEXIONS
from gym_grasp.teleop.hand import frames
from gym_grasp.teleop.web.scene import NARROWEST, Scene, _drawn

TYPESCRIPT = Path(gym_grasp.teleop.__file__).parent / "webxr" / "src"
SHOWN = {
    "ur5-sih": ("palm", [f"hand/{finger}_distal" for finger in HUMAN_FINGERS], HUMAN_FINGERS),
    "ur5-three": (
        "base",
        [f"hand/{finger}_upper" for finger in ("thumb", "index", "middle")],
        ("thumb", "index", "middle"),
    ),
    "ur5-leap": (
        "palm",
        [f"hand/{finger}_distal" for finger in HUMAN_FINGERS[:4]],
        HUMAN_FINGERS[:4],
    ),
    "ur5-allegro": (
        "palm",
        [f"hand/{finger}_distal" for finger in HUMAN_FINGERS[:4]],
        HUMAN_FINGERS[:4],
    ),
    "ur5-shadow": (
        "base",
        [f"hand/{finger}_distal" for finger in HUMAN_FINGERS],
        HUMAN_FINGERS,
    ),
}
"""Of each robot: body of the palm frame, bodies of the fingertips, names of the fingers."""


@pytest.mark.parametrize("robot", list(SHOWN))
def test_the_scene_shows_every_moving_body_where_it_is(robot: str) -> None:
    env = GraspVectorEnv("open-drawer", 1, autoreset=False, num_threads=1, robot=robot)
    env.reset(seed=0)
    scene = Scene(env)
    palm, tips, fingers = SHOWN[robot]
    poses = scene.poses()
    bodies = scene.manifest["bodies"]
    assert poses.shape == (len(bodies), 7)
    assert "drawer" in bodies
    assert "cabinet" not in bodies
    assert tuple(finger["name"] for finger in scene.manifest["fingers"]) == fingers
    assert [bodies[finger["body"]] for finger in scene.manifest["fingers"]] == tips
    assert [one["name"] for one in scene.manifest["flexions"]] == list(HUMAN_FLEXIONS)
    assert [one["relaxed"] for one in scene.manifest["flexions"]] == [1, 0, 0, 0, 0]
    wrist = env.physics.bind("site_xpos")[0, env.task.wrist].numpy()
    shown = frames.position_to_world(poses[bodies.index(f"hand/{palm}"), :3].astype(float))
    np.testing.assert_allclose(shown, wrist, atol=1e-5)
    tables = [geom for geom in scene.manifest["geoms"] if geom["name"] == "table_top_collision"]
    np.testing.assert_allclose(
        frames.position_to_world(np.array(tables[0]["position"])), [0.6, 0.0, -0.02], atol=1e-6
    )
    assert not [geom for geom in scene.manifest["geoms"] if "palm_index_side" in geom["name"]]
    env.close()


@pytest.mark.parametrize("robot", robot_names())
def test_every_link_of_every_hand_is_drawn(robot: str) -> None:
    env = GraspVectorEnv("lift-object", 1, autoreset=False, num_threads=1, robot=robot)
    env.reset(seed=0)
    model, manifest = env.task.model, Scene(env).manifest
    drawn = {manifest["bodies"][geom["body"]] for geom in manifest["geoms"] if geom["body"] >= 0}
    for joint in range(len(env.robot.joints)):
        body = model.body(int(model.jnt_bodyid[joint]))
        if any(model.geom_bodyid[geom] == body.id for geom in range(model.ngeom)):
            assert body.name in drawn
    env.close()


def test_no_hand_or_joint_is_named_in_typescript() -> None:
    page = "\n".join(path.read_text() for path in TYPESCRIPT.rglob("*.ts"))
    hands = [load_robot(f"ur5-{name}").hand for name in HANDS]
    names = {name for hand in hands for name in (*hand.joints, *hand.drives) if "_" in name}
    assert "thumb_rotation" in names
    assert not [name for name in {*names, "hand/", "arm/"} if name in page]
    shipped = [name for name, at in HANDS.targets.items() if at.startswith("gym_grasp.")]
    assert not [name for name in shipped if re.search(rf"[\"'`/-]{name}\b", page)]


def test_a_fingertip_is_shown_on_the_nearest_drawn_body_that_it_is_fixed_to() -> None:
    model = mujoco.MjModel.from_xml_string("""<mujoco><worldbody>
      <body name="drawn"><joint/><geom size=".1"/>
        <body name="fixed"><geom size=".1"/><body><site name="on"/></body></body>
        <body><joint axis="1 0 0"/><geom size=".1"/><site name="off"/></body>
      </body></worldbody></mujoco>""")
    drawn, fixed = model.body("drawn").id, model.body("fixed").id
    on, off = model.site("on").id, model.site("off").id
    assert _drawn(model, on, {drawn: 0, fixed: 1}) == 1
    assert _drawn(model, on, {drawn: 0}) == 0
    assert _drawn(model, off, {drawn: 0, fixed: 1}) == -1


def test_the_scene_is_that_of_the_episode() -> None:
    """The object has its size and the door its place; the description follows a new episode."""
    env = GraspVectorEnv("lift-object", 1, autoreset=False, num_threads=1)
    env.reset(seed=0)
    scene = Scene(env)
    name = env.task.model.geom(env.task.solid).name
    for seed in (1, 2):
        env.reset(seed=seed)
        assert scene.follow()
        assert not scene.follow()
        drawn = next(one for one in scene.manifest["geoms"] if one["name"] == name)
        size = env.physics.get_field("geom_size")[0, env.task.solid].numpy()
        np.testing.assert_allclose(drawn["size"], size, atol=1e-6)
    door = GraspVectorEnv("open-door", 1, autoreset=False, num_threads=1)
    door.reset(seed=0)
    scene = Scene(door)
    door.reset(seed=1)
    assert scene.follow()
    lintel = "frame_lintel_collision"
    drawn = next(one for one in scene.manifest["geoms"] if one["name"] == lintel)
    place = door.physics.bind("geom_xpos")[0, door.task.model.geom(lintel).id]
    shown = frames.position_to_world(np.array(drawn["position"]))
    np.testing.assert_allclose(shown, place.numpy(), atol=1e-5)
    still = GraspVectorEnv("open-drawer", 1, autoreset=False, num_threads=1)
    still.reset(seed=0)
    scene = Scene(still)
    still.reset(seed=1)
    assert not scene.follow()


def edges(geom: dict) -> np.ndarray:
    """Points around a drawn geom, in its frame, in m. Shape (P, 3)."""
    size = geom["size"]
    if geom["type"] == "mesh":
        return np.reshape(geom["vertices"], (-1, 3))
    if geom["type"] == "box":
        return np.array(list(product(*([-one, one] for one in size))))
    lengths = {"sphere": size[0], "ellipsoid": size[-1], "capsule": sum(size[:2])}
    length = lengths.get(geom["type"], size[1])
    ends = np.array([[0, 0, -length], [0, 0, length]])
    rim = size[0] * np.array([[x, y, 0.0] for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1))])
    return np.concatenate([ends, rim])


@pytest.mark.parametrize("robot", ["ur5-sih", "panda-leap"])
@pytest.mark.parametrize("task", ["open-drawer", "open-door", "pour-cup", "study-scene"])
def test_all_that_stands_on_the_table_is_seen_and_fills_the_view(task: str, robot: str) -> None:
    env = GraspVectorEnv(task, 1, autoreset=False, num_threads=1, robot=robot)
    env.reset(seed=0)
    scene = Scene(env)
    poses, view, seen = scene.poses().astype(float), scene.manifest["whole"], []
    for geom in scene.manifest["geoms"]:
        if geom["type"] == "plane":
            continue
        points = edges(geom) @ matrix(geom["quaternion"]).T + geom["position"]
        if geom["body"] >= 0:
            pose = poses[geom["body"]]
            points = points @ matrix(pose[3:]).T + pose[:3]
        seen.append(points[frames.position_to_world(points)[:, 2] > 0.01])
    points = (np.concatenate(seen) - view["position"]) @ matrix(view["quaternion"])
    picture = points[:, :2] / -points[:, 2:] / np.tan(np.radians(view["fovy"]) / 2)
    picture[:, 0] /= NARROWEST
    most = np.abs(picture).max(axis=0)
    # in the middle; arms begin turned by up to .05 rad from home, and things where a seed has them
    assert 0.9 < most.max() < 1.0
    assert np.abs(picture.max(axis=0) + picture.min(axis=0)).max() < 0.15
    assert view["distance"] == pytest.approx(-points[:, 2].mean(), abs=0.2)
    env.close()


def matrix(xyzw: list[float]) -> np.ndarray:
    return np_matrix(np.roll(xyzw, 1))

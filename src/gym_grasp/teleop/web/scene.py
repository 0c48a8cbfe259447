"""What a headset needs to draw the simulation: the geometry once, the poses at every tick."""

import hashlib
import json
from itertools import product
from typing import Any

import mujoco
import numpy as np

from gym_grasp.envs.build import compile_drawing
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.robots.base import HUMAN_FLEXIONS
from gym_grasp.teleop.hand import frames
from gym_grasp.teleop.hand.input import RELAXED

GROUPS = (0, 1, 2)
"""Geom groups that are drawn; group 3 is the robot's collision geometry."""
NARROWEST, MARGIN = 1.25, 0.06
"""Width to height of a picture in which everything is seen; narrower ones have to look wider. What
is left free around it, as a share."""
CLOSE = 0.8
"""Distance of what the camera `close` looks at, in [m]."""
INFINITE = 6.0
"""Half-width at which an infinite plane is drawn, in [m]."""

_TYPES = {
    int(mujoco.mjtGeom.mjGEOM_PLANE): "plane",
    int(mujoco.mjtGeom.mjGEOM_SPHERE): "sphere",
    int(mujoco.mjtGeom.mjGEOM_CAPSULE): "capsule",
    int(mujoco.mjtGeom.mjGEOM_ELLIPSOID): "ellipsoid",
    int(mujoco.mjtGeom.mjGEOM_CYLINDER): "cylinder",
    int(mujoco.mjtGeom.mjGEOM_BOX): "box",
    int(mujoco.mjtGeom.mjGEOM_MESH): "mesh",
}


class Scene:
    """The drawn geometry of one environment, and where its moving bodies are.

    Poses are in the headset's frame (see `frames`); what does not move is part of the manifest.
    """

    def __init__(self, env: GraspVectorEnv) -> None:
        self._env = env
        self._model, self._simulated = compile_drawing(env.env_spec)
        self._xpos = env.physics.bind("xpos")
        self._xquat = env.physics.bind("xquat")
        self._describe()

    def follow(self) -> bool:
        """Describe the geometry anew where another episode changed it; return whether it did."""
        if self._seed == int(self._env.episode_seed[0]) or not self._env.physics.fields():
            return False
        before = self.manifest["hash"]
        self._describe()
        return bool(self.manifest["hash"] != before)

    def _describe(self) -> None:
        env, model, tips = self._env, self._model, self._env.task.indices.fingertips
        self._seed = int(env.episode_seed[0])
        env.physics.fill(model, 0, self._simulated)
        drawn = [
            index
            for index in range(model.ngeom)
            if model.geom_group[index] in GROUPS and _colour(model, index)[3] > 0
        ]
        moving = sorted({int(model.geom_bodyid[g]) for g in drawn if _moves(model, g)})
        self.bodies = np.array(moving, dtype=np.intp)
        """Which of the model's bodies are drawn and move, in the order of the poses. Shape (B,)."""
        self._poses = np.empty((len(moving), 7), np.float32)
        data = mujoco.MjData(model)
        data.qpos[:] = env.task.start_qpos
        mujoco.mj_kinematics(model, data)
        mujoco.mj_camlight(model, data)
        slots = {body: slot for slot, body in enumerate(moving)}
        manifest: dict[str, Any] = {
            "task": env.task_name,
            "bodies": [model.body(body).name for body in moving],
            "fingers": [
                {"name": finger.name, "body": _drawn(model, site, slots)}
                for finger, site in zip(env.robot.hand.fingers, tips, strict=True)
            ],
            "flexions": [
                {"name": name, "relaxed": relaxed}
                for name, relaxed in zip(HUMAN_FLEXIONS, RELAXED, strict=True)
            ],
            "geoms": [_geom(model, data, index, slots) for index in drawn],
            "view": _view(model, data),
            "whole": _whole(model, data, drawn),
        }
        text = json.dumps(manifest, sort_keys=True)
        self.manifest: dict[str, Any] = {
            **manifest,
            "hash": hashlib.sha256(text.encode()).hexdigest()[:16],
        }
        """Geometry, which drawn body is whose fingertip (−1: none), the flexions that a hand
        moved by mouse and keyboard sends, and from where to look; in plain values for JSON."""

    def poses(self) -> np.ndarray:
        """Return position [m] and quaternion x y z w of every moving body, as it is now.

        Shape (B, 7), float32; valid until the next call.
        """
        self._poses[:, :3] = frames.position_from_world(self._xpos[0].numpy()[self.bodies])
        self._poses[:, 3:] = frames.quaternion_from_world(self._xquat[0].numpy()[self.bodies])
        return self._poses


def _moves(model: mujoco.MjModel, geom: int) -> bool:
    return int(model.body_weldid[model.geom_bodyid[geom]]) != 0


def _drawn(model: mujoco.MjModel, site: int, slots: dict[int, int]) -> int:
    """Return the place of the drawn body that a site is fixed to; −1: none is drawn."""
    body = int(model.site_bodyid[site])
    while body not in slots and int(model.body_weldid[body]) != body:
        body = int(model.body_parentid[body])
    return slots.get(body, -1)


def _geom(
    model: mujoco.MjModel, data: mujoco.MjData, index: int, slots: dict[int, int]
) -> dict[str, Any]:
    position, quaternion = model.geom_pos[index].copy(), model.geom_quat[index].copy()
    slot = slots.get(int(model.geom_bodyid[index]), -1)
    if slot < 0:  # it stays where it is: its pose is that in the headset's frame
        body = int(model.geom_bodyid[index])
        mujoco.mju_mulPose(
            position, quaternion, data.xpos[body], data.xquat[body],
            model.geom_pos[index], model.geom_quat[index],
        )  # fmt: skip
        position = frames.position_from_world(position)
        xyzw = frames.quaternion_from_world(quaternion)
    else:
        xyzw = np.roll(quaternion, -1)
    kind = _TYPES[int(model.geom_type[index])]
    size = model.geom_size[index]
    if kind == "plane":
        size = np.where(size[:2] > 0, size[:2], INFINITE)
    material = int(model.geom_matid[index])
    geom = {
        "name": model.geom(index).name,
        "body": slot,
        "type": kind,
        "size": _rounded(size),
        "position": _rounded(position),
        "quaternion": _rounded(xyzw),
        "colour": _rounded(_colour(model, index)),
        "shininess": _rounded([model.mat_shininess[material] if material >= 0 else 0.5])[0],
    }
    if kind == "mesh":
        geom.update(_mesh(model, int(model.geom_dataid[index])))
    return geom


def _colour(model: mujoco.MjModel, index: int) -> np.ndarray:
    """Colour of a geom, of its material, or the mean of its material's texture. Shape (4,)."""
    material = int(model.geom_matid[index])
    if material < 0:
        return model.geom_rgba[index]
    colour = model.mat_rgba[material].copy()
    texture = int(model.mat_texid[material, mujoco.mjtTextureRole.mjTEXROLE_RGB])
    if texture >= 0:
        begin = int(model.tex_adr[texture])
        channels = int(model.tex_nchannel[texture])
        size = int(model.tex_height[texture] * model.tex_width[texture]) * channels
        pixels = model.tex_data[begin : begin + size].reshape(-1, channels)
        colour[:3] *= pixels[:, :3].mean(axis=0) / 255
    return colour


def _mesh(model: mujoco.MjModel, mesh: int) -> dict[str, Any]:
    vertex, face = int(model.mesh_vertadr[mesh]), int(model.mesh_faceadr[mesh])
    vertices = model.mesh_vert[vertex : vertex + int(model.mesh_vertnum[mesh])]
    faces = model.mesh_face[face : face + int(model.mesh_facenum[mesh])]
    return {"vertices": _rounded(vertices.ravel()), "faces": faces.ravel().tolist()}


def _view(model: mujoco.MjModel, data: mujoco.MjData) -> dict[str, Any]:
    """Where a desktop looks from: the scene's camera `close`, and how far what it shows is."""
    camera = model.camera("close").id
    quaternion = np.empty(4)
    mujoco.mju_mat2Quat(quaternion, data.cam_xmat[camera])
    return {
        "position": _rounded(frames.position_from_world(data.cam_xpos[camera])),
        "quaternion": _rounded(frames.quaternion_from_world(quaternion)),
        "fovy": _rounded([model.cam_fovy[camera]])[0],
        "distance": CLOSE,
    }


def _whole(model: mujoco.MjModel, data: mujoco.MjData, drawn: list[int]) -> dict[str, Any]:
    """From where all that stands on the table is seen, in the direction of the camera `close`.

    Of a picture `NARROWEST` times as wide as high it takes all but `MARGIN`; `distance` is that of
    its middle.
    """
    signs = np.array(list(product((-1.0, 1.0), repeat=3)))
    boxes = model.geom_aabb[drawn]  # of each geom, in its frame: middle, half sizes
    corners = boxes[:, None, :3] + signs * boxes[:, None, 3:]
    turns = data.geom_xmat[drawn].reshape(-1, 3, 3)
    corners = data.geom_xpos[drawn][:, None] + corners @ turns.transpose(0, 2, 1)
    standing = corners[:, :, 2].max(axis=1) > 1e-3
    points = corners[standing].reshape(-1, 3)
    points[:, 2] = points[:, 2].clip(0.0)
    camera = model.camera("close").id
    axes = data.cam_xmat[camera].reshape(3, 3)  # columns: right, up, back
    points = points @ axes
    slope = np.tan(np.radians(model.cam_fovy[camera]) / 2) / (1.0 + MARGIN)
    slopes = slope * np.array([NARROWEST, 1.0])
    # a point is seen where its distance from the middle is at most slope × depth, on both sides
    high = (points[:, :2] + slopes * points[:, 2:]).max(axis=0)
    low = (slopes * points[:, 2:] - points[:, :2]).max(axis=0)
    back = ((high + low) / (2 * slopes)).max()
    place = axes @ [*(high - low) / 2, back]
    return {
        **_view(model, data),
        "position": _rounded(frames.position_from_world(place)),
        "distance": _rounded([back - points[:, 2].mean()])[0],
    }


def _rounded(values: Any) -> list[float]:
    return [round(float(value), 6) for value in values]

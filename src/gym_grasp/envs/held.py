"""Held directions: what an arm does at the end of its reach, and whether it comes back."""

import math
from collections.abc import Callable, Iterator
from typing import Final

import torch
from torch import Tensor

from gym_grasp.envs.audit_figures import Figure
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.math.rotations import quat_conjugate, quat_multiply, rotvec_from_quat

HELD, LAST, RETURN = 10.0, 2.0, 8.0
"""How long a direction is held, for how long it should be still, how long the way back is, in s."""
MOVING, AWAY = 1.0, 2.0
"""What counts as moving in the last seconds, and as not at home, in mm."""
PRESS: Final = 1.5
"""How long a pressing hand keeps a direction, in s."""


def full_scale(count: int, size: int, generator: torch.Generator) -> Tensor:
    """Draw random directions whose largest component is 1. Shape (count, size)."""
    direction = torch.randn(count, size, generator=generator)
    return direction / direction.abs().amax(1, keepdim=True)


def held_figures(env: GraspVectorEnv, seed: int, rotations: bool) -> Iterator[Figure]:
    """Hold a random direction in each environment for `HELD` s, then go back; yield figures.

    Args:
        env: just reset, without autoreset.
        seed: of the directions.
        rotations: whether the hand is turned as well as moved.
    """
    generator, controller = torch.Generator().manual_seed(seed), env.controller
    reach, arm = env.robot.arm.reach, env.robot.indices(env.physics.model).arm
    bent = [env.robot.arm.joints.index(name) for name in reach.bent]
    qpos = env.physics.bind("qpos")
    position, orientation = (part.clone() for part in controller.wrist_pose())
    drives = controller.targets.fingers.clone()
    begun = qpos[:, arm][:, bent].sin().sign()
    action = torch.zeros(env.num_envs, env.action_size)
    action[:, :3] = full_scale(env.num_envs, 3, generator)
    if rotations:
        action[:, 3:6] = full_scale(env.num_envs, 3, generator)
    action = action.to(env.device)
    changed = torch.zeros(env.num_envs, dtype=torch.bool, device=env.device)
    path = []
    for _ in range(math.ceil(HELD * env.control_rate)):
        info = env.step(action)[4]
        changed |= (qpos[:, arm][:, bent].sin().sign() != begun).any(1)
        path.append(controller.wrist_pose()[0].clone())
    told = info["at_limit"]
    low, high = torch.stack(path[-math.ceil(LAST * env.control_rate) :]).aminmax(dim=0)
    moved = 1e3 * (high - low).norm(dim=1)
    for _ in range(math.ceil(RETURN * env.control_rate)):
        info = env.step(controller.approach(position, orientation, drives))[4]
    now, turned = controller.wrist_pose()
    away = 1e3 * (now - position).norm(dim=1)
    turn = rotvec_from_quat(quat_multiply(turned, quat_conjugate(orientation))).norm(dim=1)
    untold = (away > AWAY) & ~info["at_limit"]
    what = "held, with rotations" if rotations else "held"
    limit = None if rotations else 0.0
    yield Figure(f"{what}: changed configuration", int(changed.sum()), limit=0.0)
    yield Figure(f"{what}: still moving by > 1 mm", int((moved > MOVING).sum()), limit=limit)
    yield Figure(f"{what}: most movement in the last 2 s", float(moved.max()), "mm")
    yield Figure(f"{what}: told that they are at the limit", int(told.sum()))
    yield Figure(f"{what}: not home by > 2 mm", int((away > AWAY).sum()), limit=limit)
    yield Figure(f"{what}: farthest from home", float(away.max()), "mm")
    yield Figure(f"{what}: most turned from home", float(turn.max()), "rad")
    yield Figure(f"{what}: not home and not told", int(untold.sum()), limit=0.0)


def presser(env: GraspVectorEnv, seed: int) -> Callable[[Tensor], Tensor]:
    """Return a policy that presses at full scale, half of the time towards a thing in the scene."""
    generator, model = torch.Generator().manual_seed(seed), env.physics.model
    positions, count = env.physics.bind("geom_xpos"), env.num_envs
    solid = (model.geom_contype != 0) & (model.geom_bodyid > env.task.indices.wrist_body)
    things = torch.tensor(solid).nonzero()[:, 0]
    steps = round(PRESS * env.control_rate)
    action, step = torch.zeros(count, env.action_size), 0

    def act(_: Tensor) -> Tensor:
        nonlocal action, step
        if step % steps == 0:
            draw = full_scale(count, 3, generator), full_scale(count, 3, generator)
            turns, aims = torch.rand(2, count, 1, generator=generator) < 0.5
            fingers = torch.randint(-1, 2, (count, env.action_size - 6), generator=generator)
            chosen = things[torch.randint(len(things), (count,), generator=generator)]
            way = positions[torch.arange(count), chosen] - env.controller.wrist_pose()[0]
            way = way / way.abs().amax(1, keepdim=True).clamp_min(1e-3)
            move = torch.where(aims, way, draw[0])
            action = torch.cat([move, turns * draw[1], fingers.float()], dim=1)
        step += 1
        return action

    return act

"""Room that a scene needs on a GPU, where nothing can grow while it runs."""

import mujoco

CONTACTS_PER_GEOM = {
    int(mujoco.mjtGeom.mjGEOM_SPHERE): 4,
    int(mujoco.mjtGeom.mjGEOM_CAPSULE): 2,
    int(mujoco.mjtGeom.mjGEOM_BOX): 8,
}
"""Contacts for which a moving geom reserves room; other shapes reserve as much as a box."""
EQUALITY_ROWS = {
    int(mujoco.mjtEq.mjEQ_CONNECT): 3,
    int(mujoco.mjtEq.mjEQ_JOINT): 1,
    int(mujoco.mjtEq.mjEQ_TENDON): 1,
}
"""Constraint rows of an equality; others reserve as many as a weld."""

ACTUATORS = 11
"""Of the robot that scenes state their numbers for."""
MORE = (1, 4)
"""Contacts and constraint rows that each further actuator reserves: fingers touch one another."""


def buffer_sizes(model: mujoco.MjModel) -> tuple[int, int]:
    """Room for contacts and for constraint rows that a simulation gets: (nconmax, njmax).

    A scene states them as `<custom><numeric name="nconmax" data="…"/></custom>` (`njmax`
    likewise) for the SIH; hands of more drives get `MORE`. Otherwise every geom that moves and
    collides reserves `CONTACTS_PER_GEOM` with the rows of its `condim`; joint limits, friction
    losses and equalities reserve theirs. The simulations of a batch share their contact buffer,
    which the pairs found by the broad phase must fit too; constraint rows are each simulation's
    own.
    """
    pyramidal = model.opt.cone == mujoco.mjtCone.mjCONE_PYRAMIDAL
    contacts, rows = 0, 0
    for geom in range(model.ngeom):
        moves = model.body_weldid[model.geom_bodyid[geom]] != 0
        if not moves or not (model.geom_contype[geom] or model.geom_conaffinity[geom]):
            continue
        count = CONTACTS_PER_GEOM.get(int(model.geom_type[geom]), 8)
        condim = int(model.geom_condim[geom])
        contacts += count
        rows += count * (max(1, 2 * (condim - 1)) if pyramidal else condim)
    rows += int(model.jnt_limited.sum()) + int((model.dof_frictionloss > 0).sum())
    rows += sum(EQUALITY_ROWS.get(int(kind), 6) for kind in model.eq_type) + 2 * model.ntendon
    return (
        _stated(model, "nconmax", MORE[0]) or _round_up(contacts),
        _stated(model, "njmax", MORE[1]) or _round_up(rows),
    )


def _stated(model: mujoco.MjModel, name: str, more: int) -> int:
    index = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_NUMERIC, name)
    if index < 0:
        return 0
    further = more * max(0, model.nu - ACTUATORS)
    stated = int(model.numeric_data[model.numeric_adr[index]])
    return _round_up(stated + further) if further else stated


def _round_up(size: int, multiple: int = 16) -> int:
    return -(-max(size, 1) // multiple) * multiple

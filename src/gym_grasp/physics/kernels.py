"""Kernels of the GPU engine."""

import warp as wp


@wp.kernel
def find_diverged(
    qpos: wp.array2d[float],
    qvel: wp.array2d[float],
    max_speed: float,
    diverged: wp.array[wp.bool],
):
    """Mark simulations whose state is not finite, or moves impossibly fast."""
    world, i = wp.tid()
    if i < qpos.shape[1] and not wp.isfinite(qpos[world, i]):
        diverged[world] = True
    if i < qvel.shape[1] and not (wp.abs(qvel[world, i]) < max_speed):  # so that NaN counts too
        diverged[world] = True


@wp.kernel
def count_overflow(
    contacts: int,
    constraints: int,
    overflow: wp.array[int],
    counts: wp.array[wp.int64],
):
    """Count simulations whose contacts (0) or constraints (1) did not fit, and forget it."""
    world = wp.tid()
    if overflow[world] & contacts:
        wp.atomic_add(counts, 0, wp.int64(1))
    if overflow[world] & constraints:
        wp.atomic_add(counts, 1, wp.int64(1))
    overflow[world] = 0


@wp.func
def _xyzw(quat: wp.quat) -> wp.quat:
    """Warp's order of a quaternion that lies in MuJoCo's, scalar first."""
    return wp.quat(quat[1], quat[2], quat[3], quat[0])


@wp.kernel
def place_static_geoms(
    fixed: wp.array[int],
    geom_bodyid: wp.array[int],
    geom_pos: wp.array2d[wp.vec3],
    geom_quat: wp.array2d[wp.quat],
    xpos: wp.array2d[wp.vec3],
    xquat: wp.array2d[wp.quat],
    geom_xpos: wp.array2d[wp.vec3],
    geom_xmat: wp.array2d[wp.mat33],
):
    """Place geoms that never move by their bodies, which MuJoCo Warp does once for all."""
    world, i = wp.tid()
    geom = fixed[i]
    body = geom_bodyid[geom]
    turn = _xyzw(xquat[world, body])
    offset = geom_pos[world % geom_pos.shape[0], geom]  # of one row where it is shared
    own = _xyzw(geom_quat[world % geom_quat.shape[0], geom])
    geom_xpos[world, geom] = xpos[world, body] + wp.quat_rotate(turn, offset)
    geom_xmat[world, geom] = wp.quat_to_matrix(turn * own)

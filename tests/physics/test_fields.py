"""Model fields that differ per simulation, on both engines, against models compiled with them."""

import gc
import os
from collections.abc import Callable

import mujoco
import numpy as np
import pytest
import torch
from torch import Tensor

from gym_grasp.errors import UsageError
from gym_grasp.physics.base import Physics
from gym_grasp.physics.cpu import CpuPhysics
from gym_grasp.physics.fields import CONSTANT_INPUTS, FIELDS, model_field, unit

SCENE = """
<mujoco>
  <option timestep="0.004" gravity="3 0 -9.81" cone="elliptic"/>
  <asset><texture name="checks" type="2d" builtin="checker" width="8" height="8"/></asset>
  <worldbody>
    <geom name="floor" type="plane" size="9 9 .1" friction=".01 .005 .0001"/>
    <body name="box" pos="0 0 .11">
      <freejoint/>
      <inertial pos="0 0 0" mass="1.5" diaginertia=".01 .01 .01"/>
      <geom name="box" type="box" size=".1 .1 .1" friction=".1 .005 .0001" solref=".02 1"
        solimp=".9 .95 .001"/>
    </body>
    <body name="puck" pos="0 2 .1">
      <freejoint/>
      <geom name="puck" type="box" size=".1 .1 .1" mass="1" contype="0" conaffinity="0"/>
    </body>
    <body name="upper" pos="0 5 1" quat="1 0 0 0">
      <inertial pos=".2 0 0" quat="1 0 0 0" mass=".7" diaginertia=".01 .02 .025"/>
      <joint name="upper" axis="0 1 0" stiffness=".5" damping=".3" frictionloss=".05"
        armature=".02"/>
      <geom type="capsule" size=".03 .2" pos=".2 0 0" quat="1 0 1 0" contype="0" conaffinity="0"/>
      <body name="fore" pos=".4 0 0">
        <inertial pos=".1 .05 0" mass=".3" diaginertia=".003 .004 .005"/>
        <joint name="fore" axis="0 0 1"/>
        <site name="tip" pos=".2 0 0" quat="1 0 0 0"/>
      </body>
      <body name="finger" pos=".4 0 .1">
        <inertial pos=".1 0 0" mass=".1" diaginertia=".001 .001 .001"/>
        <joint name="finger" axis="0 1 0"/>
      </body>
    </body>
  </worldbody>
  <contact><pair geom1="floor" geom2="puck" friction=".2 .2 .005 .0001 .0001"/></contact>
  <equality>
    <joint joint1="finger" joint2="upper" polycoef=".1 .5 0 0 0" solref=".05 1"
      solimp=".8 .9 .001"/>
  </equality>
  <actuator>
    <general joint="upper" gear="1.5" biastype="affine" gainprm="4" biasprm="0 -4 -.3"/>
  </actuator>
</mujoco>"""
CHANGES = {
    "opt.gravity": ('gravity="3 0 -9.81"', 'gravity="3 1 -5"'),
    "geom_friction": ('friction=".1 ', 'friction=".25 '),
    "geom_solref": ('solref=".02 1"', 'solref=".08 1"'),
    "geom_solimp": ('solimp=".9 .95 .001"', 'solimp=".5 .6 .002"'),
    "pair_friction": ('friction=".2 .2 ', 'friction=".1 .1 '),
    "eq_solref": ('solref=".05 1"', 'solref=".2 1"'),
    "eq_solimp": ('solimp=".8 .9 .001"', 'solimp=".3 .4 .001"'),
    "jnt_stiffness": ('stiffness=".5"', 'stiffness="2"'),
    "dof_damping": ('damping=".3"', 'damping="1"'),
    "dof_frictionloss": ('frictionloss=".05"', 'frictionloss=".5"'),
    "actuator_gainprm": ('gainprm="4"', 'gainprm="7"'),
    "actuator_biasprm": ('biasprm="0 -4 -.3"', 'biasprm="1 -3 -.1"'),
    "actuator_gear": ('gear="1.5"', 'gear="2.5"'),
    "body_mass": ('mass=".7"', 'mass="2"'),
    "body_inertia": ('diaginertia=".01 .02 .025"', 'diaginertia=".04 .06 .07"'),
    "body_ipos": ('<inertial pos=".2 0 0"', '<inertial pos=".1 .05 .1"'),
    "body_iquat": ('0" quat="1 0 0 0" mass', '0" quat=".8 .6 0 0" mass'),
    "body_pos": ('pos="0 5 1"', 'pos=".3 5 1.2"'),
    "body_quat": ('pos="0 5 1" quat="1 0 0 0"', 'pos="0 5 1" quat=".8 0 .6 0"'),
    "dof_armature": ('armature=".02"', 'armature=".2"'),
    "geom_size": ('size=".1 .1 .1" friction', 'size=".12 .1 .105" friction'),
    "geom_pos": ('pos=".2 0 0" quat="1 0 1 0"', 'pos=".1 .2 0" quat="1 0 1 0"'),
    "geom_quat": ('pos=".2 0 0" quat="1 0 1 0"', 'pos=".2 0 0" quat="1 0 0 0"'),
    "site_pos": ('name="tip" pos=".2 0 0"', 'name="tip" pos=".3 .1 0"'),
    "site_quat": ('pos=".2 0 0" quat="1 0 0 0"/>', 'pos=".2 0 0" quat=".6 0 0 .8"/>'),
}
STATIC = {"body_simple", "body_sameframe", "geom_sameframe", "site_sameframe"}
SEEN = ("qpos", "qvel", "xipos", "geom_xpos", "geom_xmat", "site_xpos", "site_xmat")
STEPS = 50
CTRL = 0.4

Make = Callable[[mujoco.MjModel, int], Physics]


def make_cpu(model: mujoco.MjModel, num_envs: int) -> Physics:
    return CpuPhysics(model, num_envs, num_threads=2)


@pytest.fixture(
    params=["cpu", "warp", pytest.param("cuda", marks=pytest.mark.gpu)], ids=["cpu", "warp", "cuda"]
)
def make(request: pytest.FixtureRequest) -> Make:
    if request.param == "cpu":
        return make_cpu
    pytest.importorskip("mujoco_warp")
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU")
    from gym_grasp.physics.warp import WarpPhysics

    device = torch.device("cpu" if request.param == "warp" else "cuda")
    return lambda model, num_envs: WarpPhysics(model, num_envs, device)


def compiled(name: str = "") -> mujoco.MjModel:
    """The scene, or the scene with another value of a field in its MJCF."""
    if not name:
        return mujoco.MjModel.from_xml_string(SCENE)
    old, new = CHANGES[name]
    assert SCENE.count(old) == 1, old
    return mujoco.MjModel.from_xml_string(SCENE.replace(old, new))


def values_of(model: mujoco.MjModel, name: str, physics: Physics) -> Tensor:
    values = torch.tensor(np.array(model_field(model, name)), dtype=physics.dtype)
    return values.expand(physics.num_envs, *values.shape).to(physics.device)


def only(physics: Physics, *chosen: int) -> Tensor:
    mask = torch.zeros(physics.num_envs, dtype=torch.bool, device=physics.device)
    mask[list(chosen)] = True
    return mask


def restart(physics: Physics) -> None:
    start = torch.tensor(physics.model.qpos0, device=physics.device)
    physics.reset(
        only(physics, *range(physics.num_envs)), start.float().expand(physics.num_envs, -1)
    )


def run(physics: Physics, steps: int = STEPS) -> None:
    ctrl = torch.full((physics.num_envs, physics.model.nu), CTRL, device=physics.device)
    for _ in range(steps):
        physics.step(ctrl, 1)


def seen(physics: Physics, index: int) -> dict[str, np.ndarray]:
    return {name: physics.bind(name)[index].cpu().numpy().copy() for name in SEEN}


def expected(model: mujoco.MjModel, start: np.ndarray) -> dict[str, np.ndarray]:
    """What plain MuJoCo makes of a compiled model."""
    data = mujoco.MjData(model)
    data.qpos[:] = start.astype(np.float32)
    data.ctrl[:] = np.float32(CTRL)
    mujoco.mj_step(model, data, STEPS)
    mujoco.mj_kinematics(model, data)
    return {name: getattr(data, name).astype(np.float32).copy() for name in SEEN}


def farthest(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> float:
    return max(
        float(np.abs(one[name] - other[name].reshape(one[name].shape)).max()) for name in one
    )


def test_every_field_is_tried_and_every_constant_followed() -> None:
    assert CHANGES.keys() == FIELDS.keys()
    inputs = set(mujoco.MjModel._setconst_inputs)
    assert inputs & FIELDS.keys() == CONSTANT_INPUTS


@pytest.mark.parametrize("name", CHANGES)
def test_as_if_compiled_with_it_and_only_where_masked(make: Make, name: str) -> None:
    base, changed = compiled(), compiled(name)
    physics = make(base, 3)
    physics.set_field(name, values_of(changed, name, physics), only(physics, 1))
    restart(physics)
    run(physics)
    plain, other = expected(base, base.qpos0), expected(changed, base.qpos0)
    effect = farthest(plain, other)
    assert effect > 3e-3, "the change is to be seen"
    tolerance = 0.0 if physics.dtype == torch.float64 else 0.03 * effect
    assert farthest(seen(physics, 1), other) <= tolerance
    for untouched in (0, 2):
        assert farthest(seen(physics, untouched), plain) <= tolerance
    own = physics.model_of(1)
    for constant in mujoco.MjModel._setconst_outputs:
        if constant not in ("qpos0", *STATIC):
            np.testing.assert_allclose(
                getattr(own, constant), getattr(changed, constant), rtol=1e-5, atol=1e-7
            )
    physics.close()


def test_box_is_braked_by_its_own_friction(make: Make) -> None:
    model = compiled()
    physics = make(model, 4)
    friction = physics.get_field("geom_friction")
    box = model.geom("box").id
    friction[:, box, 0] = torch.tensor([0.05, 0.15, 0.25, 0.9])
    physics.set_field("geom_friction", friction, only(physics, 0, 1, 2))
    restart(physics)
    run(physics, 25)  # it has landed
    before = physics.bind("qvel")[:, 0].clone()
    run(physics, 50)
    acceleration = (physics.bind("qvel")[:, 0] - before) / (50 * physics.timestep)
    braking = (3.0 - acceleration.cpu()) / 9.81
    torch.testing.assert_close(braking, torch.tensor([0.05, 0.15, 0.25, 0.1]), rtol=0.05, atol=0.0)
    physics.close()


def test_mass_comes_with_its_constants(make: Make) -> None:
    """A force on a heavier arm; the engine's own constants are those of a compiled model."""
    changed = compiled("body_mass")
    physics = make(compiled(), 2)
    physics.set_field("body_mass", values_of(changed, "body_mass", physics), only(physics, 0))
    restart(physics)
    if isinstance(physics, CpuPhysics):
        one, other = (physics._batch.get_model(index) for index in (0, 1))
        constants = {
            name: (getattr(one, name), getattr(other, name))
            for name in ("body_subtreemass", "body_invweight0", "dof_invweight0", "dof_M0")
        }
    else:
        engine = physics._model  # type: ignore[attr-defined]
        constants = {
            name: tuple(getattr(engine, name).numpy())
            for name in ("body_subtreemass", "body_invweight0", "dof_invweight0", "actuator_acc0")
        }
    for name, (heavy, light) in constants.items():
        np.testing.assert_allclose(heavy, getattr(changed, name), rtol=1e-4, err_msg=name)
        np.testing.assert_allclose(light, getattr(physics.model, name), rtol=1e-4, err_msg=name)
        assert not np.allclose(heavy, light, rtol=1e-2), name
    physics.close()


def test_a_field_can_be_set_while_simulations_run(make: Make) -> None:
    """Fields set one after the other, also after steps, as a GPU has captured them."""
    changed = compiled("body_mass")
    physics = make(compiled(), 2)
    restart(physics)
    run(physics, 3)
    for name in ("geom_friction", "body_mass"):
        physics.set_field(name, values_of(changed, name, physics))
        run(physics, 3)
    restart(physics)
    run(physics)
    assert farthest(seen(physics, 0), expected(changed, changed.qpos0)) < 2e-3
    physics.set_field("body_mass", values_of(physics.model, "body_mass", physics), only(physics, 1))
    restart(physics)
    run(physics)
    assert farthest(seen(physics, 0), expected(changed, changed.qpos0)) < 2e-3
    assert farthest(seen(physics, 1), expected(physics.model, changed.qpos0)) < 2e-3
    physics.close()


def randomised(physics: Physics, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for name in ("geom_friction", "body_mass", "site_pos"):
        values = physics.get_field(name)
        scale = 1.0 + 0.5 * torch.rand(values.shape, generator=generator).to(values)
        physics.set_field(name, values * scale)


def test_saved_fields_and_state_go_on_bit_by_bit(make: Make) -> None:
    physics, other = make(compiled(), 3), make(compiled(), 3)
    randomised(physics, 0)
    restart(physics)
    run(physics, 20)
    fields, state = physics.fields(), physics.get_state()
    assert set(fields) == {"geom_friction", "body_mass", "site_pos"}
    run(physics, 20)
    other.set_field("dof_damping", 3.0 * other.get_field("dof_damping"))
    randomised(other, 1)
    other.set_fields(fields)
    other.set_state(state)
    assert all(torch.equal(other.get_field(name), fields[name]) for name in fields)
    assert torch.equal(
        other.get_field("dof_damping"), values_of(compiled(), "dof_damping", other)
    ), "what was not saved is the model's again"
    run(other, 20)
    if physics.device.type == "cuda":
        torch.testing.assert_close(other.get_state(), physics.get_state(), rtol=1e-3, atol=1e-4)
    else:
        assert torch.equal(other.get_state(), physics.get_state())
        assert torch.equal(other.bind("site_xpos"), physics.bind("site_xpos"))
    physics.close()
    other.close()


def test_fields_are_copies_and_setting_them_again_changes_nothing(make: Make) -> None:
    physics, other = make(compiled(), 2), make(compiled(), 2)
    for name in FIELDS:
        physics.set_field(name, physics.get_field(name))
    physics.get_field("geom_friction").zero_()
    physics.fields()["geom_friction"].zero_()
    for one in (physics, other):
        restart(one)
        run(one, 30)
    if isinstance(physics, CpuPhysics):
        assert torch.equal(physics.get_state(), other.get_state())
    else:  # whose constants it derives in single precision, unlike MuJoCo's compiler
        torch.testing.assert_close(physics.get_state(), other.get_state(), rtol=1e-3, atol=1e-3)
    physics.close()
    other.close()


def test_what_cannot_take_effect_is_refused(make: Make) -> None:
    physics = make(compiled(), 2)
    friction = physics.get_field("geom_friction")
    with pytest.raises(UsageError, match=r"'geom_frction'. Did you mean 'geom_friction'\? Known"):
        physics.set_field("geom_frction", friction)
    for unknown in ("body_subtreemass", "opt.timestep", "qpos"):
        with pytest.raises(UsageError, match=r"Unknown model field.*geom_size.*opt\.gravity"):
            physics.get_field(unknown)
    with pytest.raises(UsageError, match=r"shape \(4, 3\).*\(2, 4, 3\) = \(num_envs"):
        physics.set_field("geom_friction", friction[0])
    with pytest.raises(UsageError, match=r"torch\.int32.*float32 or float64"):
        physics.set_field("geom_friction", friction.int())
    with pytest.raises(UsageError, match=r"mask has shape \(3,\).*\(2,\)"):
        physics.set_field("geom_friction", friction, torch.ones(3, dtype=torch.bool))
    with pytest.raises(UsageError, match=r"mask.*torch\.float32.*torch\.bool"):
        physics.set_field("geom_friction", friction, torch.ones(2))
    with pytest.raises(UsageError, match=r"nothing that 'tendon|Unknown"):
        physics.set_field("tendon_stiffness", friction)
    physics.close()


BAD = {
    "geom_friction": (float("nan"), "at least 1e-5"),
    "opt.gravity": (float("inf"), "finite numbers"),
    "pair_friction": (0.0, "at least 1e-5"),
    "dof_damping": (-0.1, "none of them negative"),
    "body_mass": (0.0, "positive where the model's own are"),
    "geom_quat": (3.0, "unit quaternions"),
    "body_ipos": (0.5, "a body compiled as simple keeps its own"),
}


@pytest.mark.parametrize("on_host", [True, False])
@pytest.mark.parametrize("name", BAD)
def test_values_that_are_not_valid_are_refused(make: Make, name: str, on_host: bool) -> None:
    value, reason = BAD[name]
    physics = make(compiled(), 3)
    if isinstance(physics, CpuPhysics) and not on_host:
        pytest.skip("it always looks")
    physics._on_host &= on_host
    before = physics.get_field(name)
    values = before.clone()
    values[1].view(-1)[3 % values[1].numel()] = value
    if physics._on_host:
        with pytest.raises(UsageError, match=rf"'{name}'.*1 simulation.*first in 1;.*{reason}"):
            physics.set_field(name, values)
        assert physics.fields() == {}
    else:
        physics.set_field(name, values)
        assert physics.counters()["refused_fields"] == 1
    physics.set_field(name, values, only(physics, 0, 2))
    assert torch.equal(physics.get_field(name), before), "refused, or outside the mask"
    values = 1.01 * before
    if FIELDS[name] is not unit and name != "body_ipos":
        physics.set_field(name, values, only(physics, 2))
        assert torch.equal(physics.get_field(name)[2], values[2])
        assert torch.equal(physics.get_field(name)[:2], before[:2])
    physics.close()


def test_a_field_of_nothing_is_refused(make: Make) -> None:
    model = mujoco.MjModel.from_xml_string(
        '<mujoco><worldbody><body><freejoint/><geom size=".1"/></body></worldbody></mujoco>'
    )
    physics = make(model, 1)
    with pytest.raises(UsageError, match="nothing that 'pair_friction' could belong to"):
        physics.get_field("pair_friction")
    physics.close()


def test_folded_damping_is_refused_on_the_gpu_engine() -> None:
    pytest.importorskip("mujoco_warp")
    from gym_grasp.physics.warp import WarpPhysics

    model = mujoco.MjModel.from_xml_string(SCENE.replace('gear="1.5"', 'gear="1.5" damping="1"'))
    physics = WarpPhysics(model, 1, torch.device("cpu"))
    with pytest.raises(UsageError, match=r"'dof_damping'.*--device cpu"):
        physics.set_field("dof_damping", physics.get_field("dof_damping"))


EDITS: dict[str, Callable[[mujoco.MjModel], object]] = {
    "accessor behind the assets": lambda model: model.actuator(0).gainprm.fill(2.0),
    "named accessor": lambda model: model.geom("box").friction.fill(0.3),
    "option": lambda model: setattr(model.opt, "timestep", 0.001),
    "joint's range": lambda model: model.joint("fore").range.fill(0.1),
}


@pytest.mark.parametrize("edit", EDITS)
def test_a_model_edited_afterwards_is_refused(make: Make, edit: str) -> None:
    physics = make(compiled(), 2)
    state = physics.get_state()
    EDITS[edit](physics.model)
    for use in (lambda: restart(physics), lambda: physics.set_state(state)):
        with pytest.raises(UsageError, match=r"physics\.model was changed.*set_field"):
            use()
    physics.close()


def test_arrays_of_the_model_are_read_only() -> None:
    physics = make_cpu(compiled(), 1)
    for array in (physics.model.geom_friction, physics.model.opt.gravity, physics.model.qpos0):
        with pytest.raises(ValueError, match="read-only"):
            array[:] = 0.0
    with pytest.raises(ValueError, match="read-only"):
        physics.model.geom_friction = np.zeros((4, 3))
    with pytest.raises(ValueError, match="read-only"):
        physics.model.opt.gravity = np.zeros(3)
    copy = physics.model_of(0)
    copy.geom_friction[:] = 0.0
    restart(physics)


def test_a_closed_physics_says_so(make: Make) -> None:
    physics = make(compiled(), 2)
    ctrl = torch.zeros(2, physics.model.nu)
    physics.set_field("geom_friction", physics.get_field("geom_friction"))
    physics.close()
    for use in (
        lambda: physics.step(ctrl, 1),
        lambda: physics.bind("qpos"),
        lambda: physics.get_state(),
        lambda: physics.get_field("geom_friction"),
    ):
        with pytest.raises(UsageError, match="closed"):
            use()
    physics.close()


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="counts threads as Linux does")
def test_closing_ends_the_threads() -> None:
    """A thread pool that outlives its environment would hang whoever forks afterwards."""
    before = set(os.listdir("/proc/self/task"))
    physics = CpuPhysics(compiled(), 2, num_threads=3)
    kept = physics.bind("qpos"), physics.bind("site_xpos")
    physics.set_field("body_mass", physics.get_field("body_mass"))
    restart(physics)
    run(physics, 1)
    started = set(os.listdir("/proc/self/task")) - before
    assert started
    gc.disable()  # at once, not when somebody collects garbage
    try:
        physics.close()
        assert not started & set(os.listdir("/proc/self/task"))
    finally:
        gc.enable()
    assert bool(kept[0].isfinite().all()), "what was bound stays readable"

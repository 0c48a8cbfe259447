"""The GPU engine against the CPU engine, on a GPU and on Warp's CPU device."""

import importlib
import logging
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import mujoco
import pytest
import torch
from torch import Tensor

from building import ROBOT, SHIPPED, build_model, build_task
from gym_grasp.envs import vector
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import DependencyError, UsageError
from gym_grasp.physics.cpu import CpuPhysics
from gym_grasp.tasks.lift_object import LiftObject
from gym_grasp.tasks.open_drawer import OpenDrawer

if TYPE_CHECKING:
    from gym_grasp.physics.warp import WarpPhysics

N = 4
HAS_GPU = torch.cuda.is_available()
DEVICES = [
    "cpu",
    pytest.param("cuda", marks=[pytest.mark.gpu, pytest.mark.skipif(not HAS_GPU, reason="no GPU")]),
]
MODEL = build_model(OpenDrawer)
SERVED = [ROBOT.joints.index(name) for name in ROBOT.actuators]
"""Joints with an actuator."""


@pytest.fixture(scope="module", params=DEVICES)
def device(request: pytest.FixtureRequest) -> torch.device:
    pytest.importorskip("mujoco_warp")
    return torch.device(request.param)


@pytest.fixture(scope="module")
def shared(device: torch.device) -> Iterator["WarpPhysics"]:
    from gym_grasp.physics.warp import WarpPhysics

    physics = WarpPhysics(MODEL, N, device)
    yield physics
    physics.close()


@pytest.fixture
def physics(shared: "WarpPhysics") -> "WarpPhysics":
    shared.reset(everyone(shared), start(shared.device))
    return shared


@pytest.fixture
def reference() -> CpuPhysics:
    physics = CpuPhysics(MODEL, N, num_threads=1)
    physics.reset(everyone(physics), start(physics.device))
    return physics


def everyone(physics: "CpuPhysics | WarpPhysics") -> Tensor:
    return torch.ones(N, dtype=torch.bool, device=physics.device)


def start(device: torch.device) -> Tensor:
    return build_task(OpenDrawer).start(torch.arange(N)).to(device)


def commands(device: torch.device, offset: float) -> Tensor:
    """Servo targets away from the start, in another direction for each simulation."""
    direction = torch.linspace(-1.0, 1.0, N)[:, None]
    return (start(torch.device("cpu"))[:, SERVED] + offset * direction).to(device)


def relative(found: Tensor, expected: Tensor) -> float:
    difference = (found.cpu() - expected).abs()
    return float((difference / expected.abs().clamp_min(1.0)).max())


def test_live_fields_speak_of_the_present_positions(
    physics: "WarpPhysics", reference: CpuPhysics
) -> None:
    from gym_grasp.physics.base import KINEMATIC_FIELDS

    found = {name: physics.bind(name) for name in ("qpos", "qvel", *KINEMATIC_FIELDS)}
    expected = {name: reference.bind(name) for name in found}

    def compare(tolerance: float) -> None:
        for name in found:
            assert found[name].shape == expected[name].shape, name
            assert found[name].dtype == torch.float32
            assert relative(found[name], expected[name]) < tolerance, name

    compare(1e-5)
    physics.step(commands(physics.device, 0.2), 3)
    reference.step(commands(reference.device, 0.2), 3)
    compare(1e-3)
    # and exactly those of its own positions, not of the substep before
    reference.reset(everyone(reference), physics.bind("qpos").cpu())
    for name in KINEMATIC_FIELDS:
        assert relative(found[name], expected[name]) < 1e-5, name


@pytest.mark.parametrize("offset", [0.05, 0.3])
def test_one_control_step_as_on_the_cpu(
    physics: "WarpPhysics", reference: CpuPhysics, offset: float
) -> None:
    before = physics.bind("qpos").cpu().clone()
    physics.step(commands(physics.device, offset), 3)
    reference.step(commands(reference.device, offset), 3)
    moved = (reference.bind("qpos") - before).abs().max()
    assert float(moved) > 0.003
    assert relative(physics.bind("qpos"), reference.bind("qpos")) < 1e-3
    # not merely because little moves
    assert (physics.bind("qpos").cpu() - reference.bind("qpos")).abs().max() < 0.01 * moved


def test_substeps_one_by_one_are_the_same_step(physics: "WarpPhysics") -> None:
    target = commands(physics.device, 0.2)
    begin = physics.get_state()
    physics.step(target, 3)
    at_once = physics.bind("qpos").clone()
    physics.set_state(begin)
    for _ in range(3):
        physics.step(target, 1)
    assert relative(physics.bind("qpos"), at_once.cpu()) < 1e-5


def test_reset_leaves_the_others_alone(physics: "WarpPhysics") -> None:
    physics.step(commands(physics.device, 0.3), 3)
    before, sites = physics.get_state(), physics.bind("site_xpos").clone()
    mask = torch.tensor([True, False, False, True], device=physics.device)
    fresh = start(physics.device)
    fresh[~mask] = float("nan")

    physics.reset(mask, fresh)

    state = physics.get_state()
    assert torch.equal(state[~mask], before[~mask])
    assert torch.equal(physics.bind("site_xpos")[~mask], sites[~mask])
    assert torch.equal(physics.bind("qpos")[mask], start(physics.device)[mask])
    assert bool((state[mask][:, MODEL.nq :] == 0.0).all())
    assert not torch.equal(physics.bind("site_xpos")[mask], sites[mask])


def test_state_goes_on_where_it_was_saved(physics: "WarpPhysics") -> None:
    target = commands(physics.device, 0.3)
    physics.step(target, 3)
    saved, sites = physics.get_state(), physics.bind("site_xpos").clone()
    physics.step(-target, 3)
    expected = physics.get_state()

    physics.set_state(saved)

    assert torch.equal(physics.get_state(), saved)
    assert torch.equal(physics.bind("site_xpos"), sites)
    physics.step(-target, 3)
    assert relative(physics.get_state(), expected.cpu()) < 1e-4


def test_broken_simulations_are_named_and_mended(physics: "WarpPhysics") -> None:
    target = commands(physics.device, 0.1)
    physics.step(target, 3)
    assert not bool(physics.diverged.any())
    earlier = physics.diverged
    physics.bind("qvel")[1, 2] = float("nan")
    physics.bind("qvel")[2, 17] = 1e5

    physics.step(target, 3)

    assert physics.diverged.tolist() == [False, True, True, False]
    assert not bool(earlier.any()), "the mask of an earlier step changed"
    physics.reset(physics.diverged, start(physics.device))
    physics.step(target, 3)
    assert not bool(physics.diverged.any())
    assert bool(physics.get_state().isfinite().all())


@pytest.mark.parametrize(
    ("buffer", "counter"), [("nconmax", "overflow_contacts"), ("njmax", "overflow_constraints")]
)
def test_overflow_is_counted_and_the_remedy_named(
    device: torch.device, caplog: pytest.LogCaptureFixture, buffer: str, counter: str
) -> None:
    from gym_grasp.physics.warp import WarpPhysics

    spec = OpenDrawer.build(ROBOT)
    spec.numeric(buffer).data = [1]
    physics = WarpPhysics(spec.compile(), N, device)
    assert getattr(physics, buffer) == 1
    nothing = {"overflow_contacts": 0, "overflow_constraints": 0, "refused_fields": 0}
    assert physics.counters() == nothing
    flat = torch.zeros(N, MODEL.nq, device=device)
    flat[:, 1] = 0.3  # the arm lies in the table
    physics.reset(everyone(physics), flat)

    with caplog.at_level(logging.WARNING, logger="gym_grasp"):
        physics.step(flat[:, SERVED], 3)
        assert not caplog.messages
        assert physics.counters() == {**nothing, counter: N}
        physics.reset(everyone(physics), flat)
        physics.step(flat[:, SERVED], 3)
        assert physics.counters() == {**nothing, counter: 2 * N}
        assert len(caplog.messages) == 2
        physics.counters()
        assert len(caplog.messages) == 2, "said again what had been said"
    assert f'<numeric name="{buffer}" data="1"/>' in caplog.text


def test_room_for_contacts_and_constraints() -> None:
    from gym_grasp.physics.buffers import buffer_sizes

    xml = """
    <mujoco>
      <option cone="{cone}"/>
      <custom>{custom}</custom>
      <worldbody>
        <geom type="plane" size="1 1 1"/>
        <body><freejoint/><geom size="0.1"/><geom type="box" size="0.1 0.1 0.1"/></body>
        <body pos="0 0 1"><joint name="a" range="-1 1" frictionloss="1"/>
          <geom type="capsule" size="0.1 0.1" condim="4"/>
          <geom size="0.1" contype="0" conaffinity="0"/></body>
      </worldbody>
      <equality>{equality}</equality>
      <actuator>{actuator}</actuator>
    </mujoco>"""

    def sizes(
        cone: str, custom: str = "", equality: str = "", actuator: str = ""
    ) -> tuple[int, int]:
        text = xml.format(cone=cone, custom=custom, equality=equality, actuator=actuator)
        model = mujoco.MjModel.from_xml_string(text)
        return buffer_sizes(model)

    # 4 + 8 + 2 contacts; 12·3 + 2·4 rows (elliptic) or 12·4 + 2·6, beside a limit and a friction
    assert sizes("elliptic") == (16, 48)
    assert sizes("pyramidal") == (16, 64)
    stated = '<numeric name="nconmax" data="5"/><numeric name="njmax" data="7"/>'
    assert sizes("elliptic", stated) == (5, 7)
    # stated for 11 actuators; each more reserves a contact and 4 rows
    assert sizes("elliptic", stated, actuator=11 * '<motor joint="a"/>') == (5, 7)
    assert sizes("elliptic", stated, actuator=26 * '<motor joint="a"/>') == (32, 80)
    assert sizes("elliptic", actuator=26 * '<motor joint="a"/>') == (16, 48)
    # 46 rows, of 48, are taken already
    assert sizes("elliptic", equality=2 * '<joint joint1="a"/>') == (16, 48)
    assert sizes("elliptic", equality=3 * '<joint joint1="a"/>') == (16, 64)


def test_unsupported_scene_is_refused(device: torch.device) -> None:
    from gym_grasp.physics.warp import WarpPhysics

    model = mujoco.MjModel.from_xml_string('<mujoco><option solver="PGS"/></mujoco>')
    with pytest.raises(UsageError, match=r"mjSOL_PGS is unsupported.*--device cpu"):
        WarpPhysics(model, 1, device)


def test_unknown_field_names_the_known(physics: "WarpPhysics") -> None:
    with pytest.raises(UsageError, match=r"'cvel'.*geom_xmat, .*xquat"):
        physics.bind("cvel")


def test_without_mujoco_warp_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "mujoco_warp", None)
    monkeypatch.delitem(sys.modules, "gym_grasp.physics.warp", raising=False)
    with pytest.raises(DependencyError, match=r"pip install 'gym-grasp\[cuda\]'"):
        importlib.import_module("gym_grasp.physics.warp")


@pytest.mark.skipif(HAS_GPU, reason="there is a GPU")
def test_without_a_gpu_the_error_says_so() -> None:
    pytest.importorskip("mujoco_warp")
    from gym_grasp.physics.warp import WarpPhysics

    with pytest.raises(DependencyError, match=r"NVIDIA GPU.*--device cpu"):
        WarpPhysics(MODEL, 1, torch.device("cuda"))


@pytest.fixture(scope="module")
def recorded() -> "Recording":
    return Recording(N)


class Recording:
    """Episodes in which the operator opened every drawer on the CPU."""

    def __init__(self, count: int) -> None:
        from gym_grasp.demos.operators.operator import SyntheticOperator

        env = GraspVectorEnv("open-drawer", count)
        env.reset(seed=0)
        operator = SyntheticOperator(env)
        over = torch.zeros(count, dtype=torch.bool)
        self.actions: list[Tensor] = []
        """What was done in each step; after its success an environment's last action. (N, 11)"""
        self.transitions: list[tuple[Tensor, Tensor, Tensor]] = []
        """State (N, S) before and commands (N, nu) and positions (N, nq) after each step."""
        while not bool(over.all()):
            action, _ = operator.act()
            action = torch.where(over[:, None], self.actions[-1], action) if over.any() else action
            self.actions.append(action.clone())
            before = self._state(env)
            env.begin_step(action)
            env.advance(env.controller.config.interval)
            commands = env.physics.bind("ctrl").clone()
            self.transitions.append((before, commands, env.physics.bind("qpos").clone()))
            _, _, terminated, truncated, _ = env.end_step()
            operator.rest(terminated | truncated)
            over |= terminated
            assert not bool(truncated.any())
        env.close()

    def _state(self, env: GraspVectorEnv) -> Tensor:
        names = ("qpos", "qvel", "qacc_warmstart", "ctrl", "time")
        return torch.cat([env.physics.bind(x).view(env.num_envs, -1) for x in names], dim=1)


def test_control_steps_of_whole_episodes_as_on_the_cpu(
    physics: "WarpPhysics", recorded: Recording
) -> None:
    for before, target, expected in recorded.transitions[::5]:  # reaching, grasping, pulling
        physics.set_state(before.to(physics.device))
        physics.step(target.to(physics.device), 3)
        assert relative(physics.bind("qpos"), expected) < 1e-3


def test_recorded_actions_succeed_again(
    device: torch.device, recorded: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gym_grasp.physics.warp import WarpPhysics

    recording = Recording(64) if device.type == "cuda" else recorded
    count = len(recording.actions[0])
    monkeypatch.setattr(
        vector, "make_physics", lambda model, num_envs, *_: WarpPhysics(model, num_envs, device)
    )
    env = GraspVectorEnv("open-drawer", count, device)
    env.reset(seed=0)
    running = torch.ones(count, dtype=torch.bool, device=device)
    successes = torch.zeros_like(running)
    for action in recording.actions + recording.actions[-1:] * 5:
        _, _, terminated, truncated, info = env.step(action.to(device))
        successes |= running & info["success"]
        running &= ~(terminated | truncated)
    counters = env.counters()
    env.close()
    assert int(successes.sum()) >= 0.95 * count
    assert counters["overflow_contacts"] == counters["overflow_constraints"] == 0


@pytest.mark.gpu
@pytest.mark.skipif(not HAS_GPU, reason="no GPU")
@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
@pytest.mark.parametrize("task", SHIPPED)
def test_nothing_waits_for_the_gpu(task: str) -> None:
    pytest.importorskip("mujoco_warp")
    env = GraspVectorEnv(task, 32, "cuda")
    env.reset(seed=0)
    action = torch.zeros(32, 11, device="cuda")
    for _ in range(2):  # captures the graphs, fills torch's caches
        env.step(action)
    torch.cuda.set_sync_debug_mode("error")
    try:
        env.step(action)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    env.close()


@pytest.mark.gpu
@pytest.mark.skipif(not HAS_GPU, reason="no GPU")
def test_follows_the_current_stream() -> None:
    pytest.importorskip("mujoco_warp")
    from gym_grasp.physics.warp import WarpPhysics

    physics = WarpPhysics(MODEL, N, torch.device("cuda"))
    begin, target = physics.get_state(), commands(physics.device, 0.2)
    physics.step(target, 3)
    expected = physics.bind("site_xpos").clone()
    torch.cuda.synchronize()
    with torch.cuda.stream(torch.cuda.Stream()):
        physics.set_state(begin)
        torch.cuda._sleep(50_000_000)  # work on the other stream would overtake
        physics.step(target, 3)
        found = physics.bind("site_xpos").clone()
    torch.cuda.synchronize()
    assert relative(found, expected.cpu()) < 1e-5


def test_given_constants_are_taken_and_nothing_is_derived(device: torch.device) -> None:
    """Lifted objects of other sizes: what MuJoCo Warp would derive is there, in the mask alone."""
    import mujoco_warp as mjw
    import warp as wp

    from gym_grasp.physics.warp import WarpPhysics

    task = build_task(LiftObject)
    physics = WarpPhysics(task.model, N, device)
    task = LiftObject(task.model, device, ROBOT)
    seeds = torch.arange(N, device=device)
    mask = torch.tensor([True, False, True, True], device=device)
    physics.put_fields(task.randomise(seeds), mask, task.constants(seeds))
    assert not physics._stale
    names = ("body_invweight0", "dof_invweight0", "geom_rbound", "geom_aabb")
    body, first = task.object, task.model.nv - 6
    rows = {"body_invweight0": body, "dof_invweight0": slice(first, None)}
    geom = task.solid

    def constants() -> list[Tensor]:
        arrays = {name: wp.to_torch(getattr(physics._model, name)) for name in names}
        return [arrays[name][:, rows.get(name, geom)].clone() for name in names]

    given = constants()
    mjw.set_const(physics._model, physics._data, restore=False)
    for found, expected in zip(given, constants(), strict=True):
        torch.testing.assert_close(found, expected, rtol=2e-4, atol=1e-7)
        assert not torch.allclose(found[0], found[1], rtol=1e-3)
    physics.put_fields(task.randomise(seeds), mask)
    assert physics._stale
    physics.close()


PEDESTAL = """
<mujoco>
  <worldbody>
    <body name="pedestal" pos="0 0 .1">
      <geom name="plate" type="box" size=".2 .05 .02" pos=".1 0 0" quat=".9 .02 -.01 .1"/>
    </body>
    <body name="ball" pos=".2 0 .3">
      <freejoint name="ball"/>
      <geom type="sphere" size=".02" mass=".1"/>
    </body>
  </worldbody>
  <actuator><motor joint="ball"/></actuator>
</mujoco>"""


def test_furniture_stands_and_holds_where_each_simulation_has_it(device: torch.device) -> None:
    """MuJoCo Warp places geoms that cannot move once for all, whatever their bodies do after."""
    from gym_grasp.physics.warp import WarpPhysics

    model = mujoco.MjModel.from_xml_string(PEDESTAL)
    plate = model.geom("plate").id
    positions = torch.tensor(model.body_pos, dtype=torch.float32).repeat(N, 1, 1)
    positions[:, 1] += torch.tensor([[0, 0, 0], [0.1, 0, 0.1], [0, 0.3, 0], [0.05, -0.02, -0.05]])
    yaw = torch.tensor([0.0, 0.1, 0.0, -0.1])  # half of it
    turns = torch.tensor(model.body_quat, dtype=torch.float32).repeat(N, 1, 1)
    turns[:, 1] = torch.stack((yaw.cos(), 0 * yaw, 0 * yaw, yaw.sin()), -1)
    offsets = torch.tensor(model.geom_pos, dtype=torch.float32).repeat(N, 1, 1)
    offsets[3, plate, 0] += 0.03
    heights, geoms, raised = [], [], positions.clone()
    raised[:, 1, 2] += 0.01
    for made in (CpuPhysics(model, N, num_threads=1), WarpPhysics(model, N, device)):
        mask = torch.ones(N, dtype=torch.bool, device=made.device)
        for name, values in (("body_pos", positions), ("body_quat", turns), ("geom_pos", offsets)):
            made.set_field(name, values.to(made.device, made.dtype), mask)
        qpos = torch.tensor(model.qpos0, dtype=made.dtype, device=made.device).expand(N, -1)
        made.reset(mask, qpos.contiguous())
        parts = made.bind("geom_xpos")[:, plate], made.bind("geom_xmat")[:, plate].flatten(1)
        geoms.append(torch.cat(parts, -1).cpu().double())
        still = torch.zeros(N, 1, dtype=made.dtype, device=made.device)
        for _ in range(8):
            made.step(still, 20)
        fallen = made.bind("qpos")[:, 2].cpu().double()
        made.set_field("body_pos", raised.to(made.device, made.dtype), mask)
        made.step(still, 20)  # pushed up, without a reset
        heights.append(torch.stack((fallen, made.bind("qpos")[:, 2].cpu().double())))
        made.close()
    torch.testing.assert_close(geoms[1], geoms[0], atol=1e-6, rtol=0)
    torch.testing.assert_close(heights[1], heights[0], atol=1e-3, rtol=0)
    fallen, pushed = heights[0]
    assert fallen[1] > 0.2 > fallen[0] > fallen[3] > 0.05 > -0.2 > fallen[2]
    assert (pushed - fallen)[[0, 1, 3]].min() > 0.005

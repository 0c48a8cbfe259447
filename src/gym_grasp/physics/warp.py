"""The GPU engine: MuJoCo Warp, one CUDA graph per control step, memory shared with torch."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import mujoco
import numpy as np
import torch
from torch import Tensor

from gym_grasp.capture import Captured, no_garbage
from gym_grasp.errors import DependencyError, UsageError
from gym_grasp.physics.base import (
    KINEMATIC_FIELDS,
    MAX_SPEED,
    STATE_FIELDS,
    Fields,
    Physics,
    not_kept,
)
from gym_grasp.physics.buffers import buffer_sizes
from gym_grasp.physics.fields import CONSTANT_INPUTS

try:
    import mujoco_warp as mjw
    import warp as wp

    from gym_grasp.physics import kernels
except ImportError as error:
    raise DependencyError(
        f"The GPU engine needs MuJoCo Warp, and '{error.name}' is not installed. "
        "Run `pip install 'gym-grasp[cuda]'`, or use `--device cpu`."
    ) from error

log = logging.getLogger(__name__)

wp.config.log_level = max(wp.config.log_level, wp.LOG_WARNING)  # it prints a line per kernel

_CONSTANTS = (
    *("body_subtreemass", "body_invweight0", "dof_invweight0", "geom_aabb", "geom_rbound"),
    *("tendon_length0", "tendon_invweight0", "eq_data", "actuator_acc0", "cam_pos0", "cam_mat0"),
    *("cam_poscom0", "light_pos0", "light_dir0", "light_poscom0"),
)
"""What `set_const` derives from the other fields of the model."""
_STATIC_INPUTS = ("body_pos", "body_quat", "geom_pos", "geom_quat")
"""What places geoms that never move; MuJoCo Warp looks at them once, when its data is made."""
_PROGRESS_INTERVAL = 10.0
_CONTACT_OVERFLOW = int(mjw.OverflowType.BROADPHASE | mjw.OverflowType.NARROWPHASE)
_CONSTRAINT_OVERFLOW = int(mjw.OverflowType.NEFC | mjw.OverflowType.NJMAX_NNZ)


class WarpPhysics(Physics):
    """Simulations on one GPU; only these wait for it: construction, `counters`, what shows one
    simulation (`fill`, `model_of`), and setting a field for the first time.

    All work goes to torch's current stream, on tensors that Warp and torch share. Sums on a GPU
    come in no fixed order: the same state and actions agree to rounding, not bit by bit.

    Args:
        model: the compiled scene.
        num_envs: number of simulations.
        device: `cuda[:i]`; `cpu` runs the same code without a graph, slowly, for tests.

    Raises:
        DependencyError: there is no GPU that torch and Warp can use.
        UsageError: the scene holds something that MuJoCo Warp does not support.
    """

    def __init__(self, model: mujoco.MjModel, num_envs: int, device: torch.device) -> None:
        wp.init()
        if device.type == "cuda":
            device = _checked_gpu(device)
        super().__init__(model, num_envs, device)
        self.nconmax, self.njmax = buffer_sizes(model)
        self._graphs: dict[str, wp.Graph] = {}
        self._warned: dict[str, int] = {}
        self._stale = False
        self._displaced = False
        self._device = wp.device_from_torch(device)
        with wp.ScopedDevice(self._device):
            try:
                self._model = mjw.put_model(model)
                self._data = mjw.make_data(model, num_envs, nconmax=self.nconmax, njmax=self.njmax)
            except (NotImplementedError, ValueError) as error:
                raise UsageError(
                    f"The GPU engine cannot run this scene: {error} Use `--device cpu`, "
                    "or take what is not supported out of the scene."
                ) from error
            self._model.opt.warn_overflow = 0  # counted instead: it would print from the kernels
            # Box against box as C MuJoCo does it; the convex collider needs 6 kB per contact.
            self._model.opt.disableflags |= int(mjw.DisableBit.NATIVECCD)
            static = model.body_weldid[model.geom_bodyid] == 0
            self._static = wp.array(np.flatnonzero(static), dtype=int)
            counts = wp.zeros(2, dtype=wp.int64)
            diverged = wp.zeros(num_envs, dtype=wp.bool)
        self._warp_counts, self._counts = counts, wp.to_torch(counts)
        self._warp_diverged, self._diverged = diverged, wp.to_torch(diverged)

        single = mujoco.MjData(model)
        self._fields = {
            name: wp.to_torch(array).view(num_envs, *np.shape(getattr(single, name)))
            for name in (*STATE_FIELDS, *KINEMATIC_FIELDS)
            if (array := getattr(self._data, name)).size > 0
        }
        self._state = [self._fields[name] for name in STATE_FIELDS if name in self._fields]
        self._reset_mask = torch.zeros(num_envs, dtype=torch.bool, device=device)
        self._reset_qpos = torch.zeros(num_envs, model.nq, device=device)
        self._put = Captured(self._put_at_rest, device)
        self._compile()
        everyone = torch.ones(num_envs, dtype=torch.bool, device=device)
        start = torch.tensor(model.qpos0, dtype=torch.float32, device=device)
        self.reset(everyone, start.expand(num_envs, -1))

    def bind(self, field: str) -> Tensor:
        if field not in self._fields:
            raise not_kept(field)
        return self._fields[field]

    def step(self, ctrl: Tensor, substeps: int) -> None:
        self._fields["ctrl"].copy_(ctrl)
        self._derive_constants()
        if self._displaced:
            self._place()
        self._run(f"step {substeps}", lambda: self._advance(substeps))
        self.diverged = self._diverged.clone()

    def reset(self, mask: Tensor, qpos: Tensor) -> None:
        self._check_model()
        self._derive_constants()
        self._reset_mask.copy_(mask)
        self._reset_qpos.copy_(qpos)
        self._put()
        self._place()

    def _put_at_rest(self) -> None:
        for values in self._state:
            chosen = self._reset_mask.view(-1, *[1] * (values.dim() - 1))
            new = self._reset_qpos if values is self._fields["qpos"] else 0.0
            values.copy_(torch.where(chosen, new, values))

    def get_state(self) -> Tensor:
        return torch.cat([values.view(self.num_envs, -1) for values in self._state], dim=1)

    def set_state(self, state: Tensor) -> None:
        self._check_model()
        self._derive_constants()
        widths = [values[0].numel() for values in self._state]
        for values, saved in zip(self._state, state.split(widths, dim=1), strict=True):
            values.copy_(saved.view_as(values))
        self._place()

    def counters(self) -> dict[str, int]:
        """Simulations × control steps in which something did not fit its buffer and was dropped.

        `overflow_contacts` counts every simulation of the batch, which share that buffer.
        """
        contacts, constraints = self._counts.tolist()
        self._warn("contacts", contacts, "nconmax", self.nconmax)
        self._warn("constraints", constraints, "njmax", self.njmax)
        return {
            "overflow_contacts": contacts,
            "overflow_constraints": constraints,
            "refused_fields": int(self._refused),
        }

    def close(self) -> None:
        super().close()
        self._graphs.clear()

    def put_fields(self, fields: Fields, mask: Tensor, constants: Fields | None = None) -> None:
        stale = self._stale
        super().put_fields(fields, mask, constants)
        if constants is not None:
            self._stale = stale
        for name, values in (constants or {}).items():
            live = wp.to_torch(getattr(self._model, name)).view(values.shape)
            live.copy_(torch.where(mask.view(-1, *[1] * (live.dim() - 1)), values, live))

    def _expand(self, name: str) -> Tensor:
        self._check_foldings(name)
        with wp.ScopedDevice(self._device):
            wp.synchronize_device()  # work under way reads the arrays that go
            live = self._unshare(name)
            if name in CONSTANT_INPUTS:
                for constant in _CONSTANTS:
                    self._unshare(constant)
            wp.synchronize_device()
        self._graphs.clear()  # they were captured with the former arrays
        return live

    def _unshare(self, name: str) -> Tensor:
        """Replace the array that all simulations share by one with a row for each."""
        owner = self._model.opt if name.startswith("opt.") else self._model
        attribute = name.removeprefix("opt.")
        shared = getattr(owner, attribute)
        array = wp.empty((self.num_envs, *shared.shape[1:]), dtype=shared.dtype)
        live = wp.to_torch(array)
        if array.size > 0:
            live.copy_(wp.to_torch(shared))
        setattr(owner, attribute, array)
        return live

    def _follow(self, name: str, mask: Tensor) -> None:
        self._stale |= name in CONSTANT_INPUTS
        self._displaced |= name in _STATIC_INPUTS

    def _derive_constants(self) -> None:
        """Let the constants follow the fields set since, all at once; leaves stale kinematics."""
        if self._stale:
            self._run("constants", lambda: mjw.set_const(self._model, self._data, restore=False))
            self._stale = False

    def _check_foldings(self, name: str) -> None:
        """Refuse what MuJoCo Warp has folded into others at its start."""
        model = self.model
        damped = model.actuator_damping.any() or model.actuator_dampingpoly.any()
        discrete = model.opt.integrator == mujoco.mjtIntegrator.mjINT_DISCRETE
        if (damped and name in ("dof_damping", "actuator_gear")) or (
            discrete and name in ("actuator_gainprm", "actuator_biasprm")
        ):
            raise UsageError(
                f"The GPU engine cannot keep '{name}' per simulation in a scene with damped "
                "actuators or the discrete integrator. Take these out, or use `--device cpu`."
            )

    def _advance(self, substeps: int) -> None:
        for _ in range(substeps):
            mjw.step(self._model, self._data)
        mjw.kinematics(self._model, self._data)
        qpos, qvel = self._data.qpos, self._data.qvel
        self._warp_diverged.zero_()
        wp.launch(
            kernels.find_diverged,
            dim=(self.num_envs, max(qpos.shape[1], qvel.shape[1])),
            inputs=[qpos, qvel, MAX_SPEED, self._warp_diverged],
        )
        kinds = [_CONTACT_OVERFLOW, _CONSTRAINT_OVERFLOW]
        overflow, counts = self._data.overflow, self._warp_counts
        wp.launch(kernels.count_overflow, dim=self.num_envs, inputs=[*kinds, overflow, counts])

    def _place(self) -> None:
        """Place everything as state and fields have it."""
        self._run("kinematics", self._kinematics)
        self._displaced = False

    def _kinematics(self) -> None:
        m, d = self._model, self._data
        mjw.kinematics(m, d)
        if any(name in self._live for name in _STATIC_INPUTS):
            wp.launch(
                kernels.place_static_geoms,
                dim=(self.num_envs, self._static.size),
                inputs=[
                    *(self._static, m.geom_bodyid, m.geom_pos, m.geom_quat),
                    *(d.xpos, d.xquat, d.geom_xpos, d.geom_xmat),
                ],
            )

    def _run(self, name: str, work: Callable[[], None]) -> None:
        """Launch the graph of `work`, captured at its first call, on torch's current stream."""
        with wp.ScopedDevice(self._device):
            if not self._device.is_cuda:
                work()
                return
            if name not in self._graphs:
                # On Warp's stream: torch's default one cannot be captured.
                with no_garbage(), wp.ScopedCapture() as capture:
                    work()
                self._graphs[name] = capture.graph
            stream = _warp_stream(torch.cuda.current_stream(self.device))
            wp.capture_launch(self._graphs[name], stream=stream)

    def _compile(self) -> None:
        """Run every kernel once, which builds what the cache does not hold."""
        with _progress(Path(wp.config.kernel_cache_dir)), wp.ScopedDevice(self._device):
            self._advance(substeps=1)
            wp.synchronize_device()
        self._warp_counts.zero_()
        wp.synchronize_device(self._device)

    def _warn(self, what: str, count: int, numeric: str, size: int) -> None:
        if count > self._warned.get(what, 0):
            log.warning(
                "%s did not fit the GPU's buffers and were dropped (%d so far, in simulations × "
                'control steps): raise <numeric name="%s" data="%d"/> in the scene\'s <custom>.',
                what.capitalize(),
                count,
                numeric,
                size,
            )
        self._warned[what] = count


@cache
def _warp_stream(stream: torch.cuda.Stream) -> wp.Stream:
    # Kept: a Warp stream that goes takes the registration of torch's own with it.
    return wp.stream_from_torch(stream)


def _checked_gpu(device: torch.device) -> torch.device:
    if not torch.cuda.is_available():
        reason = (
            "this PyTorch is built without CUDA" if torch.version.cuda is None else "none found"
        )
        raise DependencyError(
            f"Device '{device}' needs an NVIDIA GPU: {reason}. Install a driver, a CUDA build of "
            "PyTorch and `pip install 'gym-grasp[cuda]'`, or use `--device cpu`."
        )
    index = torch.cuda.current_device() if device.index is None else device.index
    if index >= min(torch.cuda.device_count(), wp.get_cuda_device_count()):
        raise DependencyError(
            f"There is no GPU {index}: torch finds {torch.cuda.device_count()} and Warp "
            f"{wp.get_cuda_device_count()}. Choose another, or use `--device cpu`."
        )
    return torch.device("cuda", index)


@contextmanager
def _progress(folder: Path) -> Iterator[None]:
    """Say that kernels are being compiled, every few seconds, so that it does not look hung."""
    log.info("Compiling GPU kernels (first run only, cached in %s)", folder)
    begin, known, over = time.monotonic(), _modules(folder), threading.Event()

    def report() -> None:
        while not over.wait(_PROGRESS_INTERVAL):
            compiled, elapsed = _modules(folder) - known, time.monotonic() - begin
            log.info("Compiling GPU kernels: %d done, %.0f s", compiled, elapsed)

    reporter = threading.Thread(target=report, daemon=True)
    reporter.start()
    try:
        yield
    finally:
        over.set()
        reporter.join()
    compiled = _modules(folder) - known
    log.info("GPU kernels ready after %.1f s, %d new", time.monotonic() - begin, compiled)


def _modules(folder: Path) -> int:
    return sum(1 for _ in folder.glob("wp_*"))

"""From what an audit measured to figures with limits."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from gym_grasp.envs.audit import WINDOW, Auditor
from gym_grasp.markdown import table

FREE_SPEED: Final = 1.1
"""Most of a joint's speed limit in free motion."""
CONTACT_SPEED, CONTACT_SHARE = 1.05, 0.5
"""Share of its speed limit that a joint may pass in so many % of the substeps in contact."""
QUASI_STATIC, IMPACT = 150.0, 300.0
"""Most force that the robot holds (mean over `WINDOW`) and that it strikes with, in N."""
APPROACH: Final = 0.3
"""Most speed at which a contact begins, in m/s."""
TIP_DEPTH, SELF_DEPTH = 3.0, 2.0
"""Most depth of fingertips in objects or furniture and of the robot in itself, at p99.9, in mm."""
OTHER_TIP_DEPTH: Final = {"stack-cubes": 5.0}
"""The first of these where a task has another."""
COUPLING: Final = 3.0
"""Most difference of joints that share a drive, at p99, in degrees."""


@dataclass(frozen=True)
class Figure:
    """One number of an audit."""

    name: str
    measured: float
    unit: str = ""
    limit: float | None = None
    """None: it is only reported."""
    note: str = ""

    @property
    def ok(self) -> bool:
        """Whether it is within its limit, or has none."""
        return self.limit is None or self.measured <= self.limit + 1e-6

    def row(self) -> tuple[str, str, str, str]:
        """Return name, limit, measured and ok, as text."""
        limit = "–" if self.limit is None else f"{self.limit:g}"
        ok = "–" if self.limit is None else "yes" if self.ok else "**no**"
        note = f" ({self.note})" if self.note else ""
        return (
            f"{self.name}{self.unit and f', {self.unit}'}",
            limit,
            f"{self.measured:.4g}{note}",
            ok,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**asdict(self), "measured": float(self.measured), "ok": bool(self.ok)}


def figures(auditor: Auditor) -> list[Figure]:
    """Return every figure of what was measured so far.

    A quantile is the next higher value that was met: the p99 of few episodes is their maximum.
    """
    found = [*_speeds(auditor), *_torques(auditor), *_forces(auditor), *_depths(auditor)]
    return [*found, *_ends(auditor)]


def markdown(rows: Sequence[Figure]) -> list[str]:
    """Return the lines of a table."""
    return table(("figure", "limit", "measured", "ok"), [one.row() for one in rows])


def _speeds(auditor: Auditor) -> Iterator[Figure]:
    samples, indices = auditor.samples, auditor.meter.indices
    # What struck in the substep before has left its speed.
    touching = samples.touching.copy()
    touching[1:] |= samples.touching[:-1]
    for part, joints in (("arm", indices.arm), ("hand", indices.hand)):
        speed = samples.speed[..., joints].max(-1)
        free, contact = speed[samples.valid & ~touching], speed[samples.valid & touching]
        for where, values, limit in (("free", free, FREE_SPEED), ("in contact", contact, None)):
            name = f"{part} speed {where}"
            yield Figure(f"{name}: max", values.max(initial=0.0), "× limit", limit)
            for bound in (CONTACT_SPEED, FREE_SPEED):
                limit = CONTACT_SHARE if (where, bound) == ("in contact", CONTACT_SPEED) else None
                share = _percent(values > bound)
                yield Figure(f"{name}: substeps above {bound:g} ×", share, "%", limit)


def _torques(auditor: Auditor) -> Iterator[Figure]:
    samples = auditor.samples
    for part, values in (("arm", samples.arm_torque), ("hand", samples.hand_torque)):
        torque = values.max(-1)[samples.valid]
        yield Figure(f"{part} torque: max", torque.max(initial=0.0), "× limit", 1.0)
        yield Figure(f"{part} torque: substeps above 1 ×", _percent(torque > 1 + 1e-6), "%")


def _forces(auditor: Auditor) -> Iterator[Figure]:
    samples, model, loose = auditor.samples, auditor.meter.model, auditor.meter.loose
    window = max(1, round(WINDOW / model.opt.timestep))
    for what, bodies in (("furniture", np.flatnonzero(~loose)), ("objects", np.flatnonzero(loose))):
        force = samples.force[..., bodies]  # zero where an episode is over
        sums = np.cumsum(np.pad(force, ((window, 0), (0, 0), (0, 0))), axis=0, dtype=float)
        held = (sums[window:] - sums[:-window]) / window
        for kind, values, limit in (("peak", force, IMPACT), ("100 ms", held, QUASI_STATIC)):
            most = values.max(axis=(0, 2), initial=0.0)  # of each episode
            name = f"force on {what}, {kind}"
            if not len(bodies):
                continue
            body = bodies[np.unravel_index(values.argmax(), values.shape)[2]]
            note = model.body(body).name or "world"
            bound = limit if what == "furniture" else None
            yield Figure(f"{name}: p50 of episodes", _quantile(most, 0.5), "N")
            yield Figure(f"{name}: p99 of episodes", _quantile(most, 0.99), "N", bound)
            yield Figure(f"{name}: max", most.max(), "N", note=note if most.max() else "")
            yield Figure(f"{name}: episodes above {limit:g} N", _percent(most > limit), "%")
    for what, objects in (("furniture", False), ("objects", True)):
        speeds = np.array([speed for thing, speed in samples.approaches if thing == objects])
        name = f"approach to {what}"
        yield Figure(f"{name}: p50 of new contacts", _quantile(speeds, 0.5), "m/s")
        yield Figure(f"{name}: p99 of new contacts", _quantile(speeds, 0.99), "m/s")
        yield Figure(f"{name}: max", speeds.max(initial=0.0), "m/s", APPROACH)


def _depths(auditor: Auditor) -> Iterator[Figure]:
    samples, model = auditor.samples, auditor.meter.model
    limit = OTHER_TIP_DEPTH.get(auditor.env.task_name, TIP_DEPTH)
    for index, what in enumerate(("furniture", "objects")):
        depth = 1e3 * samples.tip_depth[..., index][samples.valid]
        name, there = f"fingertip in {what}", depth[depth > 0]
        yield Figure(f"{name}: p99.9 where it is", _quantile(there, 0.999), "mm", limit)
        yield Figure(f"{name}: p99.9 of all substeps", _quantile(depth, 0.999), "mm")
        yield Figure(f"{name}: max", depth.max(initial=0.0), "mm")
    depth = 1e3 * samples.thing_depth[samples.valid]
    yield Figure("objects in one another or furniture: p99.9", _quantile(depth, 0.999), "mm")
    yield Figure("objects in one another or furniture: max", depth.max(initial=0.0), "mm")
    depth = 1e3 * samples.self_depth[samples.valid]
    note = ""
    if depth.max(initial=0.0) > 0:
        pair = samples.self_pair[samples.valid][depth.argmax()]
        note = " – ".join(model.geom(geom).name for geom in auditor.meter.pairs[pair])
    yield Figure("robot in itself: p99.9", _quantile(depth, 0.999), "mm", SELF_DEPTH)
    yield Figure("robot in itself: max", depth.max(initial=0.0), "mm", note=note)
    yield Figure("robot in itself: substeps", _percent(depth > 0), "%")
    apart = samples.coupling[samples.valid]
    yield Figure("joints of a drive apart: p99", _quantile(apart, 0.99), "°", COUPLING)
    yield Figure("joints of a drive apart: max", apart.max(initial=0.0), "°")


def _ends(auditor: Auditor) -> Iterator[Figure]:
    samples = auditor.samples
    if len(auditor.things):
        lowest = samples.lowest[~np.isnan(samples.lowest)].min(initial=np.inf)
        yield Figure("episodes that lose an object", float((samples.lost > 0).sum()))
        yield Figure("lowest end of an object", lowest, "m")
    if not np.isnan(samples.spilled).all():
        spilled = 100 * float(np.nanmean(samples.spilled))
        yield Figure("particles that end beside cup and bowl", spilled, "%")
    yield Figure("diverged episodes", float(samples.diverged.sum()), limit=0.0)


def _quantile(values: np.ndarray, share: float) -> float:
    return float(np.quantile(values, share, method="higher")) if values.size else 0.0


def _percent(mask: np.ndarray) -> float:
    return 100 * float(mask.mean()) if mask.size else 0.0

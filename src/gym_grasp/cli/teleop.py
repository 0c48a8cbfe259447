"""`gym-grasp teleop TASK`."""

import argparse
import asyncio
import contextlib
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from gym_grasp.cli import HELP
from gym_grasp.cli.common import DATA, TaskName, print_json
from gym_grasp.cli.environment import (
    Environment,
    EnvironmentOptions,
    call,
    refusing_in_a_line,
)
from gym_grasp.cli.serving import check_reach, check_token, network, require_aiohttp, say, serve
from gym_grasp.errors import GymGraspError, UsageError
from gym_grasp.tasks import TASKS, load_task
from gym_grasp.teleop.devices import DEVICES

if TYPE_CHECKING:
    from gym_grasp.envs.spec import EnvSpec
    from gym_grasp.teleop.devices.base import DeviceOptions
    from gym_grasp.teleop.session.rounds import Rounds

DEFAULT_DEVICE = "webxr"
TIME_LIMIT = 60.0
"""People take longer than policies, in s."""
NAMELESS = tyro.conf.arg(name="")
"""Flags without a prefix."""


@dataclass(frozen=True)
class Teleop:
    """What every device's session takes."""

    task: TaskName
    """Which task."""
    device: Annotated[str, tyro.conf.arg(metavar=f"{{{','.join(DEVICES)}}}")] = DEFAULT_DEVICE
    """What drives."""
    lan: bool = False
    """Be reached from other machines, over https with a self-signed certificate."""
    port: int = 8080
    """Where to listen; 0 takes any that is free."""
    out: Path | None = None
    """The dataset to record into; by default data/teleop/TASK-DATE.hdf5, and with the devices
    operator and playback none. An unfinished recording there is gone on with. The operator can
    change the task only without it."""
    episodes: int | None = None
    """Stop after so many successes."""
    seed: int = 0
    """Of the start states."""
    time_limit: float | None = None
    """Longest episode, in seconds of engaged time; by default 60, or --max-episode-steps."""
    hold: bool = False
    """The clutch is held down to move, instead of pressed to begin and again to stop."""
    operator: str = "default"
    """Whose calibration of open hand and fist to use and to save."""
    seconds: float | None = None
    """Stop after so long."""
    token: str | None = None
    """What the page's address has to hold; by default a new random one. With --lan it takes 16
    characters or more, 8 of them different."""
    json: bool = False
    """Print clock, latency and counts as one JSON object at the end."""


def main(args: Sequence[str]) -> None:
    """Run the subcommand."""
    require_aiohttp("Teleoperation", args)
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    finder.add_argument("--device", nargs="?", default=DEFAULT_DEVICE, const=DEFAULT_DEVICE)
    device = finder.parse_known_args(list(args))[0].device
    kind: Any = load_device(device)

    def session(
        shared: Annotated[Teleop, NAMELESS],
        own: Annotated[kind, NAMELESS],
        environment: EnvironmentOptions,
    ) -> None:
        teleop(shared, own, environment)

    session.__doc__ = _description(device, kind)
    call(session, args, f"gym-grasp teleop --device {device}", _recorded(kind, args))


def _recorded(kind: Any, args: Sequence[str]) -> "EnvSpec | None":
    """Return the environment that a device wants remade, if it plays what was recorded."""
    if not hasattr(kind, "spec") or HELP & set(args):
        return None
    prog = "gym-grasp teleop"
    with refusing_in_a_line(prog):
        own, _ = tyro.cli(Annotated[kind, NAMELESS], args=args, prog=prog, return_unknown_args=True)
    spec = own.spec()
    if spec.task not in args:
        raise UsageError(f"What is to be played back is of the task '{spec.task}'; name that one.")
    return spec


def load_device(name: str) -> "type[DeviceOptions]":
    """Return the options of a device.

    Raises:
        UsageError: no device of that name is registered, or what is there is none.
    """
    options = DEVICES.load(name)
    usable = is_dataclass(options) and callable(getattr(options, "open", None))
    if not usable:
        raise UsageError(
            f"The device '{name}' is registered as {DEVICES.targets[name]}, which is not a "
            "dataclass of options with a method 'open'; see gym_grasp.teleop.devices.base."
        )
    if taken := {one.name for one in fields(options)} & {one.name for one in fields(Teleop)}:
        raise UsageError(
            f"The options {', '.join(sorted(taken))} of the device '{name}' are taken by teleop "
            "itself; rename them in the device."
        )
    return options


def _flags(options: Any) -> list[str]:
    return [f"--{one.name.replace('_', '-')}" for one in fields(options) if one.name != "task"]


def _description(device: str, kind: Any) -> str:
    own = ", ".join(_flags(kind)) or "none"
    return (
        "Let a person's hand drive the robot's, and record what succeeds.\n\n"
        "Open the printed address in a headset's browser, or in one with mouse and keyboard. Over "
        "USB (`adb reverse tcp:8080 tcp:8080`) a headset reaches it as localhost; over Wi-Fi it "
        "takes --lan.\n\n"
        f"Devices: {', '.join(DEVICES)}. Besides webxr and keyboard, the page only watches. Each "
        f"has options of its own, which --device NAME --help shows; of {device}: {own}."
    )


def teleop(shared: Teleop, own: "DeviceOptions", environment: Environment) -> None:
    """Serve one session, driven by the device that its own options open."""
    import torch

    from gym_grasp.envs.vector import GraspVectorEnv
    from gym_grasp.teleop.devices.base import DeviceContext
    from gym_grasp.teleop.session.rounds import Rounds
    from gym_grasp.teleop.session.session import SessionConfig
    from gym_grasp.teleop.web.about import About
    from gym_grasp.teleop.web.server import TeleopServer

    if shared.time_limit is not None and not 0 < shared.time_limit < math.inf:
        raise UsageError(f"--time-limit is {shared.time_limit}; it has to be positive.")
    if shared.time_limit is not None and environment.max_episode_steps is not None:
        raise UsageError("--time-limit and --max-episode-steps say the same; give one of them.")
    check_reach(shared.port, shared.seconds)
    check_token(shared.token, shared.lan)
    torch.set_num_threads(1)  # one simulation is too small to share out
    env = GraspVectorEnv(_spec(shared, environment, shared.task), 1, num_threads=1, autoreset=False)
    addresses, tls = network(shared.lan)
    opened = own.open(DeviceContext(env, shared.operator, say))
    written = shared.out is not None or not opened.shown

    def path(task: str) -> Path | None:
        date = time.strftime("%Y%m%d-%H%M%S")
        return (shared.out or DATA / "teleop" / f"{task}-{date}.hdf5") if written else None

    rounds = Rounds(
        env,
        opened.device,
        opened.moved_by,
        SessionConfig(shared.seed, opened.first_seed, shared.hold, shared.episodes),
        lambda task: _spec(shared, environment, task),
        path,
    )
    about = About(
        opened.moved_by,
        opened.controls,
        waits=not written,
        tasks=_summaries() if opened.page is not None and shared.out is None else {},
        begin=rounds.begin,
    )
    try:
        server = TeleopServer(rounds.session, opened.page, token=shared.token, tls=tls, about=about)
        note = "Nothing moves until somebody watches, and nothing is recorded without --out."
        asyncio.run(
            serve(
                server,
                addresses,
                invitation="Open in the headset's or a desktop's browser:",
                note=note if server.waits else "",
                lan=shared.lan,
                port=shared.port,
                browse=opened.browse,
                seconds=shared.seconds,
            )
        )
    finally:
        rounds.close()
    assert server.clock is not None
    _report(rounds, written)
    if rounds.problem:
        raise rounds.problem
    kept, failed = (sum(getattr(one, key) for one in rounds.outcomes) for key in ("kept", "failed"))
    if shared.json:
        last = rounds.outcomes[-1]
        print_json(
            {
                "path": str(last.path) if last.path else None,
                "kept": kept,
                "failed": failed,
                "clock": server.clock.summary(),
                "latency": rounds.session.meter.summary(),
            }
        )


def _spec(shared: Teleop, environment: Environment, task: str) -> "EnvSpec":
    """Return the environment of a task; the options of one are not another's."""
    if task != shared.task:
        environment = replace(environment, options=None)
    spec = environment.spec(task)
    if environment.max_episode_steps is not None:
        return spec
    limit = TIME_LIMIT if shared.time_limit is None else shared.time_limit
    return spec.replace(max_episode_steps=max(1, round(limit * spec.control_rate)))


def _summaries() -> dict[str, str]:
    """Return what each task is about, of those that can be loaded."""
    summaries = {}
    for task in TASKS:
        with contextlib.suppress(GymGraspError):
            summaries[task] = load_task(task).summary
    return summaries


def _report(rounds: "Rounds", written: bool) -> None:
    """Say what was recorded, and what to do with it."""
    from gym_grasp.teleop.session.recording import next_commands

    if not written:
        say("Nothing was recorded; --out FILE would have.")
        return
    for one in rounds.outcomes:
        if one.path is None:
            say(f"{one.task}: nothing was kept.")
            continue
        say(f"{one.path}: {one.kept} episodes, {one.failed} attempts failed. Next:")
        for command in next_commands(one.task, one.path):
            say(f"  {command}")

"""`gym-grasp teleop TASK`."""

import argparse
import asyncio
import math
import os
import re
import signal
import ssl
import sys
import time
import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from gym_grasp.cli.common import DATA, TaskName, print_json
from gym_grasp.cli.environment import Environment, EnvironmentOptions, call
from gym_grasp.errors import DependencyError, UsageError
from gym_grasp.teleop.devices import DEVICES

if TYPE_CHECKING:
    from gym_grasp.envs.spec import EnvSpec
    from gym_grasp.teleop.devices.base import DeviceOptions
    from gym_grasp.teleop.web.server import TeleopServer

DEFAULT_DEVICE = "webxr"
TIME_LIMIT = 60.0
"""People take longer than policies, in s."""
SHORTEST_TOKEN, FEWEST_CHARACTERS = 16, 8
"""What a token has to have at least where other machines may guess it."""
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
    """The dataset to record into; by default data/teleop/TASK-DATE.hdf5. An unfinished recording
    there is gone on with."""
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
    try:
        import aiohttp  # noqa: F401
    except ImportError as error:
        raise DependencyError(
            "Teleoperation needs the package 'aiohttp': pip install 'gym-grasp[teleop]'."
        ) from error
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
    if not hasattr(kind, "spec") or {"-h", "--help"} & set(args):
        return None
    own, _ = tyro.cli(Annotated[kind, NAMELESS], args=args, return_unknown_args=True)
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

    from gym_grasp.demos.record import describe
    from gym_grasp.demos.writer import DatasetWriter
    from gym_grasp.envs.vector import GraspVectorEnv
    from gym_grasp.teleop.devices.base import DeviceContext
    from gym_grasp.teleop.session.recording import Recorder
    from gym_grasp.teleop.session.session import Session, SessionConfig
    from gym_grasp.teleop.web.server import TeleopServer

    if shared.time_limit is not None and not 0 < shared.time_limit < math.inf:
        raise UsageError(f"--time-limit is {shared.time_limit}; it has to be positive.")
    if shared.time_limit is not None and environment.max_episode_steps is not None:
        raise UsageError("--time-limit and --max-episode-steps say the same; give one of them.")
    _check_token(shared.token, shared.lan)
    torch.set_num_threads(1)  # one simulation is too small to share out
    spec = environment.spec(shared.task)
    if environment.max_episode_steps is None:
        limit = TIME_LIMIT if shared.time_limit is None else shared.time_limit
        spec = spec.replace(max_episode_steps=max(1, round(limit * spec.control_rate)))
    env = GraspVectorEnv(spec, 1, num_threads=1, autoreset=False)
    date = time.strftime("%Y%m%d-%H%M%S")
    path = shared.out or DATA / "teleop" / f"{shared.task}-{date}.hdf5"
    addresses, tls = _network(shared.lan)
    opened = own.open(DeviceContext(env, shared.operator, _say))
    source = describe(env, operator=opened.moved_by, base_seed=shared.seed)
    writer = DatasetWriter(path, source, resume=True)
    config = SessionConfig(shared.seed, opened.first_seed, shared.hold, shared.episodes)
    session = Session(env, opened.device, Recorder(writer), config)
    try:
        server = TeleopServer(session, opened.page, token=shared.token, tls=tls)
        asyncio.run(_serve(server, addresses, opened.browse, shared))
    finally:
        session.close()
        env.close()
    assert server.clock is not None
    kept, failed = len(writer), writer.failures
    _say(f"{path}: {kept} episodes, {failed} attempts failed" if kept else "Nothing was kept.")
    if shared.json:
        print_json(
            {
                "path": str(path) if kept else None,
                "kept": kept,
                "failed": failed,
                "clock": server.clock.summary(),
                "latency": session.meter.summary(),
            }
        )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _check_token(token: str | None, lan: bool) -> None:
    """Raise `UsageError` for a token that no address can hold, or that could be guessed."""
    if token is None:
        return
    if not re.fullmatch(r"[\w.~-]+", token, re.ASCII):
        raise UsageError(
            f"--token is {token!r}; it stands in an address: letters, digits, '-', '_', '.', '~'."
        )
    if lan and (len(token) < SHORTEST_TOKEN or len(set(token)) < FEWEST_CHARACTERS):
        raise UsageError(
            f"--token has {len(token)} characters, {len(set(token))} of them different; with --lan "
            f"it takes {SHORTEST_TOKEN}, {FEWEST_CHARACTERS} of them different. Leave it out for a "
            "random one."
        )


def _network(lan: bool) -> tuple[list[str], ssl.SSLContext | None]:
    """Return the names that a headset may use, and the settings of https."""
    if not lan:
        return ["localhost"], None
    from gym_grasp.teleop.web.certificate import lan_addresses, tls_context

    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    addresses = lan_addresses()
    return addresses or ["localhost"], tls_context(config / "gym-grasp", addresses)


async def _serve(
    server: "TeleopServer", addresses: list[str], browse: bool, shared: Teleop
) -> None:
    await server.start("0.0.0.0" if shared.lan else "127.0.0.1", shared.port)
    scheme = "https" if shared.lan else "http"
    urls = [f"{scheme}://{name}:{server.port}/#token={server.token}" for name in addresses]
    _say("\n  ".join(["Open in the headset's or a desktop's browser:", *urls]))
    if shared.lan:
        _say("Its certificate is our own: let the browser go on.")
    if browse:
        webbrowser.open(urls[0])
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, server.stop)
    if shared.seconds is not None:
        loop.call_later(shared.seconds, server.stop)
    await server.run()

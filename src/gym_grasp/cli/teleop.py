"""`gym-grasp teleop TASK`."""

import asyncio
import os
import signal
import ssl
import sys
import time
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from gym_grasp.cli.common import DATA, print_json
from gym_grasp.errors import DependencyError, UsageError

if TYPE_CHECKING:
    from gym_grasp.envs.vector import GraspVectorEnv
    from gym_grasp.teleop.hand.input import Device
    from gym_grasp.teleop.web.page import PageDevice
    from gym_grasp.teleop.web.server import TeleopServer

DeviceName = Literal["webxr", "keyboard", "openxr", "senseglove", "operator", "playback"]
SOURCE = {"operator": "synthetic", "playback": "playback"}
"""Whose movements a dataset holds, where not a human's."""


def main(args: Sequence[str]) -> None:
    """Run the verb."""
    tyro.cli(teleop, args=args, prog="gym-grasp teleop")


def teleop(
    task: Annotated[str, tyro.conf.Positional],
    /,
    *,
    device: DeviceName = "webxr",
    lan: bool = False,
    port: int = 8080,
    out: Path | None = None,
    episodes: int | None = None,
    seed: int = 0,
    time_limit: float = 60.0,
    hold: bool = False,
    operator: str = "default",
    wrist: str | None = None,
    bridge: str = "127.0.0.1:5557",
    calibrate: bool = False,
    playback: Path | None = None,
    demo: int = 0,
    seconds: float | None = None,
    token: str | None = None,
    json: bool = False,
) -> None:
    """Let a person's hand drive the robot's, and record what succeeds.

    Open the printed address in a headset's browser, or in one with mouse and keyboard. Over USB
    (`adb reverse tcp:8080 tcp:8080`) a headset reaches it as localhost; over Wi-Fi it takes --lan.

    Args:
        task: which task.
        device: what drives: webxr, the page in a headset or a desktop browser; keyboard, the page
            opened in this machine's browser; openxr, a controller; senseglove, a Vive tracker and a
            SenseGlove; operator, the synthetic one; playback, a recorded one. Besides webxr and
            keyboard, the page only watches.
        lan: be reached from other machines, over https with a self-signed certificate.
        port: where to listen; 0 takes any that is free.
        out: the dataset to record into; by default data/teleop/TASK-DATE.hdf5. An unfinished
            recording there is gone on with.
        episodes: stop after so many successes.
        seed: of the start states.
        time_limit: longest episode, in seconds of engaged time.
        hold: the clutch is held down to move, instead of pressed to begin and again to stop.
        operator: whose calibration of open hand and fist to use and to save.
        wrist: with openxr and senseglove: what OpenXR tracks as the wrist, controller or the role
            that SteamVR gave a tracker; by default controller and right_elbow.
        bridge: with senseglove: where the glove's bridge listens, host:port or unix:/path.
        calibrate: with senseglove: measure the operator's open hand and fist first, in 10 s. A
            headset's bare hands are calibrated on the page.
        playback: with --device playback: the dataset.
        demo: with --device playback: which of its episodes.
        seconds: stop after so long.
        token: what the page's address has to hold; by default a new random one.
        json: print clock, latency and counts as one JSON object at the end.
    """
    try:
        import aiohttp  # noqa: F401
    except ImportError as error:
        raise DependencyError(
            "Teleoperation needs the package 'aiohttp': pip install 'gym-grasp[teleop]'."
        ) from error
    import torch

    from gym_grasp.demos.record import describe
    from gym_grasp.demos.writer import DatasetWriter
    from gym_grasp.envs.vector import GraspVectorEnv
    from gym_grasp.teleop.devices.openxr import open_device
    from gym_grasp.teleop.devices.operator import OperatorDevice
    from gym_grasp.teleop.session.recording import Recorder
    from gym_grasp.teleop.session.session import Session, SessionConfig
    from gym_grasp.teleop.web.page import PageDevice
    from gym_grasp.teleop.web.server import TeleopServer

    if time_limit <= 0:
        raise UsageError(f"--time-limit is {time_limit}; it has to be positive.")
    if (playback is not None) != (device == "playback"):
        raise UsageError("--playback FILE goes with --device playback.")
    if wrist is not None and device not in ("openxr", "senseglove"):
        raise UsageError("--wrist goes with --device openxr and --device senseglove.")
    if calibrate and device != "senseglove":
        raise UsageError("--calibrate goes with --device senseglove.")
    torch.set_num_threads(1)  # one simulation is too small to share out
    probe = GraspVectorEnv(task, 1, num_threads=1, autoreset=False)
    steps = round(time_limit * probe.control_rate)
    probe.close()
    env = GraspVectorEnv(task, 1, num_threads=1, autoreset=False, max_episode_steps=steps)
    path = out or DATA / "teleop" / f"{task}-{time.strftime('%Y%m%d-%H%M%S')}.hdf5"
    addresses, tls = _network(lan)
    first_episode = None
    drives: Device
    if device == "operator":
        drives = OperatorDevice(env)
    elif device == "playback":
        assert playback is not None
        drives, first_episode = _playback(env, playback, demo)
    elif device == "openxr":
        drives = open_device(wrist or "controller")
    elif device == "senseglove":
        drives = _senseglove(operator, wrist or "right_elbow", bridge, calibrate)
    else:
        drives = _page(operator)
    source = describe(env, operator=SOURCE.get(device, "human"), base_seed=seed)
    writer = DatasetWriter(path, source, resume=True)
    config = SessionConfig(seed, first_episode, hold, episodes)
    session = Session(env, drives, Recorder(writer), config)
    try:
        page = drives if isinstance(drives, PageDevice) else None
        server = TeleopServer(session, page, token=token, tls=tls)
        asyncio.run(_serve(server, addresses, lan, port, device == "keyboard", seconds))
    finally:
        session.close()
        env.close()
    assert server.clock is not None
    kept, failed = len(writer), writer.failures
    if kept:
        print(f"{path}: {kept} episodes, {failed} attempts failed", file=sys.stderr)
    else:
        print("Nothing was kept.", file=sys.stderr)
    if json:
        print_json(
            {
                "path": str(path) if kept else None,
                "kept": kept,
                "failed": failed,
                "clock": server.clock.summary(),
                "latency": session.meter.summary(),
            }
        )


def _playback(env: "GraspVectorEnv", file: Path, demo: int) -> "tuple[Device, int]":
    from gym_grasp.demos.reader import open_dataset
    from gym_grasp.teleop.devices.playback import Playback

    dataset = open_dataset(file, task=(env.task_name, env.task_version))
    if not 0 <= demo < len(dataset):
        raise UsageError(f"--demo is {demo}; {file} holds episodes 0 to {len(dataset) - 1}.")
    device = Playback(dataset.episode(demo), env.controller.config.interval)
    return device, device.seed


def _page(operator: str) -> "PageDevice":
    from gym_grasp.teleop.hand.calibration import calibration_path, load_calibration
    from gym_grasp.teleop.web.page import PageDevice

    path = calibration_path(operator, "joints")
    return PageDevice(load_calibration(path, "joints") if path.exists() else None, path)


def _senseglove(operator: str, wrist: str, bridge: str, calibrate: bool) -> "Device":
    from gym_grasp.teleop.devices.gloved_hand import open_gloved_hand
    from gym_grasp.teleop.devices.openxr import open_device
    from gym_grasp.teleop.hand.calibration import calibration_path

    def ask(what: str) -> None:
        print(what, file=sys.stderr, flush=True)

    path = calibration_path(operator, "glove")
    return open_gloved_hand(lambda: open_device(wrist), bridge, path, ask if calibrate else None)


def _network(lan: bool) -> tuple[list[str], ssl.SSLContext | None]:
    """Return the names that a headset may use, and the settings of https."""
    if not lan:
        return ["localhost"], None
    from gym_grasp.teleop.web.certificate import lan_addresses, tls_context

    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    addresses = lan_addresses()
    return addresses or ["localhost"], tls_context(config / "gym-grasp", addresses)


async def _serve(
    server: "TeleopServer",
    addresses: list[str],
    lan: bool,
    port: int,
    browse: bool,
    seconds: float | None,
) -> None:
    await server.start("0.0.0.0" if lan else "127.0.0.1", port)
    scheme = "https" if lan else "http"
    urls = [f"{scheme}://{name}:{server.port}/#token={server.token}" for name in addresses]
    print("Open in the headset's or a desktop's browser:", *urls, sep="\n  ", file=sys.stderr)
    if lan:
        print("Its certificate is our own: let the browser go on.", file=sys.stderr)
    sys.stderr.flush()
    if browse:
        webbrowser.open(urls[0])
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, server.stop)
    if seconds is not None:
        loop.call_later(seconds, server.stop)
    await server.run()

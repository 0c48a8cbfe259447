"""`gym-grasp teleop` with the devices that need no browser."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "teleop"))

from fakes import FakeBridge, FakeRuntime

import gym_grasp
from gym_grasp.cli.main import main
from gym_grasp.demos.reader import open_dataset
from gym_grasp.demos.replay import replay
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.teleop.devices import DEVICES, gloved_hand
from gym_grasp.teleop.devices.base import DeviceContext
from gym_grasp.teleop.hand.calibration import calibration_path, save_calibration
from gym_grasp.teleop.hand.retargeting import TYPICAL, Calibration

FLAT = np.zeros((5, 4))


@pytest.fixture(autouse=True)
def threads():
    """The command keeps torch to one thread; give the others back to other tests."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def teleop(capsys, *args: str) -> tuple[int, str, dict]:
    """Return exit code, messages and what the command printed as JSON."""
    code = main(["teleop", "open-drawer", "--port", "0", "--json", *args])
    printed, messages = capsys.readouterr()
    return code, messages, json.loads(printed) if printed else {}


def refusal(capsys, *args: str) -> str:
    """Return the last message of a command that fails."""
    code, messages, told = teleop(capsys, *args)
    assert code != 0
    assert not told
    return messages.strip().splitlines()[-1]


def test_a_recorded_episode_is_played_from_its_own_seed_to_its_success(capsys, recorded, tmp_path):
    again, thrice = tmp_path / "again.hdf5", tmp_path / "thrice.hdf5"
    original = open_dataset(recorded).episode(1)
    args = ("--device", "playback", "--seed", "99", "--playback")
    given = (*args, str(recorded), "--episode", "1", "--out", str(again))
    code, messages, told = teleop(capsys, *given)
    assert (code, told["kept"], told["failed"]) == (0, 1, 0)
    assert f"gym-grasp demos info {again}" in messages
    assert f"gym-grasp train open-drawer --demos {again}" in messages
    played = open_dataset(again).episode(0)
    assert told["latency"]["arrival_to_applied"]["count"] == len(played)
    assert (played.seed, played.success) == (original.seed, True)
    assert len(played) == pytest.approx(len(original), rel=0.2)  # the clutch takes hold elsewhere
    # what a session recorded plays back bit by bit, and replays without a session too
    code, _, told = teleop(capsys, *args, str(again), "--out", str(thrice))
    assert (code, told["kept"]) == (0, 1)
    dataset = open_dataset(thrice)
    np.testing.assert_array_equal(dataset.episode(0).actions, played.actions)
    assert dataset.meta.operator == "playback"
    env = GraspVectorEnv(dataset.env_spec(), 1)
    assert replay(dataset, env).reproduced == 1
    env.close()


def test_what_is_there_to_be_seen_waits_for_a_viewer_and_writes_nothing_unasked(
    capsys, recorded, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for device in (("operator",), ("playback", "--playback", str(recorded))):
        code, messages, told = teleop(capsys, "--device", *device, "--seconds", "0.4")
        assert (code, told["kept"], told["path"]) == (0, 0, None)
        assert told["clock"]["ticks"] > 0
        assert told["latency"] == {}  # nothing has moved
        assert "Nothing moves until somebody watches" in messages
    assert not list(tmp_path.iterdir())


def test_playback_refuses_what_is_not_there(capsys, recorded, tmp_path):
    args = ("--device", "playback", "--out", str(tmp_path / "a.hdf5"))
    message = refusal(capsys, *args)
    assert "Missing" in message
    assert "--playback PATH" in message
    message = refusal(capsys, *args, "--playback", str(recorded), "--episode", "2")
    assert "--episode is 2" in message
    assert "episodes 0 to 1" in message


def glove(folder: Path) -> tuple[str, ...]:
    return (
        *("--device", "senseglove", "--bridge", f"unix:{folder / 'glove'}"),
        *("--out", str(folder / "a.hdf5"), "--seconds", "0.7"),
    )


def test_tracker_and_glove_drive_from_the_command_line(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    runtime = FakeRuntime.install(monkeypatch)
    bridge = FakeBridge(tmp_path / "glove", angles=FLAT)
    reads = iter(range(10**9))
    # the clutch is pressed from the 20th time that it is looked at
    monkeypatch.setattr(runtime, "_pressed", lambda name: name == "clutch" and next(reads) >= 20)
    code, messages, told = teleop(capsys, *glove(tmp_path))
    assert code == 0
    assert "#token=" in messages  # the page watches
    assert told["latency"]["arrival_to_applied"]["count"] > 5  # control steps
    tracker = runtime.bindings["/interaction_profiles/htc/vive_tracker_htcx"]
    assert tracker == ["/user/vive_tracker_htcx/role/right_elbow/input/grip/pose"]
    assert runtime.calls[-1][0] == "destroy_instance"
    felt = [line for line in bridge.received if line.startswith("feel")]
    assert len(felt) > 20
    assert felt[-1] == "feel" + 10 * " 0.000"
    bridge.close()


def test_what_is_missing_for_tracker_and_glove_is_named(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(gloved_hand, "FIRST_ANGLES", 0.1)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "xr", None)
        assert "pip install 'gym-grasp[openxr]'" in refusal(capsys, *glove(tmp_path))
    pytest.importorskip("xr", exc_type=ImportError)
    with monkeypatch.context() as patch:
        patch.setenv("XR_RUNTIME_JSON", str(tmp_path / "none.json"))
        for device in ("openxr", "senseglove"):
            message = refusal(capsys, "--device", device, "--out", str(tmp_path / "a.hdf5"))
            assert "Start SteamVR (or Monado)" in message
    FakeRuntime.install(monkeypatch)
    message = refusal(capsys, *glove(tmp_path))
    assert "Start the bridge (integrations/senseglove_bridge)" in message
    assert not list(tmp_path.iterdir())  # nothing was begun
    assert "no address" in refusal(capsys, "--device", "senseglove", "--bridge", "here")


def test_help_shows_the_options_of_the_named_device(capsys):
    for device, shown, hidden in (
        ("senseglove", ("--wrist", "--bridge", "--calibrate"), ("--playback", "--episode ")),
        ("playback", ("--playback", "--episode "), ("--wrist", "--bridge")),
    ):
        with pytest.raises(SystemExit) as left:
            main(["teleop", "--device", device, "--help"])
        assert left.value.code == 0
        text = capsys.readouterr().out
        assert all(flag in text for flag in (*shown, "--time-limit", "openxr"))
        assert not any(flag in text for flag in hidden)


STICK = """
from dataclasses import dataclass
from gym_grasp.teleop.devices.base import OpenedDevice
from gym_grasp.teleop.devices.operator import OperatorDevice

@dataclass(frozen=True)
class StickOptions:
    serial: str
    \"\"\"Where it is plugged in.\"\"\"
    speed: float = 1.0

    def open(self, context):
        context.say(f"{context.operator} holds {self}")
        return OpenedDevice(OperatorDevice(context.env), first_seed=77)

@dataclass(frozen=True)
class Clashing(StickOptions):
    port: int = 3

class NoOptions:
    pass
"""


def test_another_packages_device_drives_with_its_own_options(capsys, tmp_path, monkeypatch):
    (tmp_path / "stick.py").write_text(STICK)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(DEVICES, "targets", dict(DEVICES.targets))
    gym_grasp.register_device("stick", "stick:StickOptions")
    gym_grasp.register_device("clashing", "stick:Clashing")
    gym_grasp.register_device("no-stick", "stick:NoOptions")
    out = tmp_path / "a.hdf5"
    args = ("--device", "stick", "--serial", "ttyS0", "--out", str(out), "--operator", "anna")
    code, messages, told = teleop(capsys, *args, "--episodes", "1", "--speed", "2")
    assert (code, told["kept"]) == (0, 1)
    assert "anna holds StickOptions(serial='ttyS0', speed=2.0)" in messages
    dataset = open_dataset(out)
    assert (dataset.meta.operator, dataset.episode(0).seed) == ("human", 77)
    message = refusal(capsys, "--device", "clashing", "--serial", "ttyS0")
    assert "The options port of the device 'clashing' are taken" in message
    assert "stick:NoOptions, which is not a dataclass" in refusal(capsys, "--device", "no-stick")


def test_the_keyboard_is_the_page_opened_here(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    context = DeviceContext(env=None, operator="anna", say=print)
    for device, browse in (("webxr", False), ("keyboard", True)):
        opened = DEVICES.load(device)().open(context)
        assert opened.page is opened.device
        assert (opened.browse, opened.moved_by, opened.first_seed) == (browse, "human", None)
        path = calibration_path("anna", "joints")
        assert opened.page._save_to == path
        assert opened.page._fingers.calibration == TYPICAL["joints"]
    measured = Calibration((0.0,) * 5, (1.0, 1.0, 4.0, 4.0, 4.0))
    save_calibration(path, measured)
    assert DEVICES.load("webxr")().open(context).page._fingers.calibration == measured


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--wrist", "waist"), "of `gym-grasp teleop --device webxr` '--wrist'"),
        (("--wrist=waist",), "--time-limit, --token."),
        (
            ("--device", "openxr", "--calibrate"),
            "of `gym-grasp teleop --device openxr` '--calibrate'",
        ),
        (("--device", "openxr", "--calibrate"), "--token, --wrist."),
        (("--device=openxr", "--wrist", "right_elbw"), "Did you mean 'right_elbow'?"),
        (("--device", "senseglov"), "Did you mean 'senseglove'?"),
        (("--time-limit", "0"), "--time-limit is 0.0; it has to be positive."),
    ],
)
def test_options_that_do_not_fit(capsys, args, message):
    assert message in refusal(capsys, *args)

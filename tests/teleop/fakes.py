"""Hardware that is not there: an OpenXR runtime, and the bridge of a SenseGlove."""

import socket
import threading
import time
from contextlib import suppress
from ctypes import c_void_p, cast, memmove, sizeof

import numpy as np
import pytest

ANGLES = np.arange(20.0).reshape(5, 4) / 10


def hand_line(sequence=1, sent=0.0, angles=ANGLES):
    return f"hand {sequence} {sent} " + " ".join(map(str, np.ravel(angles)))


def eventually(condition, seconds=20.0):
    """Wait for what another thread does; how long it takes is no part of the test."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


class FakeBridge:
    """Speaks the bridge's half of the protocol, one client at a time, on a socket of its own.

    Angles come when the test sends them; with `angles`, always.
    """

    def __init__(self, path, hello=b"hello 1 right SenseGlove DK1", angles=None):
        self.hello = hello
        self.angles = angles
        self.received = []
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._server.bind(str(path))
        self._server.listen()
        self._client = None
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        if angles is not None:
            threading.Thread(target=self._beat, daemon=True).start()

    def _beat(self):
        while self._thread.is_alive():
            time.sleep(0.01)
            if client := self._client:
                with suppress(OSError):
                    line = hand_line(1, time.monotonic(), self.angles)
                    client.sendall(line.encode() + b"\n")

    def _serve(self):
        with self._server, suppress(OSError):
            while True:
                client, _ = self._server.accept()
                with client, suppress(OSError), client.makefile("r", encoding="latin-1") as lines:
                    client.sendall(self.hello + b"\n")
                    self._client = client
                    self.received += (line.strip() for line in lines)
                self._client = None

    def send(self, text):
        eventually(lambda: self._client)
        self._client.sendall(text.encode() + b"\n")

    def drop(self):
        self._client.shutdown(socket.SHUT_RDWR)

    def close(self):
        self._server.shutdown(socket.SHUT_RDWR)
        self._thread.join()


class FakeRuntime:
    """Stands in for the runtime's functions; the structures that they take are the real ones."""

    def __init__(self, xr):
        self.xr = xr
        self.calls = []
        self.actions = []
        self.paths = []
        self.bindings = {}
        self.values = {}
        self.events = [xr.SessionState.IDLE, xr.SessionState.READY]
        self.flags = xr.SpaceLocationFlags.ALL

    @classmethod
    def install(cls, monkeypatch):
        """Put it in the place of the library's functions; skips where pyopenxr is missing."""
        xr = pytest.importorskip("xr", exc_type=ImportError)
        runtime = cls(xr)
        for name in (
            *(name for name in vars(cls) if not name.startswith("_") and name != "install"),
            *("begin_session", "end_session", "apply_haptic_feedback"),
            *("destroy_session", "destroy_instance"),
        ):
            monkeypatch.setattr(xr, name, getattr(runtime, name))
        return runtime

    def create_instance(self, info):
        self.extensions = [name.decode() for name in info.enabled_extension_names]
        return self.xr.Instance()

    def get_system(self, instance, info):
        return self.xr.SystemId(3)

    def create_session(self, instance, info):
        assert info.system_id == 3
        return self.xr.Session()

    def create_reference_space(self, session, info):
        return f"{info.reference_space_type.name} space"

    def create_action_set(self, instance, info):
        return self.xr.ActionSet()

    def create_action(self, actions, info):
        self.actions.append(info.action_name.decode())
        return cast(c_void_p(len(self.actions)), self.xr.Action)  # handles are opaque pointers

    def string_to_path(self, instance, path):
        self.paths.append(path)
        return len(self.paths)

    def suggest_interaction_profile_bindings(self, instance, info):
        profile = self.paths[info.interaction_profile - 1]
        self.bindings[profile] = [self.paths[b.binding - 1] for b in info.suggested_bindings]

    def attach_session_action_sets(self, session, info):
        assert info.count_action_sets == 1

    def create_action_space(self, session, info):
        return "WRIST space"

    def poll_event(self, instance):
        xr = self.xr
        if not self.events:
            raise xr.exception.EventUnavailable
        event = xr.EventDataSessionStateChanged(state=self.events.pop(0))
        buffer = xr.EventDataBuffer()
        memmove(buffer.varying, bytes(event)[16:], sizeof(event) - 16)
        buffer.type = event.type
        return buffer

    def sync_actions(self, session, info):
        assert info.count_active_action_sets == 1
        raise self.xr.exception.SessionNotFocused

    def convert_timespec_time_to_time_khr(self, instance, moment):
        assert 0 <= moment.tv_nsec < 10**9
        return "now"

    def locate_space(self, space, base, moment):
        assert (base, moment) == ("STAGE space", "now")
        xr = self.xr
        height = 1.7 if space == "VIEW space" else 1.0
        pose = xr.Posef(xr.Quaternionf(0, 0, 0, 1), xr.Vector3f(0.1, height, -0.4))
        return xr.SpaceLocation(self.flags, pose)

    def _pressed(self, name):
        return False

    def _state(self, kind, info):
        name = self.actions[cast(info.action, c_void_p).value - 1]
        value = self.values.get(name, self._pressed(name) or None)
        return kind(current_state=value or 0, is_active=value is not None)

    def get_action_state_float(self, session, info):
        return self._state(self.xr.ActionStateFloat, info)

    def get_action_state_boolean(self, session, info):
        return self._state(self.xr.ActionStateBoolean, info)

    def __getattr__(self, name):
        return lambda *arguments: self.calls.append((name, *arguments))

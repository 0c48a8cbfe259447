"""The calls to an OpenXR runtime, through the package pyopenxr; on Linux.

The session is headless (`XR_MND_headless`): it draws nothing, so that the headset stays free for
the page in a browser. SteamVR and Monado offer it; SteamVR tracks only while the headset is worn
or its proximity sensor covered.
"""

import time
from contextlib import suppress
from ctypes import POINTER, byref, cast
from types import ModuleType
from typing import Any

import numpy as np

from gym_grasp.errors import DependencyError, unknown
from gym_grasp.teleop.devices.openxr_frame import XrFrame, XrPose

ROLES = (
    *(f"{side}_{part}" for part in ("elbow", "wrist", "shoulder") for side in ("right", "left")),
    *(f"{side}_{part}" for part in ("knee", "foot") for side in ("right", "left")),
    "waist",
    "chest",
    "camera",
    "keyboard",
    "handheld_object",
)
"""Roles that SteamVR gives trackers ("Manage Trackers"); `handheld_object` is not served by all of
its versions."""

LEFT, RIGHT = "/user/hand/left", "/user/hand/right"
VIVE = "/interaction_profiles/htc/vive_controller"
TRACKER = "/interaction_profiles/htc/vive_tracker_htcx"

BINDINGS = {
    "clutch": (f"{LEFT}/input/trigger/click", f"{RIGHT}/input/trackpad/click"),
    "reset": (f"{LEFT}/input/menu/click", f"{RIGHT}/input/menu/click"),
    "next": (f"{LEFT}/input/squeeze/click",),
    "discard": (f"{LEFT}/input/trackpad/click",),
    "trigger": (f"{RIGHT}/input/trigger/value",),
    "squeeze": (f"{RIGHT}/input/squeeze/click",),
}
"""What the Vive controllers' buttons do."""

FLOATS = ("trigger", "squeeze")
VIBRATION = f"{RIGHT}/output/haptic"


class PyOpenXrSession:
    """A headless session; see `openxr_frame.XrSession`.

    Args:
        wrist: `controller`, or one of `ROLES`.

    Raises:
        DependencyError: the package, a runtime, a headset or an extension is missing.
        UsageError: the role is unknown.
    """

    def __init__(self, wrist: str) -> None:
        if wrist != "controller" and wrist not in ROLES:
            raise unknown("tracker role", wrist, ["controller", *ROLES])
        self._tracker = wrist != "controller"
        self._xr = xr = import_openxr()
        extensions = [xr.MND_HEADLESS_EXTENSION_NAME, "XR_KHR_convert_timespec_time"]
        if self._tracker:
            extensions.append(xr.HTCX_VIVE_TRACKER_INTERACTION_EXTENSION_NAME)
        self._running = False
        try:
            self._instance = xr.create_instance(
                xr.InstanceCreateInfo(enabled_extension_names=extensions)
            )
        except xr.exception.XrException as error:
            raise _missing(error) from error
        try:
            self._open(wrist)
        except xr.exception.XrException as error:
            xr.destroy_instance(self._instance)
            raise _missing(error) from error

    def poll(self) -> XrFrame | None:
        """Locate head and wrist as they are now, and read the buttons."""
        try:
            self._handle_events()
            return self._read_all() if self._running else None
        except self._xr.exception.ResultException:  # the runtime went away
            self._running = False
            return None

    def vibrate(self, amplitude: float, duration: float) -> None:
        """Let the controller vibrate; a tracker cannot."""
        if self._tracker or not self._running:
            return
        xr = self._xr
        pulse = xr.HapticVibration(duration=int(duration * 1e9), amplitude=amplitude)
        info = xr.HapticActionInfo(action=self._handles["vibration"])
        with suppress(xr.exception.ResultException):  # the controller is off
            xr.apply_haptic_feedback(self._session, info, pulse)

    def close(self) -> None:
        """End the session and let go of the runtime; what belongs to the instance goes with it."""
        gone = self._xr.exception.ResultException
        with suppress(gone):
            self._xr.destroy_session(self._session)
        with suppress(gone):
            self._xr.destroy_instance(self._instance)

    def _read_all(self) -> XrFrame:
        xr = self._xr
        with suppress(xr.exception.ResultException):  # not focused: everything reads as released
            active = [xr.ActiveActionSet(action_set=self._actions)]
            xr.sync_actions(self._session, xr.ActionsSyncInfo(active_action_sets=active))
        now = time.perf_counter()
        xr_time = self._now()
        level = {name: self._read(name) for name in BINDINGS}
        return XrFrame(
            time=now,
            wrist=self._locate(self._wrist_space, xr_time),
            head=self._locate(self._head_space, xr_time),
            trigger=level["trigger"],
            squeeze=level["squeeze"],
            clutch=level["clutch"] > 0,
            reset=level["reset"] > 0,
            next=level["next"] > 0,
            discard=level["discard"] > 0,
        )

    def _open(self, wrist: str) -> None:
        xr = self._xr
        system = xr.get_system(self._instance, xr.SystemGetInfo())
        self._session = xr.create_session(self._instance, xr.SessionCreateInfo(system_id=system))
        self._base = self._reference_space(xr.ReferenceSpaceType.STAGE)
        self._head_space = self._reference_space(xr.ReferenceSpaceType.VIEW)
        self._actions = xr.create_action_set(
            self._instance,
            xr.ActionSetCreateInfo(action_set_name="hand", localized_action_set_name="Hand"),
        )
        kinds = {
            "wrist": xr.ActionType.POSE_INPUT,
            "vibration": xr.ActionType.VIBRATION_OUTPUT,
            **dict.fromkeys(BINDINGS, xr.ActionType.BOOLEAN_INPUT),
            **dict.fromkeys(FLOATS, xr.ActionType.FLOAT_INPUT),
        }
        self._handles = {name: self._action(name, kind) for name, kind in kinds.items()}
        controls = [(name, path) for name, paths in BINDINGS.items() for path in paths]
        controls.append(("vibration", VIBRATION))
        if self._tracker:
            role = f"/user/vive_tracker_htcx/role/{wrist}/input/grip/pose"
            self._suggest(TRACKER, [("wrist", role)])
        else:
            controls.append(("wrist", f"{RIGHT}/input/grip/pose"))
        self._suggest(VIVE, controls)
        xr.attach_session_action_sets(
            self._session, xr.SessionActionSetsAttachInfo(action_sets=[self._actions])
        )
        self._wrist_space = xr.create_action_space(
            self._session, xr.ActionSpaceCreateInfo(action=self._handles["wrist"])
        )

    def _reference_space(self, kind: Any) -> Any:
        info = self._xr.ReferenceSpaceCreateInfo(reference_space_type=kind)
        return self._xr.create_reference_space(self._session, info)

    def _action(self, name: str, kind: Any) -> Any:
        info = self._xr.ActionCreateInfo(
            action_name=name, action_type=kind, localized_action_name=name.capitalize()
        )
        return self._xr.create_action(self._actions, info)

    def _suggest(self, profile: str, bindings: list[tuple[str, str]]) -> None:
        xr = self._xr
        suggested = [
            xr.ActionSuggestedBinding(self._handles[name], xr.string_to_path(self._instance, path))
            for name, path in bindings
        ]
        xr.suggest_interaction_profile_bindings(
            self._instance,
            xr.InteractionProfileSuggestedBinding(
                interaction_profile=xr.string_to_path(self._instance, profile),
                suggested_bindings=suggested,
            ),
        )

    def _handle_events(self) -> None:
        xr = self._xr
        while True:
            try:
                event = xr.poll_event(self._instance)
            except xr.exception.EventUnavailable:
                return
            if xr.StructureType(event.type) != xr.StructureType.EVENT_DATA_SESSION_STATE_CHANGED:
                continue
            changed = cast(byref(event), POINTER(xr.EventDataSessionStateChanged)).contents
            if changed.state == xr.SessionState.READY:
                xr.begin_session(self._session, xr.SessionBeginInfo())
                self._running = True
            elif changed.state == xr.SessionState.STOPPING:
                self._running = False
                xr.end_session(self._session)
            elif changed.state in (xr.SessionState.LOSS_PENDING, xr.SessionState.EXITING):
                self._running = False

    def _now(self) -> Any:
        """Return the present as an XrTime; both clocks are CLOCK_MONOTONIC on Linux."""
        seconds, nanoseconds = divmod(time.clock_gettime_ns(time.CLOCK_MONOTONIC), 10**9)
        moment = self._xr.timespec(seconds, nanoseconds)
        return self._xr.convert_timespec_time_to_time_khr(self._instance, moment)

    def _read(self, name: str) -> float:
        xr = self._xr
        read = xr.get_action_state_float if name in FLOATS else xr.get_action_state_boolean
        state = read(self._session, xr.ActionStateGetInfo(action=self._handles[name]))
        return float(state.current_state) if state.is_active else 0.0

    def _locate(self, space: Any, xr_time: Any) -> XrPose | None:
        flags = self._xr.SpaceLocationFlags
        location = self._xr.locate_space(space, self._base, xr_time)
        measured = flags.POSITION_TRACKED_BIT | flags.ORIENTATION_TRACKED_BIT
        if location.location_flags & measured != measured:
            return None
        p, q = location.pose.position, location.pose.orientation
        return XrPose(np.array([p.x, p.y, p.z]), np.array([q.x, q.y, q.z, q.w]))


def import_openxr() -> ModuleType:
    """Return the package pyopenxr, which is loaded here and nowhere else.

    Raises:
        DependencyError: it is not installed, or OpenGL's library that it loads is missing.
    """
    try:
        import xr
    except (ImportError, OSError, AttributeError) as error:
        raise DependencyError(
            f"OpenXR needs an optional extra ({error}): pip install 'gym-grasp[openxr]'."
        ) from error
    return xr


def _missing(error: Exception) -> DependencyError:
    reason = str(error).strip(" .") or type(error).__name__
    return DependencyError(
        f"No usable OpenXR runtime: {reason}. Start SteamVR (or Monado), make it the OpenXR"
        " runtime of this machine, and connect the headset; the extensions XR_MND_headless,"
        " XR_KHR_convert_timespec_time and, for a tracker, XR_HTCX_vive_tracker_interaction are"
        " needed."
    )

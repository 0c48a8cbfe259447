"""What a dataset says about itself."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

import gym_grasp
from gym_grasp.demos.episode import Origin
from gym_grasp.errors import UsageError
from gym_grasp.tasks.features import Feature, Packer
from gym_grasp.typed import CRAFTED, check_types, construct

FIELD_UNITS = {
    "actions": "1",
    "rewards": "1",
    "dense_rewards": "1",
    "operator_input/wrist_position": "m, world",
    "operator_input/wrist_quaternion": "w x y z, world",
    "operator_input/finger_flexion": "0 open to 1 closed",
}


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that decide what a recording holds."""
    return {
        "gym-grasp": gym_grasp.__version__,
        "mujoco": metadata.version("mujoco"),
        "numpy": metadata.version("numpy"),
    }


@dataclass(frozen=True)
class DatasetMeta:
    """Where the episodes of one file come from and how to read them.

    Raises:
        ValueError: at construction, where a name or a feature is one that a file cannot hold.
    """

    spec: Mapping[str, Any]
    """The environment: an `EnvSpec`, as its `to_dict` gives it."""
    env_name: str
    """Name under which Gymnasium knows the environment: `gym_grasp/OpenDrawer-v1`."""
    features: dict[str, Feature]
    """Every observation of all groups, by key; kept in sorted order."""
    action_names: tuple[str, ...]
    """What each action moves, in order."""
    control_rate: float
    """Actions per second, in Hz."""
    operator: str
    """Who acted: `synthetic`, `human`, …"""
    base_seed: int
    """Seed of the recording: decides the split, and at will the episodes' seeds."""
    states: dict[str, tuple[tuple[str, int], ...]] = field(default_factory=dict)
    """What stands side by side in each state: names and widths, in order."""
    physics_state: str = ""
    """MuJoCo's name of the state `physics`; empty where it is an engine's own."""
    scene: str = ""
    """The compiled scene as MJCF, whose numbers are rounded."""
    model_digest: str = ""
    """Identity of the compiled scene, see `envs.scene.model_digest`."""
    origin: Origin = field(default_factory=Origin)
    """How the episodes came about; an episode of another origin says so itself."""
    attempts: int = 0
    """Episodes begun; the writer counts them."""
    failures: int = 0
    """Attempts that failed, which are not in the file; the writer counts them."""
    licence: str = "Apache-2.0"
    """Licence of the data, as an SPDX identifier."""
    description: str = ""
    """A sentence or two for the dataset card."""
    versions: dict[str, str] = field(default_factory=package_versions)
    """Package versions at the time of recording."""
    units: dict[str, str] = field(default_factory=lambda: dict(FIELD_UNITS))
    """Units of what is no observation, by path in an episode; features have their own."""

    def __post_init__(self) -> None:
        """Check what the file could not hold, and bring it into the form that JSON gives back."""
        for part, kind in (("task", str), ("version", int), ("robot", str)):
            if part not in self.spec:
                raise ValueError(f"the specification of the environment lacks its {part}")
            if type(self.spec[part]) is not kind:
                raise ValueError(f"the {part} of its environment is {self.spec[part]!r}")
        for name, value in (
            *((part, self.spec.get(part, {})) for part in ("options", "control")),
            *(("versions", self.versions), ("units", self.units)),
        ):
            if not isinstance(value, Mapping):
                raise ValueError(f"{name} is {value!r}, but has to be names with values")
        if not isinstance(self.control_rate, float | int) or not self.control_rate > 0:
            raise ValueError(f"the control rate is {self.control_rate!r}, but has to be positive")
        for name in ("base_seed", "attempts", "failures"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}, but has to be at least 0")
        if b"\x00" in self.scene.encode():  # HDF5 ends a text there; the rest is kept as JSON
            raise ValueError("the scene is no text: it holds a zero")
        for key in self.features:
            if not key or "/" in key:
                raise ValueError(f"observation '{key}': a name has letters and no '/'")
        try:
            packed = Packer(self.features).size
        except UsageError as error:
            raise ValueError(str(error)) from error
        if not packed:
            raise ValueError("no observation is of the group 'policy'")
        plain = json.loads(json.dumps(dict(self.spec)))
        states = {key: tuple((p, n) for p, n in parts) for key, parts in self.states.items()}
        object.__setattr__(self, "spec", plain)
        object.__setattr__(self, "states", states)
        object.__setattr__(self, "features", dict(sorted(self.features.items())))
        object.__setattr__(self, "action_names", tuple(self.action_names))

    @property
    def task(self) -> str:
        """Name of the task, such as `open-drawer`."""
        return str(self.spec["task"])

    @property
    def task_version(self) -> int:
        """Version of the task at the time of recording."""
        return int(self.spec["version"])

    @property
    def robot(self) -> str:
        """Name of the robot, such as `ur5-sih`."""
        return str(self.spec["robot"])

    @property
    def packer(self) -> Packer:
        """Packs the observations that policies act on."""
        return Packer(self.features)

    def env_args(self) -> str:
        """Return robomimic's description of the environment (type 2 is a Gym environment).

        `gymnasium.make(env_name, **env_kwargs)` makes the environment of the recording.
        """
        kwargs = {"task": self.spec}
        args = {"env_name": self.env_name, "type": 2, "env_kwargs": kwargs}
        return json.dumps(args, sort_keys=True)

    def to_json(self) -> str:
        """Return the whole as one line of JSON, the same for the same content."""
        features = {key: feature.to_dict() for key, feature in self.features.items()}
        return json.dumps({**vars(self), "features": features}, default=vars)

    @staticmethod
    def from_json(text: str) -> "DatasetMeta":
        """Read what `to_json` wrote; raise ValueError where it is not that."""
        try:
            values = json.loads(text)
            features = {key: Feature.from_dict(one) for key, one in values["features"].items()}
            for one in features.values():
                check_types(one)
            origin = construct(Origin, values["origin"])
            return construct(DatasetMeta, {**values, "features": features, "origin": origin})
        except (*CRAFTED, UsageError) as error:
            raise ValueError(f"bad metadata: {error}") from error

    def same_recording(self, other: "DatasetMeta") -> bool:
        """Whether both describe one recording, whatever they have counted so far."""
        return dataclasses.replace(self, attempts=0, failures=0) == dataclasses.replace(
            other, attempts=0, failures=0
        )

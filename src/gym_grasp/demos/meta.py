"""What a dataset says about itself."""

import dataclasses
import json
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

import gym_grasp


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that decide what a recording holds."""
    return {
        "gym-grasp": gym_grasp.__version__,
        "mujoco": metadata.version("mujoco"),
        "numpy": metadata.version("numpy"),
    }


@dataclass(frozen=True)
class DatasetMeta:
    """Where the episodes of one file come from and how to read them."""

    task: str
    """Name of the task, such as ``open-drawer``."""
    task_version: int
    """Version of the task; another version has other dynamics, observations or rewards."""
    observation_layout: dict[str, int]
    """Name and width of every observation; kept in sorted order."""
    control_rate: float
    """Actions per second, in [Hz]."""
    operator: str
    """Who acted: ``synthetic``, ``human``, ..."""
    base_seed: int
    """Seed of the recording: decides the split, and at will the episodes' seeds."""
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
    env_kwargs: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments that make the same environment again; plain JSON values."""
    units: dict[str, str] = field(default_factory=dict)
    """Unit of a field by its path in an episode, such as ``obs/drawer_opening``: ``m``."""

    def __post_init__(self) -> None:
        """Sort the layout and refuse names that the file cannot hold."""
        for key, width in self.observation_layout.items():
            if not key or "/" in key or width < 1:
                raise ValueError(f"observation '{key}' of width {width}: bad name or width")
        if not self.observation_layout:
            raise ValueError("the observation layout is empty")
        object.__setattr__(
            self, "observation_layout", dict(sorted(self.observation_layout.items()))
        )

    @property
    def env_name(self) -> str:
        """Name under which Gymnasium knows the environment: ``gym_grasp/OpenDrawer-v0``."""
        camel = "".join(word.capitalize() for word in self.task.split("-"))
        return f"gym_grasp/{camel}-v{self.task_version}"

    def env_args(self) -> str:
        """Return robomimic's description of the environment (type 2 is a Gym environment)."""
        args = {"env_name": self.env_name, "type": 2, "env_kwargs": self.env_kwargs}
        return json.dumps(args, sort_keys=True)

    def to_json(self) -> str:
        """Return the whole as one line of JSON, the same for the same content."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @staticmethod
    def from_json(text: str) -> "DatasetMeta":
        """Read what :meth:`to_json` wrote; raise ValueError where it is not that."""
        try:
            return DatasetMeta(**json.loads(text))
        except (TypeError, AttributeError) as error:
            raise ValueError(f"bad metadata: {error}") from error

    def same_recording(self, other: "DatasetMeta") -> bool:
        """Whether both describe one recording, whatever they have counted so far."""
        return dataclasses.replace(self, attempts=0, failures=0) == dataclasses.replace(
            other, attempts=0, failures=0
        )

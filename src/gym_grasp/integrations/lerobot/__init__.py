"""The tasks among LeRobot's environments: a plug-in that its commands load by name.

    lerobot-eval --env.discover_packages_path=gym_grasp.integrations.lerobot \
        --env.type=gym_grasp --env.task=open-drawer --policy.path=...
"""

from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box, Dict

from gym_grasp.demos.export.columns import ACTION, SCENE, STATE, columns
from gym_grasp.envs.render import Camera
from gym_grasp.envs.spec import EnvSpec
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import DependencyError
from gym_grasp.tasks import gym_id
from gym_grasp.tasks.features import Packer

try:
    from lerobot.configs.types import FeatureType, PolicyFeature
    from lerobot.envs.configs import EnvConfig
except ImportError as error:
    raise DependencyError(
        f"The plug-in needs LeRobot, and '{error.name}' is not installed; pip install lerobot."
    ) from error

WIDTH, HEIGHT = 320, 240
KEYS = {STATE: "agent_pos", SCENE: "environment_state"}
"""LeRobot's names in an environment of what has other names in a dataset."""


def named_spaces(places: dict[str, np.ndarray]) -> dict[str, Box]:
    """Return the space of each part of an observation, by LeRobot's names; see `columns`."""
    return {KEYS[key]: Box(-np.inf, np.inf, (len(own),), np.float32) for key, own in places.items()}


def named_parts(observation: np.ndarray, places: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the parts of observations (..., O) by LeRobot's names, each (..., its size)."""
    return {KEYS[key]: observation[..., own] for key, own in places.items()}


class GraspEnv(gymnasium.Env):
    """One environment whose observations have the names that LeRobot looks for.

    Args:
        task: an `EnvSpec`, the same as a dataset holds it, or the name of a task.
        camera: from where `render` and, where `pixels` is set, the observation look.
        pixels: whether observations hold the camera's picture, (height, width, 3) uint8.
        width, height: of pictures, in pixels.
        max_episode_steps: with a task's name: another limit.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 30}  # noqa: RUF012
    render_mode = "rgb_array"

    def __init__(
        self,
        task: Any,
        camera: str = "overview",
        pixels: bool = False,
        width: int = WIDTH,
        height: int = HEIGHT,
        max_episode_steps: int | None = None,
    ) -> None:
        self._env = GraspVectorEnv(
            task, 1, autoreset=False, num_threads=1, max_episode_steps=max_episode_steps
        )
        self._columns = columns(self._env.packer)
        self._view, self._pixels = (camera, width, height), pixels
        self._lens: Camera | None = None
        self._max_episode_steps = self._env.max_episode_steps
        self.task = self._env.task_name
        self.task_description = self._env.task.summary
        spaces: dict[str, Any] = {**named_spaces(self._columns)}
        if pixels:
            spaces["pixels"] = Dict({camera: Box(0, 255, (height, width, 3), np.uint8)})
        self.observation_space = Dict(spaces)
        self.action_space = self._env.single_action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin an episode, with a seed that of the same one anywhere, as files hold it."""
        super().reset(seed=seed)
        observation, _ = self._env.reset(seed=None if seed is None else [seed])
        return self._named(observation), {"is_success": False}

    def step(self, action: np.ndarray) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Apply one action, shape (A,)."""
        batch = torch.as_tensor(action, dtype=torch.float32)[None]
        _, reward, terminated, truncated, info = self._env.step(batch)
        return (
            self._named(info["final_obs"]),
            float(reward[0]),
            bool(terminated[0]),
            bool(truncated[0]),
            {"is_success": bool(info["success"][0])},
        )

    def render(self) -> np.ndarray:  # type: ignore[override]
        """Draw the scene. Shape (height, width, 3), uint8."""
        if self._lens is None:
            self._lens = Camera(self._env, *self._view)
        return self._lens.frame()

    def close(self) -> None:
        """Free engine and renderer."""
        if self._lens is not None:
            self._lens.close()
        self._env.close()

    def _named(self, observation: torch.Tensor) -> dict[str, Any]:
        named: dict[str, Any] = {**named_parts(observation[0].numpy(), self._columns)}
        return {**named, "pixels": {self._view[0]: self.render()}} if self._pixels else named


@EnvConfig.register_subclass("gym_grasp")
@dataclass
class GymGraspEnv(EnvConfig):
    """LeRobot's description of an environment of ours."""

    task: str | None = "open-drawer"
    """Which task."""
    fps: int = 30
    camera: str = "overview"
    """From where videos and, with `pixels`, observations look."""
    pixels: bool = False
    """Whether policies see the camera's picture too."""
    width: int = WIDTH
    height: int = HEIGHT
    """Of pictures, in pixels."""
    episode_length: int | None = None
    """Actions after which an episode is truncated; None: the task's time limit."""
    features: dict[str, PolicyFeature] = field(default_factory=dict)
    features_map: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Derive what policies take and give from the task."""
        spec = EnvSpec(str(self.task))
        self.fps = round(spec.control_rate)
        kinds = {STATE: FeatureType.STATE, SCENE: FeatureType.ENV}
        self.features = {ACTION: PolicyFeature(FeatureType.ACTION, (len(spec.action_names),))}
        self.features_map = {ACTION: ACTION}
        for key, places in columns(Packer(spec.features)).items():
            self.features[KEYS[key]] = PolicyFeature(kinds[key], (len(places),))
            self.features_map[KEYS[key]] = key
        if self.pixels:
            name = f"pixels/{self.camera}"
            self.features[name] = PolicyFeature(FeatureType.VISUAL, (self.height, self.width, 3))
            self.features_map[name] = f"observation.images.{self.camera}"

    @property
    def package_name(self) -> str:
        """What registers the environments with Gymnasium."""
        return __name__

    @property
    def gym_id(self) -> str:
        """Gymnasium's name of the environment, which is registered if it is not yet."""
        name = gym_id(str(self.task)).replace("/", "_lerobot/")
        if name not in gymnasium.registry:
            gymnasium.register(name, entry_point=f"{__name__}:GraspEnv")
        return name

    @property
    def gym_kwargs(self) -> dict[str, Any]:
        """What `GraspEnv` is made of."""
        limit = self.episode_length
        return {
            "task": self.task,
            "camera": self.camera,
            "pixels": self.pixels,
            "width": self.width,
            "height": self.height,
            **({} if limit is None else {"max_episode_steps": limit}),
        }

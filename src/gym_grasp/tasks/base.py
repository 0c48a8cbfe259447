"""What makes a scene a task: start states, observation, rewards, success."""

from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import mujoco
import torch
from torch import Tensor

from gym_grasp.errors import unknown
from gym_grasp.physics.base import Physics
from gym_grasp.robots import ur5_sih as robot
from gym_grasp.tasks.random import uniform

ARM_NOISE = 0.04
"""Half-width of the uniform noise on the arm's start pose, per joint, in rad."""
FARTHEST = 0.3
"""What the dense reward takes off at most for the distance of the hand, in m."""


class Task(ABC):
    """One task over a batch of simulations; every method is batched and free of branches.

    A task holds the indices of its elements and no state of its own: what it says depends on the
    physics alone. Tensors are float32 on the physics' device.

    Args:
        model: the compiled scene.
        device: where its constants live.
    """

    name: ClassVar[str]
    """As the command line knows it, e.g. `open-drawer`."""
    title: ClassVar[str]
    """As Gymnasium knows it, e.g. `OpenDrawer`."""
    version: ClassVar[int] = 0
    """Raised whenever observations, rewards or dynamics change; datasets carry it."""
    summary: ClassVar[str]
    """What is to be done and when it counts as done, in a sentence or two."""
    time_limit: ClassVar[float] = 7.0
    """Episode length at which it is truncated, in seconds."""
    task_observations: ClassVar[dict[str, tuple[int, str]]]
    """Width and meaning (with unit and frame) of each observation beside the robot's own."""
    success_threshold: ClassVar[str]
    """The success rule in words, with units, for the task card."""

    for_people: ClassVar[bool] = False
    """Whether it is made for the user study alone; `demos record --all` leaves it out."""
    task_options: ClassVar[dict[str, str]] = {}
    """What can be chosen about the scene: each option's name and what it says."""

    robot_observations: ClassVar[dict[str, tuple[int, str]]] = {
        "finger_positions": (11, "hand joint positions, [rad]"),
        "wrist_pose": (9, "position [m] and first two columns of the rotation matrix, world"),
    }

    def __init__(self, model: mujoco.MjModel, device: torch.device) -> None:
        self.model = model
        self.device = device
        self.wrist = model.site(robot.WRIST_SITE).id
        self.palm = model.site(robot.PALM_SITE).id
        start = torch.tensor(model.qpos0, dtype=torch.float32, device=device)
        start[: len(robot.HOME_ARM)] = torch.tensor(robot.HOME_ARM, device=device)
        fingers = torch.tensor(robot.HOME_FINGERS, device=device)
        start[len(robot.HOME_ARM) : len(robot.JOINTS)] = robot.hand_targets(fingers)
        self.start_qpos = start

    @classmethod
    def scene(cls) -> Path:
        """Path of the task's MJCF file."""
        return Path(__file__).parent / "scenes" / f"{cls.name.replace('-', '_')}.xml"

    @classmethod
    def load_model(cls, **options: str) -> mujoco.MjModel:
        """Compile the scene.

        Args:
            options: of `task_options`; those not given keep their defaults.

        Raises:
            UsageError: the task has no such option, or the option no such value.
        """
        for option in options:
            if option not in cls.task_options:
                raise unknown(f"option of the task '{cls.name}'", option, cls.task_options)
        return cls.build_scene(**options).compile()

    @classmethod
    def build_scene(cls, **options: str) -> mujoco.MjSpec:
        """Return the scene; a task with options has them as its keyword arguments."""
        return mujoco.MjSpec.from_file(str(cls.scene()))

    @cached_property
    def observation_layout(self) -> dict[str, int]:
        """Width of each observation, in the order in which they are concatenated."""
        entries = {**self.robot_observations, **self.task_observations}
        return {key: entries[key][0] for key in sorted(entries)}

    @classmethod
    def observation_units(cls) -> dict[str, str]:
        """What each observation means, with unit and frame."""
        entries = {**cls.robot_observations, **cls.task_observations}
        return {key: entries[key][1] for key in sorted(entries)}

    def arm_noise(self, seeds: Tensor) -> Tensor:
        """Start positions with a small random arm pose, the scene at rest. Shape (N, nq)."""
        qpos = self.start_qpos.repeat(seeds.shape[0], 1)
        spread = torch.full((len(robot.HOME_ARM),), ARM_NOISE, device=self.device)
        qpos[:, : len(robot.HOME_ARM)] += uniform(seeds, -spread, spread)
        return qpos

    def observe(self, physics: Physics) -> dict[str, Tensor]:
        """Return every observation, keyed as in `observation_layout`. Each (N, D)."""
        rotation = physics.bind("site_xmat")[:, self.wrist].view(-1, 3, 3)
        position = physics.bind("site_xpos")[:, self.wrist]
        own = {
            "finger_positions": physics.bind("qpos")[:, 6:17],
            "wrist_pose": torch.cat([position, rotation[:, :, 0], rotation[:, :, 1]], dim=-1),
        }
        return {**own, **self.observe_scene(physics)}

    def pose_of_body(self, physics: Physics, body: int) -> Tensor:
        """Position in m and first two columns of the rotation matrix, world. Shape (N, 9)."""
        rotation = physics.bind("xmat")[:, body].view(-1, 3, 3)
        return torch.cat(
            [physics.bind("xpos")[:, body], rotation[:, :, 0], rotation[:, :, 1]], dim=-1
        )

    @abstractmethod
    def start(self, seeds: Tensor) -> Tensor:
        """Return start positions drawn from the episodes' seeds. Shape (N, nq)."""

    @abstractmethod
    def observe_scene(self, physics: Physics) -> dict[str, Tensor]:
        """Return the entries of `task_observations`. Each (N, D)."""

    @abstractmethod
    def progress(self, physics: Physics) -> Tensor:
        """How much is done: 0 at the start, 1 at its end. Shape (N,).

        The environment reads at least 1 where `success` holds.
        """

    @abstractmethod
    def hand_distance(self, physics: Physics) -> Tensor:
        """Distance of the palm from what it has to grasp, in m. Shape (N,)."""

    @abstractmethod
    def success(self, physics: Physics) -> Tensor:
        """Whether the task is done. Shape (N,), bool."""

    def dense_reward(self, physics: Physics, progress: Tensor) -> Tensor:
        """`progress` − 1, at most 0, less 0.3·tanh(`hand_distance` / 0.3), in m.

        Never above 0, so that finishing always pays. A thing that was pushed away for good costs
        `FARTHEST` a step and no more: were it the whole distance, policies would first of all
        learn not to touch it. Shape (N,).
        """
        distance = FARTHEST * torch.tanh(self.hand_distance(physics) / FARTHEST)
        return (progress - 1.0).clamp_max(0.0) - distance

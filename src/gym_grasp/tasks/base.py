"""What makes a scene a task: start states, observation, rewards, success."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args, get_origin, get_type_hints

import mujoco
import torch
from torch import Tensor

from gym_grasp.errors import UsageError, unknown
from gym_grasp.physics.base import Physics
from gym_grasp.robots.robot import Robot
from gym_grasp.tasks import title
from gym_grasp.tasks.features import Feature, pose
from gym_grasp.tasks.random import uniform
from gym_grasp.tasks.scene import SCENES, load_scene

ARM_NOISE = 0.04
"""Half-width of the uniform noise on the arm's start pose, per joint, in rad."""
FARTHEST = 0.3
"""What the dense reward takes off at most for the distance of the hand, in m."""


@dataclass(frozen=True)
class Options:
    """What can be chosen about a task, by default nothing: fields with defaults.

    Fields that are a `Literal` take its values alone.
    """

    def __post_init__(self) -> None:
        """Raise `UsageError` for the first choice that does not exist."""
        for name, hint in get_type_hints(type(self)).items():
            if get_origin(hint) is Literal and getattr(self, name) not in get_args(hint):
                raise unknown(name, getattr(self, name), get_args(hint))


class Task(ABC):
    """One task over a batch of simulations; every method is batched and free of branches.

    A task holds the indices of its elements and no state of its own: what it says depends on the
    physics and, where it asks for some, on its memory, which the environment keeps.

    Args:
        model: the compiled scene, with the robot.
        device: where its constants live.
        robot: the robot in the scene.
        options: what was chosen about the task, an instance of its `Options`.
    """

    name: ClassVar[str]
    """As the command line knows it, e.g. `open-drawer`."""
    title: ClassVar[str]
    """As Gymnasium knows it, e.g. `OpenDrawer`; follows from the name."""
    version: ClassVar[int] = 0
    """Raised whenever observations, rewards, start states or dynamics change."""
    changelog: ClassVar[tuple[str, ...]] = ("first version",)
    """What each version changed, from 0 on."""
    summary: ClassVar[str]
    """What is to be done and when it counts as done, in a sentence or two."""
    success_threshold: ClassVar[str]
    """The success rule in words, with units, for the task card."""
    time_limit: ClassVar[float] = 20.0
    """Episode length at which it is truncated, in s: three times what a person takes. An episode
    ends at success; how long a policy takes, the limit does not say."""
    timestep: ClassVar[float] = 1 / 90
    """Duration of a physics step, in s; the paper's rate is 90 Hz."""
    for_people: ClassVar[bool] = False
    """Whether it is made for the user study alone; `demos record --all` leaves it out."""
    Options: ClassVar[type] = Options
    """What can be chosen about it: a frozen dataclass whose fields all have defaults."""
    things: ClassVar[tuple[str, ...]] = ()
    """Bodies that a hand takes hold of, or brings others to; demonstrations are multiplied in their
    frames, see `demos.multiply`."""
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Other worlds that a policy should cope with, beside `Perturbation`s: options by a name."""
    memory_size: ClassVar[int] = 0
    """Values that it remembers from step to step; see `remember`."""

    def __init__(
        self, model: mujoco.MjModel, device: torch.device, robot: Robot, options: Any = None
    ) -> None:
        self.model = model
        self.device = device
        self.robot = robot
        self.options = self.Options() if options is None else options
        self.indices = robot.indices(model)
        self.wrist = self.indices.wrist
        self.palm = self.indices.palm
        self.memory = torch.zeros(0, self.memory_size, device=device)
        """What it remembers; the environment puts its own tensor here. Shape (N, memory_size)."""
        start = torch.tensor(model.qpos0, dtype=torch.float32, device=device)
        start[self.indices.arm] = torch.tensor(robot.arm.home, device=device)
        drives = torch.tensor(robot.hand.home, device=device)
        start[self.indices.hand] = robot.hand.joint_targets(drives)
        self.start_qpos = start

    def __init_subclass__(cls) -> None:
        """Derive the title, and check that every version has its line in the changelog.

        Constants of a parent, which follow from the parent's `randomise`, go with it.
        """
        super().__init_subclass__()
        if "name" in vars(cls):
            cls.title = title(cls.name)
        if "randomise" in vars(cls) and "constants" not in vars(cls):
            cls.constants = Task.constants  # type: ignore[method-assign]  # not of other fields
        assert len(cls.changelog) == cls.version + 1, f"{cls.__name__}: a line for every version"
        assert "dense_reward" not in vars(cls), f"{cls.__name__}: define reward_terms instead"

    # The scene ----------------------------------------------------------------------------------

    @classmethod
    def scene(cls) -> Path:
        """Path of the task's MJCF file; by default the shipped one of its name."""
        return SCENES / f"{cls.name.replace('-', '_')}.xml"

    @classmethod
    def choose(cls, options: Mapping[str, Any]) -> Any:
        """Return an instance of `Options` with the given values.

        Raises:
            UsageError: the task has no such option, or the option no such value.
        """
        if not isinstance(options, Mapping):
            raise UsageError(
                f"The options of the task '{cls.name}' are {options!r}; expected names with values."
            )
        known = asdict(cls.Options())
        chosen = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
        for option, value in chosen.items():
            if option not in known:
                raise unknown(f"option of the task '{cls.name}'", option, known)
            if not isinstance(value, type(known[option])):
                raise UsageError(
                    f"The option '{option}' of the task '{cls.name}' is {value!r}; expected "
                    f"{type(known[option]).__name__}, such as {known[option]!r}."
                )
        return cls.Options(**chosen)

    @classmethod
    def build_scene(cls, options: Any) -> mujoco.MjSpec:
        """Return the scene without the robot, as the options want it."""
        return load_scene(cls.scene())

    @classmethod
    def held_out(cls, options: Any) -> bool:
        """Whether something chosen is kept for evaluation; training refuses it."""
        return False

    @classmethod
    def build(cls, robot: Robot, options: Any = None) -> mujoco.MjSpec:
        """Return the whole scene, ready to compile.

        Raises:
            UsageError: the scene cannot be read, or an option has no such value.
        """
        scene = cls.build_scene(cls.Options() if options is None else options)
        scene.option.timestep = cls.timestep
        robot.attach(scene)
        return scene

    # Observations -------------------------------------------------------------------------------

    @classmethod
    def features(cls, robot: Robot, options: Any = None) -> dict[str, Feature]:
        """Return every observation, keyed as `observe` returns them, keys sorted."""
        own = {
            "finger_positions": Feature("hand joint positions", "rad", robot.hand.joints),
            "wrist_pose": pose("wrist"),
        }
        scene = cls.scene_features(cls.Options() if options is None else options)
        return dict(sorted({**own, **scene}.items()))

    @property
    def thing_bodies(self) -> list[int]:
        """Numbers of the bodies `things` in the scene."""
        return [self.model.body(name).id for name in self.things]

    @classmethod
    @abstractmethod
    def scene_features(cls, options: Any) -> dict[str, Feature]:
        """Return the observations beside the robot's own."""

    def arm_noise(self, seeds: Tensor) -> Tensor:
        """Start positions with a small random arm pose, the scene at rest. Shape (N, nq)."""
        qpos = self.start_qpos.repeat(seeds.shape[0], 1)
        spread = torch.full((len(self.robot.arm.joints),), ARM_NOISE, device=self.device)
        qpos[:, self.indices.arm] += uniform(seeds, -spread, spread)
        return qpos

    def observe(self, physics: Physics) -> dict[str, Tensor]:
        """Return every observation, keyed as in `features`. Each (N, …)."""
        own = {
            "finger_positions": physics.bind("qpos")[:, self.indices.hand],
            "wrist_pose": self.pose_of_site(physics, self.wrist),
        }
        return {**own, **self.observe_scene(physics)}

    def pose_of_body(self, physics: Physics, body: int) -> Tensor:
        """Position in m and first two columns of the rotation matrix, world. Shape (N, 9)."""
        rotation = physics.bind("xmat")[:, body].view(-1, 3, 3)
        return torch.cat(
            [physics.bind("xpos")[:, body], rotation[:, :, 0], rotation[:, :, 1]], dim=-1
        )

    def pose_of_site(self, physics: Physics, site: int) -> Tensor:
        """Position in m and first two columns of the rotation matrix, world. Shape (N, 9)."""
        rotation = physics.bind("site_xmat")[:, site].view(-1, 3, 3)
        return torch.cat(
            [physics.bind("site_xpos")[:, site], rotation[:, :, 0], rotation[:, :, 1]], dim=-1
        )

    @abstractmethod
    def start(self, seeds: Tensor) -> Tensor:
        """Return the start positions (qpos) that follow from the episodes' seeds.

        Args:
            seeds: int64, shape (N,); equal seeds give equal positions, whatever N is.

        Returns:
            In MuJoCo's order and units. Shape (N, nq).
        """

    def randomise(self, seeds: Tensor) -> dict[str, Tensor]:
        """Return model fields for the episodes of these seeds, each (N, …); by default none.

        Names are MjModel's, e.g. `geom_friction`; see `Physics.set_field`. The same names come for
        all seeds.
        """
        return {}

    def constants(self, seeds: Tensor) -> dict[str, Tensor] | None:
        """Return what MuJoCo derives from the fields of `randomise`, each (N, …); see `put_fields`.

        Without it, None, the engine derives it, which costs a GPU about as much as a physics step:
        a task that knows what changes says so. Empty where nothing does.
        """
        return None

    def remember(self, physics: Physics) -> Tensor:
        """Return what is to be remembered after a step. Shape (N, memory_size).

        Called once a control step, before the step is judged; `memory` holds what it returned
        before, and zeros at the start of an episode.
        """
        return self.memory

    @abstractmethod
    def observe_scene(self, physics: Physics) -> dict[str, Tensor]:
        """Return the observations of `scene_features`. Each (N, …)."""

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

    def spilled(self, physics: Physics) -> Tensor | None:
        """Share of what is to be poured that lies elsewhere, (N,); None: there is nothing."""
        return None

    def lost(self, physics: Physics) -> Tensor:
        """Whether nothing can mend what happened: the task can no longer be done. (N,), bool.

        Episodes go on all the same; the user study ends its trials by it.
        """
        return torch.zeros(len(physics.bind("qpos")), dtype=torch.bool, device=self.device)

    def reward_terms(self, physics: Physics, progress: Tensor) -> dict[str, Tensor]:
        """`progress` − 1, at most 0, less 0.3·tanh(`hand_distance` / 0.3), in m.

        Never above 0, so that finishing always pays. A thing that was pushed away for good costs
        `FARTHEST` a step and no more: were it the whole distance, policies would first of all
        learn not to touch it.

        Args:
            physics: the simulations.
            progress: of this step, shape (N,).

        Returns:
            The terms, by name, of which the dense reward is the sum; each (N,).
        """
        distance = FARTHEST * torch.tanh(self.hand_distance(physics) / FARTHEST)
        return {"progress": (progress - 1.0).clamp_max(0.0), "hand_distance": -distance}

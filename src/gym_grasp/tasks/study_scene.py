"""StudyScene: cubes to stack, a door to open and a cup to pour, all on one table."""

from dataclasses import dataclass
from typing import Any

import mujoco
import torch
from torch import Tensor

from gym_grasp.errors import unknown
from gym_grasp.physics.base import Physics
from gym_grasp.robots.robot import Robot
from gym_grasp.tasks.base import Task
from gym_grasp.tasks.features import Feature
from gym_grasp.tasks.open_door import OpenDoor
from gym_grasp.tasks.pour_cup import PourCup
from gym_grasp.tasks.stack_cubes import StackCubes

PARTS: tuple[type[Task], ...] = (StackCubes, OpenDoor, PourCup)
"""The tasks that the scene holds; the door stands where it stands in its own."""
MOVES = {"cube": (-0.13, -0.35, 0.0), "bowl cup particle": (-0.04, 0.37, 0.0)}
"""How far the bodies with these words in their names stand from where they do in their own scene,
in m: the cubes to the right of the opening door, the vessels to its left."""
VIEW = ((0.02, -1.2, 1.3), (0.9231, -0.3846, 0.0, 0.2609, 0.6261, 0.7348))
"""From where everything is seen: position in m, x and y axes of the cameras."""
ALL = "all"
"""Goal of whoever does all three tasks."""
GOALS = (ALL, *(part.name for part in PARTS))


@dataclass(frozen=True)
class StudyOptions:
    """What can be chosen about StudyScene."""

    goal: str = ALL
    """What counts: `all` three tasks, or the only one named `stack-cubes`, `open-door` or
    `pour-cup`, as in a trial of the study."""

    def __post_init__(self) -> None:
        """Raise `UsageError` for a goal that does not exist."""
        if self.goal not in GOALS:
            raise unknown("goal", self.goal, GOALS)


class StudyScene(Task):
    """The scene of the user study: three tasks, to be done in any order, or one of them."""

    name = "study-scene"
    version = 6
    changelog = (
        "first version",
        "the cup of PourCup v1",
        "joints keep their speed limits; coupled fingers; self-collision; a solid floor",
        "the arm stays within reach and gentle; operators move as people do; the cup of PourCup v3",
        "the cup of PourCup v4; the operator opens the door last",
        "fingers grip with .95 × their torque; palm and arm press furniture softer",
        "softer where friction holds a fingertip, or joints of the arm cancel out",
    )
    summary = (
        "Stack the cubes, open the door and pour the particles into the bowl, in any order. Done "
        "when all three are."
    )
    success_threshold = (
        "the ends of StackCubes, OpenDoor and PourCup, all at once; of one with `goal`"
    )
    Options = StudyOptions
    time_limit = 180.0
    for_people = True
    things = tuple(thing for part in PARTS for thing in part.things)

    def __init__(
        self, model: mujoco.MjModel, device: torch.device, robot: Robot, options: Any = None
    ) -> None:
        super().__init__(model, device, robot, options)
        self.parts = [part(model, device, robot) for part in PARTS]
        goal = self.options.goal
        self.wanted = [part for part in self.parts if goal in (ALL, part.name)]
        """What counts."""
        counts = [float(part in self.wanted) for part in self.parts]
        self.shares = torch.tensor(counts, device=device) / len(self.wanted)

    @classmethod
    def build_scene(cls, options: Any) -> mujoco.MjSpec:
        scene = super().build_scene(options)
        for body in scene.worldbody.bodies:
            for words, offset in MOVES.items():
                if any(word in body.name for word in words.split()):
                    body.pos += offset
        for camera in scene.cameras:
            camera.pos, camera.alt.xyaxes = VIEW
        return scene

    def start(self, seeds: Tensor) -> Tensor:
        """Cubes and cup as in their own tasks, the door shut, and a slightly random arm."""
        qpos = self.start_qpos.repeat(seeds.shape[0], 1)
        for index, part in enumerate(self.parts):
            own = part.start(seeds + index)  # another seed each, or cubes and cup moved alike
            qpos = torch.where(own != self.start_qpos, own, qpos)
        return qpos

    def parts_done(self, physics: Physics) -> Tensor:
        """Progress of each part, 0 to 1. Shape (N, 3)."""
        progress = torch.stack([part.progress(physics) for part in self.parts], dim=-1)
        done = torch.stack([part.success(physics) for part in self.parts], dim=-1)
        return torch.where(done, 1.0, progress.clamp(0.0, 1.0))

    @classmethod
    def scene_features(cls, options: Any) -> dict[str, Feature]:
        poses = {k: v for part in PARTS for k, v in part.scene_features(part.Options()).items()}
        done = Feature("progress of each part, 0 to 1", "1", ("cubes", "door", "pouring"))
        return {**poses, "parts_done": done}

    def observe_scene(self, physics: Physics) -> dict[str, Tensor]:
        poses = {k: v for part in self.parts for k, v in part.observe_scene(physics).items()}
        return {**poses, "parts_done": self.parts_done(physics)}

    def progress(self, physics: Physics) -> Tensor:
        """Mean of the progress of the parts that count."""
        return (self.parts_done(physics) * self.shares).sum(-1)

    def hand_distance(self, physics: Physics) -> Tensor:
        """Distance from the nearest thing to grasp of what is left to do."""
        distance = torch.stack([part.hand_distance(physics) for part in self.wanted], dim=-1)
        left = torch.stack([~part.success(physics) for part in self.wanted], dim=-1)
        nearest = torch.where(left, distance, torch.inf).amin(-1)
        return torch.where(left.any(-1), nearest, 0.0)

    def success(self, physics: Physics) -> Tensor:
        return torch.stack([part.success(physics) for part in self.wanted]).all(0)

    def lost(self, physics: Physics) -> Tensor:
        return torch.stack([part.lost(physics) for part in self.wanted]).any(0)

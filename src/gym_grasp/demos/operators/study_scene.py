"""How a hand does the three tasks of the study one after another."""

import numpy as np

from gym_grasp.demos.operators import open_door, pour_cup, stack_cubes
from gym_grasp.demos.operators.human import FLAT, OPEN_HAND, Human, Script
from gym_grasp.tasks.study_scene import ALL

ABOVE = np.array([0.0, 0.0, 0.12])
"""How far the hand rises from what it has done, in m."""
ASIDE = np.array([-0.02, -0.10, 0.0])
"""How it lets go of the cup, in m."""
REST = np.array([0.36, 0.0, 0.34])
"""Where the wrist is before each of its tasks, world, in m."""
LOOK = 1.0
"""How long it looks whether its task is done, in s."""
IN_BOWL = (0.08, 0.05)
"""Horizontal distance from the bowl's middle and height of what lies in it, at most, in m."""
POURED = 0.9
"""Share of the particles in the bowl with which it is content."""

ONE = {
    "stack-cubes": (stack_cubes.script, "cube"),
    "open-door": (open_door.script, "lever"),
    "pour-cup": (pour_cup.script, "cup"),
}
"""What it does where one task counts alone, and what it takes hold of; see `robots.grasps`."""


def script(human: Human) -> Script:
    """Do the task that counts, again and again until it is over; or all three."""
    goal = human.task.options.goal
    for task, (_, kind) in ONE.items():
        if goal in (ALL, task):
            human.grasp(kind)  # a hand that has none is refused before it begins
    if goal == ALL:
        yield from everything(human)
    while goal != ALL:
        human.care = 0.0
        yield from human.move(REST, FLAT, OPEN_HAND, through=0.8)
        yield from ONE[goal][0](human)
        yield from human.wait(LOOK)
        yield from retreat(human)


def everything(human: Human) -> Script:
    """Pour, put the cup back, stack; then the door, which a hand that lets go would push back."""
    human.care = 0.0
    yield from human.move(REST, FLAT, OPEN_HAND, through=0.8)
    place = human.see_body("cup")[0] + pour_cup.wrist_from_cup(human)
    bodies = [human.model.body(index).name for index in range(human.model.nbody)]
    particles = [body for body in bodies if body.startswith("particle")]
    for _ in pour_cup.script(human):
        yield
        if poured(human, particles):
            break
    human.care = 0.5
    yield from human.move(place + ABOVE, pour_cup.ON_EDGE)
    yield from human.move(place, pace=0.7)
    yield from human.move(fingers=OPEN_HAND)
    yield from human.move(place + ASIDE)
    yield from retreat(human)
    yield from stack_cubes.script(human)
    yield from retreat(human)
    yield from open_door.script(human)


def poured(human: Human, particles: list[str]) -> bool:
    """Whether nearly all of the particles are seen in the bowl."""
    bowl, _ = human.see_body("bowl")
    offsets = [human.see_body(name)[0] - bowl for name in particles]
    inside = [np.hypot(x, y) < IN_BOWL[0] and z < IN_BOWL[1] for x, y, z in offsets]
    return float(np.mean(inside)) >= POURED


def retreat(human: Human) -> Script:
    """Rise off what has been done and take the open hand to where it rests."""
    yield from human.move(human.position + ABOVE, fingers=OPEN_HAND, pace=0.7)
    human.care = 0.0
    yield from human.move(REST, FLAT, OPEN_HAND, through=0.8)

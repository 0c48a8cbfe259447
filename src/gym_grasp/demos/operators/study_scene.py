"""How a hand does the three tasks of the study one after another."""

import numpy as np

from gym_grasp.demos.operators import open_door, pour_cup, stack_cubes
from gym_grasp.demos.operators.bar import BACK, BENT, about_z
from gym_grasp.demos.operators.human import FLAT, OPEN_HAND, Human, Script

ABOVE = np.array([0.0, 0.0, 0.12])
"""How far the hand rises from what it has done, in m."""
ASIDE = np.array([-0.02, -0.10, 0.0])
"""How it lets go of the cup, in m."""
REST = np.array([0.36, 0.0, 0.34])
"""Where the wrist is before it reaches for the cup and for the handle, world, in m."""
BEFORE_CUBES = np.array([0.30, -0.38, 0.34])
"""The same before the cubes, on that side of the open door where the hand then is."""
IN_BOWL = (0.08, 0.05)
"""Horizontal distance from the bowl's middle and height of what lies in it, at most, in m."""
POURED = 0.9
"""Share of the particles in the bowl with which it is content."""


def script(human: Human) -> Script:
    """Pour, put the cup back, open the door, stack: nothing is left where the arm passes later."""
    human.care = 0.0
    yield from human.move(REST, FLAT, OPEN_HAND, through=0.8)
    place = human.see_body("cup")[0] + pour_cup.FROM_CUP
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
    yield from retreat(human, REST, OPEN_HAND)
    yield from open_door.script(human)
    # Off the lever on this side of the door, from where the arm has been able to follow.
    away = human.feel_wrist() + about_z(BACK, human.see_joint("door"))
    yield from human.move(away, fingers=BENT)
    yield from retreat(human, BEFORE_CUBES, BENT)
    yield from stack_cubes.script(human)


def poured(human: Human, particles: list[str]) -> bool:
    """Whether nearly all of the particles are seen in the bowl."""
    bowl, _ = human.see_body("bowl")
    offsets = [human.see_body(name)[0] - bowl for name in particles]
    inside = [np.hypot(x, y) < IN_BOWL[0] and z < IN_BOWL[1] for x, y, z in offsets]
    return float(np.mean(inside)) >= POURED


def retreat(human: Human, place: np.ndarray, fingers: np.ndarray) -> Script:
    """Rise off what was held with the fingers so, then take the open hand to a place."""
    yield from human.move(human.position + ABOVE, fingers=fingers, pace=0.7)
    human.care = 0.0
    yield from human.move(place, FLAT, OPEN_HAND, through=0.8)

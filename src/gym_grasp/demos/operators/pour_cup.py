"""How a hand pours: grasp the cup from its right side, carry it to the bowl, turn the hand over."""

from dataclasses import dataclass

import numpy as np

from gym_grasp.demos.operators.human import (
    FLAT,
    INERTIA,
    OPEN_HAND,
    Human,
    Script,
    between,
    limit,
    tilt,
)
from gym_grasp.math.rotations import np_from_rotvec, np_rotate


@dataclass(frozen=True)
class Way:
    """How the cup is turned over."""

    pace: float
    """Speed of turning, as a share of the operator's own."""
    height: float
    """How much higher the mouth is held, in m."""
    pause: tuple[float, float] = (0.0, 0.0)
    """Between which tilts, in rad, the hand lets the particles run and hardly turns on."""


WAYS = {
    "at once": Way(1.0, 0.0),
    "in two steps": Way(1.0, 0.0, (0.9, 1.05)),
    "from higher up": Way(0.95, 0.03),
}
"""Strategies."""
TURN = 1.5
"""Fastest turning of an expert, in rad/s; a novice has 0.6 of it."""
CARRY = 2.2
"""Speed of carrying in relation to a reach's: the cup slowly slips out of the hand."""
ON_EDGE = tilt(tilt(FLAT, (1.0, 0.0, 0.0), np.pi / 2), (0.0, 1.0, 0.0), 0.12)
"""Wrist orientation of the grasp: palm to the left, thumb above, fingers along x and a little down:
a level arm, whose housings keep off the table, would hold the cup by its rim."""
RELAXED = np.array([0.65, 0.06, 0.1, 0.1, 0.1])
"""Flexions on the way to the cup; the thumb lies half beside the palm."""
BESIDE = np.array([0.0, -0.095, 0.0])
"""Where the approach ends before the hand moves in, from there, in m."""
ABOVE = np.array([0.0, 0.0, 0.08])
"""How much higher the approach comes, in m."""
REACH = 0.04
"""How far the wrist may be from the place of the grasp, horizontally, to hold the cup, in m."""
LOST = 0.25
"""Distance of wrist and cup's bottom from which the cup has slipped away, in m."""
EASE = 0.4
"""Speed of turning while the particles run, as a share."""
PAST = (0.05, 0.08)
"""How far a careless hand carries the cup too far, in m."""
SEEN = 0.04
"""How near it comes to there before it sees that, in m."""

MOUTH = np.array([0.0, 0.0, 0.115])
"""Middle of the cup's mouth, in its own frame, in m."""
POUR_FROM = np.array([0.0, -0.04, 0.145])
"""Where the mouth is held while pouring, from the bowl's bottom, world, in m."""
CLEARANCE = 0.6
"""How much higher it is held while the cup is upright, as a share of the cup's height."""
RISE = (0.125, 0.185)
"""Heights of the mouth between which the hand begins to move sideways, in m."""
NEAR = (0.15, 0.03)
"""Horizontal distances from there between which the cup is tilted, in m."""
TILT = 2.4
"""How far the cup is tilted over the bowl, in rad."""
MOST_TURN = 2.9
"""How far the hand turns over at most, in rad."""
GAIN = 3.0
"""Speed per distance while carrying, in 1/s."""


def script(human: Human) -> Script:
    """Reach and close; carry and pour if the cup is in the hand, else open and try again."""
    rng = human.rng
    way = WAYS[human.choose(*WAYS)]
    mistake = human.err("closes too early", "carries too far")
    held, from_cup = human.grasp("cup"), wrist_from_cup(human)
    bent = held.ready - OPEN_HAND  # at most while closing in; the cup still fits
    ready = OPEN_HAND + bent * np.array([0.0, rng.random(), *[rng.random()] * 3])
    for attempt in range(4):
        cup, orientation = human.see_body("cup")
        if np_rotate(orientation, MOUTH)[2] < 0.9 * MOUTH[2]:
            return  # it lies on its side
        cup[2] = 0.0  # where it stands, even if it is seen falling
        grasp = cup + from_cup + [rng.uniform(-0.004, 0.004), 0.0, rng.uniform(-0.004, 0.006)]
        if mistake == "closes too early" and attempt == 0:
            grasp = grasp + [0.0, rng.uniform(-0.085, -0.070), 0.0]
        hand = tilt(ON_EDGE, (0, 0, 1), rng.uniform(-0.06, 0.06))
        hand = tilt(hand, (1, 0, 0), rng.uniform(-0.05, 0.05))
        beside = cup + from_cup + BESIDE + rng.uniform(-1, 1, 3) * [0.012, 0.02, 0.01]
        human.care = 0.1
        if attempt == 0:
            arc = rng.uniform(0.0, 0.04)
            yield from human.move(human.aim(beside + ABOVE), hand, RELAXED, arc=arc, pace=0.6)
        yield from human.move(human.aim(beside), hand, ready, pace=0.7, through=0.9)
        human.care = 0.65
        yield from human.move(human.aim(grasp), hand, ready, pace=0.45, through=0.85)
        yield from human.move(grasp, hand, held.grip, pace=0.7, through=0.95)
        if np.linalg.norm((hold(human) - from_cup)[:2]) < REACH:
            past = rng.uniform(*PAST) if mistake == "carries too far" and attempt == 0 else 0.0
            yield from pour(human, way, past)
        if np.linalg.norm(hold(human)) < LOST and human.see_body("cup")[0][2] > 0.1:
            return
        human.mistakes += 1
        yield from human.move(human.position + [0.0, -0.02, 0.0], hand, ready, through=0.8)


def wrist_from_cup(human: Human) -> np.ndarray:
    """Wrist from the cup's bottom while grasping it, world, in m. Shape (3,)."""
    return -np_rotate(ON_EDGE, human.grasp("cup").place)


def hold(human: Human) -> np.ndarray:
    """Wrist from the cup's bottom as seen, world, in m. Shape (3,)."""
    return human.see_wrist()[0] - human.see_body("cup")[0]


def pour(human: Human, how: Way, past: float = 0.0) -> Script:
    """Lead the cup's mouth over the bowl and turn it over, until the cup is lost from the hand.

    Args:
        human: whose hand holds the cup.
        how: it pours.
        past: how far beyond the bowl it carries the cup first, in m.

    What the hand does follows from where it sees the cup: up first, then sideways, and tilted the
    further the closer the mouth is to the bowl. The particles are out before it has turned over.
    """
    rng, period = human.rng, human.history.period
    goal = human.see_body("bowl")[0] + POUR_FROM + rng.normal(0.0, 0.005, 3)
    goal[2] += how.height
    pace = how.pace * TURN * (0.6 + 0.4 * human.traits.skill)
    human.care = 0.8
    velocity, turning, turned, lean = np.zeros(3), 0.0, 0.0, 0.0
    while lean < TILT - 0.1 and np.linalg.norm(hold(human)) < LOST:
        cup, orientation = human.see_body("cup")
        up = np_rotate(orientation, MOUTH)
        mouth = cup + up
        haste = human.haste()
        way = goal + [0.0, past, 0.0] - mouth
        way[2] += CLEARANCE * max(0.0, up[2])  # over the bowl's rim
        wanted = GAIN * way
        wanted[:2] *= between(mouth[2], *RISE)
        velocity += (
            (limit(wanted, haste * CARRY * human.traits.speed) - velocity) * period / INERTIA
        )
        lean = np.arctan2(up[1], up[2])
        far = float(np.linalg.norm(way[:2]))
        if past and far < SEEN:
            past = 0.0
            human.mistakes += 1
        missing = (0.0 if past else TILT * between(far, *NEAR)) - lean
        run = EASE if how.pause[0] < lean < how.pause[1] else 1.0
        turn = haste * run * pace * np.clip(missing / 0.4, -1.0, 1.0)
        turning += (turn - turning) * period / INERTIA
        turn = min(turning * period, MOST_TURN - turned)
        turned += turn
        # The hand turns about the mouth.
        arm = human.see_wrist()[0] - mouth
        around = np_rotate(np_from_rotvec(np.array([-turn, 0.0, 0.0])), arm) - arm
        human.position = human.position + velocity * period + around
        human.quaternion = tilt(human.quaternion, (1, 0, 0), -turn)
        yield from human.wait(0.0)

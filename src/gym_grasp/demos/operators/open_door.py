"""How a hand opens the door: take hold of the lever, press it down, and pull."""

import numpy as np

from gym_grasp.demos.operators.bar import BACK, about_z, facing, take_hold
from gym_grasp.demos.operators.human import FLAT, Human, Script, tilt
from gym_grasp.math.rotations import np_rotate

PRESS = np.array([0.0, 0.004, -0.055])
"""How the wrist goes down with the lever, in m."""
ROLL = 0.35
"""How far the hand rolls with the lever, in rad."""
PRESSED = 0.44
"""Lever angle, in rad, that an operator takes for pressed; the latch lets go at about 0.35."""
PUSHES = 2
"""How often the hand goes down so at most, one time after another."""
MISSED = 0.1
"""Lever angle, in rad, below which the hand has missed the lever."""
SWING = 1.05
"""Door angle to which the hand means to pull, in rad."""
FOLLOW = 0.6
"""How far the hand turns with a door that faces the robot, as a share, and with another to the same
place: a wrist turned further runs out of its way."""
LET_GO = 0.75
"""Share of the fingers' way back after which the hand withdraws: bent ones would lift the lever,
straight ones wedge between it and the door."""
STUCK = 0.05
"""Door angle, in rad, below which it counts as still latched."""
RELEASED = (0.15, 0.45)
"""Door angles, in rad, between which a hand that pulls carelessly slips off the lever."""
OPENED = 0.75
"""Door angle, in rad, at which an operator takes the door for open."""


def script(human: Human) -> Script:
    """Reach, close, press, swing; look whether the door follows, and try again where not."""
    rng = human.rng
    way = human.choose_grasp("lever")
    mistake = human.err("closes too early", "presses too little", "slips off")
    for attempt in range(4):
        wrong = mistake if attempt == 0 else ""
        yaw = human.see_joint("door") + facing(human, "frame")
        offset = -np_rotate(FLAT, way.place) + [0.0, rng.uniform(-0.01, 0.01), 0.0]
        if wrong == "closes too early":
            offset = offset + [rng.uniform(-0.085, -0.065), 0.0, rng.uniform(-0.01, 0.01)]
        grasp = human.see_site("handle") + about_z(offset, yaw)
        wrist = tilt(FLAT, (0, 0, 1), yaw + rng.uniform(-0.1, 0.1))
        wrist = tilt(wrist, (0, 1, 0), rng.uniform(-0.06, 0.06))
        yield from take_hold(human, way, grasp, wrist, yaw)
        for enough in (0.2 if wrong == "presses too little" else PRESSED, PRESSED):
            if human.see_joint("door") < STUCK:
                yield from press(human, enough)
            if human.see_joint("lever") < MISSED and human.see_joint("door") < STUCK:
                break  # the hand went down beside the lever
            off = rng.uniform(*RELEASED) if wrong == "slips off" else SWING
            yield from swing(human, off)
            yield from human.watch("door", min(off, OPENED))
            if human.see_joint("door") > STUCK:
                break
            human.mistakes += 1  # still latched, the hand still on the lever: press further
        if human.see_joint("door") > OPENED:
            return
        human.mistakes += 1
        back = about_z(BACK, yaw)
        yield from human.move(human.feel_wrist(), fingers=way.ready, through=LET_GO)
        yield from human.move(human.position + back, level(human.quaternion), way.ready, pace=0.8)


def level(quaternion: np.ndarray) -> np.ndarray:
    """Return the flat hand whose fingers point where those of this one do, seen from above."""
    x, y, _ = np_rotate(quaternion, np.array([0.0, 0.0, 1.0]))
    return tilt(FLAT, (0, 0, 1), float(np.arctan2(y, x)))


def press(human: Human, enough: float) -> Script:
    """Push the lever down until it looks turned by `enough`, in rad, and on where it is not yet."""
    yaw = human.see_joint("door") + facing(human, "frame")
    x, y, z = about_z(np.array([1.0, 0.0, 0.0]), yaw)
    rolled = tilt(human.quaternion, (x, y, z), ROLL)
    for _ in range(PUSHES):
        yield from human.move(
            human.position + about_z(PRESS, yaw),
            rolled,
            pace=0.6,
            until=lambda: human.see_joint("lever") > enough,
        )
        yield from human.watch("lever", enough)
        if not MISSED < human.see_joint("lever") < enough:
            return


def swing(human: Human, off: float) -> Script:
    """Lead the grip around the hinge until the door is open, stays behind or, at `off` rad, slips.

    The hand that slips off lets go.
    """
    hinge, _ = human.see_body("door")
    handle = human.see_site("handle")
    bar, arm = handle - hinge, human.position - handle
    first, turned = human.see_joint("door"), human.quaternion.copy()
    follow = FOLLOW - (facing(human, "frame") + first) / SWING
    relief = human.feel_wrist() - human.position  # it stops pushing against what it holds
    length = (SWING - first) * float(np.linalg.norm((bar + arm)[:2]))
    step = 0.8 * human.traits.speed * human.history.period / length
    s = 0.0
    while s < 1.0 and human.see_joint("door") < off:
        s = min(1.0, s + human.haste() * step)
        angle = (SWING - first) * s**3 * (10 - 15 * s + 6 * s * s)
        behind = human.see_joint("door") - first < STUCK
        if angle > 0.25 and behind and (first < STUCK or human.see_joint("lever") < MISSED):
            return
        held = about_z(arm + relief * min(1.0, 4.0 * s), follow * angle)
        human.position = hinge + about_z(bar, angle) + held
        human.quaternion = tilt(turned, (0, 0, 1), follow * angle)
        yield from human.wait(0.0)

"""How a hand opens the door: hook the fingers over the lever, press it down, and pull."""

import numpy as np

from gym_grasp.demos.operators.human import FLAT, OPEN_HAND, Human, Script, tilt
from gym_grasp.math.rotations import np_rotate

HOOK = np.array([1.0, 0.1, 0.35, 0.35, 0.35])
"""Fingers bent to reach over the lever without touching the door."""
GRIP = np.array([1.0, 0.5, 0.75, 0.75, 0.65])
IN_HAND = np.array([-0.031, 0.039, 0.151])
"""Where the middle of the grip lies in the hand that is hooked over it, palm frame, in m."""
CLEARANCE = np.array([-0.03, 0.0, 0.07])
"""Where the approach ends before the hand is lowered, from there, in m."""
PRESS = np.array([0.0, 0.004, -0.055])
"""How the wrist goes down with the lever, in m."""
ROLL = 0.35
"""How far the hand rolls with the lever, in rad."""
PRESSED = 0.44
"""Lever angle, in rad, that an operator takes for pressed; the latch lets go at about 0.35."""
MISSED = 0.1
"""Lever angle, in rad, below which the hand has missed the lever."""
SWING = 1.05
"""Door angle to which the hand means to pull, in rad."""
FOLLOW = 0.7
"""How far the hand turns with the door, as a share: a wrist turned further runs out of its way."""
STUCK = 0.05
"""Door angle, in rad, below which it counts as still latched."""
MISTAKE = 0.08
"""Share of the attempts that begin badly: half reach too short, half press too little."""


def script(human: Human) -> Script:
    """Reach, hook, close, press, swing; look whether the door follows, and try again where not."""
    rng = human.rng
    bad = rng.random() < MISTAKE
    short, weak = (bad, False) if rng.random() < 0.5 else (False, bad)
    for attempt in range(4):
        yaw = human.see_joint("door") + facing(human, "frame")
        offset = -np_rotate(FLAT, IN_HAND) + [0.0, rng.uniform(-0.01, 0.01), 0.0]
        if short and attempt == 0:
            offset = offset + [rng.uniform(-0.075, -0.055), 0.0, rng.uniform(-0.01, 0.01)]
        grasp = human.see_site("handle") + about_z(offset, yaw)
        clear = about_z(CLEARANCE, yaw)
        wrist = tilt(FLAT, (0, 0, 1), yaw + rng.uniform(-0.1, 0.1))
        wrist = tilt(wrist, (0, 1, 0), rng.uniform(-0.06, 0.06))
        human.care = 0.0
        arc = rng.uniform(0.0, 0.05)
        yield from human.move(human.aim(grasp + clear), wrist, HOOK, arc=arc, through=0.8)
        human.care = 0.5
        yield from human.move(human.aim(grasp), wrist, HOOK, pace=0.6, through=0.9)
        yield from human.move(fingers=GRIP)
        for enough in (0.2 if weak and attempt == 0 else PRESSED, PRESSED):
            yield from press(human, enough)
            if human.see_joint("lever") < MISSED:
                break  # the hand went down beside the lever
            yield from swing(human)
            if human.see_joint("door") > STUCK:
                break
            human.mistakes += 1  # still latched, the hand still on the lever: press further
        if human.see_joint("door") > 0.75:
            return
        human.mistakes += 1
        yield from human.move(human.position + [-0.02, 0.0, 0.07], fingers=OPEN_HAND)


def press(human: Human, enough: float) -> Script:
    """Push the lever down until it looks turned by `enough`, in rad."""
    yaw = human.see_joint("door") + facing(human, "frame")
    x, y, z = about_z(np.array([1.0, 0.0, 0.0]), yaw)
    yield from human.move(
        human.position + about_z(PRESS, yaw),
        tilt(human.quaternion, (x, y, z), ROLL),
        pace=0.6,
        until=lambda: human.see_joint("lever") > enough,
    )


def swing(human: Human) -> Script:
    """Lead the wrist around the door's hinge until it is open, or until the door stays behind."""
    hinge, _ = human.see_body("door")
    arm = human.position - hinge
    first, turned = human.see_joint("door"), human.quaternion.copy()
    relief = human.feel_wrist() - human.position  # it stops pushing against what it holds
    length = (SWING - first) * float(np.linalg.norm(arm[:2]))
    steps = max(1, round(length / (0.9 * human.traits.speed * human.history.period)))
    for step in range(1, steps + 1):
        s = step / steps
        angle = (SWING - first) * s**3 * (10 - 15 * s + 6 * s * s)
        if angle > 0.25 and human.see_joint("door") - first < STUCK:
            return
        human.position = hinge + about_z(arm + relief * min(1.0, 4.0 * s), angle)
        human.quaternion = tilt(turned, (0, 0, 1), FOLLOW * angle)
        yield from human.wait(0.0)


def facing(human: Human, furniture: str) -> float:
    """Angle, in rad, by which a piece of furniture looks turned about the vertical."""
    _, (w, _, _, z) = human.see_body(furniture)
    return float(2 * np.arctan2(z, w))


def about_z(vector: np.ndarray, angle: float) -> np.ndarray:
    """Turn a vector by `angle` rad about the world's z axis. Shape (3,)."""
    cosine, sine = np.cos(angle), np.sin(angle)
    x, y, z = vector
    return np.array([cosine * x - sine * y, sine * x + cosine * y, z])

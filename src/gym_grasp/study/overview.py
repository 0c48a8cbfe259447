"""What the experimenter alone sees of a participant's session, as plain values for the page."""

from typing import Any

from gym_grasp.study.conductor import Conductor
from gym_grasp.study.flow import Kind, key_of


def overview_of(conductor: Conductor) -> dict[str, Any]:
    """Return who takes part, how far they are, and what became of every trial."""
    progress = conductor.progress
    rows = [
        {
            "key": step.key,
            "kind": step.kind,
            "condition": step.condition,
            "outcome": progress.outcome(step),
            "seconds": progress.ended.get(step.key, {}).get("seconds"),
            "attempt": progress.attempts.get(step.key, 0),
        }
        for step in progress.steps
        if step.kind is not Kind.ITEM
    ]
    items = [step for step in progress.steps if step.kind is Kind.ITEM]
    return {
        "participant": conductor.participant,
        "step": key_of(conductor.step),
        "condition": conductor.step.condition if conductor.step else "",
        "over": conductor.over,
        "paused": conductor.device.paused,
        "steps": rows,
        "answered": sum(progress.done(step) for step in items),
        "items": len(items),
        "notes": [
            {"text": one.get("text", one.get("label", "")), "time": one["time"]}
            for one in progress.notes[-20:]
        ],
        "running": progress.running is not None,
    }

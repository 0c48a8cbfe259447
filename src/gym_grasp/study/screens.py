"""What a participant is shown, as plain values for the page; the same in the headset."""

from dataclasses import dataclass

from gym_grasp.study.flow import Kind, Progress, Step
from gym_grasp.study.protocol import Protocol


@dataclass(frozen=True)
class Screen:
    """One screen."""

    kind: str
    """consent, practice, trial, item, or end."""
    title: str
    text: str
    part: str = ""
    """Which part of the study this is."""
    note: str = ""
    """What just happened, or that the experimenter has paused."""
    values: tuple[int, ...] = ()
    """What may be chosen."""
    labels: tuple[str, ...] = ()
    """What each value is called."""
    ends: tuple[str, str] = ("", "")
    """Words at both ends of a scale."""
    selected: int | None = None
    confirm: str = ""
    """Name of the button that goes on; empty: there is none."""
    back: str = ""
    """Name of the button that goes back; empty: there is none."""
    hint: str = ""
    """Which keys do what."""
    count: str = ""
    """Which of how many items this is."""


def screen_of(
    protocol: Protocol,
    progress: Progress,
    step: Step | None,
    *,
    selected: int | None,
    last: str,
    paused: bool,
) -> Screen:
    """Return what a participant is shown.

    Args:
        protocol: with all the words.
        progress: what is done.
        step: what is to be done; None: nothing is left.
        selected: the value that is chosen and not confirmed yet.
        last: outcome of the trial before.
        paused: whether the experimenter holds the participant back.
    """
    texts = protocol.texts
    if step is None:
        ended = "aborted" if progress.aborted is not None else "declined"
        return Screen("end", protocol.title, texts["end" if progress.finished else ended])
    part = texts["part"].replace("{number}", str(step.part))
    part = part.replace("{count}", str(len(protocol.conditions))) if step.part else ""
    note = texts["paused"] if paused else ""
    if step.kind is Kind.CONSENT:
        labels = texts["decline"], texts["accept"]
        return Screen(
            "consent", protocol.title, protocol.consent, part, note, (0, 1), labels,
            selected=selected, confirm=texts["next"], hint=texts["keys"],
        )  # fmt: skip
    if step.kind is Kind.PRACTICE:
        return Screen("practice", part, texts["practice"], part, note, confirm=texts["ready"])
    if step.kind is Kind.TRIAL:
        begin = texts["begin"].replace("{seconds}", f"{protocol.time_limit:.0f}")
        return Screen("trial", texts[step.task], begin, part, note or texts.get(last, ""))
    asked = protocol.questionnaire(step.questionnaire)
    return Screen(
        "item",
        asked.items[step.item],
        asked.intro,
        f"{part} · {asked.title}",
        note,
        tuple(asked.values),
        tuple(str(value) for value in asked.values),
        asked.ends(step.item),
        selected,
        texts["next"],
        texts["back"] if progress.previous_item(step) is not None else "",
        texts["keys"],
        f"{step.item + 1} / {len(asked.items)}",
    )

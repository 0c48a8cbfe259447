"""What a study is: conditions, tasks, limits, and every word that participants read.

All of it is one JSON file, `protocol.json`, that the experimenter may edit before the first
participant; afterwards it is part of the record.
"""

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gym_grasp.errors import UsageError, reason, unknown
from gym_grasp.files import read_json, write_json
from gym_grasp.study.wording import CONSENT, QUESTIONNAIRES, TEXTS
from gym_grasp.tasks.study_scene import PARTS
from gym_grasp.typed import CRAFTED, check_types

PROTOCOL = "protocol.json"
FORMAT = 1
TASKS = tuple(part.name for part in PARTS)
CONDITIONS = {"haptics": True, "no-haptics": False}
"""Names of the conditions, and whether what the fingers feel is passed on."""
ORDERS = ("latin-square", "random")
NAME = re.compile(r"[A-Za-z][\w-]{0,31}", re.ASCII)


@dataclass(frozen=True)
class Questionnaire:
    """Items that are answered after each condition, all on one scale."""

    name: str
    title: str
    intro: str
    """What is said above every item."""
    items: tuple[str, ...]
    low: tuple[str, ...]
    """Words at the scale's lower end: one for all items, or one for each."""
    high: tuple[str, ...]
    """At its upper end."""
    first: int
    """The scale's lowest value."""
    last: int
    """Its highest."""
    step: int = 1
    source: str = ""
    """Whom to cite."""

    def __post_init__(self) -> None:
        """Raise `UsageError` where it cannot be asked."""
        for field in ("items", "low", "high"):
            object.__setattr__(self, field, tuple(getattr(self, field)))
        _check_name("questionnaire", self.name)
        if self.step < 1 or self.last <= self.first or (self.last - self.first) % self.step:
            raise UsageError(
                f"The scale of the questionnaire '{self.name}' goes from {self.first} to "
                f"{self.last} by {self.step}; the last has to be reached from the first."
            )
        for field in ("low", "high"):
            if len(getattr(self, field)) not in (1, len(self.items)):
                raise UsageError(
                    f"The questionnaire '{self.name}' has {len(self.items)} items and "
                    f"{len(getattr(self, field))} texts in '{field}'; give one, or one for each."
                )
        if not self.items:
            raise UsageError(f"The questionnaire '{self.name}' has no items; leave it out.")

    @property
    def values(self) -> range:
        """What may be answered."""
        return range(self.first, self.last + 1, self.step)

    def ends(self, item: int) -> tuple[str, str]:
        """Return the words at both ends of an item's scale."""
        return self.low[item % len(self.low)], self.high[item % len(self.high)]


@dataclass(frozen=True)
class Protocol:
    """One study, as its file describes it.

    Raises:
        UsageError: at construction, for the first value that does not exist or does not fit.
    """

    title: str = "Does touch help?"
    language: str = "en"
    """Of all texts, as HTML's `lang`."""
    seed: int = 0
    """Of the orders and of the start states."""
    conditions: tuple[str, ...] = tuple(CONDITIONS)
    tasks: tuple[str, ...] = TASKS
    order: str = "latin-square"
    """`latin-square`: counterbalanced; `random`: drawn anew for each participant."""
    repetitions: int = 1
    """How often each task is done in each condition, one time after the other."""
    practice_seconds: float = 120.0
    """Longest practice before each condition, in s; 0: none."""
    time_limit: float = 180.0
    """Of a trial, in s of engaged time."""
    robot: str = "ur5-sih"
    synthetic: bool = False
    """Nobody took part: operators of this software did; every table and figure says so."""
    consent: str = CONSENT
    questionnaires: tuple[Questionnaire, ...] = dataclasses.field(
        default_factory=lambda: tuple(Questionnaire(**one) for one in QUESTIONNAIRES)
    )
    texts: dict[str, str] = dataclasses.field(default_factory=lambda: dict(TEXTS))
    """Everything else that participants read, by what it is for."""
    format: int = FORMAT

    def __post_init__(self) -> None:
        """Check every value."""
        for field in ("conditions", "tasks", "questionnaires"):
            object.__setattr__(self, field, tuple(getattr(self, field)))
        for kind, names, known in (
            ("condition", self.conditions, CONDITIONS),
            ("task of the study", self.tasks, TASKS),
            ("order", (self.order,), ORDERS),
        ):
            for name in names:
                if name not in known:
                    raise unknown(kind, name, known)
            if not names or len(set(names)) < len(names):
                raise UsageError(f"The study has the {kind}s {list(names)}; name each once.")
        asked = [one.name for one in self.questionnaires]
        if len(set(asked)) < len(asked):
            raise UsageError(f"The study has the questionnaires {asked}; name each once.")
        if not 0 < self.time_limit <= 3600 or not 0 <= self.practice_seconds <= 3600:
            raise UsageError(
                f"time_limit is {self.time_limit} and practice_seconds {self.practice_seconds}; "
                "seconds within 3600 are expected, and of the limit some."
            )
        if not 1 <= self.repetitions <= 20:
            raise UsageError(f"repetitions is {self.repetitions}; 1 to 20 are expected.")
        if not 0 <= self.seed < 2**31:
            raise UsageError(f"seed is {self.seed}; it has to lie in [0, 2**31).")
        if lacking := set(TEXTS) - set(self.texts):
            raise UsageError(f"texts lack {sorted(lacking)}; copy them from a new protocol.")
        if surplus := set(self.texts) - set(TEXTS):
            raise unknown("text", min(surplus), TEXTS)
        if self.format != FORMAT:
            raise UsageError(f"format is {self.format}; this gym-grasp reads {FORMAT}.")

    def questionnaire(self, name: str) -> Questionnaire:
        """Return a questionnaire by its name."""
        return next(one for one in self.questionnaires if one.name == name)


def save_protocol(protocol: Protocol, folder: Path) -> None:
    """Write a study's protocol file."""
    write_json(folder / PROTOCOL, dataclasses.asdict(protocol))


def load_protocol(folder: Path) -> Protocol:
    """Read a study's protocol.

    Raises:
        UsageError: there is none, or it says something that does not exist.
    """
    path = folder / PROTOCOL
    try:
        values: Any = read_json(path)
    except FileNotFoundError:
        raise UsageError(
            f"{folder} holds no {PROTOCOL}; begin a study with `gym-grasp study new {folder}`."
        ) from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {reason(error)}.") from error
    try:
        names = {one.name for one in dataclasses.fields(Protocol)}
        for name in values:
            if name not in names:
                raise unknown("setting of a protocol", name, names)
        asked = tuple(Questionnaire(**one) for one in values.get("questionnaires", ()))
        for one in asked:
            check_types(one)
        protocol = Protocol(**{**values, "questionnaires": asked})
        check_types(protocol)
    except CRAFTED as error:
        raise UsageError(f"{path} is no protocol: {reason(error)}.") from error
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
    return protocol


def _check_name(kind: str, name: Any) -> None:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise UsageError(
            f"The {kind} {name!r} needs a name of letters, digits, '-' and '_', beginning with a "
            "letter, of 32 at most."
        )

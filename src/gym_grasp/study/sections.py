"""Parts of a report: questionnaires, learning, numbers of people, and trained policies."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from gym_grasp.study import figures
from gym_grasp.study.analysis import Comparison, Learning, Trained
from gym_grasp.study.document import Block, Heading, Picture, Table, Text
from gym_grasp.study.protocol import PROTOCOL, load_protocol
from gym_grasp.study.stats import LEVEL, detectable, pairs_for
from gym_grasp.study.tables import Records


def answers(
    records: Records, found: Mapping[str, list[Comparison]], folder: Path, out: Path
) -> list[Block]:
    """Return each questionnaire with its box plots and tests; figures go to `out`."""
    blocks: list[Block] = []
    for name, tests in found.items():
        asked = records.answers[records.answers["questionnaire"] == name]
        items = list(dict.fromkeys(asked["item"].astype(str)))
        values = {
            condition: {
                item: asked[
                    (asked["condition"] == condition) & (asked["item"].astype(str) == item)
                ]["value"].tolist()
                for item in items
            }
            for condition in records.conditions
        }
        limits = None
        if {"first", "last"} <= set(asked):
            low, high = float(asked["first"].min()), float(asked["last"].max())
            limits = low - 0.04 * (high - low), high + 0.04 * (high - low)
        drawn = figures.boxes(values, "answer", records.synthetic, limits)
        svg = figures.save(drawn, out, f"answers-{name}")
        caption = f"Answers to {name}, by item, as the paper's Fig. 6"
        blocks += [
            Heading(2, f"Questionnaire: {name}"),
            Picture(f"answers-{name}", labelled(records, caption), svg),
        ]
        if tests:
            blocks.append(test_table(records, f"Wilcoxon signed-rank tests of {name}", tests, ""))
        if source := _source(folder, name):
            blocks.append(Text(source))
    return blocks


def _source(folder: Path, name: str) -> str:
    if not (folder / PROTOCOL).exists():
        return ""
    asked = load_protocol(folder).questionnaires
    return next((one.source for one in asked if one.name == name), "")


def learning(records: Records, found: Learning | None, out: Path) -> list[Block]:
    """Return what the order of trials did to their times."""
    if found is None:
        return []
    svg = figures.save(figures.learning(found.means, records.synthetic), out, "learning")
    blocks: list[Block] = [
        Heading(2, "Do people learn?"),
        Picture("learning", labelled(records, "Times by the order in which trials came"), svg),
    ]
    if found.period is not None:
        test = found.period
        blocks.append(
            Text(
                "Second part against first, whatever the condition, as logarithm of the time "
                f"(so that tasks count alike): factor {math.exp(test.difference):.2f} "
                f"{interval(_exp(test.low), _exp(test.high))}, p = {test.p:.3f} (Wilcoxon "
                f"signed-rank, {test.pairs} people). Below 1, people got faster. "
                "Counterbalancing keeps this from favouring a condition."
            )
        )
    return blocks


def _exp(value: float) -> float:
    return value if value == -math.inf else math.exp(value)


def sample(records: Records) -> list[Block]:
    """Return what so many people can show, and how many it would take."""
    people = records.participants
    shown = detectable(people)
    said = (
        f"{people} people are too few for any signed-rank test to reach p ≤ {LEVEL}, which takes 6."
        if people < 6
        else f"{people} people show, with a power of 80 % at the 5 % level, a standardised "
        f"difference of d = {shown:.2f} or more (before Holm's correction, which asks for more)."
    )
    needed = ", ".join(f"d = {d}: {pairs_for(d)}" for d in (0.2, 0.5, 0.8))
    return [
        Heading(2, "How many people would it take?"),
        Text(
            f"{said} People needed: {needed}. A test that shows nothing with few people does not "
            "say that there is no difference: look at the interval."
        ),
    ]


def policies(records: Records, trained: Sequence[Trained]) -> list[Block]:
    """Return the success of policies trained on each condition's trials."""
    rows = tuple(
        (
            one.task,
            one.condition,
            one.method,
            f"{one.demonstrations}",
            one.error or f"{one.successes} of {one.episodes} {interval(one.low, one.high)}",
        )
        for one in trained
    )
    header = ("task", "condition", "method", "demonstrations", "success [95 %]")
    return [
        Heading(2, "Does touch give better data?"),
        Table(labelled(records, "Policies trained on each condition's trials"), header, rows),
        Text(
            "Equal numbers of demonstrations, drawn by the seed. The intervals are of one training "
            "each and leave out how trainings differ, so that small differences mean nothing. "
            "Success is of the last policy, within the trials' time limit, in start states that no "
            "participant met."
        ),
    ]


def test_table(records: Records, caption: str, found: list[Comparison], unit: str) -> Table:
    """Return paired tests as a table."""
    header = (
        "", "pairs", "difference (Hodges–Lehmann) [95 %]", "effect r [95 %]", "p", "p (Holm)",
    )  # fmt: skip
    rows = tuple(
        (
            one.name,
            f"{one.test.pairs}",
            f"{one.test.difference:.2f} {unit} {interval(one.test.low, one.test.high)}".strip(),
            f"{one.test.effect:.2f} {interval(one.test.effect_low, one.test.effect_high)}",
            f"{one.test.p:.3f}" + ("" if one.test.exact else " ≈"),
            f"{one.adjusted:.3f}",
        )
        for one in found
    )
    first, second = records.conditions[:2]
    what = f"{caption}: {second} minus {first}; r is the matched-pairs rank-biserial correlation"
    return Table(labelled(records, what), header, rows)


def interval(low: float, high: float) -> str:
    """Return an interval in brackets; [–] where there is none."""
    if math.isnan(low) or math.isnan(high):
        return "[–]"
    ends = ("−∞" if low == -math.inf else f"{low:.2f}", "∞" if high == math.inf else f"{high:.2f}")
    return f"[{ends[0]}, {ends[1]}]"


def labelled(records: Records, text: str) -> str:
    """Return a caption, which says so where nobody took part."""
    return f"SYNTHETIC. {text}" if records.synthetic else text

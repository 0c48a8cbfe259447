"""`study report`: what a study shows, as tables, figures and tests, with what they rest on."""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gym_grasp.files import write_atomically, write_json
from gym_grasp.study import figures, sections
from gym_grasp.study.analysis import Comparison, Outcomes, Survival, Trained, analyse
from gym_grasp.study.document import (
    Block,
    Heading,
    Picture,
    Table,
    Text,
    to_html,
    to_markdown,
)
from gym_grasp.study.protocol import PROTOCOL, load_protocol
from gym_grasp.study.sections import labelled, test_table
from gym_grasp.study.tables import Records, read_records

ASSUMPTIONS = """\
Every test compares people with themselves: each gives one value per condition (the mean over \
repetitions), and people are independent of one another. The signed-rank test assumes that \
differences between the conditions are symmetric about their middle; it asks nothing of their \
distribution else. It looks only at people who were done in both conditions: where one condition \
makes people fail, the others are not a fair sample, and the survival analysis below is the better \
answer. McNemar's test compares how often people are done. Orders are counterbalanced, so that \
learning does not favour a condition, but it still adds to the spread."""
SURVIVAL = """\
Here no trial is left out. A trial whose time was up is censored: it would have been done later, \
or never. A failure that nothing can mend, a cube off the table or a spilled cup, is a competing \
risk: it will never be done. Solid lines are the share that is done by a time (Aalen–Johansen), \
dashed ones the share that has failed for good. The log-rank test is of the rate at which trials \
are done, stratified by person, so that people are compared with themselves."""


def write_report(
    folder: Path, out: Path, trained: list[Trained] | None = None
) -> tuple[dict[str, Any], Path]:
    """Analyse a study and write report.html, report.md, report.json and the figures.

    Args:
        folder: of the study.
        out: where the report goes.
        trained: policies that were trained on its demonstrations, see `train_conditions`.

    Returns:
        The figures as plain values, and the page's path.

    Raises:
        GymGraspError: there is nothing to analyse, or a table is damaged.
    """
    records = read_records(folder)
    found = dataclasses.replace(analyse(records), trained=trained)
    blocks: list[Block] = [Heading(1, records.title)]
    if records.synthetic:
        blocks.append(
            Text(
                "SYNTHETIC participants: programs of this software acted, and nobody took part. "
                "These figures rehearse the analysis; they say nothing about people.",
                warning=True,
            )
        )
    blocks.append(Text(_who(records)))
    blocks += _table2(records, found.outcomes)
    blocks += _times(records, found.times, out)
    blocks += _successes(records, found.outcomes, found.success_p)
    blocks += _survival(records, found.survival, out)
    blocks += sections.answers(records, found.answers, folder, out)
    blocks += sections.learning(records, found.learning, out)
    blocks += sections.sample(records)
    if trained is not None:
        blocks += sections.policies(records, trained)
    language = load_protocol(folder).language if (folder / PROTOCOL).exists() else "en"
    page = out / "report.html"
    write_atomically(page, to_html(blocks, records.title, language).encode())
    write_atomically(out / "report.md", to_markdown(blocks).encode())
    results = {**found.to_dict(), "synthetic": records.synthetic}
    write_json(out / "report.json", results)
    return results, page


def _who(records: Records) -> str:
    trials = len(records.trials)
    left = f" {records.left_out} more do not count." if records.left_out else ""
    return (
        f"{records.participants} participants, conditions {' and '.join(records.conditions)}, "
        f"tasks {', '.join(records.tasks)}: {trials} trials.{left} Times are of engaged control: "
        "while the clutch is released, simulation and time stand still."
    )


def _table2(records: Records, found: list[Outcomes]) -> list[Block]:
    by = {(one.task, one.condition): one for one in found}
    rows = [
        (
            task,
            *(
                text
                for condition in records.conditions
                for text in _cell(by.get((task, condition)))
            ),
        )
        for task in records.tasks
    ]
    header = (
        "task",
        *(
            f"{condition}: {what}"
            for condition in records.conditions
            for what in ("success", "time [s]")
        ),
    )
    return [
        Heading(2, "Success and time"),
        Table(labelled(records, "As the paper's Table II"), header, tuple(rows)),
        Text(
            "Time: mean ± standard deviation over the trials that were done, as the paper's Table "
            "II; trials that were not done have no time and are left out of it."
        ),
    ]


def _cell(found: Outcomes | None) -> tuple[str, str]:
    if found is None or not found.trials:
        return "–", "–"
    return f"{100 * found.successes / found.trials:.0f} %", mean_sd(found.mean, found.deviation)


def mean_sd(mean: float, deviation: float) -> str:
    """Return a mean with its deviation as the paper prints them; – where there is none."""
    if math.isnan(mean):
        return "–"
    return f"{mean:.1f}" + ("" if math.isnan(deviation) else f" ± {deviation:.1f}")


def _times(records: Records, found: list[Comparison], out: Path) -> list[Block]:
    values = {
        condition: {task: _seconds(records, task, condition).tolist() for task in records.tasks}
        for condition in records.conditions
    }
    svg = figures.save(
        figures.boxes(values, "time [s]", records.synthetic), out, "completion-times"
    )
    blocks: list[Block] = [
        Picture("completion-times", labelled(records, "Times of the trials that were done"), svg)
    ]
    if found:
        blocks += [
            Heading(2, "Does the condition change the time?"),
            test_table(records, "Wilcoxon signed-rank tests of the time", found, "s"),
            Text(ASSUMPTIONS),
        ]
    return blocks


def _successes(
    records: Records, found: list[Outcomes], p: Mapping[str, tuple[float, float]]
) -> list[Block]:
    rows = tuple(
        (
            one.task,
            one.condition,
            f"{one.successes} of {one.trials}",
            f"{one.low:.2f} to {one.high:.2f}",
            f"{one.time_outs}",
            f"{one.unrecoverable}",
        )
        for one in found
        if one.trials
    )
    header = ("task", "condition", "done", "95 % (Wilson)", "time was up", "beyond mending")
    blocks: list[Block] = [
        Heading(2, "How trials ended"),
        Table(labelled(records, "Ends of the trials"), header, rows),
    ]
    if p:
        said = "; ".join(f"{task}: p = {raw:.3f}, Holm {one:.3f}" for task, (raw, one) in p.items())
        blocks.append(Text(f"McNemar's exact test of who was done in which condition: {said}."))
    return blocks


def _survival(records: Records, found: list[Survival], out: Path) -> list[Block]:
    curves = {one.task: one.curves for one in found}
    longest = float(records.trials["seconds"].max())
    svg = figures.save(figures.incidences(curves, longest, records.synthetic), out, "done-by-when")
    header = ("task", *(f"{one}: half are done by" for one in records.conditions), "p (log-rank)")
    rows = tuple(
        (
            one.task,
            *(
                "never" if math.isnan(curve.median) else f"{curve.median:.1f} s"
                for curve in one.curves.values()
            ),
            "–" if math.isnan(one.p) else f"{one.p:.3f}, Holm {one.adjusted:.3f}",
        )
        for one in found
    )
    return [
        Heading(2, "Time with everyone in it"),
        Picture("done-by-when", labelled(records, "Share of the trials done by a time"), svg),
        Table(labelled(records, "Survival analysis"), header, rows),
        Text(SURVIVAL),
    ]


def _seconds(records: Records, task: str, condition: str) -> Any:
    trials = records.trials
    chosen = (trials["task"] == task) & (trials["condition"] == condition)
    return trials[chosen & (trials["outcome"] == "success")]["seconds"]

"""Reports: what a table says comes out as printed, and what nobody said does not."""

import csv
import math
import shutil
from html.parser import HTMLParser
from itertools import product
from pathlib import Path

import pytest

pytest.importorskip("statsmodels")
pytest.importorskip("pandas")
from gym_grasp.errors import DatasetError, UsageError
from gym_grasp.study.analysis import analyse, sus_scores
from gym_grasp.study.report import mean_sd, write_report
from gym_grasp.study.tables import read_records

PAPER = Path(__file__).parent / "paper"
TASKS = ("stack-cubes", "open-door", "pour-cup")


def with_moments(mean: float, deviation: float, count: int) -> list[float]:
    """Return so many positive times with exactly this mean and sample deviation."""
    spread = [(-1.0) ** k * (k // 2 + 1) if k < count - count % 2 else 0.0 for k in range(count)]
    size = math.sqrt(sum(one * one for one in spread) / (count - 1))
    return [mean + deviation * one / size for one in spread]


def study_of(folder: Path, printed: dict, people: int) -> None:
    """Write the study that a printed table could have come from."""
    folder.mkdir()
    rows = []
    for (task, condition), (successes, mean, deviation) in printed.items():
        times = with_moments(mean, deviation, successes)
        times += [180.0] * (people - successes)
        for index, seconds in enumerate(times):
            outcome = "success" if index < successes else "time-out"
            rows.append((f"A{index}", condition, task, outcome, seconds))
    with open(folder / "trials.csv", "w", newline="") as file:
        csv.writer(file).writerows(
            [("participant", "condition", "task", "outcome", "seconds"), *rows]
        )


def test_what_is_known_of_the_papers_table_comes_out_as_printed(tmp_path) -> None:
    shutil.copytree(PAPER, tmp_path / "paper")
    _, page = write_report(tmp_path / "paper", tmp_path / "out")
    text = page.with_suffix(".md").read_text()
    for task, mean in zip(TASKS, ("35.2", "6.5", "13.9"), strict=True):
        assert f"| {task} | 100 % | {mean} |" in text


def test_a_printed_table_comes_out_as_printed(tmp_path) -> None:
    values = [(10, 35.2, 11.4), (12, 6.5, 2.1), (9, 13.9, 4.8), (8, 47.0, 20.3), (12, 7.7, 2.9),
              (7, 16.1, 6.6)]  # fmt: skip
    printed = dict(zip(product(TASKS, ("haptics", "no-haptics")), values, strict=True))
    study_of(tmp_path / "study", printed, 12)
    _, page = write_report(tmp_path / "study", tmp_path / "out")
    text = page.with_suffix(".md").read_text()
    for task in TASKS:
        cells = [task]
        for condition in ("haptics", "no-haptics"):
            successes, mean, deviation = printed[task, condition]
            cells += [f"{100 * successes / 12:.0f} %", f"{mean:.1f} ± {deviation:.1f}"]
        assert f"| {' | '.join(cells)} |" in text


def study(folder: Path, people: int = 12, answers: bool = True) -> Path:
    """A study made elsewhere, in which touch saves a fifth of the time and mends nothing else."""
    folder.mkdir()
    trials = ["participant,condition,task,part,place,outcome,seconds"]
    asked = ["participant,condition,questionnaire,item,value,first,last,text"]
    for person in range(people):
        order = ("haptics", "no-haptics")[:: 1 if person % 2 else -1]
        for part, condition in enumerate(order, 1):
            for place, task in enumerate(TASKS, 1):
                seconds = (30 + 2.0 * person + place) * (0.8 if condition == "haptics" else 1.0)
                outcome = "success"
                if task == "pour-cup" and person == 0:
                    outcome = "unrecoverable" if condition == "haptics" else "time-out"
                trials.append(
                    f"A{person},{condition},{task},{part},{place},{outcome},{seconds:.2f}"
                )
            for item in range(1, 11):
                value = 1 + (person + item) % 4 + (condition == "haptics")
                asked.append(f"A{person},{condition},sus,{item},{value},1,5,<b>item|{item}</b>")
    (folder / "trials.csv").write_text("\n".join(trials) + "\n")
    if answers:
        (folder / "answers.csv").write_text("\n".join(asked) + "\n")
    return folder


def test_the_figures_are_those_of_the_table(tmp_path) -> None:
    found = analyse(read_records(study(tmp_path / "study")))
    pour = {one.condition: one for one in found.outcomes if one.task == "pour-cup"}
    assert (pour["haptics"].successes, pour["haptics"].unrecoverable) == (11, 1)
    assert (pour["no-haptics"].time_outs, pour["no-haptics"].unrecoverable) == (1, 0)
    assert [one.name for one in found.times] == list(TASKS)
    assert [one.test.pairs for one in found.times] == [12, 12, 11]
    for one in found.times:
        assert one.test.effect == 1.0  # without touch everyone is slower
        assert one.adjusted == pytest.approx(min(1.0, 3 * found.times[0].test.p), rel=0.5)
    survival = next(one for one in found.survival if one.task == "pour-cup")
    assert survival.curves["haptics"].failed[-1] == pytest.approx(1 / 12)
    assert survival.curves["no-haptics"].failed[-1] == 0.0
    assert survival.p < 0.01
    assert found.learning is not None
    assert found.learning.period is not None
    assert found.learning.period.p > 0.5  # half of them got touch first


def test_the_page_opens_by_itself_and_shows_no_markup_of_others(tmp_path) -> None:
    _, page = write_report(study(tmp_path / "study"), tmp_path / "out")
    text = page.read_text()

    class Reader(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.tags: list[tuple[str, dict]] = []

        def handle_starttag(self, tag: str, attrs: list) -> None:
            self.tags.append((tag, dict(attrs)))

    reader = Reader()
    reader.feed(text)
    names = {tag for tag, _ in reader.tags}
    assert not names & {"script", "link", "img", "iframe", "b"}
    for _, attributes in reader.tags:
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith("#")
    ids = [attributes["id"] for _, attributes in reader.tags if "id" in attributes]
    assert len(set(ids)) == len(ids), "figures share names"
    assert "&lt;b&gt;item|1&lt;/b&gt;" in text
    markdown = page.with_suffix(".md").read_text()
    assert "item\\|1" in markdown
    assert "<b>" not in markdown
    figures = {path.stem for path in (tmp_path / "out").glob("*.svg")}
    assert figures == {path.stem for path in (tmp_path / "out").glob("*.png")}
    assert figures == {"completion-times", "done-by-when", "answers-sus", "learning"}
    assert all("![" in markdown and f"({name}.png)" in markdown for name in figures)


def test_synthetic_is_said_of_every_table_and_figure(tmp_path) -> None:
    folder = study(tmp_path / "study")
    rows = (folder / "trials.csv").read_text().splitlines()
    rows = [f"{row},{'synthetic' if index == 0 else True}" for index, row in enumerate(rows)]
    (folder / "trials.csv").write_text("\n".join(rows) + "\n")
    _, page = write_report(folder, tmp_path / "out")
    text = page.read_text()
    captions = text.count("<caption>") + text.count("<figcaption>")
    assert captions == text.count("<caption>SYNTHETIC") + text.count("<figcaption>SYNTHETIC") > 6
    for path in (tmp_path / "out").glob("*.svg"):
        assert "SYNTHETIC participants: no claim about people" in path.read_text()


def test_sus_scores() -> None:
    import pandas as pd

    best = [5, 1] * 5  # Brooke (1996): agrees with what is good, disagrees with what is not
    rows = [("A", "x", str(item), value) for item, value in enumerate(best, 1)]
    rows += [("B", "x", str(item), 3) for item in range(1, 11)]
    rows += [("C", "x", "1", 5)]  # not all answered: no score
    table = pd.DataFrame(rows, columns=["participant", "condition", "item", "value"])
    scores = sus_scores(table).set_index("participant")["value"]
    assert scores.to_dict() == {"A": 100.0, "B": 50.0}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("outcome", "result", "no column 'outcome'"),
        ("success", "succes", "Did you mean 'success'"),
        ("24.80", "soon", "no number of 'seconds'"),
        ("A1,haptics,stack-cubes", "A0,haptics,stack-cubes", "two trials"),
        ("24.80", "-1", "expected 0 or more"),
        ("A0,haptics", ",haptics", "there is no participant"),
    ],
)
def test_a_table_that_is_wrong_is_refused(tmp_path, old, new, said) -> None:
    folder = study(tmp_path / "study")
    path = folder / "trials.csv"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises((DatasetError, UsageError), match=said):
        read_records(folder)


def test_an_empty_folder_says_what_to_do(tmp_path) -> None:
    with pytest.raises(UsageError, match=r"docs/study\.md"):
        read_records(tmp_path)


def test_one_condition_and_one_person_are_enough_for_a_table(tmp_path) -> None:
    folder = tmp_path / "study"
    folder.mkdir()
    (folder / "trials.csv").write_text(
        "participant,condition,task,outcome,seconds\nA,haptics,open-door,time-out,180\n"
    )
    _, page = write_report(folder, tmp_path / "out")
    assert "| open-door | 0 % | – |" in page.with_suffix(".md").read_text()


def test_mean_and_deviation() -> None:
    assert mean_sd(35.249, 1.05) == "35.2 ± 1.1"
    assert mean_sd(3.0, math.nan) == "3.0"
    assert mean_sd(math.nan, math.nan) == "–"

"""How much is tried, and the table of what was tried, held and failed.

`TORTURE` says how much: `tiny` (the default, in CI), `short` (`make torture`) or `full` (`make
torture-full`). The latter two keep their results in `build/torture-AMOUNT.jsonl` and go on with
what has not held yet; `make torture` begins anew.
"""

import json
import sys
from collections import Counter
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS / name) for name in ("torture", "teleop")]
from amounts import AMOUNT, NAME, Amount  # noqa: E402

RESULTS = Path("build") / f"torture-{NAME}.jsonl"


def results() -> list[dict]:
    return [json.loads(line) for line in RESULTS.read_text().splitlines()]


def pytest_configure(config):
    if NAME != "tiny":
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.touch()


def pytest_collection_modifyitems(config, items):
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker("torture")
    if NAME == "tiny":
        return
    done = {result["test"] for result in results() if not result["failed"]}
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid in done])
    items[:] = [item for item in items if item.nodeid not in done]


def pytest_runtest_logreport(report):
    if NAME == "tiny" or report.skipped or not (report.when == "call" or report.failed):
        return
    properties = dict(report.user_properties)  # none where it failed before it told
    what, tried = properties.get("what", report.nodeid), properties.get("tried", 1)
    result = {"test": report.nodeid, "what": what, "tried": tried, "failed": int(report.failed)}
    if report.failed:  # a run that is cut off shows no traceback
        errors = [line for line in report.longreprtext.splitlines() if line.startswith("E ")]
        result["why"] = "\n".join(errors)[:1000] or report.longreprtext[-1000:]
    with RESULTS.open("a") as file:
        file.write(json.dumps(result) + "\n")


def pytest_sessionfinish(session, exitstatus):
    if NAME != "tiny" and exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
        session.exitstatus = pytest.ExitCode.OK  # all had held before


def pytest_terminal_summary(terminalreporter):
    """Print the table; a test that failed counts with all that it tried."""
    if NAME == "tiny" or not RESULTS.exists():
        return
    tried, failed = Counter(), Counter()
    for result in {result["test"]: result for result in results()}.values():
        tried[result["what"]] += result["tried"]
        failed[result["what"]] += result["tried"] * result["failed"]
    terminalreporter.section(f"torture, {NAME}")
    width = max(map(len, tried), default=0)
    terminalreporter.write_line(f"{'':<{width}} {'tried':>12} {'held':>12} {'failed':>8}")
    for what, count in sorted(tried.items()):
        held_of = count - failed[what]
        line = f"{what:<{width}} {count:>12,} {held_of:>12,} {failed[what]:>8,}"
        terminalreporter.write_line(line)


@pytest.fixture
def tally(record_property):
    """Tells what a test tries, and how many of it."""

    def tell(what: str, tried: int) -> None:
        record_property("what", what)
        record_property("tried", tried)

    return tell


@pytest.fixture
def amount() -> Amount:
    return AMOUNT

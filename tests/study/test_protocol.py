"""What a study is: its file, the orders that it gives, and the plan of each participant."""

import json
from collections import Counter
from itertools import pairwise

import pytest

from gym_grasp.errors import UsageError
from gym_grasp.study.flow import Kind, plan, trial_seed
from gym_grasp.study.orders import order_of, squares
from gym_grasp.study.protocol import Protocol, load_protocol, save_protocol

CONDITIONS, TASKS = Protocol().conditions, Protocol().tasks


def orders(seed: int, count: int, kind: str = "latin-square") -> list:
    return [order_of(slot, CONDITIONS, TASKS, seed, kind) for slot in range(count)]


@pytest.mark.parametrize("count", range(1, 7))
def test_squares_are_latin_and_balance_what_follows_what(count: int) -> None:
    for square in squares(count):
        assert all(sorted(row) == list(range(count)) for row in square)
        assert all(sorted(column) == list(range(count)) for column in zip(*square, strict=True))
    after = Counter(pair for square in squares(count) for row in square for pair in pairwise(row))
    assert len(after) == count * (count - 1)
    assert len(set(after.values())) <= 1


def test_a_thousand_studies_are_counterbalanced() -> None:
    sequences = set()
    for seed in range(1000):
        found = orders(seed, 24)
        for start in range(0, 24, 2):
            firsts = {order[0][0] for order in found[start : start + 2]}
            assert firsts == set(CONDITIONS)
        for start in range(0, 24, 6):
            half = found[start : start + 6]
            places = Counter((task, place) for _, row in half for place, task in enumerate(row))
            assert set(places.values()) == {2}
        for start in range(0, 24, 12):
            block = found[start : start + 12]
            assert len(set(block)) == 12
            after = Counter(pair for _, row in block for pair in pairwise(row))
            assert set(after.values()) == {4}
        assert found == orders(seed, 24)
        sequences.add(tuple(found))
    assert len(sequences) > 990  # seeds differ


def test_random_orders_are_drawn_for_each_participant() -> None:
    found = orders(0, 600, "random")
    first = Counter(order[0][0] for order in found)
    assert all(abs(count - 300) < 60 for count in first.values())
    assert len({row for _, row in found}) == 6
    assert found == orders(0, 600, "random")


def test_the_plan_has_everything_once() -> None:
    steps = plan(Protocol(), 3)
    assert len({step.key for step in steps}) == len(steps)
    kinds = Counter(step.kind for step in steps)
    assert kinds == {Kind.CONSENT: 1, Kind.PRACTICE: 2, Kind.TRIAL: 6, Kind.ITEM: 2 * (7 + 6 + 10)}
    assert steps[0].kind is Kind.CONSENT
    part = [step.part for step in steps]
    assert part == sorted(part)
    order = order_of(3, CONDITIONS, TASKS, 0, "latin-square")
    trials = [(step.condition, step.task) for step in steps if step.kind is Kind.TRIAL]
    assert trials == [(condition, task) for condition in order[0] for task in order[1]]


def test_what_is_left_out_is_not_asked_for() -> None:
    protocol = Protocol(tasks=("pour-cup",), repetitions=3, practice_seconds=0, questionnaires=())
    assert [step.kind for step in plan(protocol, 0)] == [Kind.CONSENT, *[Kind.TRIAL] * 6]


def test_start_states_differ_between_trials_and_attempts() -> None:
    protocol = Protocol(seed=4)
    keys = [step.key for step in plan(protocol, 0) if step.kind is Kind.TRIAL]
    seeds = {trial_seed(protocol, slot, key, n) for slot in (0, 1) for key in keys for n in (1, 2)}
    assert len(seeds) == 24
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_the_file_gives_the_protocol_back(tmp_path) -> None:
    protocol = Protocol(title="Hilft Tasten?", language="de", seed=7, tasks=("open-door",))
    save_protocol(protocol, tmp_path)
    assert load_protocol(tmp_path) == protocol


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tasks": ["open-dor"]}, "Did you mean 'open-door'"),
        ({"conditions": ["haptics", "haptics"]}, "name each once"),
        ({"time_limit": 0}, "time_limit is 0"),
        ({"colour": 1}, "Unknown setting of a protocol 'colour'"),
        ({"texts": {"ready": "bereit"}}, "texts lack"),
        ({"seed": "1"}, "no protocol"),
        ({"seed": -1}, "seed is -1"),
        ({"repetitions": 0}, "repetitions is 0"),
        ({"questionnaires": [{"name": "x"}]}, "no protocol"),
        ({"format": 9}, "format is 9"),
    ],
)
def test_a_file_that_says_something_else_is_refused(tmp_path, changes, said) -> None:
    save_protocol(Protocol(), tmp_path)
    path = tmp_path / "protocol.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(UsageError, match=said) as caught:
        load_protocol(tmp_path)
    assert "\n" not in str(caught.value)

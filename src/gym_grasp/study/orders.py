"""In which order a participant meets conditions and tasks: counterbalanced, from a stored seed."""

import random
from collections.abc import Sequence
from itertools import islice

Order = tuple[tuple[str, ...], tuple[str, ...]]
"""Conditions, then the tasks within each of them."""


def squares(count: int) -> list[list[tuple[int, ...]]]:
    """Return Latin squares whose rows together let everything follow everything equally often.

    Rows of one square have each of `count` things in each place once. For an even count there is
    one square, for an odd one the square and its mirror image (Williams, 1949).
    """
    first = [0] + [(k + 1) // 2 if k % 2 else count - k // 2 for k in range(1, count)]
    square = [tuple((place + row) % count for place in first) for row in range(count)]
    return [square] if count % 2 == 0 or count == 1 else [square, [row[::-1] for row in square]]


def order_of(
    slot: int, conditions: Sequence[str], tasks: Sequence[str], seed: int, kind: str
) -> Order:
    """Return the order of the participant in a place, counted from 0.

    With `latin-square`, participants come in blocks (of 12 for two conditions and three tasks)
    within which every order of the conditions meets every row of the squares once. Within a block,
    as many in a row as there are orders of the conditions have all of them, and the first half of
    a block has every task in every place equally often.
    With `random`, both are drawn anew for each participant.
    """
    if kind == "random":
        rng = random.Random(f"{seed} {slot}")
        return (
            tuple(rng.sample(list(conditions), len(conditions))),
            tuple(rng.sample(list(tasks), len(tasks))),
        )
    firsts = [row for square in squares(len(conditions)) for row in square]
    task_squares = squares(len(tasks))
    size = len(firsts) * len(tasks) * len(task_squares)
    rng = random.Random(f"{seed} block {slot // size}")
    rng.shuffle(task_squares)
    block: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
    for turn in range(len(task_squares)):
        rows = [
            rng.sample(task_squares[(turn + index) % len(task_squares)], len(tasks))
            for index in range(len(firsts))
        ]
        for place in range(len(tasks)):
            for index in rng.sample(range(len(firsts)), len(firsts)):
                block.append((firsts[index], rows[index][place]))
    first, row = next(islice(block, slot % size, None))
    return tuple(conditions[i] for i in first), tuple(tasks[i] for i in row)

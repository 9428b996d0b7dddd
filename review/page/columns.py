"""Columns of numbers: how the page's file holds them, and the coarser ones that a chart shows from further away.

A column is a list with None where there is no number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

Column = list[float | None]


def packed(values: Iterable[float | None], digits: int = 0) -> dict[str, Any]:
    """A column as JSON can hold it: the steps from each number to the next, in units of the last of ``digits`` decimals.

    Steps are small where numbers are alike, so that they take little room once they are compressed.
    """
    unit, before = 10**digits, 0
    steps: list[int | None] = []
    for value in values:
        if value is None:
            steps.append(None)
            continue
        number = round(value * unit)
        steps.append(number - before)
        before = number
    return {"digits": digits, "steps": steps}


def carried(values: Sequence[float | None], is_known: Sequence[bool], most: int) -> Column:
    """A column in which the last known value stands for the next ones that are not, but for ``most`` of them only."""
    found: Column = []
    last, missing = None, 0
    for value, known in zip(values, is_known, strict=True):
        last, missing = (value, 0) if known else (last, missing + 1)
        found.append(last if missing <= most else None)
    return found


def grouped(values: Sequence[float | None], size: int, summed: Callable[[list[float]], Column]) -> Column:
    """What ``summed`` makes of the numbers of each group of so many places. A group without a number is an empty list."""
    found: Column = []
    for first in range(0, len(values), size):
        found += summed([value for value in values[first : first + size] if value is not None])
    return found


def extremes(group: list[float]) -> Column:
    """The lowest and the highest number of a group, in their order: a line through them hides neither."""
    if not group:
        return [None, None]
    low, high = min(group), max(group)
    return [low, high] if group.index(low) <= group.index(high) else [high, low]


def peak(group: list[float]) -> Column:
    """The highest number of a group, at the first of the two places that `extremes` have."""
    return [max(group, default=None), None]


def first(group: list[float]) -> Column:
    """The first number of a group."""
    return [group[0] if group else None]


def last(group: list[float]) -> Column:
    """The last number of a group."""
    return [group[-1] if group else None]


def highest(group: list[float]) -> Column:
    """The highest number of a group."""
    return [max(group, default=None)]


def lowest(group: list[float]) -> Column:
    """The lowest number of a group."""
    return [min(group, default=None)]

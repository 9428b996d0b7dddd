"""The parts that the report's sections are made of: plain HTML. Whatever comes from a file is escaped where it enters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple

from research.judge_report import percent
from research.report_page.groups import Group
from research.statistics.intervals import Interval
from review.days_page.parts import swing


class Mean(NamedTuple):
    """A mean with its interval, and what it is the mean of."""

    name: str
    value: float
    interval: Interval
    trades: int


def unbroken(text: str) -> str:
    """Returns text as HTML that no line ends in."""
    return f'<span class="w">{escape(text)}</span>'


def between(low: str, high: str) -> str:
    """Returns a 95% interval as HTML, under its value; a line may end between its ends."""
    return f"<small>95%: {unbroken(low)} to {unbroken(high)}</small>"


def shares(interval: Interval | None, places: int = 2) -> str:
    """Returns an interval of fractions as HTML; nothing without one."""
    return "" if interval is None else between(*(percent(end, places) for end in interval))


def chart(name: str, words: str) -> str:
    """Returns the place of a chart, with what it shows in words."""
    return f'<figure><div class="chart" id="{name}" role="img" aria-label="{escape(words)}"></div><figcaption>{escape(words)}</figcaption></figure>'


def rows_table(caption: str, rows: Iterable[Sequence[str]]) -> str:
    """Returns names and values, a row each. ``rows`` are plain text."""
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>' for name, value in rows
    )
    return f'<table class="plain" aria-label="{escape(caption)}"><tbody>{body}</tbody></table>'


def sums_table(what: str, groups: Sequence[Group]) -> str:
    """Returns groups as a table with bars: counts and sums, and a mean with its interval where there are enough."""
    largest = max((abs(group.total) for group in groups), default=0.0)
    with_means = any(group.mean is not None for group in groups)
    names = ("n", "up", "sum", *(("mean",) if with_means else ()))
    heads = "".join(f'<th scope="col" class="n">{head}</th>' for head in names)
    body = "".join(_sum_row(group, largest, with_means) for group in groups)
    return f'<table class="sums"><thead><tr><th scope="col">{escape(what)}</th>{heads}</tr></thead><tbody>{body}</tbody></table>'


def _sum_row(group: Group, largest: float, with_means: bool) -> str:
    missing = group.told - group.taken
    left_out = f"<small>{missing} left out</small>" if missing else ""
    mean = ""
    if with_means:
        shown = "—" if group.mean is None else f"{percent(group.mean)}{shares(group.interval)}"
        mean = f'<td class="n">{shown}</td>'
    total = percent(group.total, 1) if group.taken else "—"
    return (
        f'<tr><th scope="row">{escape(group.name)}{swing(group.total, largest)}{left_out}</th>'
        f'<td class="n">{group.taken or "—"}</td><td class="n">{group.up if group.taken else "—"}</td>'
        f'<td class="n">{total}</td>{mean}</tr>'
    )

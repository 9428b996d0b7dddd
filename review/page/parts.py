"""The parts that the page's sections are made of: plain HTML, which needs no script.

Whatever comes from a record is escaped where it enters.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from events import Condition
from review.page.data import seconds_after_open
from review.study import Study
from utils import clock_text, signed_percent
from wording import condition_name


def condition_cell(condition: Condition, benchmark: str) -> str:
    """A condition's name in full, and the one that the report and the trace use, as HTML."""
    return f"{escape(condition_name(condition, benchmark))} <code>{condition}</code>"


def section(name: str, heading: str, *parts: str) -> str:
    """A section of the page under a heading."""
    return f'<section id="{name}"><h2>{escape(heading)}</h2>{"".join(parts)}</section>'


def note(text: str) -> str:
    """A remark."""
    return f'<p class="note">{escape(text)}</p>'


def table(
    caption: str,
    heads: Sequence[str],
    rows: Iterable[Sequence[str]],
    numbers: Iterable[int] = (),
    *,
    is_wide: bool = False,
) -> str:
    """A table. ``heads`` are plain text, ``rows`` hold finished cells; ``numbers`` says which columns are on the right.

    On a phone each row of a wide one becomes a block, a line for each cell with its column's name before it.
    """
    right = set(numbers)
    cells = "".join(
        f'<th scope="col"{_class(place in right)}>{escape(head)}</th>' for place, head in enumerate(heads)
    )
    look = ' class="wide"' if is_wide else ""
    return (
        f'<p class="note">{escape(caption)}.</p>'
        f'<table aria-label="{escape(caption)}"{look}><thead><tr>{cells}</tr></thead>'
        f"<tbody>{''.join(_row(row, heads, right) for row in rows)}</tbody></table>"
    )


def _class(is_number: bool) -> str:
    return ' class="n"' if is_number else ""


def _row(cells: Sequence[str], heads: Sequence[str], right: set[int]) -> str:
    """A row; its first cell names it."""
    found = [
        f'<th scope="row">{cell}</th>'
        if place == 0
        else f'<td data-head="{escape(heads[place])}"{_class(place in right)}>{cell}</td>'
        for place, cell in enumerate(cells)
    ]
    return f"<tr>{''.join(found)}</tr>"


def moment(study: Study, at: int, shown: int | None = None) -> str:
    """A time of day that leads to its second in the chart, or to another that is to be ``shown``."""
    second = seconds_after_open(study, at if shown is None else shown)
    return f'<a href="#session" data-second="{second:g}">{clock_text(at)}</a>'


def legend(*items: tuple[str, str, str]) -> str:
    """Buttons that hide and show parts of a chart: (class of the sample, the part's name and colour, words)."""
    return '<ul class="key">{}</ul>'.format(
        "".join(
            f'<li><button type="button" aria-pressed="true" data-toggle="{name}">{_sample(kind, name)}{escape(text)}</button></li>'
            for kind, name, text in items
        )
    )


def key(*items: tuple[str, str, str]) -> str:
    """What colours mean: (class of the sample, its style variable, words)."""
    return '<ul class="key">{}</ul>'.format(
        "".join(f"<li>{_sample(kind, name)}{escape(text)}</li>" for kind, name, text in items)
    )


def _sample(kind: str, name: str) -> str:
    return f'<i class="{kind}" style="--sample:var(--{name})"></i>'


def result(value: float | None) -> str:
    """A result in percent, coloured."""
    if value is None:
        return "n/a"
    return f'<span class="{"loss" if value < 0 else "gain"}">{signed_percent(value)}</span>'

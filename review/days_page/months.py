"""The calendar: a month a table, a session a cell, coloured by its result at the owner's delay."""

from __future__ import annotations

import calendar
from collections.abc import Callable, Collection, Sequence
from datetime import date
from html import escape

import utils
from book.rows import DayRow
from review.days_page.parts import Told, day_title, fates_text, is_unseen, key
from review.page.parts import section
from utils import plural_s

STRENGTHS = 3
"""How many depths of a colour there are: as many as an eye tells apart without a scale."""

WIDE = 9_999.5
"""Dollars that are written in thousands: five digits do not fit into a cell on a phone."""

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri")


def calendar_section(told: Told) -> str:
    """Returns the months that have a session in the book, and what their colours mean."""
    by_date = {date.fromisoformat(day.date): day for day in told.days}
    largest = max((abs(told.sum([day], told.own_s).dollars) for day in told.days), default=0.0)
    months = sorted({(day.year, day.month) for day in by_date})

    def session(day: date) -> str:
        return _session(told, by_date[day], largest)

    parts: list[str] = []
    for number, month in enumerate(months):
        if number and (skipped := _distance(months[number - 1], month) - 1):
            parts.append(
                f'<p class="skipped">{skipped} month{plural_s(skipped)} without a session in the book</p>'
            )
        parts.append(month_table(month, by_date, session, ("not in the book", "no row")))
    return section(
        "calendar",
        f"Each session, followed {told.own_s} s after each push",
        key(
            ("cell up-2", "up"),
            ("cell down-2", "down (deeper for larger, in thirds of the largest result)"),
            ("cell none", "no trade"),
            ("cell unseen", "blind or not running for over 10% of the session"),
            ("cell missing", "a session that is not in the book"),
        ),
        f'<div class="months">{"".join(parts)}</div>',
    )


def _distance(one: tuple[int, int], other: tuple[int, int]) -> int:
    return (other[0] - one[0]) * 12 + other[1] - one[1]


def month_table(
    month: tuple[int, int], days: Collection[date], cell: Callable[[date], str], absent: tuple[str, str]
) -> str:
    """Returns a month (year, number) as a table, a row for each of its weeks that lies within ``days``.

    ``cell`` makes the cell of one of ``days``. ``absent`` says, in the hover text and in the cell, that a session between
    them is none of them.
    """
    first, last = min(days), max(days)
    rows: list[str] = []
    for week in calendar.Calendar().monthdatescalendar(*month):
        weekdays = week[: len(WEEKDAYS)]
        if not any(day.month == month[1] and first <= day <= last for day in weekdays):
            continue  # the month's part of it is a weekend, or lies before or after the days
        cells = (
            "<td></td>"
            if day.month != month[1]
            else cell(day)
            if day in days
            else _empty(day, absent, is_within=first < day < last)
            for day in weekdays
        )
        rows.append(f"<tr>{''.join(cells)}</tr>")
    heads = "".join(f'<th scope="col">{name}</th>' for name in WEEKDAYS)
    name = f"{date(*month, 1):%B %Y}"
    return (
        f'<table class="month"><caption>{name}</caption><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def _empty(day: date, absent: tuple[str, str], *, is_within: bool) -> str:
    """Returns the cell of another day: a holiday, or a session of which nothing is known."""
    number = f'<span class="date">{day.day}</span>'
    if is_within and utils.session_on(day) is not None:
        title, words = absent
        return f'<td class="missing" title="{day}: {title}"><div>{number}<small>{words}</small></div></td>'
    return f'<td class="closed"><div>{number}</div></td>'


def shade(value: float, largest: float) -> str:
    """Returns the class of a result's colour: the deeper, the nearer it comes to the ``largest``. Zero counts as up."""
    share = abs(value) / largest if largest else 0.0
    return f"{'up' if value >= 0 else 'down'}-{min(STRENGTHS, 1 + int(share * STRENGTHS))}"


def _session(told: Told, day: DayRow, largest: float) -> str:
    total = told.sum([day], told.own_s)
    if total.trades:
        look = shade(total.dollars, largest)
        words = f"<b>{escape(_short(total.dollars))}</b><small>n {total.trades}</small>"
    else:
        look = "none"
        words = f"<small>{escape(fates_text(total) or 'no trade')}</small>"
    unseen = " unseen" if is_unseen(day) else ""
    number = f'<span class="date">{date.fromisoformat(day.date).day}</span>'
    inner = f"{number}{words}"
    box = told.linked(day, inner) if day.date in told.pages else f"<div>{inner}</div>"
    return f'<td class="{look}{unseen}" title="{escape(day_title(told, day))}">{box}</td>'


def _short(dollars: float) -> str:
    """Returns an amount that fits into a cell on a phone: ``+$14``, ``−$12.3k``."""
    sign = "−" if round(dollars) < 0 else "+"
    size = abs(dollars)
    return f"{sign}${size:,.0f}" if size < WIDE else f"{sign}${size / 1000:,.1f}k"


def unseen_count(days: Sequence[DayRow]) -> int:
    """Returns how many sessions were not seen for a good part."""
    return sum(map(is_unseen, days))

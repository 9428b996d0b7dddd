"""The calendar: a month a table, a session a cell, coloured by its result, each linked to its page if it has one."""

from __future__ import annotations

import calendar
from collections.abc import Mapping
from datetime import date
from html import escape

import utils
from research.judge_report import percent
from research.report_page.told import Told
from review.days_page.parts import key
from review.page.parts import note, section
from utils import plural_s

STRENGTHS = 3
"""How many depths of a colour there are: as many as an eye tells apart without a scale."""

ONE_DIGIT = 0.0995
"""From here on a result is told in whole percent: a cell on a phone has no room for more."""

NAMES = ("Mon", "Tue", "Wed", "Thu", "Fri")


def calendar_section(told: Told) -> str:
    """Returns the months that have a session, and what their colours mean."""
    results = dict(zip(told.days, map(float, told.results), strict=True))
    largest = max(map(abs, results.values()))
    months = sorted({(day.year, day.month) for day in results})
    made = "".join(_month(told, results, month, largest) for month in months)
    linked = sum(day.isoformat() in told.pages for day in told.days)
    links = (
        f"{linked} of {len(told.days)} sessions link to their own page beside this file." if linked else ""
    )
    return section(
        "calendar",
        "Each session",
        key(
            ("cell up-2", "up"),
            ("cell down-2", "down (deeper for larger, in thirds of the largest result)"),
            ("cell none", "no result"),
            ("cell missing", "a session that is not among these"),
        ),
        f'<div class="months">{made}</div>',
        note(links) if links else "",
    )


def _month(told: Told, results: Mapping[date, float], month: tuple[int, int], largest: float) -> str:
    first, last = min(results), max(results)
    rows: list[str] = []
    for week in calendar.Calendar().monthdatescalendar(*month):
        weekdays = week[: len(NAMES)]
        if not any(day.month == month[1] and first <= day <= last for day in weekdays):
            continue
        cells = (
            "<td></td>"
            if day.month != month[1]
            else _session(told, day, results[day], largest)
            if day in results
            else _empty(day, is_within=first < day < last)
            for day in weekdays
        )
        rows.append(f"<tr>{''.join(cells)}</tr>")
    heads = "".join(f'<th scope="col">{name}</th>' for name in NAMES)
    return (
        f'<table class="month"><caption>{date(*month, 1):%B %Y}</caption><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def _empty(day: date, *, is_within: bool) -> str:
    number = f'<span class="date">{day.day}</span>'
    if is_within and utils.session_on(day) is not None:
        return (
            f'<td class="missing" title="{day}: not among these"><div>{number}<small>none</small></div></td>'
        )
    return f'<td class="closed"><div>{number}</div></td>'


def _session(told: Told, day: date, result: float, largest: float) -> str:
    count = _trades(told, day)
    look = "none"
    if result:
        side = "up" if result > 0 else "down"
        look = f"{side}-{min(STRENGTHS, 1 + int(abs(result) / largest * STRENGTHS))}"
    words = f"<b>{escape(_short(result))}</b>" if result or count else "<small>no trade</small>"
    if count:
        words += f"<small>n {count}</small>"
    inner = f'<span class="date">{day.day}</span>{words}'
    address = told.pages.get(day.isoformat())
    box = f"<div>{inner}</div>" if address is None else f'<a href="{escape(address)}">{inner}</a>'
    trades = f", {count} trade{plural_s(count)} taken" if count else ""
    return f'<td class="{look}" title="{day}: {escape(percent(result))}{trades}">{box}</td>'


def _short(result: float) -> str:
    """Returns a result that fits into a cell on a phone: ``−7.3%``, ``+45%``."""
    return percent(result, 1 if abs(result) < ONE_DIGIT else 0)


def _trades(told: Told, day: date) -> int:
    """Returns how many trades of a session were taken; 0 where only days are known."""
    found = told.backtest
    if found is None:
        return 0
    session = next(session for session in found.sessions if session.date == day.isoformat())
    return sum(trade.orders[found.asked.delay_s].result is not None for trade in session.trades)

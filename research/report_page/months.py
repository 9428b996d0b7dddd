"""The calendar: a month a table, a session a cell, coloured by its result, each linked to its page if it has one."""

from __future__ import annotations

from datetime import date
from html import escape

from research.judge_report import percent
from research.report_page.told import Told
from review.days_page.months import month_table, shade
from review.days_page.parts import key
from review.page.parts import note, section
from utils import plural_s

ONE_DIGIT = 0.0995
"""From here on a result is told in whole percent: a cell on a phone has no room for more."""


def calendar_section(told: Told) -> str:
    """Returns the months that have a session, and what their colours mean."""
    results = dict(zip(told.days, map(float, told.results), strict=True))
    largest = max(map(abs, results.values()))
    months = sorted({(day.year, day.month) for day in results})

    def session(day: date) -> str:
        return _session(told, day, results[day], largest)

    made = "".join(month_table(month, results, session, ("not among these", "none")) for month in months)
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


def _session(told: Told, day: date, result: float, largest: float) -> str:
    count = _trades(told, day)
    look = shade(result, largest) if result else "none"
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

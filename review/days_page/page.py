"""The days as one HTML file that needs nothing else and runs nothing: no script, no request.

Its policy forbids everything but its own style, named by its hash, so no text from a record could ever do anything.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import date
from html import escape
from pathlib import Path

from config import VERSION
from events import SECOND
from review.days_page.months import calendar_section, unseen_count
from review.days_page.parts import Told, amount, fates_text, unbroken
from review.days_page.running import running_section
from review.days_page.tables import days_section, delays_section, hours_section, reasons_section
from review.days_report import caveat, simulated_text
from review.page.page import day_of
from review.page.parts import note
from review.places import BadArgument, Unusable, check_own, write_own
from review.sums import LEAST_DAYS, Sum
from utils import plural_s, span_text

HERE = Path(__file__).parent

STYLES = (HERE.parent / "page" / "page.css", HERE / "page.css")
"""Those of a day's page, so that both look alike, and what is of this page alone."""

PAGE_BEGINS = '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta name="generator" content="IWM-5-VWAP days">'
"""What every page of the days begins with; a day's page begins otherwise."""


def check(path: Path) -> None:
    """Raises Unusable if a page may not be written to ``path``, before the wait for its days."""
    if day_of(path) is not None:
        raise BadArgument(f"--html {path}: is the name of one day's page; use another, such as days.html")
    check_own(path, "--html", PAGE_BEGINS.encode())


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def write(told: Told, path: Path) -> None:
    """Writes the page. Raises Unusable if the file cannot be written, or the book holds a row of no date."""
    write_own(path, "--html", PAGE_BEGINS, render(told))


def render(told: Told) -> str:
    """Returns the whole file. Raises Unusable if the book holds a row of no date."""
    for day in told.days:
        if not _is_date(day.date):
            raise Unusable(f"the book has a row of {day.date!r}, which is no date")
    style = "\n".join(path.read_text(encoding="utf-8") for path in STYLES)
    sections = (
        [
            calendar_section(told),
            running_section(told),
            f'<div class="pair">{hours_section(told)}{reasons_section(told)}</div>',
            delays_section(told),
            days_section(told),
        ]
        if told.days
        else []
    )
    return "\n".join(
        [
            PAGE_BEGINS,
            f'<meta http-equiv="Content-Security-Policy" content="{_policy(style)}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="referrer" content="no-referrer">',
            f"<title>{escape(_title(told))}</title>",
            f"<style>{style}</style>",
            "</head>",
            "<body>",
            _header(told),
            *sections,
            _footer(told),
            "</body>",
            "</html>",
            "",
        ]
    )


def _policy(style: str) -> str:
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


# --- Sections ----------------------------------------------------------------------------------------


def _span(told: Told) -> str:
    first, last = told.days[0].date, told.days[-1].date
    return first if first == last else f"{first} to {last}"


def _symbols(told: Told) -> str:
    return ", ".join(dict.fromkeys(day.symbol for day in told.days))


def _title(told: Told) -> str:
    if not told.days:
        return "No session in the book for these dates"
    total = told.sum(told.days, told.own_s)
    market = simulated_text(told.days)
    return f"{market and f'{market}: '}{_result(total)} · {_symbols(told)}, {_span(told)}"


def _result(total: Sum) -> str:
    """Returns a sum with its number: ``−$31 at 15 s, 9 trades``."""
    if not total.trades:
        return f"No trade at {total.delay_s} s"
    return f"{amount(total.dollars)} at {total.delay_s} s, {total.trades} trade{plural_s(total.trades)}"


def _header(told: Told) -> str:
    """Returns what the days come to: at the owner's delay first, with its number, then at none, and what that is worth."""
    if not told.days:
        return "<header><h1>No session in the book for these dates.</h1></header>"
    count, market = len(told.days), simulated_text(told.days)
    simulated = f'<p class="simulated">{market}</p>' if market else ""
    total = told.sum(told.days, told.own_s, with_interval=True)
    return (
        f'<header>{simulated}<p class="quiet">{escape(_symbols(told))}, {count} session{plural_s(count)}, {_span(told)}. '
        f"Followed by hand, one contract each: bought at the ask, sold at the bid, less ${told.fee:.2f} a side (yours: FOLLOW_DELAY_SECONDS, FEE_PER_CONTRACT).</p>"
        f"<h1>{unbroken(_answer(total))}</h1>{_facts(told, total)}{note(caveat(told.days))}</header>"
    )


def _answer(total: Sum) -> str:
    after = f"{total.delay_s} s after each push" if total.delay_s else "At the pushes' own prices (0 s)"
    if total.mean is None:
        return f"{after}: no trade that could be followed."
    interval = ""
    if total.interval is not None:
        low, high = (amount(value, 2) for value in total.interval)
        interval = f", 95%: {low} to {high}"
    return (
        f"{after}: {amount(total.dollars)} from {total.trades} trade{plural_s(total.trades)}, {total.up} up, "
        f"{total.down} down; mean {amount(total.mean, 2)} (n {total.trades}{interval})."
    )


def _facts(told: Told, total: Sum) -> str:
    """Returns the days in a handful of numbers."""
    days, at_once = told.days, told.sum(told.days, 0, with_interval=True)
    traded = sum(bool(day.trades) for day in days)
    seen, whole = sum(day.seen_s for day in days), sum(day.close - day.open for day in days)
    unseen, withdrawn = unseen_count(days), sum(day.withdrawn for day in days)
    facts = [
        (f"By hand, {total.delay_s} s late", *_sum_texts(total)),
        *([("By hand, 0 s: the pushes' own prices", *_sum_texts(at_once))] if told.own_s else []),
        (f"Left out at {total.delay_s} s", f"{sum(total.fates.values())}", fates_text(total) or "none"),
        (
            "Entries",
            f"{sum(day.entries for day in days):,}",
            f"on {traded} of {len(days)} day{plural_s(len(days))}"
            + (f", {withdrawn} withdrawn" if withdrawn else ""),
        ),
        ("Signals", f"{sum(day.signals for day in days):,}", "seconds with all conditions met"),
        (
            "Seen",
            span_text(seen * SECOND),
            f"of {span_text(whole)}; {unseen} day{plural_s(unseen)} with over 10% unseen",
        ),
    ]
    return '<dl class="facts">{}</dl>'.format(
        "".join(
            f"<div><dt>{escape(name)}</dt><dd>{escape(value)}<small>{unbroken(more)}</small></dd></div>"
            for name, value, more in facts
        )
    )


def _sum_texts(total: Sum) -> tuple[str, str]:
    """Returns a sum, and the mean with its number and interval, or why there is none."""
    if total.mean is None:
        return "—", "no trade"
    text = f"mean {amount(total.mean, 2)}, n {total.trades}"
    if total.interval is None:
        return amount(total.dollars), f"{text}; no interval below {LEAST_DAYS} days with a trade"
    low, high = (amount(value, 2) for value in total.interval)
    return amount(total.dollars), f"{text}, 95%: {low} to {high}"


def _footer(told: Told) -> str:
    made = sorted({f"{day.version} (rules {day.rules})" for day in told.days})
    by = f" The sessions ran under version {', '.join(made)}." if made else ""
    text = f"From the book, by version {VERSION}.{by} Past results do not predict future ones."
    return f'<footer class="note">{escape(text)}</footer>'

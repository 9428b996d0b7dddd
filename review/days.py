"""``python diagnose.py days``: the sessions of the book, a row each, and what they come to."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import utils
from book import store
from book.rows import DayRow
from config import load_following
from events import SECOND
from messages.alert import AFTER_CLOSE_S
from record.folder import chosen, date_of, look_through
from record.reader import Damage
from review.day_pages import standing, write_missing
from review.day_rows import day_row
from review.days_page import page
from review.days_page.parts import Told
from review.days_report import Asked, Range, as_json, lines
from review.ending import finished
from review.page.library import library
from review.places import Unusable, data_dir
from review.report import print_lines, wrapped

SETTLED_S = AFTER_CLOSE_S + 300
"""Seconds after the close from which a session is over: an undelivered SELL is tried until shortly before."""

DESCRIPTION = """\
The sessions so far, one per row: what was seen, what came of it, and what following each push by hand would have paid.
The rows are in DATA_DIR/book.sqlite, which outlives the records; a session that is not in it yet is first derived from
its record.
"""

EXAMPLES = """\
examples:
  python diagnose.py days
  python diagnose.py days 2025-10-01..2025-10-31
  python diagnose.py days 2025-10-01.. --html days.html
  python diagnose.py days --html pages/days.html --pages
  python diagnose.py days --rebuild

Exit status: 0 answered; 1 the book or a record cannot be used, or no package to draw the pages with; 2 bad arguments (a
--html FILE that may not be written is one) or configuration.
"""

RANGE = re.compile(r"(\d{4}-\d\d-\d\d)?(\.\.)?(\d{4}-\d\d-\d\d)?")


def parser() -> argparse.ArgumentParser:
    """Returns the command line."""
    made = argparse.ArgumentParser(
        prog="python diagnose.py days",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument(
        "dates",
        nargs="?",
        type=_range,
        default=Range(),
        metavar="FROM..TO",
        help="dates, YYYY-MM-DD; either may be omitted",
    )
    _add_page_options(made)
    made.add_argument("--json", action="store_true", help="print JSON for machines")
    made.add_argument(
        "--rebuild",
        action="store_true",
        help="rebuild the book from the records that are left; keep the rows of days without one",
    )
    made.add_argument(
        "--data-dir",
        type=Path,
        metavar="FOLDER",
        help="the folder with the book and the records (default: DATA_DIR from the environment or .env)",
    )
    return made


def _add_page_options(made: argparse.ArgumentParser) -> None:
    made.add_argument(
        "--html",
        type=Path,
        metavar="FILE",
        help="also write the days as one page: a calendar, the running total, results by hour and reason",
    )
    made.add_argument(
        "--pages",
        action="store_true",
        help="with --html: also write each day's missing page next to FILE, from the records that are left",
    )


def _range(text: str) -> Range:
    found = RANGE.fullmatch(text)
    if not text or found is None or (found[1] and found[3] and not found[2]):
        raise argparse.ArgumentTypeError(
            f"takes one date or FROM..TO, such as 2025-10-01..2025-10-31, not {text!r}"
        )
    first, dots, last = found.groups()
    try:
        for day in filter(None, (first, last)):
            date.fromisoformat(day)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text}: {error}") from None
    if not dots:
        return Range(first, first)
    made = Range(first or "", last or "9999")
    if made.first > made.last:
        raise argparse.ArgumentTypeError(f"{text}: begins after its end")
    return made


# --- The book, made whole ----------------------------------------------------------------------------


def whole_book(asked: Asked, *, rebuild: bool = False) -> tuple[list[DayRow], list[str]]:
    """Returns the sessions that are asked for, the oldest first, and what is to be said about the book.

    Derives the sessions that are over and not in the book, or of which it lacks a part, and enters them. Raises
    BookError if the book cannot be read, OSError, ConfigError.
    """
    path, notes = store.path_in(asked.folder), list[str]()
    if rebuild:
        try:
            store.read(path)
        except store.BookDamaged as error:  # one that is locked, or not ours, stays where it is
            notes.append(f"{error}".partition("; ")[0])
            notes.append(f"Set aside as {store.set_aside(path).name}.")
    rows = {row.date: row for row in store.read(path)}
    derived: list[DayRow] = []
    for record in chosen(look_through(asked.folder)):
        day = date_of(record)
        known = rows.get(day)
        if not _is_over(day, asked.now) or (
            known is not None and _is_whole(known, asked.delays_s) and not rebuild
        ):
            continue
        try:
            derived.append(day_row(record, asked.following))
        except (Unusable, Damage) as error:
            what = "is not entered" if known is None else "stays as it was entered"
            notes.append(f"{day} {what}: {error}")
    if derived:
        try:
            store.enter(path, derived)
        except store.BookError as error:
            notes.append(f"Not kept: {error}")
    rows |= {row.date: row for row in derived}
    return [rows[day] for day in sorted(rows) if asked.dates.first <= day <= asked.dates.last], notes


def _is_whole(day: DayRow, delays_s: Sequence[int]) -> bool:
    """Returns whether no restart forgot a part of a session, and each of its trades is followed at each delay."""
    return day.miss_since is None and all(trade.followed.keys() >= set(delays_s) for trade in day.trades)


def _is_over(day: str, now: int) -> bool:
    """Returns whether a session is over, and its last alerts with it."""
    session = utils.session_on(date.fromisoformat(day))
    return session is None or now >= session.close + SETTLED_S * SECOND


# --- The command -------------------------------------------------------------------------------------


def _run(options: argparse.Namespace, now: int) -> None:
    """Answers. Raises Unusable, BookError, ConfigError or OSError."""
    folder = data_dir() if options.data_dir is None else options.data_dir
    if not folder.is_dir():
        raise Unusable(
            f"{folder}: is no folder; nothing was recorded there yet, or name another with --data-dir"
        )
    asked = Asked(folder, options.dates, load_following(), now)
    if options.html is not None:
        page.check(options.html)
        if options.pages:
            library()
    days, notes = whole_book(asked, rebuild=options.rebuild)
    out = sys.stderr if options.json else sys.stdout
    if options.html is not None:
        if options.pages:
            notes += write_missing(options.html.parent, days, asked, lambda line: print(line, file=out))
        page.write(Told(days, asked, standing(options.html.parent, (day.date for day in days))), options.html)
    if options.json:
        print(utils.printable(as_json(days, notes, asked), as_json=True))
    else:
        told = [line for note in notes for line in wrapped(f"⚠️ {note}")]
        found = lines(days, asked)
        print_lines([*told, *found], range(len(told), len(told) + (found.index("") if "" in found else 1)))
    if options.html is not None:
        print(f"\nWritten: {options.html}", file=out)


def main(arguments: Sequence[str], now: int | None = None) -> int:
    """Runs the command; returns the exit status. ``now`` is when it is asked, µs of UTC (default: the clock)."""
    made = parser()
    options = made.parse_args(arguments)
    if options.pages and options.html is None:
        made.error("--pages needs --html FILE: the pages are written next to it")
    asked_at = utils.utc_now() if now is None else now
    return finished("python diagnose.py days", lambda: _run(options, asked_at))

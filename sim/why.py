"""``python diagnose.py why``: why there was no alert, from a session's record.

The answer in a sentence, then the funnel, the near misses, and what the feed and the program did; one second of it in
full; and what another rule would have brought. Needs no keys and sends nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import textwrap
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import config
import utils
from config import ConfigError, seconds_of_day
from record.folder import SUFFIX, date_of, misnamed, records
from record.reader import Damage
from sim import funnel, moment, page, what_if
from sim.replay import Unusable, parse_sets, survey
from sim.report import WIDTH, as_json, entry_data, printable, report, wrapped
from sim.study import read

EXIT_OK, EXIT_FAILED, EXIT_USAGE = 0, 1, 2
EXIT_INTERRUPTED, EXIT_PIPE = 130, 141

DATES_NAMED = 8

WITHOUT_KEYS = {
    "POLYGON_API_KEY": "none",
    "PUSHOVER_TOKEN": "0" * 30,
    "PUSHOVER_USER_KEY": "0" * 30,
}
"""Stand in for the keys, which nothing here needs: the owner's are not even read."""

DESCRIPTION = """\
Why there was no alert: reads a session's record, packed or not, of a past day or of the session in progress, and says
what stood in the way. Without DATE: today's session if it has a record, else the newest record.
"""

EXAMPLES = """\
examples:
  python diagnose.py why
  python diagnose.py why 2025-10-02 --at 10:41:22
  python diagnose.py why 2025-10-02 --what-if VOLUME_PERCENTILE=90 --what-if RELATIVE_VOLUME_MIN=1.2
  python diagnose.py why 2025-10-02 --html why.html

Exit status: 0 answered (also: the exchange was closed that day), 1 no such record, or a damaged one, 2 bad arguments
or configuration.
"""


class Closed(Exception):
    """There was no session to have a record of: why, in a line."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python diagnose.py why",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("date", nargs="?", type=_day, metavar="DATE", help="a session's date, YYYY-MM-DD")
    made.add_argument(
        "--at",
        type=_second,
        metavar="HH:MM[:SS]",
        help="show this second of New York time in full, and what the next 10 minutes brought",
    )
    made.add_argument("--html", type=Path, metavar="FILE", help="write the day as one page with charts, too")
    made.add_argument(
        "--what-if",
        dest="sets",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="replay with another value for a rule, and compare the entries; may be repeated",
    )
    made.add_argument(
        "--data-dir",
        type=Path,
        metavar="PLACE",
        help="the folder that records are in, or one record (default: DATA_DIR from the environment or .env)",
    )
    made.add_argument("--json", action="store_true", help="the same for machines")
    return made


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        hint = " (a record is named by --data-dir)" if SUFFIX in text else ""
        raise argparse.ArgumentTypeError(f"takes a date as YYYY-MM-DD, not {text!r}{hint}") from None


def _second(text: str) -> int:
    try:
        return seconds_of_day(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


# --- Finding the record ------------------------------------------------------------------------------


class Found(NamedTuple):
    """A record, the session that it should hold (empty when nothing says which), and what is to be said of the choice."""

    path: Path
    date: str = ""
    note: str = ""


def find(place: Path | None, day: date | None, now: int) -> Found:
    """The record that is asked for. Raises Unusable when there is none, Closed when there was no session."""
    if place is not None and not place.is_dir():
        return Found(place, "" if day is None else day.isoformat())
    folder = data_dir() if place is None else place
    if folder.name == "sessions" and not (folder / "sessions").is_dir():
        folder = folder.parent
    by_date = {date_of(path): path for path in records(folder)}
    if day is not None:
        if day.isoformat() in by_date:
            return Found(by_date[day.isoformat()], day.isoformat())
        if day.isoformat() in (others := misnamed(folder)):
            raise Unusable(others[day.isoformat()])
        raise _no_record(folder, day, sorted(by_date), now)
    if not by_date:
        if others := misnamed(folder):
            raise Unusable(others[max(others)])
        raise Unusable(
            f"no record in {folder / 'sessions'}: the program has not run in a session yet, or with another DATA_DIR"
        )
    today = utils.new_york_date(now)
    newest = max(by_date)
    if today in by_date:
        return Found(by_date[today], today)
    return Found(
        by_date[newest],
        newest,
        f"Today ({today}) has no record: this is the newest. {_today_text(now)}".strip(),
    )


def data_dir() -> Path:
    """DATA_DIR from the environment or ``.env``. Raises ConfigError for bad settings."""
    settings, _ = config.load({**os.environ, **WITHOUT_KEYS})
    return settings.data_dir


def _today_text(now: int) -> str:
    session = utils.session_on(utils.new_york(now).date())
    if session is None:
        return "The exchange is closed today."
    return "Today's session has not opened yet." if now < session.open else "Is the program running?"


def _no_record(folder: Path, day: date, dates: Sequence[str], now: int) -> Exception:
    """Why a date has no record."""
    words = f"{day:%a} {day.day} {day:%b %Y}"
    session = utils.session_on(day)
    if session is None:
        what = "it was a weekend" if day.weekday() >= utils.SATURDAY else "it was a holiday"
        return Closed(f"No alert on {words}: the exchange was closed, {what}.")
    if now < session.open:
        return Closed(f"No alert on {words} yet: its session opens {utils.day_text(session.open)} ET.")
    shown = ", ".join(dates[-DATES_NAMED:])
    known = "There is no record at all."
    if dates:
        known = f"Records: {shown}" + (
            f", and {len(dates) - DATES_NAMED} older." if len(dates) > DATES_NAMED else "."
        )
    return Unusable(
        f"no record of {words} in {folder / 'sessions'}: the program was not running in that session, "
        f"or with another DATA_DIR, or the record was removed (KEEP_SESSIONS). {known}"
    )


# --- The command -------------------------------------------------------------------------------------


def _run(options: argparse.Namespace, now: int) -> None:
    """Answer. Raises Unusable, Damage, Closed, ConfigError or OSError."""
    sets = _sets(options.sets)
    found = find(options.data_dir, options.date, now)
    record = survey(found.path)
    if sets:
        what_if.check(record, sets)
    dated = record.headers[0][1].session.date
    if found.date not in ("", dated):
        raise Unusable(f"{found.path}: holds the session of {dated}, not of {found.date}")
    if options.html is not None:
        page.check(options.html, found.path)
    study = read(found.path, now=now, surveyed=record)
    extra: dict[str, Any] = {}
    lines: list[str] = [*wrapped(found.note)] if found.note else []
    lines += [*wrapped(funnel.answer(study))]
    if options.at is not None:
        shown = moment.show(study, moment.at_of(study, options.at))
        lines += ["", *shown.lines]
        extra["at"] = shown.data
    if sets:
        other = read(found.path, sets, now=now, surveyed=record)
        counted = None
        if what_if.changed(study, other):
            counted = what_if.tally(found.path, other.rules.digest(), what_if.settings_text(sets))
        lines += ["", *what_if.lines(study, other, sets, counted)]
        if not other.trades.told:
            lines += ["", *wrapped(f"Under that rule: {funnel.answer(other)}")]
        extra["what_if"] = {
            "settings": sets,
            "answer": funnel.answer(other),
            "signals": len(funnel.signals(other)),
            "tried_so_far": None if counted is None else counted.settings,
            "entries": [entry_data(result) for result in what_if.results(other)],
        }
    if options.at is None and not sets:
        lines += report(study)
    if options.json:
        print(as_json(study, extra))
    else:
        print(*map(printable, lines), sep="\n")
    if options.html is not None:
        page.write(study, options.html)
        print(f"\nWritten: {options.html}", file=sys.stderr if options.json else sys.stdout)


def _sets(texts: Sequence[str]) -> dict[str, str]:
    try:
        return parse_sets(texts)
    except ConfigError as error:
        raise ConfigError([fault.replace("--set ", "--what-if ", 1) for fault in error.faults]) from None


def main(arguments: Sequence[str], now: int | None = None) -> int:
    """Run the command; returns the exit status. ``now`` is when it is asked, µs of UTC (default: the clock)."""
    options = parser().parse_args(arguments)
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        _run(options, utils.utc_now() if now is None else now)
        sys.stdout.flush()
    except Closed as answer:
        if options.json:
            print(json.dumps({"answer": str(answer)}, ensure_ascii=False))
        else:
            print(*wrapped(str(answer)), sep="\n")
    except ConfigError as error:
        faults = (textwrap.fill(fault, WIDTH - 4, subsequent_indent="    ") for fault in error.faults)
        print("python diagnose.py why: bad settings:", *faults, sep="\n  ", file=sys.stderr)
        return EXIT_USAGE
    except (Unusable, Damage) as error:
        print(*wrapped(f"python diagnose.py why: {error}"), sep="\n", file=sys.stderr)
        return EXIT_FAILED
    except BrokenPipeError:
        # Whoever read our output has gone, as with `| head`: what is left in the buffer goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_PIPE
    except OSError as error:
        print(f"python diagnose.py why: {error.filename or ''}: {error.strerror or error}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return EXIT_OK

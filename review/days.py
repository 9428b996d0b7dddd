"""``python diagnose.py days``: the sessions of the book, a row each, and what they come to."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import utils
from book import store
from book.rows import DayRow
from config import ConfigError, Following, load_following
from errors import OurError
from events import SECOND
from followed import DELAYS_S, dollars_text
from record.folder import chosen, date_of, look_through
from record.reader import Damage
from review.day_rows import day_row
from review.places import Unusable, data_dir
from review.report import print_lines, wrapped
from review.sums import DRAWS, Sum, day_dollars, summed
from utils import clock_text, plural_s, span_text

EXIT_OK, EXIT_FAILED, EXIT_USAGE = 0, 1, 2
EXIT_INTERRUPTED, EXIT_PIPE = 130, 141

DESCRIPTION = """\
The sessions so far, a row each: what was seen, what came of it, and what following each push by hand would have brought.
The rows are in DATA_DIR/book.sqlite, which outlives the records; a session that is not in it yet is derived from its
record first.
"""

EXAMPLES = """\
examples:
  python diagnose.py days
  python diagnose.py days 2025-10-01..2025-10-31
  python diagnose.py days 2025-10-01.. --html days.html
  python diagnose.py days --rebuild

Exit status: 0 answered, 1 the book or a record cannot be used, 2 bad arguments or configuration.
"""

RANGE = re.compile(r"(\d{4}-\d\d-\d\d)?(\.\.)?(\d{4}-\d\d-\d\d)?")


class Range(NamedTuple):
    """Dates in ISO form, both included; what is left open begins or ends with the book."""

    first: str = ""
    last: str = "9999"


class Asked(NamedTuple):
    """What the days are told by: the folder of the data, the range, delay and fee."""

    folder: Path
    dates: Range
    following: Following
    now: int

    @property
    def delays_s(self) -> list[int]:
        """Returns the delays that are told."""
        return sorted({*DELAYS_S, self.following.follow_delay_seconds})


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
    return session is None or now >= session.close + 20 * 60 * SECOND


# --- In words ----------------------------------------------------------------------------------------


def lines(days: Sequence[DayRow], asked: Asked) -> list[str]:
    """Returns the sessions as a table, and their sums."""
    if not days:
        return ["No session in the book for these dates."]
    delays, fee = asked.delays_s, asked.following.fee_per_contract
    own = asked.following.follow_delay_seconds
    found = [*wrapped(_headline(days, asked)), ""]
    heads = "".join(f"{f'{delay} s':>9}" for delay in delays)
    found.append(f"{'':10}{'seen':>8}{'blind':>7}{'signals':>8}{'entries':>8}{heads}  nearest miss")
    for day in days:
        results = "".join(f"{_day_text(day, delay, fee):>9}" for delay in delays)
        miss = "" if day.miss_at is None else f"  {clock_text(day.miss_at)} {day.miss_condition}"
        found.append(
            f"{day.date}{span_text(day.seen_s * SECOND):>8}{span_text(day.blind_s * SECOND):>7}"
            f"{day.signals:>8,}{day.entries:>8}{results}{miss}"
        )
    found += ["", f"Followed by hand, one contract each, less ${fee:.2f} a side, by seconds after each push:"]
    for delay in delays:
        found.append(f"  {_sum_text(summed(days, delay, fee)) + (' ← yours' if delay == own else '')}")
    found += ["", *wrapped(_caveat(days))]
    return found


def _headline(days: Sequence[DayRow], asked: Asked) -> str:
    total = summed(days, asked.following.follow_delay_seconds, asked.following.fee_per_contract)
    span = days[0].date if len(days) == 1 else f"{days[0].date} to {days[-1].date}"
    return f"{len(days)} session{plural_s(len(days))}, {span}. {_sum_text(total)}."


def _day_text(day: DayRow, delay_s: int, fee: float) -> str:
    found = day_dollars(day, delay_s, fee)
    return dollars_text(sum(found), 0) if found else "—"


def _sum_text(total: Sum) -> str:
    """Returns a sum in words: ``15 s: 9 trades, 4 up, 5 down, −$31; mean −$3.44 (95 %: −$9.10 to +$2.20, n 9)``."""
    text = f"{total.delay_s} s: {total.trades} trade{plural_s(total.trades)}"
    if total.mean is not None:
        text += f", {total.up} up, {total.down} down, {dollars_text(total.dollars, 0)}; mean {dollars_text(total.mean)} (n {total.trades}"
        if total.interval is not None:
            low, high = map(dollars_text, total.interval)
            text += f", 95 %: {low} to {high}"
        text += ")"
    left_out = [f"{count} {fate}" for fate, count in total.fates.items()]
    return "; ".join([text, *left_out])


def _caveat(days: Sequence[DayRow]) -> str:
    """Returns what the sums are worth."""
    return (
        f"The interval is that of the mean over {DRAWS:,} resamples of {len(days)} day{plural_s(len(days))}; there is none below 5 days with a "
        "trade. While it holds zero, these days do not show that the alerts are worth anything, nor that they are not."
    )


def as_json(days: Sequence[DayRow], notes: Sequence[str], asked: Asked) -> str:
    """Returns the same for machines."""
    fee = asked.following.fee_per_contract
    totals = [summed(days, delay, fee) for delay in asked.delays_s]
    return json.dumps(
        {
            "days": [_day_data(day, asked) for day in days],
            "sums": [
                {**total._asdict(), "fates": {str(fate): count for fate, count in total.fates.items()}}
                for total in totals
            ],
            "fee_per_side": fee,
            "own_delay_s": asked.following.follow_delay_seconds,
            "notes": list(notes),
        },
        indent=1,
        ensure_ascii=False,
        allow_nan=False,
    )


def _day_data(day: DayRow, asked: Asked) -> dict[str, Any]:
    data = {name: getattr(day, name) for name in day.__struct_fields__ if name != "trades"}
    fee = asked.following.fee_per_contract
    data["dollars"] = {str(delay): round(sum(day_dollars(day, delay, fee)), 2) for delay in asked.delays_s}
    data["trades"] = [
        {
            **{name: getattr(trade, name) for name in trade.__struct_fields__ if name != "followed"},
            "followed": {
                str(delay): {"fate": order.fate, "paid": order.paid, "got": order.got}
                for delay, order in sorted(trade.followed.items())
            },
        }
        for trade in day.trades
    ]
    return data


# --- The command -------------------------------------------------------------------------------------


def _run(options: argparse.Namespace, now: int) -> None:
    """Answers. Raises Unusable, BookError, ConfigError or OSError."""
    folder = data_dir() if options.data_dir is None else options.data_dir
    if not folder.is_dir():
        raise Unusable(
            f"{folder}: is no folder; nothing was recorded there yet, or name another with --data-dir"
        )
    asked = Asked(folder, options.dates, load_following(), now)
    days, notes = whole_book(asked, rebuild=options.rebuild)
    if options.json:
        print(utils.printable(as_json(days, notes, asked), as_json=True))
        return
    told = [line for note in notes for line in wrapped(f"⚠️ {note}")]
    found = lines(days, asked)
    print_lines([*told, *found], range(len(told), len(told) + (found.index("") if "" in found else 1)))


def main(arguments: Sequence[str], now: int | None = None) -> int:
    """Runs the command; returns the exit status. ``now`` is when it is asked, µs of UTC (default: the clock)."""
    options = parser().parse_args(arguments)
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        _run(options, utils.utc_now() if now is None else now)
        sys.stdout.flush()
    except ConfigError as error:
        print("python diagnose.py days: bad settings:", *error.faults, sep="\n  ", file=sys.stderr)
        return EXIT_USAGE
    except OurError as error:
        print(*wrapped(f"python diagnose.py days: {error}"), sep="\n", file=sys.stderr)
        return EXIT_FAILED
    except BrokenPipeError:
        # Whoever read our output has gone, as with `| head`: what is left in the buffer goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_PIPE
    except OSError as error:
        print(f"python diagnose.py days: {error.filename or ''}: {error.strerror or error}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return EXIT_OK

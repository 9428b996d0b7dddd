"""``python diagnose.py why``: why there was no alert, from a session's record.

The answer in a sentence, then the funnel, the near misses, and what the feed and the program did; one second of it in
full; and what another rule would have brought. Needs no keys and sends nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import entry
import utils
from config import ConfigError, load_following
from record.folder import SUFFIX
from review import funnel, moment, what_if
from review.answer import answer
from review.derive import parse_sets, survey
from review.ending import finished
from review.keeper import read
from review.page import page
from review.page.asked import Asked
from review.places import SPOKEN, NoSession, find
from review.report import as_json, entry_data, print_lines, report, wrapped
from review.study import Study
from rules import seconds_of_day

DESCRIPTION = """\
Why there was no alert: reads the record of a past day or of the session in progress, and says what stood in the way.
Without DATE: today's record if there is one, else the newest.
"""

EXAMPLES = """\
examples:
  python diagnose.py why
  python diagnose.py why yesterday
  python diagnose.py why 2025-10-02 --at 10:41:22
  python diagnose.py why 2025-10-02 --what-if VOLUME_PERCENTILE=90 --what-if RELATIVE_VOLUME_MIN=1.2
  python diagnose.py why 2025-10-02 --html why.html

Exit status: 0 answered (also if the exchange was closed that day); 1 no such record, a damaged one, or no package to draw
the page with; 2 bad arguments (a --html FILE that may not be written is one) or configuration.
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog=f"{entry.called('python diagnose.py')} why",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument(
        "date",
        nargs="?",
        type=_day,
        metavar="DATE",
        help="a session's date, YYYY-MM-DD, or today; yesterday: the session before today's, even if it has no record; "
        "last: the newest record whose session is over",
    )
    made.add_argument(
        "--at",
        type=_second,
        metavar="HH:MM[:SS]",
        help="show this second (New York time) in full, and what happened in the next 10 minutes",
    )
    made.add_argument("--html", type=Path, metavar="FILE", help="also write the day as one page with charts")
    made.add_argument(
        "--what-if",
        dest="sets",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="replay with another value for a rule and compare the entries; may be repeated",
    )
    made.add_argument(
        "--data-dir",
        type=Path,
        metavar="PLACE",
        help="the folder with the records, or one record (default: DATA_DIR from the environment or .env)",
    )
    made.add_argument("--json", action="store_true", help="print JSON for machines")
    return made


def _day(text: str) -> date | str:
    if text in SPOKEN:
        return text
    try:
        return date.fromisoformat(text)
    except ValueError:
        hint = " (a record is named by --data-dir)" if SUFFIX in text else ""
        raise argparse.ArgumentTypeError(
            f"takes a date as YYYY-MM-DD, or today, yesterday, or last, not {text!r}{hint}"
        ) from None


def _second(text: str) -> int:
    try:
        return seconds_of_day(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


# --- The command -------------------------------------------------------------------------------------


def _run(options: argparse.Namespace, now: int) -> None:
    """Answer. Raises Unusable, Damage, NoSession, ConfigError or OSError."""
    sets = _sets(options.sets)
    found = find(options.data_dir, options.date, now)
    record = survey(found.path)
    if sets:
        what_if.check(record, sets)
    found.check(record.headers[0][1].session.date)
    if options.html is not None:
        page.check(options.html)
    following = load_following()
    study = read(found.path, now=now, surveyed=record, following=following)
    extra, asked = dict[str, Any](), Asked()
    lines: list[str] = [*wrapped(found.note)] if found.note else []
    notes, told_first = len(lines), wrapped(answer(study))
    if options.at is not None:
        at = moment.at_of(study, options.at)
        shown = moment.show(study, at)
        day, told_first = told_first, wrapped(shown.told)
        lines += [*told_first, "", *shown.lines, "", *day]
        extra["at"] = shown.data
        asked = asked._replace(at=at, shown=shown)
    else:
        lines += told_first
    if sets:
        other = read(found.path, sets, now=now, surveyed=record, following=following)
        compared, extra["what_if"] = _tried(study, other, sets, found.path)
        lines += ["", *what_if.lines(compared)]
        asked = asked._replace(compared=compared)
        if compared.answer:
            lines += ["", *wrapped(compared.answer)]
    if options.at is None and not sets:
        lines += report(study)
    if options.json:
        print(utils.printable(as_json(study, extra), as_json=True))
    else:
        print_lines(lines, range(notes, notes + len(told_first)))
    if options.html is not None:
        page.write(study, options.html, asked)
        print(f"\nWritten: {options.html}", file=sys.stderr if options.json else sys.stdout)


def _tried(
    study: Study, other: Study, sets: Mapping[str, str], record: Path
) -> tuple[what_if.Comparison, dict[str, Any]]:
    """What the day comes to under ``sets``, in words and for machines. Counts the trial when it changes anything."""
    counted = None
    if what_if.changed(study, other):
        counted = what_if.count_trial(record, other.rules.digest(), what_if.settings_text(sets))
    return what_if.compare(study, other, sets, counted), {
        "settings": sets,
        "answer": answer(other),
        "signals": len(funnel.signals(other)),
        "tried_so_far": None if counted is None else counted.settings,
        "entries": [entry_data(result) for result in what_if.results(other)],
    }


def _sets(texts: Sequence[str]) -> dict[str, str]:
    try:
        return parse_sets(texts)
    except ConfigError as error:
        raise ConfigError([fault.replace("--set ", "--what-if ", 1) for fault in error.faults]) from None


def main(arguments: Sequence[str], now: int | None = None) -> int:
    """Run the command; returns the exit status. ``now`` is when it is asked, µs of UTC (default: the clock)."""
    options = parser().parse_args(arguments)
    asked_at = utils.utc_now() if now is None else now
    return finished("python diagnose.py why", lambda: _answered(options, asked_at))


def _answered(options: argparse.Namespace, now: int) -> None:
    """Answers; that there was no session is an answer, too."""
    try:
        _run(options, now)
    except NoSession as answer:
        if options.json:
            print(json.dumps({"answer": str(answer)}, ensure_ascii=False))
        else:
            print(*wrapped(str(answer)), sep="\n")

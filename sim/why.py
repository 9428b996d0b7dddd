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
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import config
import utils
from config import ConfigError, seconds_of_day
from events import SECOND
from journal import PACKED_SUFFIX, SUFFIX, Damage, records
from sim import funnel, moment, what_if
from sim.funnel import Kind
from sim.replay import Unusable, parse_sets, survey
from sim.study import Study, read
from utils import clock_text, span_text

EXIT_OK, EXIT_FAILED, EXIT_USAGE = 0, 1, 2
EXIT_INTERRUPTED, EXIT_PIPE = 130, 141

WIDTH = 100
"""Columns of the report."""

DATES_NAMED = 8
GAPS_SHOWN = 20

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
        raise argparse.ArgumentTypeError(f"takes a date as YYYY-MM-DD, not {text!r}") from None


def _second(text: str) -> int:
    try:
        return seconds_of_day(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


# --- Finding the record ------------------------------------------------------------------------------


class Found(NamedTuple):
    """A record, and what is to be said about the choice; empty when it is the one that was asked for."""

    path: Path
    note: str = ""


def find(place: Path | None, day: date | None, now: int) -> Found:
    """The record that is asked for. Raises Unusable when there is none, Closed when there was no session."""
    if place is not None and not place.is_dir():
        return Found(place)
    folder = data_dir() if place is None else place
    if folder.name == "sessions" and not (folder / "sessions").is_dir():
        folder = folder.parent
    by_date = {_date_of(path): path for path in records(folder)}
    if day is not None:
        if day.isoformat() in by_date:
            return Found(by_date[day.isoformat()])
        raise _no_record(folder, day, sorted(by_date), now)
    if not by_date:
        raise Unusable(
            f"no record in {folder / 'sessions'}: the program has not run in a session yet, or with another DATA_DIR"
        )
    today = utils.new_york_date(now)
    newest = max(by_date)
    if today in by_date:
        return Found(by_date[today])
    return Found(
        by_date[newest], f"Today ({today}) has no record: this is the newest. {_today_text(now)}".strip()
    )


def _date_of(path: Path) -> str:
    return path.name.removesuffix(PACKED_SUFFIX).removesuffix(SUFFIX)


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


# --- The report --------------------------------------------------------------------------------------


def report(study: Study) -> list[str]:
    """The whole report but its first sentence, as lines."""
    blocks = [
        _heading(study),
        _funnel_lines(study),
        _failing_lines(study),
        _miss_lines(study),
        _gap_lines(study),
        _declined_lines(study),
        _trade_lines(study),
    ]
    return [line for block in blocks if block for line in ["", *block]]


def _heading(study: Study) -> list[str]:
    session = study.session
    hours = f"{utils.minute_text(session.open)}–{utils.minute_text(session.close)} ET"
    if study.is_over:
        state = ""
    elif study.down and study.down[-1].end == study.end:
        state = f", in progress, but nothing was recorded since {clock_text(study.until)}"
    else:
        state = f", in progress: until {clock_text(study.end)}"
    early = " (early close)" if session.early else ""
    lines = wrapped(f"Session {session.date}, {hours}{early}{state}; rules {study.rules.digest()}")
    lines += [line for text in study.odd for line in wrapped(f"⚠️ {text}")]
    if study.differing:
        lines += wrapped(
            f"⚠️ {study.differing} facts decide otherwise in this version than they did then: what follows is what "
            "this version makes of them. `python -m sim verify` names the first."
        )
    return lines


def wrapped(text: str) -> list[str]:
    """A text in lines of the report's width."""
    return textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False)


def _funnel_lines(study: Study) -> list[str]:
    rows = funnel.funnel(study)
    lines = ["How far the seconds of the session got", f"  {'':<26}{'left':>8}{'of before':>12}{'of all':>9}"]
    for row in rows:
        if row.kind is Kind.GATE and not row.lost:
            continue
        name = f"gate: {row.name}" if row.kind is Kind.GATE else row.name
        note = "  left out by the rules" if row.is_left_out else ""
        if row.kind is Kind.GATE:
            note = f"  stopped {row.lost:,} signal{'' if row.lost == 1 else 's'}"
        lines.append(
            f"  {name:<26}{row.left:>8,}{row.of_before:>10.1f} %{_fine(row.of_all):>7} %{note}".rstrip()
        )
    silent = [row.name for row in rows if row.kind is Kind.GATE and not row.lost]
    if silent:
        lines += [f"  {line}" for line in textwrap.wrap(f"Stopped none: {', '.join(silent)}.", WIDTH - 2)]
    return lines


def _fine(percent: float) -> str:
    """A share with as many decimals as a small one needs."""
    return f"{percent:.1f}" if percent >= 1 or percent == 0 else f"{percent:.2g}"


def _failing_lines(study: Study) -> list[str]:
    rows = funnel.failing(study)
    if not rows[0].of:
        return []
    lines = [
        f"How often each condition failed in the {rows[0].of:,} evaluated seconds after warm-up and not blind",
        f"  {'':<26}{'failed':>8}{'':>10}{'alone':>8}{'alone, every gate open':>25}",
    ]
    for row in rows:
        if row.is_left_out:
            lines.append(f"  {row.condition:<26}left out by the rules")
            continue
        percent = f"{funnel.share(row.failed, row.of):.1f} %"
        lines.append(
            f"  {row.condition:<26}{row.failed:>8,}{percent:>10}{row.alone:>8,}{row.alone_open:>25,}"
        )
    return lines


def _miss_lines(study: Study) -> list[str]:
    found = funnel.misses(study)
    if not found:
        return ["Near misses (every gate open, and every condition but one holds): none."]
    lines = [
        f"The nearest of {len(found)} near misses (every gate open, and every condition but one holds)"
        if len(found) > 1
        else "The one near miss (every gate open, and every condition but one holds)"
    ]
    for miss in found[: funnel.MISSES_SHOWN]:
        length = (miss.end - miss.start) // SECOND
        lasted = f"  ({length} s)" if length > 1 else ""
        lines.append(
            f"  {clock_text(miss.nearest.evaluation.start)}  {miss.condition:<17} {miss.text}{lasted}"
        )
    return lines


def _gap_lines(study: Study) -> list[str]:
    spans = [(span.start, span.end, f"not running: {span.cause}") for span in study.down]
    spans += [(span.start, span.end, f"blind: {span.cause}") for span in study.blind]
    spans += [(span.start, span.end, f"entries held: {span.reason}") for span in study.held]
    if not spans:
        return ["Gaps: none. The program ran, and the feed was never blind."]
    shown = sorted(sorted(spans, key=lambda span: span[0] - span[1])[:GAPS_SHOWN])
    lines = [
        "Gaps (one that goes on ends with the record)"
        if len(spans) <= GAPS_SHOWN
        else f"The {GAPS_SHOWN} longest of {len(spans)} gaps"
    ]
    for start, end, cause in shown:
        lines.append(f"  {clock_text(start)}–{clock_text(end)}  {span_text(end - start):>6}  {cause}")
    return lines


def _declined_lines(study: Study) -> list[str]:
    if not study.fallen:
        return []
    most = ", ".join(f"{rule} {count:,}" for rule, count in study.fallen.most_common())
    return ["Contracts that fell, over all signals without one, by the first rule they failed", f"  {most}"]


def _trade_lines(study: Study) -> list[str]:
    found = {result.trade.opened.id: result for result in what_if.results(study)}
    if not study.trades.all:
        return []
    lines = ["Entries (in at the BUY's ask, out at the SELL's bid, one contract)"]
    for trade in study.trades.all:
        opened = trade.opened
        head = f"  #{opened.id} {utils.strike_text(opened.strike):>5}c  {clock_text(trade.opened_at)}"
        if trade.is_withdrawn:
            lines += wrapped(
                f"{head}  withdrawn, nobody was told: {study.withdrawn.get(opened.id) or 'no reason'}"
            )
        else:
            reason = "" if trade.closed is None else f"  {trade.closed.reason}"
            lines.append(f"{head} → {what_if.cell(found[opened.id]):<44}{reason}".rstrip())
    if found:
        lines.append(
            f"`python -m sim replay {study.path.name}` shows what following each push late would have paid."
        )
    return lines


# --- The same for machines ---------------------------------------------------------------------------


def as_json(study: Study, extra: Mapping[str, Any]) -> str:
    """The report as one object."""
    return json.dumps(
        {
            "answer": funnel.answer(study),
            "session": study.session.date,
            "until": utils.utc_iso(study.end),
            "in_progress": not study.is_over,
            "rules": study.rules.digest(),
            "funnel": [
                {"kind": row.kind, "name": row.name, "left": row.left, "lost": row.lost}
                for row in funnel.funnel(study)
            ],
            "conditions": [
                {name: value for name, value in row._asdict().items() if name != "of"}
                for row in funnel.failing(study)
            ],
            "near_misses": [
                {
                    "start": utils.utc_iso(miss.start),
                    "end": utils.utc_iso(miss.end),
                    "nearest": utils.utc_iso(miss.nearest.evaluation.start),
                    "condition": miss.condition,
                    "value": None if miss.missed is None else miss.missed.value,
                    "threshold": None if miss.missed is None else miss.missed.threshold,
                    "ratio": None if miss.missed is None else miss.missed.ratio,
                    "text": miss.text,
                }
                for miss in funnel.misses(study)
            ],
            "not_running": [_span(span.start, span.end, span.cause) for span in study.down],
            "blind": [_span(span.start, span.end, span.cause) for span in study.blind],
            "held": [_span(span.start, span.end, span.reason) for span in study.held],
            "declined": dict(study.declined),
            "contracts_fallen": dict(study.fallen),
            "entries": [_entry(result) for result in what_if.results(study)],
            "withdrawn": study.withdrawn,
            **extra,
        },
        indent=1,
        ensure_ascii=False,
        allow_nan=False,
    )


def _span(start: int, end: int, cause: str) -> dict[str, str]:
    return {"start": utils.utc_iso(start), "end": utils.utc_iso(end), "cause": cause}


def _entry(result: what_if.Result) -> dict[str, Any]:
    trade = result.trade
    return {
        "id": trade.opened.id,
        "contract": trade.opened.contract,
        "opened": utils.utc_iso(trade.opened_at),
        "closed": None if trade.closed_at is None else utils.utc_iso(trade.closed_at),
        "reason": None if trade.closed is None else trade.closed.reason,
        "ask_to_bid_percent": result.percent,
        "ask_to_bid_dollars": result.dollars,
        "priced": result.is_priced,
    }


# --- The command -------------------------------------------------------------------------------------


def _run(options: argparse.Namespace, now: int) -> None:
    """Answer. Raises Unusable, Damage, Closed, ConfigError or OSError."""
    sets = _sets(options.sets)
    found = find(options.data_dir, options.date, now)
    record = survey(found.path)
    if sets:
        what_if.check(record, sets)
    dated = record.headers[0][1].session.date
    if options.date is not None and dated != options.date.isoformat():
        raise Unusable(f"{found.path}: holds the session of {dated}, not of {options.date}")
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
        extra["what_if"] = {
            "settings": sets,
            "tried_so_far": None if counted is None else counted.settings,
            "entries": [_entry(result) for result in what_if.results(other)],
        }
    if options.at is None and not sets:
        lines += report(study)
    if options.json:
        print(as_json(study, extra))
    else:
        print(*lines, sep="\n")
    if options.html is not None:
        from sim import page  # noqa: PLC0415 - only here: the rest needs no plotly

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

"""``python -m research backtest``: what the rules would have told, and what it would have paid."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import config
import utils
from config import Settings
from research.backtest import vault
from research.backtest.recorded import texts
from research.backtest.report import Asked, Backtest, as_json, headline, lines, summed
from research.backtest.run import Work, run_all
from research.backtest.session import SessionResult
from research.backtest.writing import check_folder
from research.commands.fetch import date_range
from research.commands.places import settings
from research.history.store import History, Source, State
from research.history.tape import BAR_DELAY_S
from research.ledger import Entry, Ledger
from research.report_page import page
from research.report_page.session_pages import write_pages
from research.report_page.told import of_backtest
from review.day_pages import standing
from review.derive import parse_sets
from review.places import BadArgument, Unusable
from review.report import print_lines, wrapped
from review.screen import Progress
from review.what_if import settings_text
from rules import Rules

DESCRIPTION = """\
Run past sessions through the live engine, and say what its alerts would have been worth: the symbol after each signal, the
option at mid, and what a hand would have got that follows each push 0, 5, 15, 30 and 60 s late, fees included. The rules
are those of the environment and .env; --set changes one of them.

The newest fifth of the sessions (at least 20) is sealed against --set: a setting that was chosen on sessions proves nothing
on them. --open-vault shows them, asks first, and is counted for good.
"""

EXAMPLES = """\
examples:
  python -m research backtest
  python -m research backtest --from 2025-07-01 --jobs 2 --set STOP_LOSS_PERCENT=20
  python -m research backtest --only 2025-10-02 --json
  python -m research backtest --only 2025-10-02 --record told    (then: python diagnose.py why told)
  python -m research backtest --html report.html --record told

Exit status: 0 done, whatever the verdict; 1 there is nothing to run, or it cannot be used; 2 bad arguments or configuration.
"""

HEADLINE_S = 5
DELAYS = (0, 5, 15, 30, 60)


def add_command(commands: Any) -> None:
    """Adds ``backtest`` to the command line."""
    made = commands.add_parser(
        "backtest",
        help="run past sessions through the engine",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_sessions(made)
    _add_costs(made)
    made.add_argument(
        "--html", type=Path, metavar="FILE", help="also write the report as one page with charts"
    )
    made.add_argument("--record", type=Path, metavar="DIR", help="also write each session as a record in DIR")
    made.add_argument("--jobs", type=int, default=1, metavar="N", help="processes (default: 1)")
    made.add_argument("--json", action="store_true", help="print every number as JSON")
    made.set_defaults(run=run)


def _add_sessions(made: argparse.ArgumentParser) -> None:
    add = made.add_argument
    add("--from", dest="first", type=_date, metavar="DATE", help="the first session (default: all)")
    add("--to", dest="last", type=_date, metavar="DATE", help="the last session")
    add("--only", type=_date, metavar="DATE", help="this session alone")
    add("--open-vault", action="store_true", help="also run the sealed sessions; asks first")
    add("--history", type=Path, metavar="FOLDER", help="the history (default: HISTORY_DIR)")


def _add_costs(made: argparse.ArgumentParser) -> None:
    add, seconds = made.add_argument, f"seconds from a bar's end to its arrival ({BAR_DELAY_S})"
    changed = "another value for a rule; may be repeated"
    add("--set", dest="sets", action="append", default=[], metavar="NAME=VALUE", help=changed)
    late = f"seconds from a push to the order, of the headline ({HEADLINE_S})"
    add("--delay", type=int, choices=DELAYS, default=HEADLINE_S, help=late)
    add("--fee", type=float, metavar="DOLLARS", help="for a contract and side (default: FEE_PER_CONTRACT)")
    add("--bar-delay", type=int, default=BAR_DELAY_S, metavar="S", help=seconds)


def _date(text: str) -> date:
    return date_range(text)[0]


def run(options: argparse.Namespace) -> None:
    """Runs the sessions and reports. Raises Unusable, ConfigError, HistoryError, LedgerError or OSError."""
    run_with(settings(needs_key=False), options)


def run_with(chosen: Settings, options: argparse.Namespace) -> Backtest:
    """Runs the sessions under these settings, reports, and returns what was found. Raises as `run` does."""
    if options.jobs < 1 or options.bar_delay < 0 or (options.fee is not None and not 0 <= options.fee <= 100):  # noqa: PLR2004
        raise BadArgument("--jobs takes a number from 1, --bar-delay one from 0, --fee dollars from 0 to 100")
    if options.html is not None:
        page.check(options.html)
    sets = parse_sets(options.sets)
    rules = chosen.rules if not sets else config.load_rules(texts(chosen.rules) | sets, env_file=None)
    history = History(chosen.history_dir if options.history is None else options.history)
    ledger = Ledger(history.folder)
    sources, left_out = _chosen(history, rules, options)
    usable = [source.date for source in sources if source.date not in dict(left_out)]
    days, sealed = _unsealed(usable, ledger, rules, options, history.dates(rules.symbol))
    fee = chosen.fee_per_contract if options.fee is None else options.fee
    if options.record is not None:
        _check_records(options.record, chosen.data_dir, days)
    work = Work(history.folder, rules.symbol, rules, fee, options.bar_delay, options.record)
    results = _results(work, days, options)
    ledger.enter(rules.digest(), rules.symbol, days, at=utils.utc_now(), command="backtest")
    asked = Asked(
        symbol=rules.symbol,
        digest=rules.digest(),
        settings=settings_text(sets),
        delay_s=options.delay,
        fee=fee,
        trials=ledger.trials(rules.symbol, days),
        openings=ledger.openings(rules.symbol),
        sealed=sealed,
        left_out=left_out,
        simulated=any(source.simulated for source in sources),
    )
    found = summed(asked, results)
    _print(found, options)
    if options.html is not None:
        _write_page(found, ledger.entries(rules.symbol, days), sources, options)
    return found


def _write_page(
    found: Backtest, entries: Sequence[Entry], sources: Sequence[Source], options: argparse.Namespace
) -> None:
    """Writes the report, and beside it the page of each session of which a record was written."""
    out = sys.stderr if options.json else sys.stdout
    folder = options.html.parent
    days = [session.date for session in found.sessions]
    if options.record is not None:
        write_pages(folder, options.record, days, fee=found.asked.fee, delay_s=found.asked.delay_s)
    page.write(of_backtest(found, entries, sources, standing(folder, days)), options.html)
    print(f"\nWritten: {options.html}", file=out)


def _check_records(folder: Path, data_dir: Path, days: Sequence[str]) -> None:
    """Raises BadArgument where records of a backtest may not be written."""
    if folder.resolve() == data_dir.resolve():
        raise BadArgument(f"--record {folder}: has the live program's own records; choose another folder")
    check_folder(folder, days)


def _print(found: Backtest, options: argparse.Namespace) -> None:
    if options.json:
        print(utils.printable(as_json(found), as_json=True))
    else:
        print_lines(lines(found), range(len(wrapped(headline(found)))))


def _chosen(
    history: History, rules: Rules, options: argparse.Namespace
) -> tuple[list[Source], list[tuple[str, str]]]:
    """Returns the sessions that were asked for, and those that cannot be run and why. Raises Unusable if none can."""
    first = options.only or options.first or date.min
    last = options.only or options.last or date.max
    days = [day for day in history.dates(rules.symbol) if first <= date.fromisoformat(day) <= last]
    sources = [source for day in days if (source := history.source(rules.symbol, day)) is not None]
    if not sources:
        raise Unusable(
            f"{history.folder}: has no session of {rules.symbol} there; python -m research fetch FROM..TO fetches some"
        )
    left_out = [(source.date, _why_not(source, rules)) for source in sources if _why_not(source, rules)]
    if len(left_out) == len(sources):
        raise Unusable(f"none of {len(sources)} sessions can be used: {left_out[0][0]} {left_out[0][1]}")
    return sources, left_out


def _why_not(source: Source, rules: Rules) -> str:
    """Returns why a session cannot be run; empty if it can."""
    if source.state is not State.WHOLE:
        return "; ".join([source.state, *source.faults])
    if rules.benchmark and source.benchmark != rules.benchmark:
        return f"it has {source.benchmark or 'no benchmark'} beside it, not {rules.benchmark}"
    return ""


def _unsealed(
    usable: Sequence[str], ledger: Ledger, rules: Rules, options: argparse.Namespace, every: Sequence[str]
) -> tuple[list[str], int]:
    """Returns the sessions that may be shown, and how many are sealed. Raises Unusable if none is left."""
    if not options.sets:
        return list(usable), 0
    _, sealed = vault.split(every)
    hidden = [day for day in usable if day in set(sealed)]
    if hidden and options.open_vault:
        _confirm(len(hidden), ledger, rules)
        ledger.open_vault(rules.symbol, rules.digest(), len(hidden), at=utils.utc_now())
        return list(usable), 0
    open_days = [day for day in usable if day not in set(hidden)]
    if not open_days:
        raise Unusable(
            f"all {len(hidden)} sessions are sealed against --set: the newest {vault.LEAST} at least are; fetch more, or --open-vault"
        )
    return open_days, len(hidden)


def _confirm(count: int, ledger: Ledger, rules: Rules) -> None:
    """Asks before the vault is opened. Raises Unusable unless the answer is yes."""
    before = len(ledger.openings(rules.symbol))
    print(
        f"The vault holds {count} sessions that no setting was chosen on. Once you have seen them, they prove nothing about "
        f"settings that you choose afterwards. It was opened {before} times before, and this is counted for good.",
        file=sys.stderr,
    )
    print("Open it? Type yes: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() != "yes":
        raise Unusable("the vault stays closed")


def _results(work: Work, days: Sequence[str], options: argparse.Namespace) -> list[SessionResult]:
    progress = Progress("Running", len(days), quiet=options.json)
    results: list[SessionResult] = []
    try:
        for result in run_all(work.run, days, jobs=options.jobs):
            results.append(result)
            progress.tell(len(results))
    finally:
        progress.clear()
    return results

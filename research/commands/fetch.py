"""``python -m research fetch``: sessions of the past from the vendor, as much of them as the rules look at."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from statistics import mean
from typing import Any

import logger
import utils
from config import Settings
from events import SECOND, Session
from polygon_client import vendor_history
from research.commands.places import settings
from research.history.fetch import Wanted, fetch, sessions_between
from research.history.requests import Refused, Requests
from research.history.store import History, Source, State
from review.places import Unusable
from utils import plural_s

DESCRIPTION = """\
Fetch past sessions from the vendor into HISTORY_DIR: the seconds of SYMBOL and BENCHMARK, the calls that were listed on
the day, and of their quotes the blocks of five minutes that the rules look at. Ctrl-C loses nothing: the next call goes on
where this one ended. What is there is never asked for again, so other rules only fetch what they need besides.

Needs POLYGON_API_KEY, and for quotes a plan that has them (Options Advanced). Without it, the bars are kept.
"""

EXAMPLES = """\
examples:
  python -m research fetch 2025-09-01..2025-09-30 --plan
  python -m research fetch 2025-09-01..2025-09-30

Exit status: 0 every session is whole; 1 one is not, or the vendor or the disk refuses; 2 bad arguments or configuration.
"""

DEADLINE_S = 30.0
"""Real seconds for one exchange: a page of 50,000 quotes has 9 MB."""

USUAL_BLOCKS, USUAL_MB, USUAL_REQUEST_S = 100, 3.0, 0.4
"""What a session takes, until there are some to measure: blocks of quotes, megabytes on the disk, and seconds a request."""

BARS_AND_CALLS = 3
"""Requests of a session besides its quotes: two for bars, one for calls."""


def add_command(commands: Any) -> None:
    """Adds ``fetch`` to the command line."""
    made = commands.add_parser(
        "fetch",
        help="fetch past sessions from the vendor",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("dates", type=date_range, metavar="FROM..TO", help="dates, YYYY-MM-DD, or one date")
    made.add_argument("--plan", action="store_true", help="only say what it would take")
    made.add_argument(
        "--history", type=Path, metavar="FOLDER", help="where to keep them (default: HISTORY_DIR)"
    )
    made.set_defaults(run=run)


def date_range(text: str) -> tuple[date, date]:
    """Returns the first and the last date of ``FROM..TO``, or of one date. Raises ArgumentTypeError."""
    first, dots, last = text.partition("..")
    try:
        found = date.fromisoformat(first), date.fromisoformat(last if dots else first)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"takes one date or FROM..TO, such as 2025-10-01..2025-10-31, not {text!r}"
        ) from None
    if found[0] > found[1]:
        raise argparse.ArgumentTypeError(f"{text}: begins after its end")
    return found


def run(options: argparse.Namespace) -> None:
    """Fetches, or says what it would take. Raises Unusable, ConfigError or OSError."""
    chosen = settings(needs_key=not options.plan)
    history = History(chosen.history_dir if options.history is None else options.history)
    rules = chosen.rules
    wanted = Wanted(rules.symbol, rules.benchmark, rules, chosen.polygon_rest_url)
    first, last = options.dates
    sessions = sessions_between(first, last, utils.utc_now())
    if options.plan:
        print(*plan_lines(history, wanted, sessions), sep="\n")
        return
    fetch_all(history, wanted, sessions, chosen)


def fetch_all(history: History, wanted: Wanted, sessions: Sequence[Session], chosen: Settings) -> None:
    """Fetches sessions, and says what becomes of each. Raises Unusable unless every one is whole, and OSError."""
    history.mend(wanted.symbol)
    logger.setup(
        level="ERROR",
        log_format="console",
        log_file=None,
        secrets=chosen.secrets(),
        clock=utils.utc_now,
        stream=sys.stderr,
    )
    report = _Report(history, wanted, sessions)
    try:
        asyncio.run(_fetch(history, wanted, sessions, chosen, report))
    except Refused as error:
        raise Unusable(f"the vendor refuses: {error}; look at POLYGON_API_KEY") from None
    finally:
        logger.close()
    report.end()


async def _fetch(
    history: History, wanted: Wanted, sessions: Sequence[Session], chosen: Settings, report: _Report
) -> None:
    vendor = vendor_history(
        chosen.polygon_rest_url,
        chosen.polygon_api_key.get_secret_value(),
        utils.SystemClock(),
        deadline_s=DEADLINE_S,
    )
    try:
        await fetch(history, Requests(vendor), wanted, sessions, now=utils.utc_now, told=report.session)
    finally:
        await vendor.aclose()


# --- What is said ------------------------------------------------------------------------------------


def session_line(source: Source) -> str:
    """Returns a session in a line: ``2025-10-01  whole   IWM 17,532 s, SPY 23,100 s, 63 calls, 84 blocks``."""
    counts = source.counts
    seconds = ", ".join(
        f"{name} {counts.get(f'seconds of {name}', 0):,} s"
        for name in (source.symbol, source.benchmark)
        if name
    )
    quotes = counts.get("quotes", 0)
    text = f"{source.date}  {source.state:<10}  {seconds}, {counts.get('calls', 0)} calls, {quotes:,} quotes"
    return "; ".join([text, *source.faults])


def plan_lines(history: History, wanted: Wanted, sessions: Sequence[Session]) -> list[str]:
    """Returns what fetching sessions would take, by what the sessions that are there took."""
    known = [history.source(wanted.symbol, day) for day in history.dates(wanted.symbol)]
    whole = [source for source in known if source is not None and source.state is State.WHOLE]
    done = {source.date for source in whole if wanted.rules.digest() in source.rules}
    left = [session for session in sessions if session.date not in done]
    blocks = mean(source.counts.get("blocks of quotes", 0) for source in whole) if whole else USUAL_BLOCKS
    requests = round(len(left) * (BARS_AND_CALLS + blocks))
    basis = f"by the {len(whole)} sessions that are there" if whole else "by what is usual for IWM"
    return [
        f"{len(sessions)} session{plural_s(len(sessions))} of {wanted.symbol}, {len(sessions) - len(left)} of them there already.",
        f"To fetch: about {requests:,} requests, {len(left) * USUAL_MB:,.0f} MB on the disk, "
        f"{requests * USUAL_REQUEST_S / 60:,.0f} minutes ({basis}).",
        "Bars need a stocks plan with second aggregates, quotes one for options with past quotes (Options Advanced).",
    ]


class _Report:
    """Says what becomes of each session, and how long the rest may take."""

    def __init__(self, history: History, wanted: Wanted, sessions: Sequence[Session]) -> None:
        self._total = len(sessions)
        self._done = self._asked = 0
        self._states: dict[State, int] = {}
        self._began = utils.steady_now()
        self._where = history.folder / wanted.symbol

    def session(self, source: Source, was_asked: bool) -> None:
        """A session is done."""
        self._done += 1
        self._asked += was_asked
        self._states[source.state] = self._states.get(source.state, 0) + 1
        left = self._total - self._done
        text = session_line(source)
        if left and self._asked:
            passed = (utils.steady_now() - self._began) / SECOND
            text += f"  ({left} left, about {utils.span_text(round(passed / self._asked * left) * SECOND)})"
        print(text, flush=True)

    def end(self) -> None:
        """Prints what it came to. Raises Unusable unless every session is whole."""
        states = ", ".join(f"{count} {state}" for state, count in self._states.items())
        if set(self._states) - {State.WHOLE}:
            raise Unusable(f"{states}, in {self._where}; ask again for what is not whole")
        print(f"{states}, in {self._where}")

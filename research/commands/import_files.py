"""``python -m research import``: sessions that are there already: the live program's records."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import utils
from errors import OurError
from research.commands.fetch import session_line
from research.commands.places import settings
from research.history.imported import Ready, from_record, write
from research.history.store import History, State
from review.places import Unusable
from review.report import wrapped

DESCRIPTION = """\
Bring sessions into HISTORY_DIR that you have already. FILE is a session's record of the live program, packed or not: the
best source there is, because backtest plays the very facts that the program got.

A session is whole or absent. One that came from elsewhere is only replaced with --replace. A session with too few seconds
is marked, and left out of every backtest.
"""

EXAMPLES = """\
examples:
  python -m research import data/sessions/*.jsonl.gz

Exit status: 0 every session is whole; 1 one is not, or a file cannot be used; 2 bad arguments or configuration.
"""


def add_command(commands: Any) -> None:
    """Adds ``import`` to the command line."""
    made = commands.add_parser(
        "import",
        help="bring in records of the live program",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a record")
    made.add_argument("--replace", action="store_true", help="replace sessions that came from elsewhere")
    made.add_argument(
        "--history", type=Path, metavar="FOLDER", help="where to keep them (default: HISTORY_DIR)"
    )
    made.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Brings them in. Raises Unusable unless every session is whole, ConfigError or OSError."""
    chosen = settings(needs_key=False)
    history = History(chosen.history_dir if options.history is None else options.history)
    report = _Report(history, is_replacing=options.replace)
    for path in options.files:
        try:
            report.write([from_record(history, path, utils.utc_now())])
        except OurError as error:
            report.refuse(error)
    report.end(options.files)


class _Report:
    """Writes sessions, and says what becomes of each."""

    def __init__(self, history: History, *, is_replacing: bool) -> None:
        self._history = history
        self._is_replacing = is_replacing
        self._written: set[tuple[str, str]] = set()
        self._states: dict[State, int] = {}
        self._refused = 0

    def write(self, sessions: Iterable[Ready]) -> None:
        """Writes sessions. Raises HistoryError for one that may not be replaced, or was among the files before."""
        for ready in sessions:
            source = ready.source
            write(self._history, ready, is_replacing=self._is_replacing, before=self._written)
            self._written.add((source.symbol, source.date))
            self._states[source.state] = self._states.get(source.state, 0) + 1
            print(f"{source.symbol}  {session_line(source)}", flush=True)

    def refuse(self, error: OurError) -> None:
        """A file cannot be used; the others are."""
        self._refused += 1
        print(*wrapped(f"✗ {error}"), sep="\n", file=sys.stderr)

    def end(self, files: Sequence[Path]) -> None:
        """Prints what it came to. Raises Unusable unless every session is whole."""
        parts = [f"{count} {state}" for state, count in self._states.items()]
        if self._refused:
            parts.append(f"{self._refused} of {len(files)} files cannot be used")
        text = f"{', '.join(parts)}, in {self._history.folder}"
        if self._refused or set(self._states) - {State.WHOLE}:
            raise Unusable(text)
        print(text)

"""``python -m research data``: what the history holds, session by session."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import msgspec

from research.commands.fetch import session_line
from research.commands.places import history_folder
from research.history.store import History, Source, State
from review.places import Unusable

DESCRIPTION = """\
List the sessions of the history: where each comes from, how much of it is there, and whether it can be used. Nothing is
filled in: a session that lacks too much is left out of every backtest.
"""


def add_command(commands: Any) -> None:
    """Adds ``data`` to the command line."""
    made = commands.add_parser(
        "data",
        help="list the sessions of the history",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("--history", type=Path, metavar="FOLDER", help="the history (default: HISTORY_DIR)")
    made.add_argument("--json", action="store_true", help="print JSON for machines")
    made.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Lists them. Raises Unusable without any, HistoryError, ConfigError or OSError."""
    history = History(history_folder(options.history))
    every: list[Source] = []
    for symbol in history.symbols():
        found = (history.source(symbol, day) for day in history.dates(symbol))
        every += [source for source in found if source is not None]
    if not every:
        raise Unusable(f"{history.folder}: has no session; python -m research fetch FROM..TO fetches some")
    if options.json:
        print(json.dumps([msgspec.to_builtins(source) for source in every], indent=1))
        return
    for source in every:
        print(f"{source.symbol}  {session_line(source)}  ({source.kind}: {source.origin})")
    usable = sum(source.state is State.WHOLE for source in every)
    print(f"{len(every)} sessions, {usable} whole")

"""``python -m review``: a recorded session once more, and the proof of its alerts. Needs no keys."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # what `signal` wraps, which takes 5 ms to load
import sys

if __name__ == "__main__" and _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
    # Ctrl-C ends a program that has not begun, without a traceback.
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)

import entry

if _STARTED := __name__ == "__main__":  # A SyntaxError here: Python 3.11 or newer is needed, see README
    entry.begin("python -m review")

import argparse
from pathlib import Path
from typing import TypeAlias

import utils
from config import ConfigError
from record.reader import Damage
from review.derive import parse_sets, survey
from review.places import NoSession, Unusable, named
from review.replay import replay_bars, replay_record
from review.verify import verify

EXIT_OK, EXIT_FAILED, EXIT_USAGE = 0, 1, 2

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

REPLAY_TEXT = """\
Run a session's record through a fresh engine, without waiting, and print what the live program printed: its lines, with
the session's times, and its alerts as the phone shows them. Then the trades, and what following each push by hand 0, 5,
15, 30 and 60 s late would have paid.

RECORD is a file in DATA_DIR/sessions, compressed or not, or its date. Its own rules are used; --set changes one of them.
With --bars, plain bars are replayed instead, under the rules from the environment and .env: conditions and signals, no
contracts.
"""

REPLAY_EXAMPLES = """\
examples:
  python -m review replay 2025-10-02
  python -m review replay data/sessions/2025-10-02.jsonl.gz --set STOP_LOSS_PERCENT=20 --trace rows.csv
  python -m review replay --bars SPY.csv.gz --set SYMBOL=SPY --set BENCHMARK=

Exit status: 0 done, 1 the trace could not be written completely, 2 a file is damaged or cannot be used, or a rule is
invalid.
"""

VERIFY_TEXT = """\
Derive every decision of each record again from its facts, under the rules in its headers, and compare it with the
recorded one, field by field and without tolerance. RECORD is a file in DATA_DIR/sessions, compressed or not, or its date.
Prints one line per record: that it is good, or the first difference or damage. For a record written by an older version,
"decides differently since" names a decision that has changed with the rules: the record itself is undamaged.

Exit status: 0 all are good, 1 one is not, 2 one cannot be read.
"""


def parser(prog: str = "python -m review") -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog=prog, description="Play a recorded session again (replay), or prove its decisions (verify)."
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add_commands(commands)
    return top


def add_commands(commands: Commands) -> None:
    """Add ``replay`` and ``verify`` to a command line."""
    _add_replay(commands)
    _add_verify(commands)


def _add_replay(commands: Commands) -> None:
    replay = commands.add_parser(
        "replay",
        help="run a recorded session, or plain bars, through the engine",
        description=REPLAY_TEXT,
        epilog=REPLAY_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    source = replay.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "record", nargs="?", metavar="RECORD", help="a session's record, or its date (YYYY-MM-DD)"
    )
    source.add_argument(
        "--bars",
        type=Path,
        action="append",
        metavar="FILE.csv",
        help="plain bars instead of a record, gzipped or not; may be repeated.  "
        "Columns: sym,start_ms,open,high,low,close,volume,vwap, in any order; others are ignored",
    )
    replay.add_argument(
        "--set",
        dest="sets",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="try another value for a rule, such as STOP_LOSS_PERCENT=20; may be repeated",
    )
    replay.add_argument(
        "--trace", type=Path, metavar="FILE.csv", help="write one row per evaluation to this file"
    )
    replay.add_argument("--verbose", action="store_true", help="also print the lines of every minute")


def _add_verify(commands: Commands) -> None:
    check = commands.add_parser(
        "verify",
        help="derive every decision of a record again, and compare",
        description=VERIFY_TEXT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    check.add_argument(
        "records", nargs="+", metavar="RECORD", help="a session's record, or its date (YYYY-MM-DD)"
    )


def replay(arguments: argparse.Namespace) -> int:
    """Replay a record or plain bars."""
    try:
        sets = parse_sets(arguments.sets)
        if arguments.bars:
            replay_bars(arguments.bars, sets, arguments.trace, verbose=arguments.verbose)
        else:
            found = named(arguments.record, utils.utc_now())
            record = survey(found.path)
            found.check(record.headers[0][1].session.date)
            replay_record(found.path, sets, arguments.trace, verbose=arguments.verbose, surveyed=record)
    except ConfigError as error:
        print("python -m review replay: bad settings:", *error.faults, sep="\n  ", file=sys.stderr)
        return EXIT_USAGE
    except (Unusable, NoSession, Damage) as error:
        print(f"python -m review replay: {error}", file=sys.stderr)
        return EXIT_USAGE
    except BrokenPipeError:
        raise
    except OSError as error:
        print(f"python -m review replay: {error.strerror or error}", file=sys.stderr)
        return EXIT_FAILED
    return EXIT_OK


def run(arguments: argparse.Namespace) -> int:
    """Run the command that was asked for."""
    if arguments.command == "replay":
        return replay(arguments)
    return verify(arguments.records, utils.utc_now())


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the process's exit status."""
    return run(parser().parse_args(arguments))


if _STARTED:
    entry.run(main)

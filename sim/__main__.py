"""``python -m sim``: the loopback market, replay and verify from the command line. Needs no keys."""

from __future__ import annotations

import sys

import entry

if _STARTED := __name__ == "__main__":  # A SyntaxError here: Python 3.11 or newer is needed, see README
    entry.begin("python -m sim")

import argparse
import asyncio
import contextlib
import os
import signal
from datetime import date
from datetime import time as time_of_day
from pathlib import Path
from typing import TypeAlias

import utils
from checks import machine
from config import ConfigError
from events import SECOND, Session
from record.reader import Damage
from sim.places import Closed, Unusable, named
from sim.replay import parse_sets, replay_bars, replay_record, survey
from sim.verify import verify

MADE_API_KEY = "loopbackmadeupkey"
MADE_PUSHOVER_TOKEN = "aLoopbackTokenThatIsMadeUp0000"
MADE_PUSHOVER_USER_KEY = "uLoopbackUserKeyThatIsMadeUp00"

EXIT_OK, EXIT_FAILED, EXIT_USAGE = 0, 1, 2
EXIT_PIPE, EXIT_INTERRUPTED = 141, 130
"""What a shell expects of a program whose reader has gone, and of one that Ctrl-C ended."""

LAST_PORT = 65_535

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

SERVE_TEXT = """\
Start a made trading day on loopback ports: the market's REST and sockets, and the push service. Prints the
environment that points a worker at it and the title of each push that it receives, and runs until Ctrl-C.

A worker goes by the machine's clock: it only sees a session on a weekday from 09:30 to 16:00 New York, holidays
left out. At any other time, use python main.py --demo.

Without --date, --start and --speed it keeps the machine's time: today's session, or the next one. With any of
them it keeps a clock of its own, which a worker on the machine's clock cannot follow: its bars would be of
another time. Use that to look at the wire; to watch a worker at another pace, use python main.py --demo.
"""

REPLAY_TEXT = """\
Feed a session's record to a fresh engine, without waiting, and print what the live program printed: its lines, with
the session's times, and its alerts as the phone shows them. Then the trades, and what a trader would have got who
followed each push 0, 5, 15, 30 and 60 s late.

RECORD is a file of DATA_DIR/sessions, packed or not, or its date. Its own rules are used; --set changes one of them. With --bars,
plain bars are replayed instead, under the rules of the environment and .env: conditions and signals, no contracts.
"""

REPLAY_EXAMPLES = """\
examples:
  python -m sim replay 2025-10-02
  python -m sim replay data/sessions/2025-10-02.jsonl.gz --set STOP_LOSS_PERCENT=20 --trace rows.csv
  python -m sim replay --bars SPY.csv.gz --set SYMBOL=SPY --set BENCHMARK=

Exit status: 0 done, 1 the trace cannot be written to its end, 2 a file that cannot be used or is damaged, a rule
that cannot be.
"""

VERIFY_TEXT = """\
Derive every decision of each record again from its facts, under the rules in its headers, and compare it with the
recorded one, field by field and without tolerance. RECORD is a file of DATA_DIR/sessions, packed or not, or its date.
Prints one line for each record: that it is good, or the first difference or damage. Of a record that an older version
wrote, "decides differently since" names a decision that has changed with the rules: the record itself is whole.

Exit status: 0 all are good, 1 one is not, 2 one cannot be read.
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog="python -m sim",
        description="A session once more (replay), the proof of its alerts (verify), "
        "and a made market that speaks the vendors' wire format (serve).",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_replay(commands)
    _add_verify(commands)
    _add_serve(commands)
    return top


def _add_replay(commands: Commands) -> None:
    replay = commands.add_parser(
        "replay",
        help="play a recorded session, or plain bars, on the engine",
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
        help="plain bars instead of a record, packed or not; more files by repeating it. "
        "Columns: sym,start_ms,open,high,low,close,volume,vwap, in any order; others are ignored",
    )
    replay.add_argument(
        "--set",
        dest="sets",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="another value for a rule, such as STOP_LOSS_PERCENT=20; may be repeated",
    )
    replay.add_argument(
        "--trace", type=Path, metavar="FILE.csv", help="write a row for each evaluation to this file"
    )
    replay.add_argument("--verbose", action="store_true", help="print the lines of every minute, too")


def _add_verify(commands: Commands) -> None:
    check = commands.add_parser(
        "verify",
        help="derive every decision of a record again and compare",
        description=VERIFY_TEXT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    check.add_argument(
        "records", nargs="+", metavar="RECORD", help="a session's record, or its date (YYYY-MM-DD)"
    )


def _add_serve(commands: Commands) -> None:
    serve = commands.add_parser(
        "serve",
        help="start the loopback market and push service",
        description=SERVE_TEXT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    serve.add_argument(
        "--port", type=_port, default=0, help="port of the market on 127.0.0.1 (default: any free one)"
    )
    serve.add_argument("--seed", type=int, default=7, help="which day is made (default: 7)")
    serve.add_argument("--speed", type=_positive, help="market seconds in a real one (default: 1)")
    serve.add_argument(
        "--date", type=_day, help="a session's date, YYYY-MM-DD (default: today's or the next session)"
    )
    serve.add_argument(
        "--start", type=_minute, metavar="HH:MM", help="New York time to start at (default: the open)"
    )
    serve.add_argument(
        "--seconds", type=_positive, help="stop after that many real seconds (default: run until Ctrl-C)"
    )


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > LAST_PORT:
        raise argparse.ArgumentTypeError(f"takes a port from 0 (any free one) to {LAST_PORT}")
    return int(text)


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError("takes a number over 0")
    return value


def _day(text: str) -> Session:
    try:
        session = utils.session_on(date.fromisoformat(text))
    except ValueError:
        raise argparse.ArgumentTypeError("takes a date as YYYY-MM-DD") from None
    if session is None:
        raise argparse.ArgumentTypeError(f"the exchange is closed on {text}")
    return session


def _minute(text: str) -> int:
    """Seconds after the open of a New York time of day."""
    try:
        moment = time_of_day.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError("takes a New York time as HH:MM") from None
    opening = utils.OPEN.hour * 3600 + utils.OPEN.minute * 60
    return moment.hour * 3600 + moment.minute * 60 - opening


def clock_for(arguments: argparse.Namespace) -> tuple[Session, utils.Clock]:
    """The session to be made and the clock it is played by."""
    session = arguments.date or utils.session_at(utils.utc_now())
    if arguments.date is None and arguments.start is None and arguments.speed is None:
        return session, utils.SystemClock()
    start = session.open if arguments.start is None else session.open + arguments.start * SECOND
    return session, utils.ScaledClock(start, arguments.speed or 1.0)


async def serve(arguments: argparse.Namespace) -> int:
    """Run the loopback market and push service until asked to stop."""
    # Only here: the other commands need neither numpy nor a web server.
    from sim.market import Market  # noqa: PLC0415
    from sim.pushover import LoopbackPushover  # noqa: PLC0415
    from sim.server import LoopbackMarket  # noqa: PLC0415

    session, clock = clock_for(arguments)
    market = Market(arguments.seed, session)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    vendor = LoopbackMarket(market, clock, MADE_API_KEY, port=arguments.port)
    phone = LoopbackPushover(
        clock,
        MADE_PUSHOVER_TOKEN,
        MADE_PUSHOVER_USER_KEY,
        # A comment, as all lines but the environment's are: the output can be read by a shell.
        on_message=lambda message: print(f"# Push: {message.title}", flush=True),
    )
    async with vendor as server, phone as pushover:
        shifted = not isinstance(clock, utils.SystemClock)
        print(f"# A made {session.date}, seed {arguments.seed}; it is {utils.day_text(clock.now())} there.")
        if shifted:
            print(
                f"# This clock is its own, x{clock.speed:g}: a worker on the machine's clock cannot follow it."
            )
        elif clock.now() < session.open:
            print("# The session has not opened yet: bars come from 10 minutes before the open.")
        print("# A worker that is pointed at it takes this environment:")
        for name, value in (
            ("POLYGON_API_KEY", MADE_API_KEY),
            ("POLYGON_REST_URL", server.rest_url),
            ("POLYGON_WS_URL", server.ws_url),
            ("PUSHOVER_TOKEN", MADE_PUSHOVER_TOKEN),
            ("PUSHOVER_USER_KEY", MADE_PUSHOVER_USER_KEY),
            ("PUSHOVER_URL", pushover.url),
        ):
            print(f"export {name}={value}")
        print("# Ctrl-C ends it.", flush=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(arguments.seconds):
                await stop.wait()
        print(f"# {len(server.requests)} requests, {sum(map(len, server.connects.values()))} connections.")
    return EXIT_OK


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
        print("python -m sim replay: bad settings:", *error.faults, sep="\n  ", file=sys.stderr)
        return EXIT_USAGE
    except (Unusable, Closed, Damage) as error:
        print(f"python -m sim replay: {error}", file=sys.stderr)
        return EXIT_USAGE
    except BrokenPipeError:
        raise
    except OSError as error:
        print(f"python -m sim replay: {error.strerror or error}", file=sys.stderr)
        return EXIT_FAILED
    return EXIT_OK


def run(arguments: argparse.Namespace) -> int:
    """Run the command that was asked for."""
    if arguments.command == "replay":
        return replay(arguments)
    if arguments.command == "verify":
        return verify(arguments.records, utils.utc_now())
    machine.forget_tls()
    try:
        return asyncio.run(serve(arguments))
    except BrokenPipeError:
        raise  # whoever read it (`| head`) has seen enough
    except OSError as error:
        print(f"python -m sim serve: {error.strerror or error}", file=sys.stderr)
        return EXIT_FAILED


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the process's exit status."""
    parsed = parser().parse_args(arguments)
    try:
        status = run(parsed)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has gone, as with `| head`: what is left in the buffer goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_PIPE
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return status


if _STARTED:
    entry.run(main)

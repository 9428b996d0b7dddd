"""``python -m sim``: the loopback market from the command line, and the older name of ``python -m review``."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # what `signal` wraps, which takes 5 ms to load
import sys

if __name__ == "__main__" and _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
    # Ctrl-C ends a program that has not begun, without a traceback.
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)

import entry

if _STARTED := __name__ == "__main__":  # A SyntaxError here: Python 3.11 or newer is needed, see README
    entry.begin(
        "python -m sim", packages=entry.DEMO_PACKAGES if "serve" in sys.argv else entry.WORKER_PACKAGES
    )

import argparse
import asyncio
from datetime import date
from datetime import time as time_of_day
from typing import TypeAlias

import review.__main__ as review
import utils
from checks import machine
from events import SECOND, Session

EXIT_OK, EXIT_FAILED, EXIT_USAGE = 0, 1, 2

LAST_PORT = 65_535

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

SERVE_TEXT = """\
Start a simulated trading day on loopback ports: the market's REST and sockets, and the push service. Prints the
environment that points a worker at it, then the title of each push that it receives. Runs until Ctrl-C.

A worker follows the machine's clock: it sees a session only on a weekday from 09:30 to 16:00 New York, except on
holidays. At any other time, use python main.py --demo.

Without --date, --start and --speed it keeps the machine's time: today's session, or the next one. With any of
them it keeps a clock of its own, which a worker on the machine's clock cannot follow: its bars would be from
another time. Use that to look at the wire; to watch a worker at another speed, use python main.py --demo.
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog="python -m sim",
        description="A simulated market that speaks the vendors' wire format (serve). "
        "replay and verify are those of python -m review.",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_serve(commands)
    review.add_commands(commands)
    return top


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
    serve.add_argument("--seed", type=int, default=7, help="which day is simulated (default: 7)")
    serve.add_argument("--speed", type=_positive, help="market seconds per real second (default: 1)")
    serve.add_argument(
        "--date", type=_day, help="a session's date, YYYY-MM-DD (default: today's or the next session)"
    )
    serve.add_argument(
        "--start", type=_minute, metavar="HH:MM", help="New York time to start at (default: the open)"
    )
    serve.add_argument(
        "--seconds", type=_positive, help="stop after this many real seconds (default: run until Ctrl-C)"
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
    """Returns a New York time of day in seconds after the open."""
    try:
        moment = time_of_day.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError("takes a New York time as HH:MM") from None
    opening = utils.OPEN.hour * 3600 + utils.OPEN.minute * 60
    return moment.hour * 3600 + moment.minute * 60 - opening


def clock_for(arguments: argparse.Namespace) -> tuple[Session, utils.Clock]:
    """The session to simulate, and the clock that it is played by."""
    session = arguments.date or utils.session_at(utils.utc_now())
    if arguments.date is None and arguments.start is None and arguments.speed is None:
        return session, utils.SystemClock()
    start = session.open if arguments.start is None else session.open + arguments.start * SECOND
    return session, utils.ScaledClock(start, arguments.speed or 1.0)


async def serve(arguments: argparse.Namespace) -> int:
    """Runs the loopback market and push service until asked to stop. Returns the exit status."""
    # Only here: the other commands need neither numpy nor a web server.
    from sim import serve as service  # noqa: PLC0415

    session, clock = clock_for(arguments)
    await service.serve(session, clock, seed=arguments.seed, port=arguments.port, seconds=arguments.seconds)
    return EXIT_OK


def run(arguments: argparse.Namespace) -> int:
    """Runs the command that was asked for. Returns the exit status."""
    if arguments.command != "serve":
        return review.run(arguments)
    machine.forget_tls()
    try:
        return asyncio.run(serve(arguments))
    except BrokenPipeError:
        raise  # whoever read it (`| head`) has seen enough
    except ImportError as error:
        print(f"python -m sim serve: {entry.missing_text(error, entry.DEMO_PACKAGES)}", file=sys.stderr)
        return EXIT_USAGE
    except OSError as error:
        print(f"python -m sim serve: {error.strerror or error}", file=sys.stderr)
        return EXIT_FAILED


def main(arguments: list[str] | None = None) -> int:
    """Runs one command. Returns the process's exit status."""
    return run(parser().parse_args(arguments))


if _STARTED:
    entry.run(main)

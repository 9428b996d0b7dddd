"""``python -m sim``: the loopback market from the command line, and the older name of ``python -m review``."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # what `signal` wraps, which takes 5 ms to load
import sys

if __name__ == "__main__" and _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
    # Ctrl-C ends a program that has not begun, without a traceback.
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)

import entry

if _STARTED := __name__ == "__main__":  # A SyntaxError here: Python 3.11 or newer is needed, see README
    entry.begin("python -m sim")

import argparse
import asyncio
import contextlib
import signal
from datetime import date
from datetime import time as time_of_day
from typing import TypeAlias

import review.__main__ as review
import utils
from checks import machine
from events import SECOND, Session

MADE_API_KEY = "loopbackmadeupkey"
MADE_PUSHOVER_TOKEN = "aLoopbackTokenThatIsMadeUp0000"
MADE_PUSHOVER_USER_KEY = "uLoopbackUserKeyThatIsMadeUp00"

EXIT_OK, EXIT_FAILED, EXIT_USAGE = 0, 1, 2

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


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog="python -m sim",
        description="A made market that speaks the vendors' wire format (serve). "
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


def run(arguments: argparse.Namespace) -> int:
    """Run the command that was asked for."""
    if arguments.command != "serve":
        return review.run(arguments)
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
    return run(parser().parse_args(arguments))


if _STARTED:
    entry.run(main)

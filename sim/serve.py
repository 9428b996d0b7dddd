"""``python -m sim serve``: the loopback market and push service, and the environment that points a worker at them."""

from __future__ import annotations

import asyncio
import contextlib
import signal

import utils
from events import Session
from sim.market import Market
from sim.push_account import Message
from sim.pushover import LoopbackPushover
from sim.server import LoopbackMarket

API_KEY = "loopbackmadeupkey"
PUSHOVER_TOKEN = "aLoopbackTokenThatIsMadeUp0000"
PUSHOVER_USER_KEY = "uLoopbackUserKeyThatIsMadeUp00"


async def serve(session: Session, clock: utils.Clock, *, seed: int, port: int, seconds: float | None) -> None:
    """Serves a simulated session by ``clock`` until SIGINT, SIGTERM, or ``seconds`` real seconds.

    Raises OSError if ``port`` is taken (0: any free one).
    """
    market = Market(seed, session)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    vendor = LoopbackMarket(market, clock, API_KEY, port=port)
    phone = LoopbackPushover(clock, PUSHOVER_TOKEN, PUSHOVER_USER_KEY, on_message=_show)
    async with vendor as server, phone as pushover:
        _print_time(session, clock, seed)
        _print_environment(server, pushover)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await stop.wait()
        print(f"# {len(server.requests)} requests, {sum(map(len, server.connects.values()))} connections.")


# Every line but the environment's is a comment: a shell can read the output.


def _show(message: Message) -> None:
    print(f"# Push: {message.title}", flush=True)


def _print_time(session: Session, clock: utils.Clock, seed: int) -> None:
    print(f"# A simulated {session.date}, seed {seed}; it is {utils.day_text(clock.now())} there.")
    if not isinstance(clock, utils.SystemClock):
        print(
            f"# This market has its own clock, x{clock.speed:g}: a worker on the machine's clock cannot follow it."
        )
    elif clock.now() < session.open:
        print("# The session has not opened yet: bars start 10 minutes before the open.")


def _print_environment(server: LoopbackMarket, pushover: LoopbackPushover) -> None:
    print("# To point a worker at it, use this environment:")
    for name, value in (
        ("POLYGON_API_KEY", API_KEY),
        ("POLYGON_REST_URL", server.rest_url),
        ("POLYGON_WS_URL", server.ws_url),
        ("PUSHOVER_TOKEN", PUSHOVER_TOKEN),
        ("PUSHOVER_USER_KEY", PUSHOVER_USER_KEY),
        ("PUSHOVER_URL", pushover.url),
    ):
        print(f"export {name}={value}")
    print("# Ctrl-C stops it.", flush=True)

"""Every way to be useless in a session, as something that is done to a running worker."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from events import SECOND
from tests.detection.stand import Stand
from tests.proxy import DOWN, UP
from tests.virtual_loop import VirtualLoop

LONG_S = 1e6
"""For as long as anybody looks."""

OFTEN = 100_000
"""As often as anybody asks."""

LATEST_S = 180.0
"""The most seconds for which any of them may stay unsaid in a session."""

Fault = Callable[[Stand], Awaitable[None]]


class Row(NamedTuple):
    """One way to be useless. ``latest_s`` is how many seconds it may stay unsaid."""

    name: str
    fault: Fault
    latest_s: float = LATEST_S
    begin: Callable[[Stand], Awaitable[None]] | None = None
    """What must have happened before; None: nothing but a feed that is seen."""


def asked(name: str, *, times: int | None = None, seconds: float | None = None, **options: Any) -> Fault:
    """A fault of the simulated vendor."""

    async def fault(stand: Stand) -> None:
        stand.faults.add(name, times=times, seconds=seconds, **options)

    return fault


def dropped_and(name: str, **options: Any) -> Fault:
    """The stocks connection drops, and each new one meets a fault."""

    async def fault(stand: Stand) -> None:
        stand.faults.add(name, seconds=LONG_S, feed="stocks", **options)
        stand.faults.add("drop", feed="stocks")

    return fault


def swallowed(*ways: str, direction: tuple[str, ...] = (UP, DOWN)) -> Fault:
    """Nothing arrives any more on these paths."""

    async def fault(stand: Stand) -> None:
        for way in ways:
            stand.ways[way].swallows |= set(direction)

    return fault


def cut(*ways: str) -> Fault:
    """These paths end, and nobody is behind their addresses any more."""

    async def fault(stand: Stand) -> None:
        for way in ways:
            stand.ways[way].refuses = True
            stand.ways[way].cut()

    return fault


def stepped(seconds: float) -> Fault:
    """The machine's clock is set by so much."""

    async def fault(stand: Stand) -> None:
        stand.town.own.wall_off = round(seconds * SECOND)

    return fault


def disk(number: int) -> Fault:
    """The record's disk answers every write with an error."""

    async def fault(stand: Stand) -> None:
        stand.life.death.disk_fault = number

    return fault


async def silent_everywhere(stand: Stand) -> None:
    """Socket and REST have no newer seconds, as in a halt."""
    stand.faults.add("aggregates_lag", by=LONG_S)
    stand.faults.add("silence", feed="stocks")


async def closed(stand: Stand) -> None:
    """The program starts on a day on which the exchange is closed although the calendar has a session."""
    await stand.kill()
    stand.faults.add("market_closed")
    await stand.town.start(**stand.addresses)


async def refused_user(stand: Stand) -> None:
    """The push service has closed the user's account."""
    stand.pushover.user_valid = False


async def quota_spent(stand: Stand) -> None:
    """Another application of the account has used the month's pushes up."""
    stand.pushover.remaining = 0


async def slow_loop(stand: Stand) -> None:
    """The event loop is blocked for 2.4 s, again and again."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)

    async def block() -> None:
        while True:
            await asyncio.sleep(0.5)
            loop.stand(2.4)

    stand.beside(block())


async def killed(stand: Stand) -> None:
    """The process is gone, and nothing starts it again."""
    await stand.kill()


async def crash_loop(stand: Stand) -> None:
    """Each start is killed after some seconds."""

    async def loop() -> None:
        while True:
            await stand.kill()
            await asyncio.sleep(3)
            await stand.town.start(**stand.addresses)
            await asyncio.sleep(12)

    stand.beside(loop())


async def unpriced(stand: Stand) -> None:
    """No quote of the held call comes, streamed or polled."""
    stand.faults.add("silence", feed="options")
    stand.faults.add("rest_500", path="/v3/snapshot", times=OFTEN)


def unstreamed_and(name: str, **options: Any) -> Fault:
    """No option quote is streamed, and the chain, which is polled instead, has a fault."""

    async def fault(stand: Stand) -> None:
        stand.faults.add("silence", feed="options")
        stand.faults.add(name, **options)

    return fault


async def seconds_missing(stand: Stand) -> None:
    """The feed drops for a moment, and REST never has the seconds of that gap."""
    stand.faults.add("rest_500", path="/v2/aggs", times=OFTEN)
    stand.faults.add("drop", feed="stocks")


ROWS = (
    # The path and the socket
    Row("half-open connection: nothing arrives, no end is told", swallowed("socket", direction=(DOWN,)), 15),
    Row("half-open connection, both directions", swallowed("socket"), 15),
    Row("the socket drops and cannot be dialled", cut("socket"), 30),
    Row("the socket is silent, pings are answered", asked("silence", feed="stocks"), 30),
    Row("the socket is silent and REST has nothing newer", silent_everywhere, 35),
    Row("the last message again and again", asked("repeat", feed="stocks"), 60),
    Row("taken by a second copy (1008)", asked("evict", feed="stocks"), 5),
    Row("accepted and closed, again and again", dropped_and("accept_then_close"), 30),
    Row("handshake answered with 429", dropped_and("handshake", status=429), 30),
    Row("the key is refused at the login", dropped_and("refuse_auth"), 60),
    Row("the subscription is not acknowledged", dropped_and("no_ack", pair="A.IWM"), 60),
    Row("bars 15 minutes late (a delayed plan, a slow consumer)", asked("late", by=900.0)),
    Row("IWM alone is not sent, REST has it", asked("one_silent", symbol="IWM")),
    Row("IWM alone is not sent, nobody has it", asked("one_silent", symbol="IWM", rest=False)),
    Row("SPY alone is not sent, nobody has it", asked("one_silent", symbol="SPY", rest=False)),
    Row("missed seconds that REST never has", seconds_missing),
    # REST and the chain
    Row("REST does not answer", swallowed("rest")),
    Row("REST cannot be reached", cut("rest")),
    Row("REST refuses the key, the socket does not", asked("rest_401", times=OFTEN)),
    Row("the chain fails (500)", asked("rest_500", path="/v3/snapshot", times=OFTEN)),
    Row("the option quotes are frozen", unstreamed_and("frozen_quotes", by=72_000.0)),
    Row("there are no option quotes", unstreamed_and("no_quotes")),
    Row("the exchange is closed at the start, the calendar says open", closed, 65),
    Row("no price of the open position", unpriced, 30, Stand.bought),
    # The machine
    Row("the clock is set 10 minutes ahead", stepped(600), 60),
    Row("the clock is set 10 minutes back", stepped(-600), 60),
    Row("the record's disk is full", disk(errno.ENOSPC), 10),
    Row("the record's disk fails (EIO)", disk(errno.EIO), 10),
    Row("the record's disk is read-only", disk(errno.EROFS), 10),
    Row("the event loop is blocked again and again", slow_loop),
    Row("killed again and again (a crash loop)", crash_loop),
    Row("the process is gone, or stuck for ever", killed),
    Row("the machine has no network", swallowed("rest", "socket", "push", "monitor")),
    # The push service
    Row("Pushover cannot be reached", cut("push")),
    Row("Pushover does not answer", swallowed("push")),
    Row("Pushover refuses the user (400)", refused_user),
    Row("Pushover's quota is used up (429)", quota_spent),
    Row("the monitor's address cannot be reached", cut("monitor")),
)

"""What the backfill leaves to the socket: the newest seconds, which it sends first. Only a live bar is evaluated."""

from __future__ import annotations

import asyncio

import pytest

from events import SECOND, Bar, Chain, Covered, Quote
from feeds.arrivals import Arrivals, Link
from feeds.backfill import Backfill, StocksEvent
from feeds.outlet import Outlet
from feeds.vendor import VENDOR_HOLD_US, NoAnswer
from rules import Rules
from tests.builders import SESSION, at, bar
from tests.virtual_loop import LoopClock

pytestmark = pytest.mark.virtual_time

BEGUN_S = 100


class Ahead:
    """A REST that has each second as soon as it is over, before the socket has sent it."""

    def __init__(self, clock: LoopClock) -> None:
        self._clock = clock

    async def second_bars(self, symbol: str, start_us: int, end_us: int) -> list[Bar]:
        first, last = (start_us - SESSION.open) // SECOND, (self._clock.now() - SESSION.open) // SECOND
        bars = [bar(second, symbol=symbol, backfilled=True) for second in range(first, last)]
        return [each for each in bars if each.start < end_us]

    async def chain(self, underlying: str, expiry: str, spot: float | None, percent: float) -> Chain:
        raise NoAnswer("only seconds")

    async def contract(self, underlying: str, contract: str) -> Quote:
        raise NoAnswer("only seconds")


async def test_the_newest_seconds_are_left_to_the_socket() -> None:
    clock = LoopClock(at(BEGUN_S))
    link = Link(data=Ahead(clock), clock=clock, rules=Rules(), session=SESSION)
    outlet: Outlet[StocksEvent] = Outlet()
    backfill = Backfill(link, Arrivals(link, *link.rules.symbols), outlet, SESSION.open)
    covered: set[str] = set()
    bars: list[Bar] = []
    async with asyncio.timeout(120), asyncio.TaskGroup() as tasks:
        backfill.start(tasks, clock.now())
        while len(covered) < len(link.rules.symbols):
            for event in await outlet.drain():
                if isinstance(event, Bar):
                    assert event.end + VENDOR_HOLD_US <= clock.now()
                    bars.append(event)
                elif isinstance(event, Covered) and event.end >= at(BEGUN_S):
                    covered.add(event.symbol)
    assert {each.start for each in bars if each.symbol == "IWM"} >= {at(second) for second in range(BEGUN_S)}

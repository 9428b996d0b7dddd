"""Requests about the past, repeated until they are answered or cannot be."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from errors import TheirError
from events import Bar, Quote
from feeds.vendor import ListedCall, NoAnswer, VendorHistory
from research.history.session import Block, QuoteRow

AT_ONCE = 8
"""The most requests at a time."""

ATTEMPTS = 6
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
"""Seconds before the second attempt, doubled each time, unless the vendor names another time."""

Result = TypeVar("Result")
Sleep = Callable[[float], Awaitable[None]]


class Refused(TheirError):
    """The vendor refuses every request: the key is wrong, or its certificate is not trusted. Going on is useless."""


class NotInPlan(TheirError):
    """The vendor's plan does not include what was asked for."""


class Unanswered(TheirError):
    """A request was not answered, although it was repeated: why, in a line."""


class Requests:
    """Asks a vendor about the past, at most `AT_ONCE` requests at a time. ``count`` is how many were made."""

    def __init__(self, vendor: VendorHistory, sleep: Sleep = asyncio.sleep) -> None:
        self._vendor = vendor
        self._sleep = sleep
        self._free = asyncio.Semaphore(AT_ONCE)
        self.count = 0

    async def bars(self, symbol: str, start: int, end: int) -> list[Bar]:
        """Returns the seconds of a symbol that start in [start, end), µs. Raises the errors of this module."""
        return await self._repeated(lambda: self._vendor.second_bars(symbol, start, end))

    async def calls(self, underlying: str, day: str) -> list[ListedCall]:
        """Returns the calls that expire on a date, as they were listed on it."""
        return await self._repeated(lambda: self._vendor.calls_on(underlying, day))

    async def blocks(self, wanted: Iterable[Block]) -> list[tuple[Block, list[QuoteRow]]]:
        """Returns the quotes of each block. The first block that fails ends the others, and its error is raised."""
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [(block, group.create_task(self._block(block))) for block in sorted(wanted)]
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return [(block, task.result()) for block, task in tasks]

    async def _block(self, block: Block) -> list[QuoteRow]:
        quotes = await self._repeated(
            lambda: self._vendor.past_quotes(block.contract, block.start, block.end)
        )
        return thinned(quotes)

    async def _repeated(self, ask: Callable[[], Awaitable[Result]]) -> Result:
        wait = FIRST_WAIT_S
        for attempt in range(1, ATTEMPTS + 1):
            async with self._free:
                self.count += 1
                try:
                    return await ask()
                except NoAnswer as error:
                    failed = error
            if failed.is_lasting:
                raise (Refused if failed.is_key_refused else NotInPlan)(f"{failed}") from None
            if attempt < ATTEMPTS:
                await self._sleep(min(LONGEST_WAIT_S, max(wait, failed.retry_after or 0.0)))
                wait *= 2
        raise Unanswered(f"no answer after {ATTEMPTS} attempts: {failed}")


KEPT_EVERY_US = 250_000
"""Of a call's quotes, the newest in each of these spans is kept: what the live client hands on for the held one."""


def thinned(quotes: Iterable[Quote]) -> list[QuoteRow]:
    """Returns the newest quote in each quarter of a second, oldest first. ``quotes`` are in the order of their time."""
    newest: dict[int, QuoteRow] = {}
    for quote in quotes:
        row = QuoteRow(quote.at, quote.bid, quote.ask, quote.bid_size, quote.ask_size)
        newest[quote.at // KEPT_EVERY_US] = row
    return list(newest.values())

"""Fills from REST what the socket has not brought: the day before a start, and the gaps after a loss."""

from __future__ import annotations

import asyncio

import structlog

from events import SECOND, Bar, Covered, FeedLost, FeedRestored, Hold
from feeds.arrivals import Arrivals, Link
from feeds.outlet import Outlet
from feeds.vendor import VENDOR_HOLD_US, NoAnswer
from utils import clock_text

log = structlog.get_logger("polygon_client")

PUT_MAX = 500
"""Facts that are handed on in one turn of the loop: a day's bars at once would hold it for a second."""

MARGIN_US = 120 * SECOND
"""How far before a gap its filling begins, for bars that were corrected meanwhile."""

AGAIN_S = 5.0
"""How long after the first answer REST is asked for the same again: it lags."""

LONG_US = 300 * SECOND
"""A longer gap's filling is told in the log."""

SHORT_S = (5.0, 10.0, 30.0)
"""Waits, by the clock, between questions while REST has not got to the gap's end; the last one stays."""

RETRY_S = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Waits between attempts at something that must be fetched, by the clock; the last one stays."""

TOGETHER_US = SECOND // 2
"""Questions this close together are one: REST gets on by whole seconds."""

StocksEvent = Bar | FeedLost | FeedRestored | Covered | Hold
"""What the stocks feed says."""


class Backfill:
    """The gaps of every symbol, and the one filling that runs. ``beginning`` (µs) is where the first gap begins."""

    def __init__(self, link: Link, arrivals: Arrivals, outlet: Outlet[StocksEvent], beginning: int) -> None:
        self._data = link.data
        self._clock = link.clock
        self._session = link.session
        self._symbols = link.rules.symbols
        self._arrivals = arrivals
        self._outlet = outlet
        self._filling: asyncio.Task[None] | None = None
        self._missing_from = dict.fromkeys(self._symbols, beginning)
        """Where each symbol's unfilled gap begins, µs; absent where nothing is missing."""

    def note_gap(self) -> None:
        """Note that bars may be missing from here on, and drop a filling that now ends too early."""
        if self._filling is not None:
            self._filling.cancel()
        for symbol in self._symbols:
            self.miss(symbol)

    def miss(self, symbol: str) -> None:
        """Note that a symbol's bars may be missing from its newest one on, or from this connection's beginning."""
        known = self._arrivals.newest.get(symbol, self._arrivals.acknowledged_at) + SECOND - MARGIN_US
        self._missing_from.setdefault(symbol, max(self._session.open, known))

    def start(self, tasks: asyncio.TaskGroup, now: int) -> None:
        """Fill what is missing up to now; bars that start later come over the socket."""
        end = min(now, self._session.close)
        self._missing_from = {symbol: start for symbol, start in self._missing_from.items() if start < end}
        if self._filling is not None:
            self._filling.cancel()
        if self._missing_from:
            self._filling = tasks.create_task(self._fill(dict(self._missing_from), end))

    async def _fill(self, gaps: dict[str, int], until: int) -> None:
        """Hand on each symbol's seconds from its gap's start on, until REST has answered twice up to ``until``.

        What an answer proves ends at its newest second, of whichever symbol: a symbol that did not trade has no
        second of its own there, and another's newer one shows that REST has got so far.
        """
        proof = _Proof()
        async with asyncio.TaskGroup() as group:
            for symbol, start in gaps.items():
                group.create_task(self._fill_symbol(symbol, start, until, proof))

    async def _fill_symbol(self, symbol: str, start: int, until: int, proof: _Proof) -> None:
        known: dict[int, Bar] = {}
        span = self._clock.now() - start
        if span >= LONG_US:
            log.info(
                "backfill",
                text=f"⏳ Backfill {symbol}: {span // SECOND:,} seconds from {clock_text(start)}",
                symbol=symbol,
                seconds=span // SECOND,
            )
        await self._fill_once(symbol, start, known, proof)
        await self._cover(symbol, start, until, known, proof)
        del self._missing_from[symbol]
        if span >= LONG_US:
            log.info(
                "backfilled",
                text=f"⏳ Backfill {symbol}: done, {len(known):,} bars",
                symbol=symbol,
                bars=len(known),
            )

    async def _cover(self, symbol: str, start: int, until: int, known: dict[int, Bar], proof: _Proof) -> None:
        """Ask REST again and again, and say how far each answer reaches, until that is ``until``."""
        covered, wait, short = start, AGAIN_S, 0
        while covered < until:
            await self._clock.sleep(wait)
            first = max(start, covered - MARGIN_US)
            end = await self._fill_once(symbol, first, known, proof)
            if end > covered:
                covered = end
                self._outlet.put(Covered(symbol=symbol, start=start, end=end))
                self._missing_from[symbol] = max(start, covered - MARGIN_US)
            wait = SHORT_S[min(short, len(SHORT_S) - 1)]
            short += 1
            if covered < until and short == len(SHORT_S):
                log.warning(
                    "backfill_short",
                    text=f"⏳ Backfill {symbol}: REST has got to {clock_text(covered)} only, "
                    f"asked again until it has got to {clock_text(until)}",
                    symbol=symbol,
                )

    async def _fill_once(self, symbol: str, start: int, known: dict[int, Bar], proof: _Proof) -> int:
        """Hand on what REST has and ``known`` has not, until it has answered once.

        Returns where what the answer proves ends, µs: ``start`` when it proves nothing.
        """
        attempt, told = 0, ""
        while True:
            asked_at = self._clock.now()
            end = min(asked_at, self._session.close)
            try:
                bars = await self._data.second_bars(symbol, start, end)
            except NoAnswer as error:
                wait = max(RETRY_S[min(attempt, len(RETRY_S) - 1)], error.retry_after or 0.0)
                attempt += 1
                if str(error) != told:
                    told = str(error)
                    log.warning(
                        "backfill_failed",
                        text=f"⚠️ Backfill {symbol} failed, tried again until it succeeds: {error}",
                        symbol=symbol,
                        reason=told,
                    )
                await self._clock.sleep(wait)
                continue
            # The newest seconds are left to the socket, which prints them first: only a live print is evaluated.
            fresh = [
                bar for bar in bars if bar.end + VENDOR_HOLD_US <= asked_at and known.get(bar.start) != bar
            ]
            known.update((bar.start, bar) for bar in fresh)
            for begin in range(0, len(fresh), PUT_MAX):
                self._outlet.put(*fresh[begin : begin + PUT_MAX])
                await asyncio.sleep(0)
            proof.record(asked_at, max((bar.end for bar in bars), default=0))
            return max(start, min(end, proof.reaches(asked_at)))


class _Proof:
    """How far REST has got, from the newest seconds of its answers, whichever symbol they are of."""

    def __init__(self) -> None:
        self._answers: list[tuple[int, int]] = []

    def record(self, asked_at: int, end: int) -> None:
        """Record an answer to a question at ``asked_at`` whose newest second ends at ``end`` (µs; 0: it held none)."""
        self._answers.append((asked_at, end))

    def reaches(self, asked_at: int) -> int:
        """Up to where an answer to a question at ``asked_at`` is complete, µs.

        What an earlier question saw, a later one must have seen; a later one proves nothing about it.
        """
        return max((end for at, end in self._answers if at <= asked_at + TOGETHER_US), default=0)

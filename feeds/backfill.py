"""Fills from REST what the socket did not deliver: the session before a start, and the gaps after a loss."""

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
"""How many facts are put into the outlet in one turn of the event loop. A whole day's would block it for a second."""

MARGIN_US = 120 * SECOND
"""How far before a gap its filling begins: the vendor may have corrected bars since they came."""

AGAIN_S = 5.0
"""How long after the first answer the same seconds are requested again, because REST lags behind the socket."""

LONG_US = 300 * SECOND
"""The log reports the filling of a gap that is at least this long."""

SHORT_S = (5.0, 10.0, 30.0)
"""Waits, by the clock, between requests while REST does not have the gap's end yet. The last one repeats."""

RETRY_S = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Waits, by the clock, after failed requests for something that must be fetched. The last one repeats."""

TOGETHER_US = SECOND // 2
"""Requests this close together see the same state of REST, which advances by whole seconds."""

StocksEvent = Bar | FeedLost | FeedRestored | Covered | Hold
"""The facts of the stocks feed."""


class Backfill:
    """Every symbol's gap, and the one task that fills them. ``beginning`` (µs) is where the first gap begins."""

    def __init__(self, link: Link, arrivals: Arrivals, outlet: Outlet[StocksEvent], beginning: int) -> None:
        self._data = link.data
        self._clock = link.clock
        self._session = link.session
        self._symbols = link.rules.symbols
        self._arrivals = arrivals
        self._outlet = outlet
        self._filling: asyncio.Task[None] | None = None
        self._missing_from = dict.fromkeys(self._symbols, beginning)
        """Where each symbol's unfilled gap begins, µs. A symbol without a gap is absent."""

    def note_gap(self) -> None:
        """Records that bars may be missing from now on, and cancels a filling that would end too early."""
        if self._filling is not None:
            self._filling.cancel()
        for symbol in self._symbols:
            self.miss(symbol)

    def miss(self, symbol: str) -> None:
        """Records that a symbol's bars may be missing after its newest one, or since this connection began."""
        known = self._arrivals.newest.get(symbol, self._arrivals.acknowledged_at) + SECOND - MARGIN_US
        self._missing_from.setdefault(symbol, max(self._session.open, known))

    def start(self, tasks: asyncio.TaskGroup, now: int) -> None:
        """Begins to fill what is missing up to ``now`` (µs). Bars that start later come over the socket."""
        end = min(now, self._session.close)
        self._missing_from = {symbol: start for symbol, start in self._missing_from.items() if start < end}
        if self._filling is not None:
            self._filling.cancel()
        if self._missing_from:
            self._filling = tasks.create_task(self._fill(dict(self._missing_from), end))

    async def _fill(self, gaps: dict[str, int], until: int) -> None:
        """Puts each symbol's seconds from its gap's start on, until REST has answered twice for all up to ``until``.

        An answer is complete up to its newest second. A symbol that did not trade has no newer second of its own, so the
        newest second of any symbol counts: it shows how far REST has come.
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
        """Requests the seconds again and puts how far each answer covers them, until that is ``until``."""
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
                    text=f"⏳ Backfill {symbol}: REST only reaches {clock_text(covered)};  "
                    f"asking again until it reaches {clock_text(until)}",
                    symbol=symbol,
                )

    async def _fill_once(self, symbol: str, start: int, known: dict[int, Bar], proof: _Proof) -> int:
        """Requests the seconds from ``start`` on until REST answers. Puts those that ``known`` lacks or has otherwise.

        Returns up to where the answer is complete, µs; ``start`` if it proves nothing.
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
                        text=f"⚠️ Backfill {symbol} failed; trying again until it succeeds: {error}",
                        symbol=symbol,
                        reason=told,
                    )
                await self._clock.sleep(wait)
                continue
            # Leave the newest seconds to the socket, which sends them first: only a live bar is evaluated.
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
    """How far REST's seconds are complete, going by the newest second in its answers for any symbol."""

    def __init__(self) -> None:
        self._answers: list[tuple[int, int]] = []

    def record(self, asked_at: int, end: int) -> None:
        """Records an answer to a request made at ``asked_at``. Its newest second ends at ``end`` (µs; 0: it has none)."""
        self._answers.append((asked_at, end))

    def reaches(self, asked_at: int) -> int:
        """Returns up to where an answer to a request made at ``asked_at`` is complete, µs.

        A request sees at least what an earlier one saw. A later one proves nothing about it.
        """
        return max((end for at, end in self._answers if at <= asked_at + TOGETHER_US), default=0)

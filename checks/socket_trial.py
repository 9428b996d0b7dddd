"""Tries one of the vendor's sockets: opens it, subscribes, waits for some data, closes it."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Awaitable, Callable, Iterable, Sequence

from checks.check import MARKET, Check, Severity
from checks.questions import Inquiry
from events import SECOND, Bar, FeedCause
from feeds.vendor import Lost, StreamQuote
from polygon_client import vendor_streams

EVICTION_SHARE = 0.1
"""A socket without data is kept open for this part of the limit: a copy that holds the connection takes it back at once."""

SOCKET_STEPS = 3
"""Steps of opening a socket (connect, greeting, key). Each may take an equal part of the limit."""

EVICTED_DO = "another copy has the account's only connection: stop it, or do not run this one (a second key does not help)"


class SocketTrial:
    """One connection to one market through the worker's own socket."""

    def __init__(self, market: str, inquiry: Inquiry) -> None:
        settings, clock = inquiry.settings, inquiry.clock
        self._market = market
        self._rules = settings.rules
        self._clock = clock
        self._limit_s = inquiry.limit_s
        self._patience_s = inquiry.patience_s
        self._advice = inquiry.network_advice("POLYGON_WS_URL")
        self._step_s = inquiry.limit_s / SOCKET_STEPS
        self._socket = vendor_streams(
            market,
            settings.polygon_ws_url,
            settings.polygon_api_key.get_secret_value(),
            clock,
            settings.rules,
            step_s=self._step_s,
        ).make(None)
        self._wanted: list[str] = []
        self._lags: list[int] = []
        self._newest: dict[str, int] = {}

    async def run(self, pairs: Callable[[], Awaitable[Sequence[str]]], data_wanted: int) -> Check:
        """Opens, subscribes to ``pairs`` and waits for ``data_wanted`` bars or quotes (0: it is too early for any)."""
        end = asyncio.get_running_loop().time() + self._patience_s
        try:
            try:
                await self._socket.open()
                self._wanted = list(await pairs())
                if self._wanted:
                    await self._socket.subscribe(self._wanted)
                    await self._answers()
                    if not self._socket.pending:
                        await self._data(data_wanted, end)
            finally:
                await self._socket.close()
        except Lost as lost:
            return self._lost(lost)
        return self._judged(data_wanted)

    async def _answers(self) -> None:
        """Waits until every pair is answered, or time is up. Data counts as an answer to its pair."""
        socket = self._socket
        try:
            async with asyncio.timeout(self._step_s):
                while socket.pending and socket.unauthorized < len(socket.pending):
                    self._take(await socket.receive())
                    socket.pending -= {
                        pair for pair in socket.pending if pair.partition(".")[2] in self._newest
                    }
        except TimeoutError:
            return  # `_judged` reports what is still pending

    async def _data(self, wanted: int, end: float) -> None:
        """Waits for data until ``end`` (the loop's time). If none is wanted, waits a moment for an eviction."""
        if not wanted:
            end = asyncio.get_running_loop().time() + self._limit_s * EVICTION_SHARE
        try:
            async with asyncio.timeout_at(end):
                while not wanted or len(self._lags) < wanted:
                    self._take(await self._socket.receive())
        except TimeoutError:
            return

    def _take(self, events: Iterable[Bar | StreamQuote]) -> None:
        """Records how late each new bar or quote is. Skips corrected bars: they are old."""
        now = self._clock.now()
        for event in events:
            if isinstance(event, Bar):
                name, at = event.symbol, event.end
            else:
                name, at = event.quote.contract, event.quote.at
            if at > self._newest.get(name, 0):
                self._newest[name] = at
                self._lags.append(max(0, now - at))

    def _lost(self, lost: Lost) -> Check:
        text = f"{self._market} socket: {lost.text}"
        if lost.cause is FeedCause.EVICTED:
            return Check(MARKET, Severity.FAIL, text, EVICTED_DO)
        if lost.cause is FeedCause.REFUSED:
            return Check(MARKET, Severity.FAIL, text, lost.advice)
        return Check(MARKET, Severity.FAIL, text, self._advice)

    def _judged(self, data_wanted: int) -> Check:
        """Returns the line for a connection that was not lost."""
        found = f"{self._market} socket: connected, key accepted"
        if not self._wanted:
            text = f"{found}; there is no known contract to subscribe to"
            return Check(MARKET, Severity.WARNING, text, "see option chain")
        pending = self._socket.pending - {
            f"{self._wanted[0].partition('.')[0]}.{name}" for name in self._newest
        }
        found += f", {len(self._wanted) - len(pending)} of {len(self._wanted)} subscribed"
        if pending:
            return self._missing(found, sorted(pending))
        if not data_wanted:
            what = "bars" if self._market == "stocks" else "quotes"
            return Check(MARKET, Severity.OK, f"{found}; whether {what} flow can be told only after the open")
        return self._late(found)

    def _missing(self, found: str, pending: Sequence[str]) -> Check:
        """Returns the line for pairs without an answer. The worker can poll quotes instead, but is blind without bars."""
        text = f"{found}, not {', '.join(pending)}"
        if self._market == "options":
            plan = (
                "the plan has no quote stream (Options Advanced does)"
                if self._socket.unauthorized
                else "ask again"
            )
            return Check(
                MARKET, Severity.WARNING, text, f"{plan}; without it the program polls the chain every 2 s"
            )
        if self._socket.unauthorized:
            text = f"{text} (the vendor says: not authorized)"
            return Check(MARKET, Severity.FAIL, text, "Stocks Advanced is needed for bars in real time")
        return Check(
            MARKET, Severity.FAIL, text, "run this again; if it persists, check SYMBOL and BENCHMARK"
        )

    def _late(self, found: str) -> Check:
        """Returns the line about how late the data was; there must be some."""
        what = "bars" if self._market == "stocks" else "quotes"
        if not self._lags:
            bad = ", ".join(f"{count} unusable: {reason}" for reason, count in self._socket.unusable.items())
            text = f"{found}, but no {what} came in time{f' ({bad})' if bad else ''}"
            return Check(MARKET, Severity.FAIL, text, "run this again; if it persists: a halt, or the plan")
        lag = statistics.median(self._lags) / SECOND
        found += (
            f", {len(self._lags)} {what}, {lag:.1f} s late (median, limit {self._rules.max_lag_seconds:g} s)"
        )
        if lag > self._rules.max_lag_seconds:
            return Check(MARKET, Severity.FAIL, found, "a delayed plan or address: real time is needed")
        return Check(MARKET, Severity.OK, found)

"""Finds out whether silence or lag of the stocks is the connection's fault, and ends the connection if it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from events import SECOND, Bar, FeedCause
from feeds.arrivals import Arrivals, Link
from feeds.connection import STALL_CHECK_S
from feeds.vendor import (
    EXCHANGE_DEADLINE_S,
    LIST_DEADLINES,
    PING_TIMEOUT_S,
    VENDOR_HOLD_US,
    Lost,
    NoAnswer,
    Stream,
)
from lags import Lags

log = structlog.get_logger("polygon_client")

SYMBOL_PROOF_SECONDS = 2
"""How many newer seconds at REST prove the stall of one symbol. One alone may be a late report that no socket sends."""

SYMBOL_REOPEN_S = (60.0, 120.0, 300.0)
"""Waits, by the clock, before the socket is reopened again for a symbol that a new connection did not bring back. The last
one repeats."""

LAG_CHECK_S = 1.0
"""Seconds, by the clock, between checks of whether bars come late."""

STALL_QUESTION_REAL_S = LIST_DEADLINES * EXCHANGE_DEADLINE_S
"""Real seconds that REST may take to answer a request for withheld bars, with all pages."""

TRANSIT_REAL_S = 0.25
"""Real seconds that a bar may need from the vendor to us."""


class SilenceWatch:
    """Watches for silence of all symbols, and of one. ``is_alive`` pings a connection."""

    def __init__(
        self,
        link: Link,
        arrivals: Arrivals,
        *,
        is_up: Callable[[], bool],
        is_alive: Callable[[Stream], Awaitable[bool]],
    ) -> None:
        self._link = link
        self._clock = link.clock
        self._rules = link.rules
        self._arrivals = arrivals
        self._is_up = is_up
        self._is_alive = is_alive
        self._silence_told = False
        """Whether the socket was reopened for a silence that lasts."""
        self._symbol_reopened: dict[str, tuple[int, int]] = {}
        """How often, and when last (µs), the socket was reopened for a symbol that has been silent since."""

    def progressed(self, symbol: str) -> None:
        """Records that a second of ``symbol`` came that is newer than any before it."""
        self._silence_told = False
        self._symbol_reopened.pop(symbol, None)

    def is_silent(self, symbol: str, now: int) -> bool:
        """Returns whether this connection has brought no newer second of a symbol for ``symbol_silence_seconds``."""
        arrivals = self._arrivals
        since = max(arrivals.progress_at[symbol], self._link.session.open, arrivals.acknowledged_at)
        return now - since >= self._rules.symbol_silence_seconds * SECOND

    async def watch_for_stall(self, stream: Stream) -> None:
        """Raises Lost once silence proves to be a stall. Checks every few seconds after ``stall_seconds`` of silence."""
        await self._is_alive(stream)  # while bars flow: tells whether this server answers pings at all
        while True:
            wait = self._until_quiet_for(self._rules.stall_seconds)
            if wait > 0:
                await self._arrivals.nap(wait)
                continue
            proof = await self._proof_of_stall(stream)
            if proof is not None:
                raise Lost(FeedCause.STALL, proof)
            await self._arrivals.nap(STALL_CHECK_S)

    async def watch_for_silence(self) -> None:
        """Raises Lost for silence that nothing explains. It may be a halt, so only once until a bar has come."""
        while True:
            wait = self._until_quiet_for(self._rules.silence_alarm_seconds)
            if wait > 0:
                await self._arrivals.nap(wait)
            elif self._silence_told:
                await self._arrivals.nap(1.0)
            else:
                self._silence_told = True
                raise Lost(FeedCause.SILENCE, f"no bar for {self._rules.silence_alarm_seconds} s")

    async def watch_symbols(self) -> None:
        """Checks a symbol that is silent while the other one is not. Raises Lost if REST has newer seconds of it."""
        while True:
            await self._arrivals.nap(1.0)
            asked = False
            for symbol in self._rules.symbols:
                if self._must_check(symbol):
                    asked = True
                    await self._check_symbol(symbol)
            if asked:
                await self._arrivals.nap(STALL_CHECK_S - 1.0)

    def _until_quiet_for(self, seconds: float) -> float:
        """Returns the seconds until silence has lasted that long, 0 if it has; 1 when silence means nothing.

        Silence means nothing outside the session or without a connection.
        """
        now = self._clock.now()
        if not self._is_up() or not self._link.in_session(now):
            return 1.0
        return max(0.0, seconds - (now - self._arrivals.quiet_since()) / SECOND)

    async def _proof_of_stall(self, stream: Stream) -> str | None:
        """Returns why this silence is the connection's fault; None if it may be the market's, or is over."""
        quiet_since = self._arrivals.quiet_since()
        is_alive = await self._is_alive(stream)
        if self._arrivals.quiet_since() != quiet_since:
            return None
        if not is_alive:
            return f"stalled: a ping was not answered within {PING_TIMEOUT_S:g} s"
        newest = max(self._arrivals.newest.values(), default=0)
        for symbol in self._rules.symbols:
            count = await self._bars_withheld(symbol, newest)
            if self._arrivals.quiet_since() != quiet_since:
                return None
            if count:
                return f"stalled: REST has {count} newer bars of {symbol}"
        return None

    def _is_missed(self, symbol: str, now: int) -> bool:
        """Returns whether a symbol is silent, and the program has run for long enough to have received it."""
        heard_at = max(self._arrivals.woke_at, self._arrivals.early_at[symbol])
        is_unheard = now - heard_at >= self._rules.symbol_silence_seconds * SECOND
        return is_unheard and self.is_silent(symbol, now)

    def _must_check(self, symbol: str) -> bool:
        now = self._clock.now()
        if not self._is_up() or not self._link.in_session(now) or not self._is_missed(symbol, now):
            return False
        if self._until_quiet_for(self._rules.stall_seconds) == 0:
            return False  # all symbols are silent: `watch_for_stall` and `watch_for_silence` handle that
        if symbol not in self._symbol_reopened:
            return True
        times, at = self._symbol_reopened[symbol]
        wait = SYMBOL_REOPEN_S[min(times, len(SYMBOL_REOPEN_S)) - 1]
        return now - at >= wait * SECOND

    async def _check_symbol(self, symbol: str) -> None:
        progress_at = self._arrivals.progress_at[symbol]
        count = await self._bars_withheld(symbol, self._arrivals.newest.get(symbol, 0))
        if count >= SYMBOL_PROOF_SECONDS and self._arrivals.progress_at[symbol] == progress_at:
            times, _ = self._symbol_reopened.get(symbol, (0, 0))
            self._symbol_reopened[symbol] = times + 1, self._clock.now()
            raise Lost(FeedCause.STALL, f"{symbol} stalled: REST has {count} newer bars of it", symbol=symbol)

    async def _bars_withheld(self, symbol: str, newest: int) -> int:
        """Returns how many seconds after ``newest`` (µs) REST has that the socket should have sent by now.

        Returns 0 if REST fails.
        """
        asked_at = self._clock.now()
        transit = SECOND + int(TRANSIT_REAL_S * self._clock.speed * SECOND)
        first = max(newest + SECOND, self._arrivals.acknowledged_at, self._link.session.open)
        last = asked_at - VENDOR_HOLD_US - transit
        if first >= last:
            return 0
        try:
            bars = await self._link.data.second_bars(symbol, first, last)
        except NoAnswer as error:
            log.debug("stall_check_failed", text=f"Stall check without REST: {error}", reason=str(error))
            return 0
        if self._arrivals.was_away(asked_at, STALL_QUESTION_REAL_S * self._clock.speed):
            return 0  # the socket's bars may have come and be unread
        return sum(bar.end <= last for bar in bars)


class LagWatch:
    """Watches how late bars come: those of all symbols, and those of the traded one."""

    def __init__(self, link: Link, arrivals: Arrivals) -> None:
        self._link = link
        self._rules = link.rules
        self._arrivals = arrivals
        self._lags, self._own_lags = Lags(link.rules), Lags(link.rules)
        self._late_since: int | None = None
        self._is_told = False
        """Whether the socket was reopened for the present lag."""

    def clear(self) -> None:
        """Starts over: how late an earlier connection was says nothing about a new one."""
        self._lags.clear()
        self._own_lags.clear()
        self._late_since = None

    def add(self, bar: Bar, now: int) -> None:
        """Records the lag of a bar that is newer than any before it of its symbol. ``now`` in µs."""
        lag = max(0, now - bar.end)
        self._lags.add(lag)
        if bar.symbol == self._rules.symbol:
            self._own_lags.add(lag)

    async def watch(self) -> None:
        """Raises Lost for lag that lasts: a new connection often cures it. Only once until bars came on time again."""
        while True:
            await self._arrivals.nap(LAG_CHECK_S)
            now = self._link.clock.now()
            if not (self._lags.is_late or self._own_lags.is_late):
                self._late_since = None
                if self._lags.is_full and self._own_lags.is_full:
                    self._is_told = False
            elif self._late_since is None or self._late_since < self._arrivals.woke_at:
                # Bars that waited unread while the program did not run are not late by the feed's fault.
                self._late_since = now
            elif (
                self._link.in_session(now)
                and not self._is_told
                and now - self._late_since >= self._rules.lag_reopen_seconds * SECOND
            ):
                self._is_told = True
                raise Lost(FeedCause.LAG, f"bars late for {self._rules.lag_reopen_seconds} s")

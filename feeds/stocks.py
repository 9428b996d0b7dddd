"""The bars of the watched symbols, and whether they come."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Sequence

import structlog

from events import SECOND, Bar, Covered, FeedCause, FeedLost, FeedRestored, Hold, HoldReason, Session
from feeds.connection import MarketFeed
from feeds.massive.errors import RestError
from feeds.massive.rest import Rest
from feeds.massive.socket import Socket
from feeds.outlet import Outlet, iterate
from feeds.vendor import (
    EXCHANGE_DEADLINE_S,
    LIST_DEADLINES,
    PING_TIMEOUT_S,
    STEP_TIMEOUT_S,
    VENDOR_HOLD_US,
    Lost,
    VendorRefused,
)
from rules import Rules
from sight import Lags
from utils import Clock, clock_text

log = structlog.get_logger("polygon_client")

WAITING_MAX = 5_000
"""Frames' worth of events that may wait for a feed's reader before the feed is taken for overrun."""


STALL_CHECK_S = 5.0
"""How often a silent feed is checked, by the clock."""

SYMBOL_PROOF_SECONDS = 2
"""Newer seconds at REST that confirm the stall of one symbol: a single one may be a late report that no socket prints."""

SYMBOL_REOPEN_S = (60.0, 120.0, 300.0)
"""Waits, by the clock, before the socket is reopened again for a symbol that a new connection did not bring back."""

LAG_CHECK_S = 1.0
"""How often it is asked whether bars come late, by the clock."""

PUT_MAX = 500
"""Facts that are handed on in one turn of the loop: a day's bars at once would hold it for a second."""

STALL_QUESTION_REAL_S = LIST_DEADLINES * EXCHANGE_DEADLINE_S
"""Real time that REST has for a question about withheld bars, all pages together."""

TRANSIT_REAL_S = 0.25
"""Real time that a bar may need from the vendor to us."""

BACKFILL_MARGIN_US = 120 * SECOND
"""How far before a gap its filling begins, for bars that were corrected meanwhile."""

BACKFILL_AGAIN_S = 5.0
"""How long after the first answer REST is asked for the same again: it lags."""

BACKFILL_LONG_US = 300 * SECOND
"""A longer gap's filling is told in the log."""

BACKFILL_SHORT_S = (5.0, 10.0, 30.0)
"""Waits, by the clock, between questions while REST has not got to the gap's end; the last one stays."""

REST_RETRY_S = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Waits between attempts at something that must be fetched, by the clock; the last one stays."""


class StocksFeed(MarketFeed):
    """The bars of ``rules.symbols``, and whether they come. One connection; `events` is iterated once.

    ``position_open`` says whether a position is at stake; ``backfill_from`` (µs) is where the session's bars begin
    to be missing at the start (None: at its open). ``key_has_worked`` says whether the vendor has taken this key
    earlier in this process: then a refusal is no reason to end. ``step_s`` is real seconds for each step of connecting.
    ``offer`` is asked first to take facts, whole batches: those that it takes do not come out of `events`, and are
    where they are needed a turn of the loop earlier. ``early`` is told of bars from ahead of our clock, as `FrameDecoder` does.
    """

    def __init__(
        self,
        *,
        rest: Rest,
        ws_url: str,
        api_key: str,
        clock: Clock,
        rules: Rules,
        session: Session,
        rng: random.Random,
        position_open: Callable[[], bool],
        backfill_from: int | None = None,
        key_has_worked: bool = False,
        offer: Callable[[Sequence[StocksEvent]], bool] | None = None,
        step_s: float = STEP_TIMEOUT_S,
        early: Callable[[int, str, int], None] | None = None,
    ) -> None:
        self.key_has_worked = key_has_worked
        """Whether the vendor has taken this key, in this connection or before."""
        super().__init__(
            "stocks",
            rest=rest,
            ws_url=ws_url,
            api_key=api_key,
            clock=clock,
            rules=rules,
            session=session,
            rng=rng,
            step_s=step_s,
            early=self._learn_early,
        )
        self._tell_early = early
        self._early_newest: dict[str, int] = {}
        """Start of each symbol's newest second that was left out for coming early, µs."""
        self._early_at = dict.fromkeys(rules.symbols, 0)
        """When such a second last came that was newer than any before, µs."""
        self._position_open = position_open
        self._outlet: Outlet[StocksEvent] = Outlet(offer)
        self._tasks: asyncio.TaskGroup | None = None
        self._backfill: asyncio.Task[None] | None = None
        beginning = max(session.open, backfill_from or 0)
        self._missing_from = dict.fromkeys(rules.symbols, beginning)
        """Where each symbol's unfilled gap begins, µs; absent where nothing is missing."""
        self._newest: dict[str, int] = {}
        self._progress_at = dict.fromkeys(rules.symbols, 0)
        """When each symbol last had a second newer than any before, µs."""
        self._symbol_reopened: dict[str, tuple[int, int]] = {}
        """How often, and when last (µs), the socket was reopened for a symbol that has not come since."""
        self._lags, self._own_lags = Lags(rules), Lags(rules)
        self._late_since: int | None = None
        self._lag_told = False
        """Whether the socket was reopened for the lag that lasts."""
        self._is_up = False
        self._down_cause: FeedCause | None = None
        self._is_held = False
        self._silence_told = False

    def events(self) -> AsyncGenerator[list[StocksEvent], None]:
        """The feed's facts, for ever, all that wait at once. Raises VendorRefused. Closing it closes the socket."""
        return iterate(self._outlet, self._run, "stocks feed")

    async def _run(self) -> None:
        refusals: list[BaseException] = []
        try:
            async with asyncio.TaskGroup() as self._tasks:
                await self._stay_connected()
        except* VendorRefused as group:
            refusals.extend(group.exceptions)
        if refusals:
            raise refusals[0]

    # One connection

    async def _serve(self, socket: Socket) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._read(socket))
            group.create_task(self._judge_at_deadline(socket))
            group.create_task(self._watch_for_stall(socket))
            group.create_task(self._watch_for_silence())
            group.create_task(self._watch_symbols())
            group.create_task(self._watch_for_lag())
            group.create_task(self._await_reopening())

    async def _read(self, socket: Socket) -> None:
        await socket.subscribe(f"A.{symbol}" for symbol in self._rules.symbols)
        flowing: set[str] = set()
        while True:
            bars = [event for event in await socket.receive() if isinstance(event, Bar)]
            if not self._is_up:
                flowing.update(f"A.{bar.symbol}" for bar in bars)
                self._judge_answers(socket, flowing)
            if bars:
                self._take(bars, socket.received_at)

    def _judge_answers(self, socket: Socket, flowing: set[str]) -> None:
        """Go up when every pair is acknowledged or delivers; a refusal is judged once every pair is answered."""
        socket.acknowledged |= flowing
        socket.pending -= flowing
        if not socket.pending:
            self._go_up(socket)
        elif socket.unauthorized >= len(socket.pending):
            self._judge_missing(socket)

    async def _judge_at_deadline(self, socket: Socket) -> None:
        await asyncio.sleep(self._step_s)
        if not self._is_up:
            self._judge_missing(socket)

    def _judge_missing(self, socket: Socket) -> None:
        """Some pair was not acknowledged and does not deliver either. Raises Lost if it is the traded symbol's."""
        traded = f"A.{self._rules.symbol}"
        if traded not in socket.pending:
            self._go_up(socket)
            return
        if not socket.unauthorized:
            raise Lost(FeedCause.DROPPED, f"{traded} was not acknowledged within {self._step_s:g} s")
        raise Lost(
            FeedCause.REFUSED,
            f"not authorized for {traded}",
            advice=f"Your plan does not include one-second bars of {self._rules.symbol} in real time (the vendor says: "
            "not authorized). Stocks Advanced does.",
        )

    def _go_up(self, socket: Socket) -> None:
        now = self._clock.now()
        self._is_up = self.key_has_worked = True
        self._down_cause = None
        self._acknowledged_at = now
        # What the connection before delivered late says nothing of this one.
        self._lags.clear()
        self._own_lags.clear()
        self._late_since = None
        have, want = len(socket.acknowledged), len(self._rules.symbols)
        log.info(
            "stocks_connected",
            text=f"🔌 Connected: stocks, {have} of {want} subscribed",
            subscribed=have,
            wanted=want,
        )
        if have < want:
            missing = ", ".join(sorted(socket.pending))
            log.warning(
                "subscription_missing",
                text=f"⚠️ Stocks: {missing} not acknowledged; going on without",
                pairs=missing,
            )
        self._outlet.put(FeedRestored())
        if self._is_held:
            self._is_held = False
            self._outlet.put(Hold(reason=HoldReason.KEY_REFUSED, on=False))
        self._start_backfill(now)

    def _take(self, bars: Sequence[Bar], now: int) -> None:
        if self._outlet.batches >= WAITING_MAX:
            # Whoever reads us has fallen far behind. What is dropped here, the backfill brings back.
            self.reopen(FeedCause.OVERFLOW)
            return
        returned = False
        for bar in bars:
            if bar.start > self._newest.get(bar.symbol, 0):
                returned |= self._progress(bar, now)
        self._outlet.put(*bars)
        if returned:
            self._start_backfill(now)

    def _progress(self, bar: Bar, now: int) -> bool:
        """A second newer than any before of its symbol.

        Returns whether that was silent for so long that some may be missing, which are to be filled from REST.
        """
        symbol = bar.symbol
        was_silent = self._is_up and self._in_session(now) and self._is_silent(symbol, now)
        if was_silent:
            self._miss(symbol)
        self._data_at = self._progress_at[symbol] = now
        self._newest[symbol] = bar.start
        self._silence_told = False
        self._symbol_reopened.pop(symbol, None)
        self._pacing.data(now)
        lag = max(0, now - bar.end)
        self._lags.add(lag)
        if symbol == self._rules.symbol:
            self._own_lags.add(lag)
        return was_silent

    def _learn_early(self, now: int, symbol: str, start: int) -> None:
        """A bar was left out for ending too far ahead of our clock: the connection lives, and no other would help."""
        if start > self._early_newest.get(symbol, 0):
            self._early_newest[symbol] = start
            self._early_at[symbol] = now
        if self._tell_early is not None:
            self._tell_early(now, symbol, start)

    def _quiet_since(self) -> int:
        return max(super()._quiet_since(), *self._early_at.values())

    def _lose(self, lost: Lost, delay: float) -> None:
        was_up, self._is_up = self._is_up, False
        cause = lost.cause
        if cause is FeedCause.DROPPED and not was_up:
            cause = FeedCause.NOT_CONNECTED
        has_worked = self.key_has_worked or (lost.at_login and self._logged_in)
        if cause is FeedCause.REFUSED and not has_worked and not self._position_open():
            raise VendorRefused(lost.advice)
        if was_up:
            self._note_gap()
        log.warning(
            "stocks_lost",
            text=f"🔌 Disconnected: stocks, {lost.text}; next attempt in {delay:.0f} s",
            cause=cause,
            reason=lost.text,
            delay_s=round(delay, 1),
        )
        is_news = cause in (FeedCause.EVICTED, FeedCause.REFUSED) and cause is not self._down_cause
        if was_up or self._down_cause is None or is_news:
            self._down_cause = cause
            self._outlet.put(FeedLost(cause=cause, symbol=lost.symbol))
        if cause is FeedCause.REFUSED and lost.is_key and not self._is_held:
            self._is_held = True
            self._outlet.put(Hold(reason=HoldReason.KEY_REFUSED, on=True))

    # Silence

    async def _watch_for_stall(self, socket: Socket) -> None:
        """Ask whether silence is a stall: every few seconds once it has lasted ``stall_seconds``. Raises Lost."""
        await self._is_alive(socket)  # while bars flow, to learn whether pings are answered at all
        while True:
            wait = self._until_quiet_for(self._rules.stall_seconds)
            if wait > 0:
                await self._nap(wait)
                continue
            proof = await self._proof_of_stall(socket)
            if proof is not None:
                raise Lost(FeedCause.STALL, proof)
            await self._nap(STALL_CHECK_S)

    async def _watch_for_silence(self) -> None:
        """Reopen once for silence that nothing explains; not again until a bar has come: it may be a halt."""
        while True:
            wait = self._until_quiet_for(self._rules.silence_alarm_seconds)
            if wait > 0:
                await self._nap(wait)
            elif self._silence_told:
                await self._nap(1.0)
            else:
                self._silence_told = True
                raise Lost(FeedCause.SILENCE, f"no bar for {self._rules.silence_alarm_seconds} s")

    def _until_quiet_for(self, seconds: float) -> float:
        """Seconds until silence has lasted that long; 0 when it has. Outside the session silence means nothing."""
        now = self._clock.now()
        if not self._is_up or not self._in_session(now):
            return 1.0
        return max(0.0, seconds - (now - self._quiet_since()) / SECOND)

    async def _proof_of_stall(self, socket: Socket) -> str | None:
        """Why this silence is the connection's fault; None when it may be the market's, or is over."""
        quiet_since = self._quiet_since()
        is_alive = await self._is_alive(socket)
        if self._quiet_since() != quiet_since:
            return None
        if not is_alive:
            return f"stalled: a ping was not answered within {PING_TIMEOUT_S:g} s"
        newest = max(self._newest.values(), default=0)
        for symbol in self._rules.symbols:
            count = await self._bars_withheld(symbol, newest)
            if self._quiet_since() != quiet_since:
                return None
            if count:
                return f"stalled: REST has {count} newer bars of {symbol}"
        return None

    # One symbol's silence, and lag

    def _is_silent(self, symbol: str, now: int) -> bool:
        """Whether a symbol has not progressed for `SYMBOL_SILENCE_SECONDS` of the session on this connection."""
        since = max(self._progress_at[symbol], self._session.open, self._acknowledged_at)
        return now - since >= self._rules.symbol_silence_seconds * SECOND

    def _is_missed(self, symbol: str, now: int) -> bool:
        """Whether a symbol was silent for so long while the program was there to hear it."""
        heard_at = max(self._woke_at, self._early_at[symbol])
        is_unheard = now - heard_at >= self._rules.symbol_silence_seconds * SECOND
        return is_unheard and self._is_silent(symbol, now)

    async def _watch_symbols(self) -> None:
        """Ask REST about a symbol that is silent while the other goes on. Raises Lost when REST has newer seconds."""
        while True:
            await self._nap(1.0)
            asked = False
            for symbol in self._rules.symbols:
                if self._must_ask_about(symbol):
                    asked = True
                    await self._ask_about(symbol)
            if asked:
                await self._nap(STALL_CHECK_S - 1.0)

    def _must_ask_about(self, symbol: str) -> bool:
        now = self._clock.now()
        if not self._is_up or not self._in_session(now) or not self._is_missed(symbol, now):
            return False
        if self._until_quiet_for(self._rules.stall_seconds) == 0:
            return False  # a silence of all is the other watchers'
        if symbol not in self._symbol_reopened:
            return True
        times, at = self._symbol_reopened[symbol]
        wait = SYMBOL_REOPEN_S[min(times, len(SYMBOL_REOPEN_S)) - 1]
        return now - at >= wait * SECOND

    async def _ask_about(self, symbol: str) -> None:
        progress_at = self._progress_at[symbol]
        count = await self._bars_withheld(symbol, self._newest.get(symbol, 0))
        if count >= SYMBOL_PROOF_SECONDS and self._progress_at[symbol] == progress_at:
            times, _ = self._symbol_reopened.get(symbol, (0, 0))
            self._symbol_reopened[symbol] = times + 1, self._clock.now()
            raise Lost(FeedCause.STALL, f"{symbol} stalled: REST has {count} newer bars of it", symbol=symbol)

    async def _watch_for_lag(self) -> None:
        """Reopen once for lag that lasts: a new connection often cures it. Not again before bars came in time."""
        while True:
            await self._nap(LAG_CHECK_S)
            now = self._clock.now()
            if not (self._lags.is_late or self._own_lags.is_late):
                self._late_since = None
                if self._lags.is_full and self._own_lags.is_full:
                    self._lag_told = False
            elif self._late_since is None or self._late_since < self._woke_at:
                self._late_since = (
                    now  # what lay unread while the program stood is late by no fault of the feed
                )
            elif (
                self._in_session(now)
                and not self._lag_told
                and now - self._late_since >= self._rules.lag_reopen_seconds * SECOND
            ):
                self._lag_told = True
                raise Lost(FeedCause.LAG, f"bars late for {self._rules.lag_reopen_seconds} s")

    async def _bars_withheld(self, symbol: str, newest: int) -> int:
        """How many seconds after ``newest`` (µs) REST knows that the socket should have sent by now.

        If REST fails: none is known.
        """
        asked_at = self._clock.now()
        transit = SECOND + int(TRANSIT_REAL_S * self._clock.speed * SECOND)
        first = max(newest + SECOND, self._acknowledged_at, self._session.open)
        last = asked_at - VENDOR_HOLD_US - transit
        if first >= last:
            return 0
        try:
            bars = await self._rest.second_bars(symbol, first, last)
        except RestError as error:
            log.debug("stall_check_failed", text=f"Stall check without REST: {error}", reason=str(error))
            return 0
        if self._was_away(asked_at, STALL_QUESTION_REAL_S * self._clock.speed):
            return 0  # they may lie unread
        return sum(bar.end <= last for bar in bars)

    # Backfill

    def _note_gap(self) -> None:
        """Bars may be missing from here on: note where, and drop a filling that now ends too early."""
        if self._backfill is not None:
            self._backfill.cancel()
        for symbol in self._rules.symbols:
            self._miss(symbol)

    def _miss(self, symbol: str) -> None:
        """A symbol's bars may be missing from its newest one on, or from this connection's beginning."""
        known = self._newest.get(symbol, self._acknowledged_at) + SECOND - BACKFILL_MARGIN_US
        self._missing_from.setdefault(symbol, max(self._session.open, known))

    def _start_backfill(self, now: int) -> None:
        """Fill what is missing up to now; bars that start later come over the socket."""
        end = min(now, self._session.close)
        self._missing_from = {symbol: start for symbol, start in self._missing_from.items() if start < end}
        assert self._tasks is not None, "the feed runs"
        if self._backfill is not None:
            self._backfill.cancel()
        if self._missing_from:
            self._backfill = self._tasks.create_task(self._fill(dict(self._missing_from), end))

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
        if span >= BACKFILL_LONG_US:
            log.info(
                "backfill",
                text=f"⏳ Backfill {symbol}: {span // SECOND:,} seconds from {clock_text(start)}",
                symbol=symbol,
                seconds=span // SECOND,
            )
        await self._fill_once(symbol, start, known, proof)
        covered, wait, short = start, BACKFILL_AGAIN_S, 0
        while covered < until:
            await self._clock.sleep(wait)
            first = max(start, covered - BACKFILL_MARGIN_US)
            end = await self._fill_once(symbol, first, known, proof)
            if end > covered:
                covered = end
                self._outlet.put(Covered(symbol=symbol, start=start, end=end))
                self._missing_from[symbol] = max(start, covered - BACKFILL_MARGIN_US)
            wait = BACKFILL_SHORT_S[min(short, len(BACKFILL_SHORT_S) - 1)]
            short += 1
            if covered < until and short == len(BACKFILL_SHORT_S):
                log.warning(
                    "backfill_short",
                    text=f"⏳ Backfill {symbol}: REST has got to {clock_text(covered)} only, "
                    f"asked again until it has got to {clock_text(until)}",
                    symbol=symbol,
                )
        del self._missing_from[symbol]
        if span >= BACKFILL_LONG_US:
            log.info(
                "backfilled",
                text=f"⏳ Backfill {symbol}: done, {len(known):,} bars",
                symbol=symbol,
                bars=len(known),
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
                bars = await self._rest.second_bars(symbol, start, end)
            except RestError as error:
                wait = max(REST_RETRY_S[min(attempt, len(REST_RETRY_S) - 1)], error.retry_after or 0.0)
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
            proof.learn(asked_at, max((bar.end for bar in bars), default=0))
            return max(start, min(end, proof.reaches(asked_at)))


class _Proof:
    """How far REST has got, from the newest seconds of its answers, whichever symbol they are of."""

    def __init__(self) -> None:
        self._answers: list[tuple[int, int]] = []

    def learn(self, asked_at: int, end: int) -> None:
        """An answer to a question at ``asked_at`` whose newest second ends at ``end`` (µs; 0: it held none)."""
        self._answers.append((asked_at, end))

    def reaches(self, asked_at: int) -> int:
        """Up to where an answer to a question at ``asked_at`` is complete, µs.

        What an earlier question saw, a later one must have seen; a later one proves nothing about it.
        """
        return max((end for at, end in self._answers if at <= asked_at + TOGETHER_US), default=0)


TOGETHER_US = SECOND // 2
"""Questions this close together are one: REST gets on by whole seconds."""

StocksEvent = Bar | FeedLost | FeedRestored | Covered | Hold

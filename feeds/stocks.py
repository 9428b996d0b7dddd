"""The stocks feed: the bars of the watched symbols, and whether they come."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Sequence

import structlog

from events import Bar, FeedCause, FeedLost, FeedRestored, Hold, HoldReason
from feeds.arrivals import Arrivals, Link
from feeds.backfill import Backfill, StocksEvent
from feeds.connection import MarketFeed
from feeds.outlet import Outlet, iterate
from feeds.silence import LagWatch, SilenceWatch
from feeds.states import HELD, TRANSITIONS, FeedState, FeedTurn, is_news, turn_of
from feeds.vendor import STEP_TIMEOUT_S, Early, Lost, Stream, Streams, VendorRefused

log = structlog.get_logger("polygon_client")

WAITING_MAX = 5_000
"""How many frames' events may wait for the feed's reader. With more, the reader is too slow and the feed is reopened."""


class StocksFeed(MarketFeed):
    """The bars of ``rules.symbols``, and whether they come, over one connection. Iterate `events` once.

    ``position_open`` returns whether a position is open. ``backfill_from`` (µs) is where the session's bars begin to be
    missing at the start (None: at its open). ``key_has_worked`` is whether the vendor has accepted this key earlier in
    this process: then a refusal does not end the feed. ``offer`` gets each batch first; a batch that it accepts does not
    come out of `events`, and so is handled one turn of the event loop earlier. ``step_s`` limits each step of
    connecting, in real seconds. ``early`` is called with bars from ahead of our clock.
    """

    def __init__(
        self,
        link: Link,
        streams: Streams,
        rng: random.Random,
        *,
        position_open: Callable[[], bool],
        backfill_from: int | None = None,
        key_has_worked: bool = False,
        offer: Callable[[Sequence[StocksEvent]], bool] | None = None,
        step_s: float = STEP_TIMEOUT_S,
        early: Early | None = None,
    ) -> None:
        self.key_has_worked = key_has_worked
        """Whether the vendor has accepted this key, on this connection or before."""
        arrivals = Arrivals(link, *link.rules.symbols)
        super().__init__(link, streams, arrivals, rng, step_s=step_s, early=self._record_early)
        self._tell_early = early
        self._position_open = position_open
        self._outlet: Outlet[StocksEvent] = Outlet(offer)
        self._tasks: asyncio.TaskGroup | None = None
        self._backfill = Backfill(link, arrivals, self._outlet, max(link.session.open, backfill_from or 0))
        self._silence = SilenceWatch(
            link, arrivals, is_up=lambda: self._state is FeedState.UP, is_alive=self._is_alive
        )
        self._lag = LagWatch(link, arrivals)
        self._state = FeedState.NEW

    def events(self) -> AsyncGenerator[list[StocksEvent], None]:
        """Yields the feed's facts, all that wait at once. Raises VendorRefused. Closing it closes the socket."""
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

    async def _serve(self, stream: Stream) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._read(stream))
            group.create_task(self._check_at_deadline(stream))
            group.create_task(self._silence.watch_for_stall(stream))
            group.create_task(self._silence.watch_for_silence())
            group.create_task(self._silence.watch_symbols())
            group.create_task(self._lag.watch())
            group.create_task(self._await_reopening())

    async def _read(self, stream: Stream) -> None:
        await stream.subscribe(f"A.{symbol}" for symbol in self._rules.symbols)
        flowing: set[str] = set()
        while True:
            bars = [event for event in await stream.receive() if isinstance(event, Bar)]
            if self._state is not FeedState.UP:
                flowing.update(f"A.{bar.symbol}" for bar in bars)
                self._check_answers(stream, flowing)
            if bars:
                self._record_bars(bars, stream.received_at)

    def _check_answers(self, stream: Stream, flowing: set[str]) -> None:
        """Goes up once every pair is acknowledged or delivers. Checks what is missing once every pair is answered."""
        stream.acknowledged |= flowing
        stream.pending -= flowing
        if not stream.pending:
            self._go_up(stream)
        elif stream.unauthorized >= len(stream.pending):
            self._check_missing(stream)

    async def _check_at_deadline(self, stream: Stream) -> None:
        await asyncio.sleep(self._step_s)
        if self._state is not FeedState.UP:
            self._check_missing(stream)

    def _check_missing(self, stream: Stream) -> None:
        """Handles pairs that are not acknowledged and do not deliver. Raises Lost if the traded symbol's is one."""
        traded = f"A.{self._rules.symbol}"
        if traded not in stream.pending:
            self._go_up(stream)
            return
        if not stream.unauthorized:
            raise Lost(FeedCause.DROPPED, f"{traded} was not acknowledged within {self._step_s:g} s")
        raise Lost(
            FeedCause.REFUSED,
            f"not authorized for {traded}",
            advice=f"Your plan does not include one-second bars of {self._rules.symbol} in real time (the vendor says: "
            "not authorized). Stocks Advanced does.",
        )

    def _go_up(self, stream: Stream) -> None:
        now = self._clock.now()
        before = self._change(FeedTurn.WENT_UP)
        self.key_has_worked = True
        self._arrivals.acknowledged_at = now
        self._lag.clear()
        have, want = len(stream.acknowledged), len(self._rules.symbols)
        log.info(
            "stocks_connected",
            text=f"🔌 Connected: stocks, {have} of {want} subscribed",
            subscribed=have,
            wanted=want,
        )
        if have < want:
            missing = ", ".join(sorted(stream.pending))
            log.warning(
                "subscription_missing",
                text=f"⚠️ Stocks: {missing} not acknowledged; continuing without it",
                pairs=missing,
            )
        self._outlet.put(FeedRestored())
        if before in HELD:
            self._outlet.put(Hold(reason=HoldReason.KEY_REFUSED, on=False))
        self._fill(now)

    def _record_bars(self, bars: Sequence[Bar], now: int) -> None:
        if self._outlet.batches >= WAITING_MAX:
            # The reader is too slow. The backfill will bring what is dropped here.
            self.reopen(FeedCause.OVERFLOW)
            return
        returned = False
        for bar in bars:
            if bar.start > self._arrivals.newest.get(bar.symbol, 0):
                returned |= self._progress(bar, now)
        self._outlet.put(*bars)
        if returned:
            self._fill(now)

    def _progress(self, bar: Bar, now: int) -> bool:
        """Records a second that is newer than any before it of its symbol.

        Returns whether the symbol was silent for so long that seconds may be missing, which REST must fill.
        """
        is_judged = self._state is FeedState.UP and self._link.in_session(now)
        was_silent = is_judged and self._silence.is_silent(bar.symbol, now)
        if was_silent:
            self._backfill.miss(bar.symbol)
        self._arrivals.progressed(bar.symbol, bar.start, now)
        self._silence.progressed(bar.symbol)
        self._pacing.data(now)
        self._lag.add(bar, now)
        return was_silent

    def _record_early(self, now: int, symbol: str, start: int) -> None:
        """Records a bar that was left out because it ends too far ahead of our clock."""
        self._arrivals.came_early(symbol, start, now)
        if self._tell_early is not None:
            self._tell_early(now, symbol, start)

    def _fill(self, now: int) -> None:
        assert self._tasks is not None, "the feed runs"
        self._backfill.start(self._tasks, now)

    def _lose(self, lost: Lost, delay: float) -> None:
        was_up = self._state is FeedState.UP
        cause = lost.cause
        if cause is FeedCause.DROPPED and not was_up:
            cause = FeedCause.NOT_CONNECTED
        has_worked = self.key_has_worked or (lost.at_login and self._logged_in)
        if cause is FeedCause.REFUSED and not has_worked and not self._position_open():
            raise VendorRefused(lost.advice)
        before = self._change(turn_of(cause, is_key=lost.is_key))
        if was_up:
            self._backfill.note_gap()
        log.warning(
            "stocks_lost",
            text=f"🔌 Disconnected: stocks, {lost.text}; next attempt in {delay:.0f} s",
            cause=cause,
            reason=lost.text,
            delay_s=round(delay, 1),
        )
        if is_news(before, self._state):
            self._outlet.put(FeedLost(cause=cause, symbol=lost.symbol))
        if self._state in HELD and before not in HELD:
            self._outlet.put(Hold(reason=HoldReason.KEY_REFUSED, on=True))

    def _change(self, turn: FeedTurn) -> FeedState:
        """Goes to the next state. Returns the previous one."""
        before = self._state
        self._state = TRANSITIONS[before][turn]
        return before

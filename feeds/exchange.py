"""Checks that the exchange is open and that our clock is right. Holds entries while either is in doubt."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence

import structlog

from events import SECOND, Bar, Hold, HoldReason, Session
from feeds.vendor import NoAnswer, Vendor
from timekeeping import Doubt
from utils import Clock, KeptClock, doubt_text

log = structlog.get_logger("exchange")

STATUS_DELAY_S = 5.0
"""How long after the open the exchange's status is first requested."""

STATUS_EVERY_S = 60.0
"""Pause between two requests while the exchange is not known to be open."""

STATUS_REST_MAX_S = 600.0
"""The longest ``Retry-After`` that is obeyed here."""

OPEN = "open"

STATUSES = {OPEN: 1, "closed": 1, "extended-hours": 2}
"""Every status of the exchange, and how many answers in a row must give it before it counts: after the open,
``extended-hours`` may be the vendor's delay. All but the first hold entries. A vendor's client raises NoAnswer for any
other word."""

LOOK_EVERY_S = 1.0
"""Seconds between comparisons with the wall clock."""

ASK_AFTER_S = 60.0
"""If no answer has told the vendor's time for this long, as before the open, the worker requests one for that."""

EARLY_MAX_US = 400 * 86_400 * SECOND
"""A bar from further ahead is a vendor's mistake (another unit), not a clock that is wrong by more than a year."""


class ExchangeWatch:
    """Requests the exchange's status after the open, and holds entries while that says closed.

    A failed request changes nothing, and is repeated. A status that is not in `STATUSES` counts as a failed request.
    """

    def __init__(self, *, vendor: Vendor, clock: Clock, session: Session) -> None:
        self._vendor = vendor
        self._clock = clock
        self._session = session
        self._status = ""
        self._in_a_row = 0
        self._is_held = False
        self._told = ""

    async def events(self) -> AsyncGenerator[Sequence[Hold], None]:
        """Yields holds as the answers change. Yields nothing more once the exchange is open."""
        await self._sleep_until(self._session.open + round(STATUS_DELAY_S * SECOND))
        while self._clock.now() < self._session.close:
            pause = STATUS_EVERY_S
            try:
                hold = self._apply_status(await self._vendor.market_status())
            except NoAnswer as error:
                self._fail(str(error))
                pause = max(pause, min(error.retry_after or 0.0, STATUS_REST_MAX_S))
            else:
                if hold is not None:
                    yield (hold,)
                if self._status == OPEN:
                    break
            await self._clock.sleep(pause)
        await asyncio.Event().wait()

    async def _sleep_until(self, at: int) -> None:
        while (left := at - self._clock.now()) > 0:
            await self._clock.sleep(left / SECOND)

    def _apply_status(self, status: str) -> Hold | None:
        """Applies an answer, one of `STATUSES`. Returns the hold that begins or ends with it, or None."""
        self._in_a_row = self._in_a_row + 1 if status == self._status else 1
        self._status, self._told = status, ""
        if status == OPEN:
            if not self._is_held:
                return None
            self._is_held = False
            log.info("market_open", text="✓ The exchange says it is open")
            return Hold(reason=HoldReason.MARKET_CLOSED, on=False)
        if self._is_held or self._in_a_row < STATUSES[status]:
            return None
        self._is_held = True
        log.warning(
            "market_closed",
            text=f"⛔ The exchange says {status}, the calendar says open: no entries; asking again every minute",
            market=status,
        )
        return Hold(reason=HoldReason.MARKET_CLOSED, on=True)

    def _fail(self, reason: str) -> None:
        """Records that there was no answer. Logs the reason if it is a new one."""
        self._in_a_row = 0
        if reason != self._told:
            self._told = reason
            log.warning(
                "market_status_failed",
                text=f"⚠️ Cannot tell whether the exchange is open ({reason}); asking again every minute",
                reason=reason,
            )


class BarLags:
    """How late the last ``count`` live bars of all symbols came, by our clock. Counts each second once."""

    def __init__(self, count: int) -> None:
        self._lags: deque[tuple[int, int]] = deque(maxlen=count)
        """When each bar arrived, and how long after its second's end, µs. Negative: before it."""
        self._newest: dict[str, int] = {}
        self._early: deque[tuple[str, int]] = deque(maxlen=count)
        """The last bars that were left out as too early, so that a repeat is not counted."""

    def record(self, now: int, bar: Bar) -> None:
        """Records a bar's lag. Skips repeats and backfilled bars."""
        if not bar.backfilled and bar.start > self._newest.get(bar.symbol, 0):
            self._newest[bar.symbol] = bar.start
            self._lags.append((now, now - bar.end))

    def record_early(self, now: int, symbol: str, start: int) -> None:
        """Records a bar that was left out because it ends too far ahead of ``now``: a sign that our clock may be wrong."""
        if (symbol, start) in self._early or start - now > EARLY_MAX_US:
            return
        self._early.append((symbol, start))
        self._lags.append((now, now - start - SECOND))

    def pop_median(self) -> tuple[int, int] | None:
        """Returns the median lag and the arrival of the first bar in it (µs), and starts over; None until ``count`` came."""
        if len(self._lags) < (self._lags.maxlen or 0):
            return None
        lags = sorted(lag for _, lag in self._lags)
        since = self._lags[0][0]
        self._lags.clear()
        return lags[len(lags) // 2], since


class ClockJudge:
    """Tracks whether the time is doubted, and logs each change. A worker has one for its whole life."""

    def __init__(self, clock: KeptClock, limit_s: float) -> None:
        self.doubt: Doubt | None = None
        """Why the time was doubted at the last comparison; None if it was not."""
        self._clock = clock
        self._limit_s = limit_s

    def look(self) -> bool:
        """Compares the wall clock, and updates ``doubt``. Returns whether doubt begins now."""
        before, doubt = self.doubt, self._clock.check(self._limit_s)
        self.doubt = doubt
        if doubt is None:
            if before is not None:
                log.info("clock_trusted", text="✓ This machine's clock and the vendor's agree again")
        elif before is None or before.cause is not doubt.cause:
            log.warning(
                "clock_doubted",
                text=f"⚠️ Clock doubt: {doubt_text(doubt)}. No entries until they agree: {doubt.remedy}",
                cause=doubt.cause,
                off_s=round(doubt.off / SECOND, 1),
            )
        return before is None and doubt is not None


class ClockWatch:
    """Compares the clock every second of a session, gives it the vendor's time, and holds entries while it is doubted."""

    def __init__(self, *, vendor: Vendor, clock: KeptClock, judge: ClockJudge, lags: BarLags) -> None:
        self._vendor = vendor
        self._clock = clock
        self._judge = judge
        self._lags = lags
        self._measured = 0
        self._heard_at = clock.now()
        self._is_held = False
        self._asking: asyncio.Task[None] | None = None

    async def events(self) -> AsyncGenerator[Sequence[Hold], None]:
        """Yields a hold whenever doubt begins or ends. Never ends by itself."""
        try:
            while True:
                hold = self.look()
                if hold is not None:
                    yield (hold,)
                self._request_time_if_due()
                await self._clock.sleep(LOOK_EVERY_S)
        finally:
            if self._asking is not None:
                self._asking.cancel()
                await asyncio.wait((self._asking,))

    def look(self) -> Hold | None:
        """Compares the clocks once. Returns the hold that begins or ends now, or None."""
        vendor = self._vendor
        if vendor.vendor_time is not None and vendor.skews_measured != self._measured:
            self._measured, self._heard_at = vendor.skews_measured, self._clock.now()
            self._clock.hear_date(vendor.vendor_time)
        if (found := self._lags.pop_median()) is not None:
            self._clock.hear_bars(*found)
        self._judge.look()
        doubt = self._judge.doubt
        if self._is_held is (doubt is not None):
            return None
        self._is_held = doubt is not None
        return Hold(
            reason=HoldReason.CLOCK_DOUBT, on=self._is_held, detail="" if doubt is None else doubt_text(doubt)
        )

    def _request_time_if_due(self) -> None:
        asking = self._asking
        if asking is not None and asking.done():
            asking.result()
            self._asking = None
        if self._asking is None and self._clock.now() - self._heard_at >= ASK_AFTER_S * SECOND:
            self._heard_at = self._clock.now()
            self._asking = asyncio.create_task(self._request_time(), name="clock question")

    async def _request_time(self) -> None:
        """Makes some request: only the ``Date`` header of the answer matters."""
        try:
            await self._vendor.market_status()
        except NoAnswer as error:
            log.debug("time_not_told", text=f"The vendor's time is not known: {error}", reason=str(error))

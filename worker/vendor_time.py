"""The requests to the vendor while no session is on: whether the key is good, and what time it is."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from events import SECOND
from feeds.exchange import ClockJudge
from feeds.vendor import NoAnswer, VendorClient, VendorRefused
from messages import notices
from timekeeping import MEASUREMENTS_IN_A_ROW, DoubtCause
from utils import doubt_text, session_at
from worker.context import Context, close_rest
from worker.notices import CLOCK_SPACING_S

log = structlog.get_logger("main")

TIME_ASK_S, TIME_DOUBTED_ASK_S, TIME_UNTOLD_ASK_S = 3600, 300, 60
"""Seconds between two requests for the time outside sessions: usually, while the clock is doubted, and after a failure."""


class VendorTime:
    """Checks the key at the start, and compares the clock with the vendor's time while no session is on.

    ``position`` returns the id of the open position, or None.
    """

    def __init__(self, context: Context, judge: ClockJudge, position: Callable[[], str | None]) -> None:
        self._context = context
        self._judge = judge
        self._position = position
        self._told_at: int | None = None
        """When a doubt about the clock was last pushed while no session was on, µs."""
        self._asked_at = 0
        self._is_told = False
        """Whether the answer to the last request told the vendor's time."""

    # --- The key ---

    async def try_key(self, has_worked: Callable[[], bool]) -> None:
        """Tries the key once at the start: a wrong key should be known now, not five minutes before the open.

        If the feed's login has accepted it (``has_worked``), makes no request and ignores a refusal. Raises VendorRefused.
        """
        if self._is_key_settled(has_worked):
            return
        rest = self._context.rest()
        try:
            await self._request_time(rest)
        except NoAnswer as error:
            if self._is_key_settled(has_worked):
                return
            if error.is_key_refused:
                raise VendorRefused(
                    "The vendor refuses the key: set POLYGON_API_KEY to the one its dashboard shows."
                ) from error
            log.warning("key_not_tried", text=f"⚠️ The key could not be checked at the start: {error}")
        finally:
            await close_rest(rest)

    def _is_key_settled(self, has_worked: Callable[[], bool]) -> bool:
        """Returns whether the key need not be tried: it works, the worker stops, or a position must be watched anyway."""
        return has_worked() or self._position() is not None or self._context.stopping.is_set()

    # --- The time ---

    def fall_asleep(self) -> None:
        """Counts the time to the next request from now."""
        self._asked_at = self._context.clock.now()

    async def look(self) -> bool:
        """Compares the clock while no session is on, and requests the vendor's time when that is due.

        Returns whether the clock started again at the wall clock's time, so that it may be another day.
        """
        clock = self._context.clock
        begins, doubt = self._compare(), self._judge.doubt
        if doubt is not None and doubt.cause is DoubtCause.SLOWED and not self._context.sender.pending:
            # Nothing depends on the time now, so the clock may jump back: slowed, it would take 10 days for each day.
            clock.begin_anew()
            self._judge.look()
            self._told_at = None
            return True
        pause = TIME_ASK_S if doubt is None else TIME_DOUBTED_ASK_S
        if not self._is_told:
            pause = TIME_UNTOLD_ASK_S
        if begins or clock.now() - self._asked_at >= pause * SECOND:
            self._asked_at = clock.now()
            await self._request_time_asleep()
        return False

    async def _request_time_asleep(self) -> None:
        rest = self._context.rest()
        try:
            await self._request_time(rest)
        except NoAnswer as error:
            log.debug("time_not_told", text=f"The vendor's time is not known: {error}", reason=str(error))
        finally:
            await rest.aclose()

    async def _request_time(self, rest: VendorClient) -> None:
        """Makes a request, and compares the clock with the time of the answer. Raises NoAnswer.

        Repeats it if that may begin or end doubt about the clock, which one measurement alone cannot.
        """
        context = self._context
        failure: NoAnswer | None = None
        for _ in range(MEASUREMENTS_IN_A_ROW):
            measured, failure = rest.skews_measured, None
            try:
                await rest.market_status()
            except NoAnswer as error:
                failure = error  # even so, its answer may have told the time
            self._is_told = rest.skews_measured != measured
            if rest.vendor_time is None or rest.skew is None or not self._is_told:
                break
            context.clock.hear_date(rest.vendor_time)
            self._compare()
            is_off = abs(rest.skew) > context.rules.clock_doubt_seconds
            if is_off is (self._judge.doubt is not None):
                break
        if failure is not None:
            raise failure

    def _compare(self) -> bool:
        """Compares the clock, and pushes that doubt begins. Returns whether it begins."""
        if not self._judge.look():
            return False
        context, doubt = self._context, self._judge.doubt
        now = context.clock.now()
        if doubt is not None and (self._told_at is None or now - self._told_at >= CLOCK_SPACING_S * SECOND):
            self._told_at = now
            context.sender.submit(
                notices.clock_doubt(
                    now,
                    context.rules,
                    since=now,
                    detail=doubt_text(doubt),
                    session=session_at(now),
                    position=self._position(),
                )
            )
        return True

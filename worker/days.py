"""Runs session after session: sleeps until one begins, watches it, and sums it up in the evening."""

from __future__ import annotations

import structlog

from events import SECOND, Session
from utils import day_text, minute_text, session_at, span_text
from worker import bookkeeper
from worker.context import Context
from worker.records import CONNECT_EARLY_S, NAP_S, RECORD_OPEN_S, Records
from worker.start import StartEvent
from worker.summary import EVENING_S
from worker.vendor_time import VendorTime
from worker.watch import Watch

log = structlog.get_logger("main")


class Days:
    """The trading days, one after the other."""

    def __init__(self, context: Context, records: Records, watch: Watch, vendor_time: VendorTime) -> None:
        self._context = context
        self._records = records
        self._watch = watch
        self._vendor_time = vendor_time

    def are_due(self) -> bool:
        """Returns whether the feeds must be connected by now."""
        now = self._context.clock.now()
        return session_at(now).open - CONNECT_EARLY_S * SECOND <= now

    async def run(self) -> None:
        """Watches session after session until the worker is asked to stop."""
        context = self._context
        while not context.stopping.is_set():
            session = session_at(context.clock.now())
            begin = session.open - CONNECT_EARLY_S * SECOND
            if context.clock.now() < begin:
                context.advance(StartEvent.MAY_ASK)
                await self._sleep_to(session, begin)
                continue
            await self._watch.session(session)
            if self._watch.goes_on(session):
                log.info(
                    "rules_changed",
                    text=f"📏 The position is closed: from now on the rules {context.rules.digest()} hold",
                    rules=context.rules.digest(),
                )
                await self._records.close()
                continue
            await self._sum_up(session)
            await self._records.sleep_until(session.close)

    async def _sleep_to(self, session: Session, begin: int) -> None:
        """Sleeps until ``begin`` (µs), or until the clock starts again at another time.

        A clock that is wrong by days would sleep through sessions, so this requests the vendor's time now and then.
        """
        context = self._context
        wait = span_text(session.open - context.clock.now())
        early = f", closes early at {minute_text(session.close)}" if session.early else ""
        log.info(
            "asleep",
            text=f"😴 No session now: the next one opens {day_text(session.open)} ET{early}, in {wait}",
            opens=session.open,
        )
        self._vendor_time.fall_asleep()
        while context.clock.now() < begin and not context.stopping.is_set():
            await self._records.sleep_until(min(begin, context.clock.now() + NAP_S * SECOND))
            if self._records.live is not None:
                await self._records.let_go()
            if await self._vendor_time.look():
                return

    async def _sum_up(self, session: Session) -> None:
        """Sums up the day in one quiet push, five minutes after the close."""
        context, live = self._context, self._records.live
        if live is None or context.stopping.is_set():
            return
        await self._records.sleep_until(session.close + EVENING_S * SECOND)
        if not context.stopping.is_set():
            live.sum_up(context.clock.now())
            await bookkeeper.enter(context, live.row())
        # The outcomes of the day's last alerts belong in its record, so keep it open while alerts are still tried.
        await self._records.sleep_until(session.close + RECORD_OPEN_S * SECOND)
        await bookkeeper.enter(context, live.row())
        await self._records.let_go()

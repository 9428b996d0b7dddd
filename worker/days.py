"""From session to session: asleep, watching, the evening."""

from __future__ import annotations

import structlog

from events import SECOND, Session
from utils import day_text, minute_text, session_at, span_text
from worker import bookkeeper
from worker.context import Context
from worker.records import CONNECT_EARLY_S, NAP_S, RECORD_OPEN_S, Records
from worker.start import Step
from worker.vendor_time import VendorTime
from worker.watch import Watch

log = structlog.get_logger("main")

EVENING_S = 300
"""Seconds after the close at which the day is summed up."""


class Days:
    """The trading days, one after the other."""

    def __init__(self, context: Context, records: Records, watch: Watch, vendor_time: VendorTime) -> None:
        self._context = context
        self._records = records
        self._watch = watch
        self._vendor_time = vendor_time

    def are_due(self) -> bool:
        """Returns whether it is time for the feeds to be connected."""
        now = self._context.clock.now()
        return session_at(now).open - CONNECT_EARLY_S * SECOND <= now

    async def run(self) -> None:
        """Watches session after session, until asked to stop."""
        context = self._context
        while not context.stopping.is_set():
            session = session_at(context.clock.now())
            begin = session.open - CONNECT_EARLY_S * SECOND
            if context.clock.now() < begin:
                context.advance(Step.MAY_ASK)
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
        """Sleeps until a session begins (µs), or the time is another one than it was thought to be.

        A clock that is wrong by days would sleep through sessions: the vendor is asked for the time now and then.
        """
        context = self._context
        wait = span_text(session.open - context.clock.now())
        early = f", closes early at {minute_text(session.close)}" if session.early else ""
        log.info(
            "asleep",
            text=f"😴 No session now: the next opens {day_text(session.open)} ET{early}, in {wait}",
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
        """Sums the day up in one quiet push, five minutes after the close."""
        context, live = self._context, self._records.live
        if live is None or context.stopping.is_set():
            return
        await self._records.sleep_until(session.close + EVENING_S * SECOND)
        if not context.stopping.is_set():
            live.sum_up(context.clock.now())
            await bookkeeper.enter(context, live.row())
        # Outcomes of the day's last alerts belong into its record: it stays open until nobody tries any more.
        await self._records.sleep_until(session.close + RECORD_OPEN_S * SECOND)
        await bookkeeper.enter(context, live.row())
        await self._records.let_go()

"""Watches one session: its sources put facts into the inbox, and one consumer gives each to the session."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterator, Sequence

import structlog

from events import SECOND, Bar, Event, FeedCause, FeedRestored, Hold, HoldReason, Session, Shutdown, Tick
from feeds.exchange import BarLags, ClockJudge, ClockWatch, ExchangeWatch
from feeds.options import Wanted
from feeds.stocks import StocksFeed
from feeds.vendor import NoAnswer, VendorClient
from polygon_client import SessionClient
from record.reader import Reader
from risk_manager import Position
from rules import Rules
from timekeeping import AWAY_S
from utils import minute_text
from worker.context import Context, close_rest
from worker.records import Records
from worker.session import LiveSession
from worker.start import StartEvent
from worker.ticks import Ticks

log = structlog.get_logger("main")

LEAVE_LATE_S = 30
"""Seconds after the close when the feeds are left: the last bars come 2 s late."""

FEED_FIRST_REAL_S = 2.0
"""Real seconds that other requests to the vendors wait for the stocks feed, if the start is during a session."""

AFTER_THE_FEED = ("options", "chain", "exchange")
"""Sources that wait for that, too: without bars no contract is needed."""

BREATH = 100
"""How many facts are handled before other tasks get a turn."""

Source = tuple[str, AsyncGenerator[Sequence[Event], None]]
"""A source of facts: its task's name, and the facts, all that wait at once."""


class Watch:
    """Watches session after session with one inbox, one record at a time and one `ClockJudge`."""

    def __init__(self, context: Context, records: Records, judge: ClockJudge) -> None:
        self._context = context
        self._records = records
        self._judge = judge
        self._lags = BarLags(context.rules.lag_bars)
        self._stocks: StocksFeed | None = None
        self._is_going_on = False
        """Whether the same session begins again in the same process, because the rules have changed."""

    @property
    def position(self) -> Position | None:
        """Returns the open position, or None."""
        engine = self._records.engine
        return None if engine is None else engine.position

    def key_has_worked(self) -> bool:
        """Returns whether the stocks feed's login was accepted."""
        return self._stocks is not None and self._stocks.key_has_worked

    def goes_on(self, session: Session) -> bool:
        """Returns whether a session that was left begins again, under the settings' rules."""
        context, live = self._context, self._records.live
        is_over = context.stopping.is_set() or context.clock.now() >= session.close
        self._is_going_on = not is_over and live is not None and self._is_outlived(live)
        return self._is_going_on

    def _is_outlived(self, live: LiveSession) -> bool:
        """Returns whether the position is closed, and recorded as closed, for which a session kept other rules."""
        return (
            live.rules is not self._context.rules and live.engine.position is None and not live.is_record_off
        )

    async def session(self, session: Session) -> None:
        """Watches one session to its end, or until the worker is asked to stop."""
        context, clock, records = self._context, self._context.clock, self._records
        starts = context.starts
        context.sender.in_session(True)
        log.info(
            "session_started",
            text=f"🔔 Session {session.date}: {minute_text(session.open)}–{minute_text(session.close)} ET",
            date=session.date,
        )
        left = await records.own(session)
        rules = records.rules_for(left)
        note = records.say_kept(left, rules)
        past = None if left is None else Reader(left.path)
        if context.stopping.is_set():
            return
        live = await records.open(session, rules, past)
        live.sync()
        rest = context.rest(context.rules)
        try:
            if past is not None:
                await self._price_position(rest, live)
                live.resume(
                    clock.now(), past, note=note, is_same_process=self._is_going_on, tells=not starts.is_loop
                )
            for reason in sorted(context.sender.holds | starts.holds):
                live.handle(clock.now(), Hold(reason=reason, on=True))  # it began while no session was on
            if (alert := starts.owed(live.rules, self.position)) is not None:
                context.sender.submit(alert)
            await self._watch(live, rest, rules)
        finally:
            context.sender.in_session(False)
            await close_rest(rest)
        text = f"🔕 Disconnected from the feeds of session {session.date}"
        log.info("session_ended", text=text, date=session.date)

    async def _watch(self, live: LiveSession, rest: VendorClient, rules: Rules) -> None:
        async with asyncio.TaskGroup() as tasks:
            ticks = Ticks(self._context.clock, self._context.rules.loop_lag_seconds)
            sources = [
                tasks.create_task(self._start(name, source), name=name)
                for name, source in (
                    ("ticks", ticks.events()),
                    *self._sources(live.engine.session, rest, rules),
                )
            ]
            asyncio.get_running_loop().call_later(
                FEED_FIRST_REAL_S, self._context.advance, StartEvent.MAY_ASK
            )
            await self._consume(live, ticks)
            for task in sources:
                task.cancel()

    async def _price_position(self, rest: VendorClient, live: LiveSession) -> None:
        """Prices an open position after a restart, before any decision: the recorded quote is stale."""
        position = live.engine.position
        if position is None:
            return
        try:
            quote = await rest.contract(live.rules.symbol, position.opened.contract)
        except NoAnswer as error:
            log.warning(
                "position_not_priced", text=f"⚠️ {position.opened.contract} could not be priced: {error}"
            )
            return
        live.handle(self._context.clock.now(), quote)

    # --- Sources ---

    def _sources(self, session: Session, rest: VendorClient, rules: Rules) -> Iterator[Source]:
        """Yields every source of facts but the ticks, with its name."""
        context, clock, engine = self._context, self._context.clock, self._records.engine
        client = SessionClient(
            rest=rest,
            ws_url=context.settings.polygon_ws_url,
            api_key=context.settings.polygon_api_key.get_secret_value(),
            clock=clock,
            rules=rules,
            session=session,
            rng=context.random_source,
            dial=context.dial,
        )
        self._stocks = client.stocks(
            position_open=lambda: self.position is not None,
            key_has_worked=self.key_has_worked(),
            backfill_from=engine.feed.unknown_from if engine is not None else None,
            offer=context.inbox.offer,
            early=self._lags.record_early,
        )
        options = client.options(wanted=self._wanted)
        chains = client.chains(
            spot=self._spot,
            streaming=lambda: options.streaming,
            has_rows=engine is not None and bool(engine.quotes.chain),
        )
        is_held = engine is not None and HoldReason.CRASH_LOOP in engine.holds
        yield "starts", context.starts.events(is_held=is_held)
        watch = ClockWatch(vendor=rest, clock=clock, judge=self._judge, lags=self._lags)
        yield "clock", watch.events()
        yield "stocks", self._stocks.events()
        yield "options", options.events()
        yield "chain", chains.events()
        yield "exchange", ExchangeWatch(vendor=rest, clock=clock, session=session).events()

    def _spot(self) -> float | None:
        engine = self._records.engine
        return engine.signals.price if engine is not None else None

    def _wanted(self) -> Wanted:
        """Returns the contracts to stream: the nearest calls, and the held one."""
        engine = self._records.engine
        if engine is None:
            return Wanted()
        held = None if self.position is None else self.position.opened.contract
        nearest = engine.quotes.nearest(self._context.rules.stream_contracts)
        return Wanted(contracts=frozenset(nearest), held=held)

    async def _start(self, name: str, source: AsyncGenerator[Sequence[Event], None]) -> None:
        """Pumps a source into the inbox: ticks, clock and stocks at once, the others after the stocks feed is connected."""
        if name in AFTER_THE_FEED:
            await self._context.may_ask.wait()
        await self._pump(source)

    async def _pump(self, source: AsyncGenerator[Sequence[Event], None]) -> None:
        """Moves facts from a source into the inbox."""
        inbox = self._context.inbox
        async with contextlib.aclosing(source) as batches:
            async for events in batches:
                if inbox.offer(events):
                    continue
                for event in events:
                    if not await inbox.put(event) and self._stocks is not None:
                        self._stocks.reopen(FeedCause.OVERFLOW)
        raise RuntimeError(
            "a source of facts has ended"
        )  # sources never end: better no worker than a half-blind one

    # --- The one consumer ---

    async def _consume(self, live: LiveSession, ticks: Ticks) -> None:
        """Gives each fact to the session, until that is over or the worker is asked to stop."""
        clock = self._context.clock
        end = live.engine.session.close + LEAVE_LATE_S * SECOND
        handled, taken_at = 0, clock.now()
        while True:
            event = await self._context.inbox.get()
            now = clock.now()
            if now - taken_at >= AWAY_S * SECOND:
                # Handled first, so that neither the silence nor the late facts count as the feed's fault.
                live.handle(now, Tick(away=now - taken_at))
            taken_at = now
            if (hold := ticks.hold()) is not None:
                live.handle(now, hold)
            live.handle(now, event)
            if type(event) is Bar:
                self._lags.record(now, event)
            if type(event) is FeedRestored:
                self._context.advance(StartEvent.MAY_ASK)
            if isinstance(event, Shutdown) or now >= end or self._is_outlived(live):
                return
            handled += 1
            if handled % BREATH == 0:
                await asyncio.sleep(0)

"""Wires sources → inbox → engine → publish, and is the worker's entry point. It decides nothing itself.

Exit statuses: 0 after SIGTERM or SIGINT, 1 a task crashed or the watchdog ended the process, 2 bad configuration,
3 refused by a vendor.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import os
import random
import signal
import sys
import threading
import time
import traceback
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence

import httpx
import structlog

import alerts
import logger
from config import VERSION, ConfigError, Rules, Settings, load, load_rules
from engine import Engine
from events import (
    SECOND,
    Bar,
    Closed,
    Decision,
    Declined,
    DeclineReason,
    Event,
    FeedAlarmed,
    FeedCause,
    FeedLost,
    FeedRecovered,
    FeedRestored,
    Hold,
    HoldReason,
    MarkBack,
    MarkLost,
    Opened,
    Quote,
    Session,
    Shutdown,
    Tick,
    Withdrawn,
)
from polygon_client import ChainPoller, OptionsFeed, Rest, StocksFeed, VendorRefused, Wanted
from risk_manager import Position
from utils import (
    Clock,
    SystemClock,
    day_text,
    minute_text,
    option_price,
    session_at,
    signed_percent,
    span_text,
)

log = structlog.get_logger("main")

EXIT_OK, EXIT_CRASHED, EXIT_CONFIG, EXIT_REFUSED = 0, 1, 2, 3
EXIT_INTERRUPTED = 130
"""What a shell expects of a demonstration that Ctrl-C ended."""

CONNECT_EARLY_S = 300
"""How long before the open the feeds are connected."""

LEAVE_LATE_S = 30
"""How long after the close the feeds are left: the last bars come 2 s late."""

EVENING_S = 300
"""How long after the close the day is summed up."""

REPORT_S = 60
"""Pause between two reports in the log, and between two lines about the same kind of gate."""

FIRST_REPORT_S = 10
"""When the first report is due: the feeds have been connected by then, or something is wrong."""

NAP_S = 30
"""The longest sleep at a time outside sessions: a machine that was suspended wakes up in time."""

INBOX_MAX = 10_000
"""Facts that may wait for the engine: about ten seconds of the busiest feed. More is an overflow."""

BREATH = 100
"""Facts handled before other tasks get a turn."""

DRAIN_REAL_S = 15.0
"""How long a stop waits for pending alerts. With closing the sockets it stays under 25 s."""

CRASH_DRAIN_REAL_S = 5.0
"""How long a crash does."""

DEMO_SPEED = 20.0
SPEED_MIN, SPEED_MAX = 1.0, 60.0
"""Beyond the upper one, the machine's own delays look like the market's."""

HEARTBEAT_S = 60
HEARTBEAT_REAL_S = 10.0

WATCHDOG_REAL_S = 30.0
"""A loop that has not turned for this long will not turn again."""


Source = tuple[str, AsyncGenerator[Event, None]]
"""Where facts come from: a name for the task, and the facts."""


class Inbox:
    """One bounded queue of facts with one consumer. Facts that must not be lost are taken beyond the bound."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Event] = asyncio.Queue()
        self._has_room = asyncio.Event()
        self._has_room.set()

    @property
    def is_full(self) -> bool:
        """Whether facts that can be had again are refused."""
        return self._queue.qsize() >= INBOX_MAX

    async def put(self, event: Event) -> bool:
        """Put a fact in; returns False when it overflows. Backfill waits for room: it is in no hurry."""
        match event:
            case Bar(backfilled=True):
                await self._has_room.wait()
            case Bar() | Quote() if self.is_full:
                return False
            case _:
                pass
        self.put_now(event)
        return True

    def put_now(self, event: Event) -> None:
        """Put a fact in that is never dropped: outcomes, holds, the shutdown."""
        self._queue.put_nowait(event)
        if self.is_full:
            self._has_room.clear()

    async def get(self) -> Event:
        """The oldest fact."""
        event = await self._queue.get()
        if self._queue.qsize() <= INBOX_MAX // 2:
            self._has_room.set()
        return event


class Watchdog:
    """A thread that ends the process when the event loop has not turned for too long. In real time."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        end: Callable[[int], object] = os._exit,
        limit_s: float = WATCHDOG_REAL_S,
    ) -> None:
        self._loop = loop
        self._end = end
        self._limit_s = limit_s
        self._turned_at = time.monotonic()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def __enter__(self) -> Watchdog:
        self._turn()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _turn(self) -> None:
        self._turned_at = time.monotonic()
        if not self._stopped.is_set():
            self._loop.call_later(self._limit_s / 10, self._turn)

    def _watch(self) -> None:
        while not self._stopped.wait(self._limit_s / 10):
            stood = time.monotonic() - self._turned_at
            if stood > self._limit_s:
                log.critical(
                    "watchdog_fired",
                    text=f"🛑 The event loop has not turned for {stood:.0f} s: ending the process\n{self._stacks()}",
                    seconds=round(stood),
                )
                self._end(EXIT_CRASHED)
                return

    def _stacks(self) -> str:
        out = io.StringIO()
        for thread, frame in sys._current_frames().items():
            out.write(f"Thread {thread}:\n{''.join(traceback.format_stack(frame))}")
        for task in asyncio.all_tasks(self._loop):
            task.print_stack(file=out)
        return out.getvalue()


class Journalist:
    """Puts what happens into the log, in the words of the log. Gates and declines when they change, at most once a minute."""

    def __init__(self, rules: Rules, engine: Engine) -> None:
        self._rules = rules
        self._engine = engine
        self._gate: tuple[DeclineReason, HoldReason | None] | None = None
        self._gate_at: int | None = None
        self._reported_at: int | None = None

    def fact(self, now: int, event: Event) -> None:
        """A fact has been handled."""
        match event:
            case Tick():
                self._report(now)
                self._gates(now)
            case Hold():
                self._hold(event)
            case FeedLost():
                log.warning(
                    "feed_lost",
                    text=f"🔌 Feed lost: {event.cause}. No entries until it is back.",
                    cause=event.cause,
                )
            case _:
                pass

    def _hold(self, event: Hold) -> None:
        if event.on:
            log.warning("entries_held", text=f"⏸️ Entries held: {event.reason}", reason=event.reason)
        else:
            log.info(
                "entries_released", text=f"▶️ Entries no longer held: {event.reason}", reason=event.reason
            )

    def _report(self, now: int) -> None:
        """The two lines of every minute of the session."""
        session, engine = self._engine.session, self._engine
        if not session.open <= now < session.close:
            return
        if self._reported_at is None:
            self._reported_at = now - (REPORT_S - FIRST_REPORT_S) * SECOND
        if now - self._reported_at < REPORT_S * SECOND:
            return
        self._reported_at = now
        feed, signals = engine.feed, engine.signals
        if feed.cause is not None:
            log.warning(
                "feed_blind",
                text=f"🙈 Data feed blind: {feed.cause}, for {span_text(now - feed.blind_since)}",
                cause=feed.cause,
            )
        else:
            line = logger.feed_active_line(self._rules.symbol, signals.price, signals.vwap, signals.volume)
            log.info("feed_active", text=line, price=signals.price, vwap=signals.vwap, volume=signals.volume)
        if engine.evaluation is not None:
            line = logger.conditions_line(engine.evaluation, self._rules.benchmark)
            log.info("conditions", text=line, start=engine.evaluation.start, passes=engine.evaluation.passes)

    def _gates(self, now: int) -> None:
        evaluation = self._engine.evaluation
        if evaluation is not None and evaluation.gate is not None:
            self._say_gate(now, evaluation.gate, evaluation.hold)
        elif evaluation is not None and not evaluation.holds:
            self._gate = None

    def _say_gate(self, now: int, reason: DeclineReason, hold: HoldReason | None) -> bool:
        """Log what stands in the way, when it has changed and the last such line is a minute old."""
        spacing = REPORT_S * SECOND
        if (reason, hold) == self._gate or (self._gate_at is not None and now - self._gate_at < spacing):
            return False
        self._gate, self._gate_at = (reason, hold), now
        log.info("gate_closed", text=logger.gate_line(reason, hold), reason=reason, hold=hold)
        return True

    def decision(self, now: int, decision: Decision) -> None:
        """A decision has been made."""
        match decision:
            case Opened():
                self._signal()
                log.info(
                    "contract_selected",
                    text=logger.selection_line(decision),
                    contract=decision.contract,
                    id=decision.id,
                )
                log.info(
                    "entry",
                    text=logger.entry_line(decision),
                    contract=decision.contract,
                    id=decision.id,
                    entry=decision.entry,
                )
            case Declined():
                if self._say_gate(now, decision.reason, decision.hold) and decision.considered:
                    self._signal()
                    log.info(
                        "contract_declined", text=logger.selection_line(decision), reason=decision.reason
                    )
            case Closed():
                reason = alerts.reason_text(decision, self._rules)
                log.info(
                    "exit",
                    text=logger.exit_line(decision, reason),
                    contract=decision.contract,
                    id=decision.id,
                    reason=decision.reason,
                )
            case Withdrawn():
                log.warning(
                    "entry_withdrawn",
                    text=f"↩️ Entry withdrawn: {decision.contract} #{decision.id}, nobody was told ({decision.detail})",
                    contract=decision.contract,
                    id=decision.id,
                )
            case FeedAlarmed() | FeedRecovered() | MarkLost() | MarkBack():
                self._sight(now, decision)

    def _signal(self) -> None:
        if self._engine.evaluation is not None:
            log.info(
                "signal",
                text=logger.signal_line(self._engine.evaluation),
                start=self._engine.evaluation.start,
            )

    def _sight(self, now: int, decision: FeedAlarmed | FeedRecovered | MarkLost | MarkBack) -> None:
        match decision:
            case FeedAlarmed():
                span = span_text(now - decision.since)
                log.warning(
                    "feed_alarmed",
                    text=f"🙈 FEED BLIND: {decision.cause}, no bar for {span}",
                    cause=decision.cause,
                )
            case FeedRecovered():
                span = span_text(decision.gap_end - decision.gap_start)
                log.info("feed_recovered", text=f"👁️ FEED RECOVERED: gap {span}", cause=decision.cause)
            case MarkLost():
                span = span_text(now - decision.since)
                log.warning(
                    "mark_lost",
                    text=f"❓ MARK LOST: {decision.contract}, no usable price for {span}",
                    id=decision.id,
                )
            case MarkBack():
                mark = option_price(decision.mark)
                log.info("mark_back", text=f"❗ MARK BACK: {decision.contract} {mark}", id=decision.id)


class Tally:
    """What the evening's message says of a session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.evaluations = 0
        self.signals = 0
        self.entries = 0
        self.withdrawn = 0
        self.seen_s = 0
        self.blind_s = 0
        self.trades: list[str] = []

    def fact(self, engine: Engine, now: int, event: Event, is_evaluation: bool) -> None:
        """A fact has been handled."""
        if isinstance(event, Tick) and self._session.open <= now < self._session.close:
            if engine.feed.is_blind:
                self.blind_s += 1
            else:
                self.seen_s += 1
        if is_evaluation and engine.evaluation is not None:
            self.evaluations += 1
            self.signals += engine.evaluation.holds

    def decision(self, decision: Decision, reason: str) -> None:
        """A decision has been made; ``reason`` is the exit's in words."""
        match decision:
            case Opened():
                self.entries += 1
            case Withdrawn():
                self.withdrawn += 1
            case Closed(mark=mark):
                result = None if mark is None else (mark - decision.entry) / decision.entry * 100
                self.trades.append(f"{decision.contract} {signed_percent(result)} {reason}")
            case _:
                pass

    def lines(self) -> list[str]:
        """The summary, a line each."""
        withdrawn = f", {self.withdrawn} withdrawn" if self.withdrawn else ""
        return [
            f"Seen {span_text(self.seen_s * SECOND)} of {span_text(self._session.close - self._session.open)}, "
            f"blind {span_text(self.blind_s * SECOND)}",
            f"{self.evaluations} evaluations, {self.signals} signals, {self.entries} entries{withdrawn}",
            *self.trades,
        ]


class Worker:
    """The live worker. Clock, randomness and HTTP transport are arguments, so that tests and the demo bring their own."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock,
        random_source: random.Random,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.settings = settings
        self.rules = settings.rules
        self.engine: Engine | None = None
        self.tally: Tally | None = None
        self._clock = clock
        self._random = random_source
        self._transport = transport
        self._inbox = Inbox()
        self._stopping = asyncio.Event()
        self._sender = alerts.Sender(settings, clock, self._inbox_put, self._ask_of, transport)
        self._stocks: StocksFeed | None = None
        self._is_armed = False
        self._is_cap_told = False

    def stop(self) -> None:
        """Ask the worker to stop: the position is closed or kept, alerts are delivered, sockets closed."""
        if not self._stopping.is_set():
            log.info("stopping", text="🛑 Asked to stop: closing down")
            self._stopping.set()
            self._inbox_put(Shutdown(close_position=self.settings.on_shutdown == "close"))

    def _inbox_put(self, event: Event) -> None:
        self._inbox.put_now(event)

    def _ask_of(self, contract: str) -> int | None:
        return self.engine.ask_of(contract) if self.engine is not None else None

    async def run(self) -> int:
        """Watch session after session until asked to stop. Returns the exit status."""
        rules = self.rules
        log.info(
            "started",
            text=f"🚀 IWM-5-VWAP {VERSION}, rules {rules.digest()}: watching {' and '.join(rules.symbols)}",
            version=VERSION,
            rules=rules.digest(),
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                helpers = [
                    tasks.create_task(self._sender.run(), name="sender"),
                    tasks.create_task(self._heartbeat(), name="heartbeat"),
                ]
                try:
                    await self._sessions()
                finally:
                    crashed = sys.exc_info()[0] is not None
                    await self._sender.drain(CRASH_DRAIN_REAL_S if crashed else DRAIN_REAL_S)
                    for helper in helpers:
                        helper.cancel()
        except Exception as error:  # noqa: BLE001 - the border: whatever crashed ends the process, with its reason
            return self._failed(error)
        log.info("stopped", text="👋 Stopped")
        return EXIT_OK

    def _failed(self, error: Exception) -> int:
        """Log why the worker ends. Returns the exit status."""
        first = _first(error)
        if isinstance(first, VendorRefused):
            log.critical("vendor_refused", text=f"🛑 {first}")
            return EXIT_REFUSED
        log.critical("crashed", text=f"🛑 Crashed: {type(first).__name__}: {first}", exc_info=error)
        return EXIT_CRASHED

    async def _sessions(self) -> None:
        while not self._stopping.is_set():
            session = session_at(self._clock.now())
            begin = session.open - CONNECT_EARLY_S * SECOND
            if self._clock.now() < begin:
                self._say_asleep(session)
                await self._sleep_until(begin)
                continue
            await self._watch(session)
            await self._sum_up(session)
            await self._sleep_until(session.close)

    def _say_asleep(self, session: Session) -> None:
        wait = span_text(session.open - self._clock.now())
        early = f", closes early at {minute_text(session.close)}" if session.early else ""
        log.info(
            "asleep",
            text=f"😴 No session now: the next opens {day_text(session.open)} ET{early}, in {wait}",
            opens=session.open,
        )

    async def _sleep_until(self, moment: int) -> None:
        """Sleep until a time (µs), or until asked to stop."""
        while (left := (moment - self._clock.now()) / SECOND) > 0 and not self._stopping.is_set():
            nap = asyncio.ensure_future(self._clock.sleep(min(left, NAP_S)))
            stop = asyncio.ensure_future(self._stopping.wait())
            _, pending = await asyncio.wait((nap, stop), return_when=asyncio.FIRST_COMPLETED)
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)

    async def _sum_up(self, session: Session) -> None:
        """Five minutes after the close: the day in one quiet push."""
        if self.tally is None or not self.settings.daily_summary:
            return
        await self._sleep_until(session.close + EVENING_S * SECOND)
        if not self._stopping.is_set():
            lines = self.tally.lines()
            log.info("evening", text="🌙 " + "; ".join(lines))
            self._sender.submit(
                alerts.evening(self._clock.now(), self.rules, date=session.date, summary=lines)
            )

    # --- One session ---

    async def _watch(self, session: Session) -> None:
        """Watch one session to its end, or until asked to stop."""
        settings, clock = self.settings, self._clock
        engine = self.engine = Engine(self.rules, session)
        self._is_armed = self._is_cap_told = False
        self.tally = Tally(session)
        key = settings.polygon_api_key.get_secret_value()
        rest = Rest(settings.polygon_rest_url, key, clock, self._transport)
        self._sender.in_session(True)
        log.info(
            "session_started",
            text=f"🔔 Session {session.date}: {minute_text(session.open)}–{minute_text(session.close)} ET",
            date=session.date,
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                sources = [
                    tasks.create_task(self._pump(source), name=name)
                    for name, source in self._sources(session, rest, key)
                ]
                await self._consume(engine, self.tally)
                for task in sources:
                    task.cancel()
        finally:
            self._sender.in_session(False)
            await rest.aclose()
        log.info("session_ended", text=f"🔕 Session {session.date} is over", date=session.date)

    def _sources(self, session: Session, rest: Rest, key: str) -> Iterator[Source]:
        """Everything that facts come from, by name."""
        rules, clock, url, rng = self.rules, self._clock, self.settings.polygon_ws_url, self._random
        self._stocks = StocksFeed(
            rest=rest,
            ws_url=url,
            api_key=key,
            clock=clock,
            rules=rules,
            session=session,
            rng=rng,
            position_open=lambda: self._position is not None,
        )
        options = OptionsFeed(
            rest=rest,
            ws_url=url,
            api_key=key,
            clock=clock,
            rules=rules,
            session=session,
            rng=rng,
            wanted=self._wanted,
        )
        chains = ChainPoller(
            rest=rest,
            clock=clock,
            rules=rules,
            session=session,
            spot=self._spot,
            streaming=lambda: options.streaming,
        )
        yield "ticks", self._ticks()
        yield "stocks", self._stocks.events()
        yield "options", options.events()
        yield "chain", chains.events()

    @property
    def _position(self) -> Position | None:
        return self.engine.position if self.engine is not None else None

    def _spot(self) -> float | None:
        return self.engine.signals.price if self.engine is not None else None

    def _wanted(self) -> Wanted:
        """The contracts to stream: the nearest calls, and the held one."""
        if self.engine is None:
            return Wanted()
        held = None if self._position is None else self._position.opened.contract
        return Wanted(contracts=frozenset(self.engine.nearest(self.rules.stream_contracts)), held=held)

    async def _pump(self, source: AsyncGenerator[Event, None]) -> None:
        """Move facts from a source into the inbox."""
        async with contextlib.aclosing(source) as events:
            async for event in events:
                if not await self._inbox.put(event) and self._stocks is not None:
                    self._stocks.reopen(FeedCause.OVERFLOW)

    async def _ticks(self) -> AsyncGenerator[Event, None]:
        """A tick each second, on the second; the loop's own lag holds entries."""
        lag_limit, is_lagging = self.rules.loop_lag_seconds, False
        while True:
            due = (self._clock.now() // SECOND + 1) * SECOND
            await self._clock.sleep((due - self._clock.now()) / SECOND)
            # The loop's lag is the process's own, so it is measured in real time whatever the clock's speed.
            lag = (self._clock.now() - due) / SECOND / self._clock.speed
            if (lag > lag_limit) is not is_lagging:
                is_lagging = not is_lagging
                yield Hold(reason=HoldReason.LOOP_LAG, on=is_lagging)
            yield Tick()

    async def _consume(self, engine: Engine, tally: Tally) -> None:
        """The one consumer: each fact through the engine, each decision published."""
        journalist = Journalist(self.rules, engine)
        end = engine.session.close + LEAVE_LATE_S * SECOND
        handled = 0
        while True:
            event = await self._inbox.get()
            now = self._clock.now()
            before = engine.evaluation
            decisions = engine.handle(now, event)
            tally.fact(engine, now, event, engine.evaluation is not before)
            journalist.fact(now, event)
            for decision in decisions:
                self._publish(now, decision, journalist, tally)
            self._tell(now, event, engine)
            if isinstance(event, Shutdown) or now >= end:
                return
            handled += 1
            if handled % BREATH == 0:
                await asyncio.sleep(0)

    def _publish(self, now: int, decision: Decision, journalist: Journalist, tally: Tally) -> None:
        """Log a decision and hand its alert over. Never waits for the network."""
        journalist.decision(now, decision)
        reason = alerts.reason_text(decision, self.rules) if isinstance(decision, Closed) else ""
        tally.decision(decision, reason)
        alert = alerts.alert_for(now, decision, self.rules, self.settings.sell_priority)
        if alert is not None:
            self._sender.submit(alert)
        cap = self.rules.max_entries_per_day
        if isinstance(decision, Opened) and 0 < cap <= decision.entry_number and not self._is_cap_told:
            self._is_cap_told = True
            self._sender.submit(
                alerts.cap_reached(now, self.rules, entries=decision.entry_number, position=decision.id)
            )

    def _tell(self, now: int, event: Event, engine: Engine) -> None:
        """The pushes that are owed to a fact and not to a decision."""
        position = None if engine.position is None else engine.position.opened
        held = None if position is None else position.id
        match event:
            case FeedRestored() if self.settings.daily_summary and not self._is_armed:
                self._is_armed = True
                self._sender.submit(alerts.armed(now, self.rules, version=VERSION, session=engine.session))
            case Hold(reason=HoldReason.MARKET_CLOSED, on=True):
                self._sender.submit(
                    alerts.market_closed(now, self.rules, session=engine.session, position=held)
                )
            case Shutdown(close_position=False) if position is not None:
                self._sender.submit(
                    alerts.unwatched(
                        now,
                        self.rules,
                        position=position.id,
                        contract=position.contract,
                        stop=position.stop,
                        time_stop=position.time_stop,
                    )
                )
            case _:
                pass

    # --- The outside watch ---

    async def _heartbeat(self) -> None:
        """Ask `HEARTBEAT_URL` every minute while all is well; its service notices when that stops."""
        url = self.settings.heartbeat_url.get_secret_value()
        if not url:
            return
        async with httpx.AsyncClient(timeout=HEARTBEAT_REAL_S, transport=self._transport) as client:
            while True:
                if self._is_well():
                    await self._beat(client, url)
                await self._clock.sleep(HEARTBEAT_S)

    def _is_well(self) -> bool:
        """Not blind, and pushes arrive. Outside a session, to be running is enough."""
        engine = self.engine
        in_session = engine is not None and engine.session.open <= self._clock.now() < engine.session.close
        return not in_session or (engine is not None and not engine.feed.is_blind and self._sender.healthy)

    async def _beat(self, client: httpx.AsyncClient, url: str) -> None:
        try:
            async with asyncio.timeout(HEARTBEAT_REAL_S):
                answer = await client.get(url)
        except (httpx.HTTPError, TimeoutError) as error:
            log.warning("heartbeat_failed", text=f"💔 HEARTBEAT_URL not reached: {type(error).__name__}")
            return
        if answer.is_error:
            log.warning("heartbeat_failed", text=f"💔 HEARTBEAT_URL answered {answer.status_code}")


def _first(error: BaseException) -> BaseException:
    """The first single exception of a group of groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


# --- Entry point -------------------------------------------------------------------------------------


async def work(settings: Settings) -> int:
    """The live worker on the machine's clock, until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    worker = Worker(settings, clock=SystemClock(), random_source=random.Random())
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.stop)
    with Watchdog(loop):
        return await worker.run()


async def demonstrate(speed: float) -> int:
    """The demonstration: the same worker against the loopback market."""
    try:
        from sim import demo  # noqa: PLC0415 - the worker runs without sim/
    except ImportError as error:
        print(f"The demo needs sim/ and all of requirements.txt ({error}).", file=sys.stderr)
        return EXIT_CRASHED

    def make(settings: Settings, clock: Clock, random_source: random.Random) -> Worker:
        return Worker(settings, clock=clock, random_source=random_source)

    with Watchdog(asyncio.get_running_loop()):
        return await demo.play(speed, make)


def speed_of(text: str) -> float:
    """A demonstration's speed. Raises argparse.ArgumentTypeError for what is not 1 to 60."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not SPEED_MIN <= value <= SPEED_MAX:
        raise argparse.ArgumentTypeError(f"takes a number from {SPEED_MIN:g} to {SPEED_MAX:g}, got {text!r}")
    return value


def parser() -> argparse.ArgumentParser:
    """The command line."""
    described = argparse.ArgumentParser(
        prog="python main.py",
        description="Watches IWM second by second and pushes a BUY, then the SELL, for one 0DTE call. Alerts only: it never trades.",
        epilog="Settings come from the environment or .env (see .env.example and README.md). "
        "Exit status: 0 stopped by SIGTERM or Ctrl-C, 1 crashed, 2 bad configuration, 3 refused by a vendor.",
    )
    described.add_argument(
        "--demo",
        action="store_true",
        help="play a made session through loopback sockets, without keys; under a minute",
    )
    described.add_argument(
        "--speed",
        type=speed_of,
        default=None,
        metavar="N",
        help=f"with --demo: how many times as fast as real time ({SPEED_MIN:g} to {SPEED_MAX:g}; default {DEMO_SPEED:g})",
    )
    described.add_argument(
        "--version", action="store_true", help="print the version and the hash of the rules, and end"
    )
    return described


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; returns the exit status."""
    described = parser()
    asked = described.parse_args(arguments)
    if asked.speed is not None and not asked.demo:
        described.error("--speed goes with --demo")
    if asked.demo:
        with contextlib.suppress(KeyboardInterrupt):
            return asyncio.run(demonstrate(asked.speed or DEMO_SPEED))
        return EXIT_INTERRUPTED
    try:
        if asked.version:
            print(f"IWM-5-VWAP {VERSION}, rules {load_rules().digest()}")
            return EXIT_OK
        settings, _ = load()
    except ConfigError as error:
        print("Bad configuration:", *error.faults, sep="\n  ", file=sys.stderr)
        return EXIT_CONFIG
    logger.setup(
        level=settings.log_level,
        log_format=settings.log_format,
        log_file=settings.log_file,
        secrets=settings.secrets(),
        clock=SystemClock().now,
    )
    try:
        return asyncio.run(work(settings))
    finally:
        logger.close()


if __name__ == "__main__":
    sys.exit(main())

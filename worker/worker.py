"""The live worker: from session to session, until it is asked to stop. It decides nothing itself."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import random
import sys
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import httpx
import structlog

import logger
from config import VERSION, ConfigError, Settings
from delivery.sender import Sender
from engine import Engine
from events import (
    SECOND,
    AlertOutcome,
    Bar,
    Event,
    FeedCause,
    FeedRestored,
    Hold,
    HoldReason,
    Session,
    Shutdown,
    Tick,
)
from feeds.exchange import BarLags, ClockJudge, ClockWatch, ExchangeWatch
from messages import notices
from messages.alert import AFTER_CLOSE_S, named
from polygon_client import (
    ChainPoller,
    OptionsFeed,
    Rest,
    RestError,
    RestErrorKind,
    StocksFeed,
    VendorRefused,
    Wanted,
    ahead_us,
)
from record.disk import DiskFile, Opener, Taken, in_thread
from record.folder import record_path, tidy
from record.journal import Journal
from record.lease import Lease, LeaseHeld, Misplaced
from record.lines import Header
from record.past import Left, at_start, changed, own_record, rules_of
from record.reader import Damage, Reader
from risk_manager import Position
from rules import Rules
from utils import (
    MEASUREMENTS_IN_A_ROW,
    DoubtCause,
    KeptClock,
    day_text,
    minute_text,
    session_at,
    span_text,
    utc_iso,
)
from worker.ending import (
    EXIT_CONFIG,
    EXIT_CRASHED,
    EXIT_LEASE,
    EXIT_OK,
    EXIT_REFUSED,
    first_in,
    is_within,
    refusal_in,
    say_crashed,
)
from worker.heartbeat import Heartbeat
from worker.inbox import Inbox
from worker.notices import CLOCK_SPACING_S
from worker.session import LiveSession
from worker.watchdog import Deadline

log = structlog.get_logger("main")

CONNECT_EARLY_S = 300
"""How long before the open the feeds are connected."""

LEAVE_LATE_S = 30
"""How long after the close the feeds are left: the last bars come 2 s late."""

EVENING_S = 300
"""How long after the close the day is summed up."""

RECORD_OPEN_S = AFTER_CLOSE_S + 60
"""How long after the close its record stays open: as long as undelivered SELLs are tried, and a minute."""

FEED_FIRST_REAL_S = 2.0
"""How long, at a start in mid-session, the vendors' other questions wait for the stocks feed to be connected."""

AFTER_THE_FEED = ("options", "chain", "exchange")
"""Sources that wait as well: no contract is asked for before there are bars."""

NAP_S = 30
"""The longest sleep at a time outside sessions: a machine that was suspended wakes up in time."""

TIME_ASK_S, TIME_DOUBTED_ASK_S = 3600, 300
"""How often the vendor is asked for the time outside sessions, and how often while the clock is doubted."""

AWAY_S = 5
"""No fact for so long, though a tick comes each second: the process was stopped, the machine slept, the clock stepped."""

BREATH = 100
"""Facts handled before other tasks get a turn."""

DRAIN_REAL_S = 12.0
"""How long a stop waits for pending alerts. With closing the sockets it stays under 25 s."""

CRASH_DRAIN_REAL_S = 5.0
"""How long a crash does."""

CLOSE_REAL_S = 2.0
"""How long closing REST's connections may take: nothing hangs on it but politeness."""

STOP_REAL_S = 23.0
"""A stop that has not ended by then is cut off. With saying so it stays under 25 s."""

SWITCH_REAL_S = 0.0001
"""How long the disk's thread waits for the interpreter while the loop is busy: Python's 5 ms would be the alert's."""

TIDY_REAL_S = 10.0
"""How long the worker waits for records to be packed; after that it goes on beside it."""

LEASE_LOOK_S = 60
"""Pause between two looks at the lease."""

UNUSABLE = frozenset({errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP})
"""What is wrong with the name of a folder and not with its disk: nothing is, or can ever be, kept there."""

Result = TypeVar("Result")

Source = tuple[str, AsyncGenerator[Sequence[Event], None]]
"""Where facts come from: a name for the task, and the facts, all that wait at once."""


class Worker:
    """The live worker. Clock, randomness, file opener and HTTP transport are arguments: tests and the demo bring theirs."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: KeptClock,
        random_source: random.Random,
        opener: Opener = DiskFile,
        transport: httpx.AsyncBaseTransport | None = None,
        deadline: Deadline | None = None,
    ) -> None:
        self.settings = settings
        self.rules = settings.rules
        self.desk: LiveSession | None = None
        self._clock = clock
        self._clock_judge = ClockJudge(clock, settings.rules.clock_doubt_seconds)
        self._clock_told_at: int | None = None
        """When a doubt about the clock was last pushed while no session was on, µs."""
        self._lags = BarLags(settings.rules.lag_bars)
        self._random = random_source
        self._opener = opener
        self._transport = transport
        self._deadline = deadline
        if deadline is not None:
            deadline.unfinished = self.unfinished
        self._inbox = Inbox()
        self._stopping = asyncio.Event()
        self._may_ask = asyncio.Event()
        """Clear while the feed is to be connected first: whatever else is asked keeps the loop from it."""
        self._sender = Sender(settings, clock, self._inbox.put_now, self._ask_of, transport)
        self._heart = Heartbeat(settings.heartbeat_url, clock, self._why_no_beat, transport)
        self._sender.gave_up = self._heart.tell
        self._left_untold: list[str] = []
        """The SELLs and safety pushes that a stop has left unsent."""
        self._has_started = False
        """Whether the start is over: what was left has been settled, and sessions follow one another."""
        self._stocks: StocksFeed | None = None
        self._lease = Lease(settings.data_dir)
        self._is_lease_disputed = False
        self._resumable: Left | None = None
        """What an earlier start has recorded of the session in progress."""
        self._is_going_on = False
        """The session is begun once more in the same process: the rules have changed."""
        self._tidying: set[asyncio.Task[None]] = set()

    @property
    def engine(self) -> Engine | None:
        """The session's engine, once there has been a session."""
        return None if self.desk is None else self.desk.engine

    def stop(self) -> None:
        """Ask the worker to stop: the position is closed or kept, alerts are delivered, sockets closed."""
        if not self._stopping.is_set():
            if self._deadline is not None:
                self._deadline.start(STOP_REAL_S, EXIT_OK)
            log.info("stopping", text="🛑 Asked to stop: closing down")
            self._stopping.set()
            self._inbox.put_now(Shutdown(close_position=self.settings.on_shutdown == "close"))

    def unfinished(self) -> list[str]:
        """What a stop that is cut off leaves undone, in words."""
        left = [f"not sent: {alert.title}" for alert in self._sender.pending]
        if self._position is not None:
            opened = self._position.opened
            left.append(f"not sold: {opened.contract} #{opened.id}, which nobody watches now")
        if self.desk is not None:
            left.append(f"not closed: the record of {self.desk.engine.session.date}")
        return left

    def _ask_of(self, contract: str) -> int | None:
        return None if self.engine is None else self.engine.ask_of(contract)

    async def run(self) -> int:
        """Watch session after session until asked to stop. Returns the exit status."""
        rules = self.rules
        sys.setswitchinterval(SWITCH_REAL_S)
        log.info(
            "started",
            text=f"🚀 IWM-5-VWAP {VERSION}, rules {rules.digest()}: watching {' and '.join(rules.symbols)}",
            version=VERSION,
            rules=rules.digest(),
        )
        try:
            self._take_lease()
        except LeaseHeld as error:
            return self._failed(error)  # the outside watch is the other copy's
        except OSError as error:
            return await self._fail(error)
        try:
            await self._run()
        except Exception as error:  # noqa: BLE001 - the border: whatever crashed ends the process, with its reason
            return await self._fail(error)
        else:
            if self._left_untold:
                await self._heart.fail(
                    f"stopped with a SELL or a safety push untold: {'; '.join(self._left_untold)}"
                )
        finally:
            self._lease.release()
            await self._heart.close()
        log.info("stopped", text="👋 Stopped")
        return EXIT_OK

    async def _fail(self, error: Exception) -> int:
        """End by a fault: say so in the log and to the outside watch. Returns the exit status."""
        status = self._failed(error)
        if status != EXIT_LEASE:  # else another copy works, and tells the watch that it does
            untold = "".join(f"; untold: {each}" for each in self._left_untold)
            await self._heart.fail(f"exit {status}: {self._why_failed(error)}{untold}")
        await self._heart.close()
        return status

    async def _run(self) -> None:
        """The sessions, and beside them what outlives each: the sender and the heartbeat."""
        async with asyncio.TaskGroup() as tasks:
            helpers = [
                tasks.create_task(self._after_the_feed(self._sender.run), name="sender"),
                tasks.create_task(self._after_the_feed(self._heart.run), name="heartbeat"),
                tasks.create_task(self._keep_lease(), name="lease"),
            ]
            try:
                await self._settle_newest()
                if not self._is_connecting():
                    self._may_ask.set()
                    await self._try_key()
                elif self._resumable is None:  # else there may be a position to watch, and no time to lose
                    helpers.append(tasks.create_task(self._after_the_feed(self._try_key), name="key"))
                self._has_started = True
                await self._sessions()
            finally:
                patience = DRAIN_REAL_S
                error = sys.exc_info()[1]
                if error is None:
                    self._may_ask.set()
                else:  # a sender that has not begun by then has nothing that matters
                    patience = CRASH_DRAIN_REAL_S if self._may_ask.is_set() else 0.0
                    if self._deadline is not None:
                        status = EXIT_CRASHED if refusal_in(error) is None else EXIT_REFUSED
                        self._deadline.start(STOP_REAL_S, status)
                try:
                    left = await self._sender.drain(patience)
                    self._take_rest()
                    self._left_untold = [named(alert) for alert in left if alert.urgent]
                finally:
                    await self._close_desk()
                    for helper in helpers:
                        # Cancelled once more, one that the group has cancelled already would not close its connection.
                        if not helper.cancelling():
                            helper.cancel()

    def _failed(self, error: Exception) -> int:
        """Log why the worker ends. Returns the exit status."""
        refusal, first = refusal_in(error), first_in(error)
        folder = self.settings.data_dir.absolute()
        if refusal is not None:
            log.critical("vendor_refused", text=f"🛑 {refusal}")
            return EXIT_REFUSED
        if isinstance(first, Damage):
            cure = "move the file out of the folder (a position in it is then forgotten)"
            if not os.access(first.path, os.R_OK):
                cure = "let this user read the file"
            text = (
                f"🛑 {first}. It is kept as it is, and nothing is watched: look whether you hold a position, {cure} "
                "and start again."
            )
            log.critical("record_damaged", text=text)
            return EXIT_CRASHED
        if isinstance(first, (LeaseHeld, Taken)):
            text = f"🛑 Another copy is running on {folder}: {first}. Stop that one, or leave it at that."
            log.critical("lease_held", text=text)
            return EXIT_LEASE
        if isinstance(first, ConfigError):
            log.critical("start_refused", text=f"🛑 {'; '.join(first.faults)}")
            return EXIT_CONFIG
        if isinstance(first, OSError) and is_within(first.filename, self.settings.data_dir):
            text = (
                f"🛑 {Path(first.filename).absolute()} cannot be used ({first.strerror}), and a position may be recorded "
                f"there: let this user use it, move away what stands there, or set DATA_DIR (now {folder}) to another folder."
            )
            log.critical("place_unusable", text=text)
            return EXIT_CONFIG
        say_crashed(first, error)
        return EXIT_CRASHED

    # --- From session to session ---

    async def _sessions(self) -> None:
        while not self._stopping.is_set():
            session = session_at(self._clock.now())
            begin = session.open - CONNECT_EARLY_S * SECOND
            if self._clock.now() < begin:
                self._may_ask.set()
                self._say_asleep(session)
                await self._sleep_to(begin)
                continue
            await self._watch(session)
            is_over = self._stopping.is_set() or self._clock.now() >= session.close
            self._is_going_on = not is_over and self.desk is not None and self._is_outlived(self.desk)
            if self._is_going_on:
                log.info(
                    "rules_changed",
                    text=f"📏 The position is closed: from now on the rules {self.rules.digest()} hold",
                    rules=self.rules.digest(),
                )
                await self._close_desk()
                continue
            await self._sum_up(session)
            await self._sleep_until(session.close)

    def _is_connecting(self) -> bool:
        """Whether it is time for the feeds to be connected."""
        now = self._clock.now()
        return session_at(now).open - CONNECT_EARLY_S * SECOND <= now

    async def _after_the_feed(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do what may have to wait for the feed."""
        await self._may_ask.wait()
        await work()

    async def _try_key(self) -> None:
        """Ask the vendor once at the start: a wrong key should be known now, not five minutes before the open.

        Where the feed's login has told that it is good, nothing is asked, and no refusal counts.
        """
        if self._is_key_settled():
            return
        settings = self.settings
        key = settings.polygon_api_key.get_secret_value()
        rest = Rest(settings.polygon_rest_url, key, self._clock, self._transport)
        try:
            await self._ask_time(rest)
        except RestError as error:
            if self._is_key_settled():
                return
            if error.kind is RestErrorKind.UNAUTHORIZED:
                raise VendorRefused(
                    "The vendor refuses the key: set POLYGON_API_KEY to the one its dashboard shows."
                ) from error
            log.warning("key_not_tried", text=f"⚠️ The key could not be tried at the start: {error}")
        finally:
            await _close(rest)

    def _is_key_settled(self) -> bool:
        """Whether the key need not be tried: it has worked, or the worker stops. A position is watched in any case."""
        return self._key_has_worked or self._position is not None or self._stopping.is_set()

    async def _ask_time(self, rest: Rest) -> None:
        """Ask the vendor, and compare the clock with its answers' time. Raises RestError.

        Asked again where that would change what is thought of the clock: one measurement alone does not.
        """
        for _ in range(MEASUREMENTS_IN_A_ROW):
            measured = rest.skews_measured
            await rest.market_status()
            if rest.vendor_time is None or rest.skew is None or rest.skews_measured == measured:
                return
            self._clock.hear_date(rest.vendor_time)
            self._compare_clock()
            is_off = abs(rest.skew) > self.rules.clock_doubt_seconds
            if is_off is (self._clock_judge.doubt is not None):
                return

    def _compare_clock(self) -> bool:
        """Compare the clock while no session is on, and tell the phone that doubt begins. Returns whether it does."""
        if not self._clock_judge.look():
            return False
        now, doubt = self._clock.now(), self._clock_judge.doubt
        if doubt is not None and (
            self._clock_told_at is None or now - self._clock_told_at >= CLOCK_SPACING_S * SECOND
        ):
            self._clock_told_at = now
            position = None if self._position is None else self._position.opened.id
            self._sender.submit(
                notices.clock_doubt(
                    now, self.rules, since=now, detail=doubt.text, session=session_at(now), position=position
                )
            )
        return True

    def _say_asleep(self, session: Session) -> None:
        wait = span_text(session.open - self._clock.now())
        early = f", closes early at {minute_text(session.close)}" if session.early else ""
        log.info(
            "asleep",
            text=f"😴 No session now: the next opens {day_text(session.open)} ET{early}, in {wait}",
            opens=session.open,
        )

    async def _sleep_to(self, begin: int) -> None:
        """Sleep until a session begins (µs), or the time is another one than it was thought to be.

        A clock that is wrong by days would sleep through sessions: the vendor is asked for the time now and then.
        """
        clock, asked_at = self._clock, self._clock.now()
        while clock.now() < begin and not self._stopping.is_set():
            await self._sleep_until(min(begin, clock.now() + NAP_S * SECOND))
            if self.desk is not None:
                await self._let_go()
            begins = self._compare_clock()
            doubt = self._clock_judge.doubt
            if doubt is not None and doubt.cause is DoubtCause.SLOWED and not self._sender.pending:
                # No session, no record and no alert depends on the time: days need not be given back at a tenth a day.
                clock.begin_anew()
                self._clock_judge.look()
                self._clock_told_at = None
                return
            pause = TIME_ASK_S if doubt is None else TIME_DOUBTED_ASK_S
            if begins or clock.now() - asked_at >= pause * SECOND:
                asked_at = clock.now()
                await self._ask_time_asleep()

    async def _ask_time_asleep(self) -> None:
        """Ask the vendor for its time while no session is on."""
        key = self.settings.polygon_api_key.get_secret_value()
        rest = Rest(self.settings.polygon_rest_url, key, self._clock, self._transport)
        try:
            await self._ask_time(rest)
        except RestError as error:
            log.debug("time_not_told", text=f"The vendor's time is not known: {error}", reason=str(error))
        finally:
            await rest.aclose()

    async def _sleep_until(self, moment: int) -> None:
        """Handle what still comes in until a time (µs), or until asked to stop."""
        while (left := (moment - self._clock.now()) / SECOND) > 0 and not self._stopping.is_set():
            fact = await self._inbox.get_within(self._clock.sleep(min(left, NAP_S)))
            if fact is not None and self.desk is not None:
                self.desk.take(self._clock.now(), fact)

    def _take_rest(self) -> None:
        """Record what became of the last alerts, so that the next start does not send them again."""
        while self.desk is not None and (event := self._inbox.next()) is not None:
            if isinstance(event, AlertOutcome):
                self.desk.take(self._clock.now(), event)

    async def _sum_up(self, session: Session) -> None:
        """Five minutes after the close: the day in one quiet push."""
        if self.desk is None or self._stopping.is_set():
            return
        await self._sleep_until(session.close + EVENING_S * SECOND)
        if not self._stopping.is_set():
            self.desk.sum_up(self._clock.now())
        # Outcomes of the day's last alerts belong into its record: it stays open until nobody tries any more.
        await self._sleep_until(session.close + RECORD_OPEN_S * SECOND)
        await self._let_go()

    async def _let_go(self) -> None:
        """Close a record that is over, unless a SELL in it may still be acknowledged, and pack what is finished."""
        if not self._sender.awaits_acknowledgement:
            await self._close_desk()
            await self._tidy(TIDY_REAL_S)

    # --- The record ---

    async def _settle_newest(self) -> None:
        """At every start: a position whose time stop passed while nobody watched is closed at once.

        Raises Damage or OSError when a record that may hold a position cannot be read.
        """
        today = session_at(self._clock.now()).date
        left = await self._unless_stopping(
            in_thread("records", partial(at_start, self.settings.data_dir, today))
        )
        if left is None:
            return
        self._resumable = left.own
        if left.own is not None or left.unsettled:
            self._may_ask.set()  # there may be a position in it, and a SELL to send
        for record in left.unsettled:
            if record.header is not None and not self._stopping.is_set():
                await self._settle(record.path, record.header)
        if (
            not self._sender.pending
        ):  # else a SELL is still owed to a record: packed, no start would look for it there
            await self._tidy(0.0 if left.own is not None else TIDY_REAL_S)

    async def _settle(self, path: Path, header: Header) -> None:
        """Bring the record of a session that is over to its end, under its own rules. Raises Damage or OSError."""
        await self._close_desk()
        past = Reader(path)
        self.desk = self._desk(header.session, rules_of(path, header))
        self._begin(self.desk, past)
        now = self._clock.now()
        self.desk.resume(now, past)
        self.desk.take(self._clock.now(), Tick())
        self.desk.sum_up(self._clock.now())
        end = min(now + RECORD_OPEN_S * SECOND, session_at(now).open - CONNECT_EARLY_S * SECOND)
        while self._sender.pending and self._clock.now() < end and not self._stopping.is_set():
            await self._sleep_until(min(end, self._clock.now() + SECOND))
        self._take_rest()
        if not (self._sender.pending or self._sender.awaits_acknowledgement):
            await self._close_desk()  # else it stays open for what is still to come, until a session begins

    def _desk(self, session: Session, rules: Rules) -> LiveSession:
        journal = Journal(record_path(self.settings.data_dir, session.date), self._opener)
        return LiveSession(
            self.settings,
            session,
            journal,
            self._sender,
            self._inbox.put_now,
            time_is_known=self._is_time_known,
            rules=rules,
        )

    def _is_time_known(self) -> bool:
        """Whether the clock has been compared with the vendor's, and is right."""
        return self._clock.is_compared and self._clock_judge.doubt is None

    def _begin(self, desk: LiveSession, past: Reader | None) -> None:
        """Begin a session's record. One that is ahead of the clock is gone on with: time never goes back in a record."""
        desk.begin(self._clock.now(), past)
        self._clock.go_on_from(desk.latest)

    def _rules_for(self, left: Left | None) -> Rules:
        """The rules of a start: while a position is open, those under which it was opened.

        Raises ConfigError when that was under another SYMBOL: its bars would not be watched; Damage for unusable rules.
        """
        if left is None or left.header is None or left.open is None:
            return self.rules
        kept, opened = rules_of(left.path, left.header), left.open
        if kept.symbol != self.rules.symbol and self._clock.now() < opened.time_stop:
            raise ConfigError(
                [
                    f"SYMBOL: got {self.rules.symbol}, but the position #{opened.id} ({opened.contract}) was opened under "
                    f"{kept.symbol} and is open until {minute_text(opened.time_stop)} ET: set SYMBOL={kept.symbol} until it "
                    "is closed, or close it yourself and start again after that"
                ]
            )
        return self.rules if kept == self.rules else kept

    def _say_kept(self, left: Left | None, rules: Rules) -> str:
        """Say that a position goes on under the rules of its entry. Returns the line for the phone, empty without one."""
        if left is None or left.open is None or rules is self.rules:
            return ""
        opened, differ = left.open, changed(rules, self.rules)
        log.warning(
            "rules_kept",
            text=f"📏 Position #{opened.id} keeps the rules it was opened under ({rules.digest()}); yours "
            f"({self.rules.digest()}) hold once it is closed: {differ}",
            rules=rules.digest(),
            id=opened.id,
        )
        return f"It keeps the rules it was opened under; the new settings hold once it is closed: {differ}."

    async def _unless_stopping(self, work: Coroutine[Any, Any, Result]) -> Result | None:
        """What work comes to; None once asked to stop: a disk that does not answer must not hold a stop."""
        task = asyncio.ensure_future(work)
        stop = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
            return task.result() if task.done() else None
        finally:
            stop.cancel()
            task.cancel()

    async def _close_desk(self) -> None:
        if self.desk is not None:
            await self.desk.end()
            self.desk = None

    async def _tidy(self, patience_s: float) -> None:
        """Pack finished records and remove the oldest, in a thread; wait for that at most so long (real seconds).

        Not while stopping, or while one is open: an acknowledgement may be owed to it.
        """
        if self._stopping.is_set() or self.desk is not None:
            return
        today = session_at(self._clock.now()).date
        action = partial(tidy, self.settings.data_dir, self.settings.keep_sessions, today)
        task = asyncio.create_task(in_thread("tidy", action))
        self._tidying.add(task)
        task.add_done_callback(self._tidying.discard)
        await self._unless_stopping(_at_most(patience_s, task))

    def _take_lease(self) -> None:
        """Take the lease. Raises LeaseHeld; OSError for what its owner must set right."""
        try:
            self._lease.take(utc_iso(self._clock.now()))
        except OSError as error:
            if isinstance(error, Misplaced) or error.errno in UNUSABLE:
                raise
            # A disk that takes nothing must not keep an open position from being watched.
            folder = self.settings.data_dir.absolute()
            text = (
                f"⚠️ DATA_DIR {folder} cannot be written ({error.strerror}): no entries until it can be, and another copy "
                "would not be noticed"
            )
            log.error("lease_failed", text=text)
            return
        if not self._lease.is_locked:
            text = f"⚠️ {self._lease.path.absolute()} is on a disk without locks: see to it that only one copy runs"
            log.warning("lease_unsupported", text=text)

    async def _keep_lease(self) -> None:
        """Once a minute: whether the lease is still ours. One that was removed is taken again.

        Raises LeaseHeld when another copy holds it, unless a session is at work here: then its record is locked by this
        copy, so that the other cannot watch it.
        """
        while True:
            await self._clock.sleep(LEASE_LOOK_S)
            try:
                if not await in_thread("lease", self._lease.is_lost):
                    continue
                self._lease.take(utc_iso(self._clock.now()))
            except LeaseHeld as error:
                if self.desk is None and self._is_lease_disputed:
                    raise  # twice: a check by diagnose.py takes it for a moment
                is_new, self._is_lease_disputed = not self._is_lease_disputed, True
                if is_new:
                    text = f"🛑 Another copy has taken the lease ({error}): stop one. A session at work here goes on here"
                    log.critical("lease_disputed", text=text)
            except OSError as error:
                log.debug("lease_not_taken", text=f"The lease cannot be taken: {error.strerror}")
            else:
                self._is_lease_disputed = False
                text = f"🔑 The lease {self._lease.path.absolute()} was not there: taken again"
                log.warning("lease_taken", text=text)

    # --- One session ---

    def _is_outlived(self, desk: LiveSession) -> bool:
        """Whether a desk that has kept other rules for its position has none any more, and that is recorded."""
        return desk.rules is not self.rules and desk.engine.position is None and not desk.is_record_off

    async def _watch(self, session: Session) -> None:
        """Watch one session to its end, or until asked to stop."""
        settings, clock = self.settings, self._clock
        self._sender.in_session(True)
        log.info(
            "session_started",
            text=f"🔔 Session {session.date}: {minute_text(session.open)}–{minute_text(session.close)} ET",
            date=session.date,
        )
        left = await self._unless_stopping(
            in_thread("record", partial(own_record, settings.data_dir, session.date))
        )
        rules = self._rules_for(left)
        note = self._say_kept(left, rules)
        past = None if left is None else Reader(left.path)
        if self._stopping.is_set():
            return
        await self._close_desk()
        desk = self.desk = self._desk(session, rules)
        self._begin(desk, past)
        desk.sync()
        key = settings.polygon_api_key.get_secret_value()
        rest = Rest(settings.polygon_rest_url, key, clock, self._transport, ahead_us=ahead_us(settings.rules))
        try:
            if past is not None:
                await self._price_position(rest, desk)
                desk.resume(clock.now(), past, note=note, is_same_process=self._is_going_on)
            for reason in sorted(self._sender.holds):
                desk.take(clock.now(), Hold(reason=reason, on=True))  # what began while no session was on
            async with asyncio.TaskGroup() as tasks:
                sources = [
                    tasks.create_task(self._start(name, source), name=name)
                    for name, source in self._sources(session, rest, key, rules)
                ]
                asyncio.get_running_loop().call_later(FEED_FIRST_REAL_S, self._may_ask.set)
                await self._consume(desk)
                for task in sources:
                    task.cancel()
        finally:
            self._sender.in_session(False)
            await _close(rest)
        log.info("session_ended", text=f"🔕 Left the feeds of session {session.date}", date=session.date)

    async def _price_position(self, rest: Rest, desk: LiveSession) -> None:
        """After a restart an open position is priced before anything is decided on a price of before."""
        position = desk.engine.position
        if position is None:
            return
        try:
            quote = await rest.contract(desk.rules.symbol, position.opened.contract)
        except RestError as error:
            log.warning(
                "position_not_priced", text=f"⚠️ {position.opened.contract} could not be priced: {error}"
            )
            return
        desk.take(self._clock.now(), quote)

    def _sources(self, session: Session, rest: Rest, key: str, rules: Rules) -> Iterator[Source]:
        """Everything that facts come from, by name."""
        clock, url, rng = self._clock, self.settings.polygon_ws_url, self._random
        self._stocks = StocksFeed(
            rest=rest,
            ws_url=url,
            api_key=key,
            clock=clock,
            rules=rules,
            session=session,
            rng=rng,
            position_open=lambda: self._position is not None,
            key_has_worked=self._key_has_worked,
            backfill_from=self.engine.feed.unknown_from if self.engine is not None else None,
            offer=self._inbox.offer,
            early=self._lags.learn_early,
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
            has_rows=self.engine is not None and bool(self.engine.chain),
        )
        yield "ticks", self._ticks()
        watch = ClockWatch(vendor=rest, clock=clock, judge=self._clock_judge, lags=self._lags)
        yield "clock", watch.events()
        yield "stocks", self._stocks.events()
        yield "options", options.events()
        yield "chain", chains.events()
        yield "exchange", ExchangeWatch(vendor=rest, clock=clock, session=session).events()

    @property
    def _position(self) -> Position | None:
        return self.engine.position if self.engine is not None else None

    @property
    def _key_has_worked(self) -> bool:
        return self._stocks is not None and self._stocks.key_has_worked

    def _spot(self) -> float | None:
        return self.engine.signals.price if self.engine is not None else None

    def _wanted(self) -> Wanted:
        """The contracts to stream: the nearest calls, and the held one."""
        if self.engine is None:
            return Wanted()
        held = None if self._position is None else self._position.opened.contract
        return Wanted(contracts=frozenset(self.engine.nearest(self.rules.stream_contracts)), held=held)

    async def _start(self, name: str, source: AsyncGenerator[Sequence[Event], None]) -> None:
        """Pump a source: the stocks feed and the ticks at once, what has to do with options after it."""
        if name in AFTER_THE_FEED:
            await self._may_ask.wait()
        await self._pump(source)

    async def _pump(self, source: AsyncGenerator[Sequence[Event], None]) -> None:
        """Move facts from a source into the inbox."""
        async with contextlib.aclosing(source) as batches:
            async for events in batches:
                if self._inbox.offer(events):
                    continue
                for event in events:
                    if not await self._inbox.put(event) and self._stocks is not None:
                        self._stocks.reopen(FeedCause.OVERFLOW)
        raise RuntimeError("a source of facts has ended")  # they go on for ever: never a half-alive worker

    async def _ticks(self) -> AsyncGenerator[Sequence[Event], None]:
        """A tick each second, on the second; the loop's own lag holds entries."""
        clock, lag_limit, is_lagging = self._clock, self.rules.loop_lag_seconds, False
        while True:
            now = clock.now()
            wait = ((now // SECOND + 1) * SECOND - now) / SECOND
            began = time.monotonic()
            await clock.sleep(wait)
            # The loop's lag is the process's own: real time, whatever the clock's speed, and however it steps.
            lag = time.monotonic() - began - wait / clock.speed
            if (lag > lag_limit) is not is_lagging:
                is_lagging = not is_lagging
                yield (Hold(reason=HoldReason.LOOP_LAG, on=is_lagging),)
            yield (Tick(),)

    async def _consume(self, desk: LiveSession) -> None:
        """The one consumer: each fact to the desk, until the session is over or the worker is asked to stop."""
        end = desk.engine.session.close + LEAVE_LATE_S * SECOND
        handled, taken_at = 0, self._clock.now()
        while True:
            event = await self._inbox.get()
            now = self._clock.now()
            if now - taken_at >= AWAY_S * SECOND:
                # There is a tick each second. Said first: silence is not the feed's fault, nor is what now comes late.
                desk.take(now, Tick(away=now - taken_at))
            taken_at = now
            desk.take(now, event)
            if type(event) is Bar:
                self._lags.learn(now, event)
            if type(event) is FeedRestored:
                self._may_ask.set()
            if isinstance(event, Shutdown) or now >= end or self._is_outlived(desk):
                return
            handled += 1
            if handled % BREATH == 0:
                await asyncio.sleep(0)

    # --- The outside watch ---

    def _why_no_beat(self, now: int) -> str:
        """Why the outside watch is not told at ``now`` (µs) that all is well, in words; empty when it is.

        In a session the traded symbol must progress, nothing outside the rules may hold entries (a record that is
        not written does), and pushes must be taken. Outside of one, to run is enough.
        """
        if not self._has_started:
            return "still starting"
        if trouble := self._sender.trouble(now):
            return trouble
        session = session_at(now)
        if now < session.open:
            return ""
        engine = self.engine
        if engine is None:
            return "the session is not watched"
        symbol, feed = engine.rules.symbol, engine.feed
        newest = max(feed.newest(symbol) or 0, session.open)
        if feed.cause is not None:
            return f"feed blind ({feed.cause})"
        if now - newest > (engine.rules.symbol_unseen_seconds + 1) * SECOND:
            return f"no new bar of {symbol}"
        if engine.holds:
            return f"entries held ({', '.join(sorted(engine.holds))})"
        return "" if self._sender.healthy else "Pushover does not answer well"

    def _why_failed(self, error: Exception) -> str:
        """Why the worker ends, in a line for the outside watch: without a secret."""
        first = first_in(error)
        return logger.redactor(self.settings.secrets())(f"{type(first).__name__}: {first}")


async def _close(rest: Rest) -> None:
    """Close REST's connections. What goes wrong in it, or takes too long, matters to nobody any more."""
    with contextlib.suppress(OSError, httpx.HTTPError):  # TimeoutError is an OSError
        async with asyncio.timeout(CLOSE_REAL_S):
            await rest.aclose()


async def _at_most(seconds: float, task: asyncio.Task[None]) -> None:
    """Wait for a task at most so long; it goes on."""
    await asyncio.wait({task}, timeout=seconds)

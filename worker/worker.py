"""The live worker: runs session after session until it is asked to stop. It decides nothing itself."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import structlog

from config import VERSION, Settings
from delivery.sender import Sender
from engine import Engine
from events import Shutdown
from feeds.exchange import ClockJudge
from feeds.vendor import Dial
from messages.alert import named
from pictures.process import Draw, drawn_apart
from record.disk import DiskFile, Opener
from record.lease import LeaseHeld
from threads import DaemonThread, Threads
from utils import KeptClock
from worker.context import Context
from worker.days import Days
from worker.ending import EXIT_CRASHED, EXIT_LEASE, EXIT_OK, EXIT_REFUSED, conclude, reason_text, refusal_in
from worker.heartbeat import Heartbeat, no_beat_reason
from worker.inbox import Inbox
from worker.lease_keeper import LeaseKeeper
from worker.pictures import Pictures
from worker.records import Records
from worker.session import LiveSession
from worker.start import StartEvent
from worker.starts import Starts
from worker.switching import switch_quickly
from worker.vendor_time import VendorTime
from worker.watch import Watch
from worker.watchdog import Deadline

log = structlog.get_logger("main")

DRAIN_REAL_S = 12.0
"""Real seconds that a stop waits for pending alerts. With closing the sockets it stays under 25 s."""

CRASH_DRAIN_REAL_S = 5.0
"""Real seconds that a crash waits for pending alerts."""

STOP_REAL_S = 23.0
"""Real seconds after which a stop is cut off. With the last log line it stays under 25 s."""


class Worker:
    """The live worker.

    Clock, randomness, file opener, threads, HTTP transport, the dial of the sockets, what draws pictures and the process's
    id (None: this process's) are arguments, so that tests and the demo can pass their own. ``deadline`` cuts off a stop
    that takes too long (None: nothing does).
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clock: KeptClock,
        random_source: random.Random,
        opener: Opener = DiskFile,
        threads: Threads = DaemonThread,
        transport: httpx.AsyncBaseTransport | None = None,
        dial: Dial | None = None,
        deadline: Deadline | None = None,
        draw: Draw = drawn_apart,
        pid: int | None = None,
    ) -> None:
        """Wires the parts. It is longer than 40 lines because each part is a line."""
        self.settings = settings
        self._deadline = deadline
        if deadline is not None:
            deadline.unfinished = self.unfinished
        inbox = Inbox()
        self._sender = Sender(settings, clock, inbox.put_now, self._ask_of, transport, threads=threads)
        self._context = context = Context(
            settings=settings,
            rules=settings.rules,
            clock=clock,
            random_source=random_source,
            opener=opener,
            threads=threads,
            transport=transport,
            dial=dial,
            inbox=inbox,
            sender=self._sender,
            pictures=Pictures(self._sender, clock, draw, is_on=settings.pictures),
            starts=Starts(settings.data_dir, clock, threads),
            pid=os.getpid() if pid is None else pid,
        )
        judge = ClockJudge(clock, context.rules.clock_doubt_seconds)
        self._records = Records(context, judge)
        self._watch = Watch(context, self._records, judge)
        self._vendor_time = VendorTime(context, judge, self._position_id)
        self._days = Days(context, self._records, self._watch, self._vendor_time)
        self._lease = LeaseKeeper(settings.data_dir, clock, threads, lambda: self.live is not None)
        self._heart = Heartbeat(settings.heartbeat_url, clock, self._why_no_beat, transport)
        self._sender.gave_up = self._heart.tell
        self._left_untold: list[str] = []
        """The SELLs and safety pushes that a stop left undelivered."""

    @property
    def live(self) -> LiveSession | None:
        """Returns the session whose record is open, or None."""
        return self._records.live

    @property
    def engine(self) -> Engine | None:
        """Returns the engine of the session whose record is open, or None."""
        return self._records.engine

    def _position_id(self) -> str | None:
        position = self._watch.position
        return None if position is None else position.opened.id

    def _ask_of(self, contract: str) -> int | None:
        return None if self.engine is None else self.engine.quotes.ask_of(contract)

    # --- Stopping ---

    def stop(self) -> None:
        """Makes the worker stop: it closes or keeps the position, delivers alerts and closes its sockets."""
        context = self._context
        if not context.stopping.is_set():
            if self._deadline is not None:
                self._deadline.start(STOP_REAL_S, EXIT_OK)
            log.info("stopping", text="🛑 Asked to stop: shutting down")
            context.stopping.set()
            self._context.pictures.stop()
            context.inbox.put_now(Shutdown(close_position=self.settings.on_shutdown == "close"))

    def unfinished(self) -> list[str]:
        """Returns what a stop that is cut off now would leave undone, in words."""
        left = [f"not sent: {alert.title}" for alert in self._sender.pending]
        if (position := self._watch.position) is not None:
            opened = position.opened
            left.append(f"not sold: {opened.contract} #{opened.id}, which nobody watches now")
        if self.live is not None:
            left.append(f"not closed: the record of {self.live.engine.session.date}")
        return left

    # --- The whole run ---

    async def run(self) -> int:
        """Watches session after session until asked to stop. Returns the exit status."""
        rules = self._context.rules
        switch_quickly()
        log.info(
            "started",
            text=f"🚀 IWM-5-VWAP {VERSION}, rules {rules.digest()}: watching {' and '.join(rules.symbols)}",
            version=VERSION,
            rules=rules.digest(),
        )
        try:
            self._lease.acquire()
        except LeaseHeld as error:
            return conclude(error, self.settings)  # no `/fail`: the other copy sends the heartbeat
        except OSError as error:
            return await self._fail(error)
        self._context.starts.begin()
        try:
            await self._run()
        except Exception as error:  # noqa: BLE001 - the worker's border: any crash ends it, with its reason
            return await self._fail(error)
        else:
            await self._context.starts.end()
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
        """Reports a fault in the log and to the heartbeat's service. Returns the exit status."""
        status = conclude(error, self.settings)
        if status != EXIT_LEASE:  # else another copy is at work and sends the heartbeat
            untold = "".join(f"; untold: {each}" for each in self._left_untold)
            await self._heart.fail(f"exit {status}: {reason_text(error, self.settings)}{untold}")
        await self._heart.close()
        return status

    async def _run(self) -> None:
        """Runs the sessions and, beside them, what outlives each: the sender, the heartbeat and the lease."""
        async with asyncio.TaskGroup() as tasks:
            helpers = [
                tasks.create_task(self._after_the_feed(self._sender.run), name="sender"),
                tasks.create_task(self._after_the_feed(self._heart.run), name="heartbeat"),
                tasks.create_task(self._lease.keep(), name="lease"),
                tasks.create_task(self._context.pictures.run(), name="pictures"),
            ]
            try:
                await self._records.settle_newest()
                if not self._days.are_due():
                    self._context.advance(StartEvent.MAY_ASK)
                    await self._try_key()
                elif (
                    self._records.resumable is None
                ):  # else a position may be open: watch it whatever the key
                    helpers.append(tasks.create_task(self._after_the_feed(self._try_key), name="key"))
                self._context.advance(StartEvent.SETTLED)
                await self._days.run()
            finally:
                try:
                    await self._drain(sys.exc_info()[1])
                finally:
                    await self._records.close()
                    for helper in helpers:
                        # A task that the group has cancelled already is closing its connection: do not interrupt that.
                        if not helper.cancelling():
                            helper.cancel()

    async def _drain(self, error: BaseException | None) -> None:
        """Delivers what is pending, within the time of a stop or, with an ``error``, of a crash."""
        self._context.pictures.stop()
        patience = DRAIN_REAL_S
        if error is None:
            self._context.advance(StartEvent.MAY_ASK)
        else:  # if the sender has not begun, nothing that matters is pending
            patience = CRASH_DRAIN_REAL_S if self._context.may_ask.is_set() else 0.0
            if self._deadline is not None:
                self._deadline.start(STOP_REAL_S, EXIT_CRASHED if refusal_in(error) is None else EXIT_REFUSED)
        left = await self._sender.drain(patience)
        self._records.record_rest()
        self._left_untold = [named(alert) for alert in left if alert.urgent]

    async def _after_the_feed(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Runs ``work`` once requests besides the stocks feed are allowed."""
        await self._context.may_ask.wait()
        await work()

    async def _try_key(self) -> None:
        await self._vendor_time.try_key(self._watch.key_has_worked)

    def _why_no_beat(self, now: int) -> str:
        """Returns why there must be no heartbeat at ``now`` (µs), in words; empty if everything is well."""
        if not self._context.is_settled:
            return "still starting"
        if trouble := self._sender.trouble(now):
            return trouble
        return no_beat_reason(now, self.engine, pushes_answered=self._sender.healthy)

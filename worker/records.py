"""Opens, settles, closes and packs the sessions' records."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import structlog

from config import ConfigError
from engine import Engine
from events import SECOND, AlertOutcome, Session, Tick
from feeds.exchange import ClockJudge
from messages.alert import AFTER_CLOSE_S
from record.folder import record_path, tidy
from record.journal import Journal
from record.lines import Header
from record.past import Left, at_start, changed, own_record
from record.reader import Reader
from record.upgrade import rules_of
from rules import Rules
from threads import in_thread
from utils import minute_text, session_at
from worker import bookkeeper
from worker.context import Context
from worker.session import LiveSession
from worker.start import StartEvent

log = structlog.get_logger("main")

CONNECT_EARLY_S = 300
"""Seconds before the open when the feeds are connected."""

RECORD_OPEN_S = AFTER_CLOSE_S + 60
"""Seconds after the close for which a record stays open: as long as undelivered SELLs are tried, and a minute more."""

NAP_S = 30
"""The longest single sleep outside sessions, seconds, so that a machine that was suspended notices the time soon."""

TIDY_REAL_S = 10.0
"""Real seconds that the worker waits for records to be packed. Packing may go on after that."""


class Records:
    """Keeps at most one record open at a time. ``live`` is its session."""

    def __init__(self, context: Context, clock_judge: ClockJudge) -> None:
        self._context = context
        self._clock_judge = clock_judge
        self._tidying: set[asyncio.Task[None]] = set()
        self.live: LiveSession | None = None
        """The session whose record is open."""
        self.resumable: Left | None = None
        """The record that an earlier start left of the session in progress."""

    @property
    def engine(self) -> Engine | None:
        """Returns the open session's engine, or None."""
        return None if self.live is None else self.live.engine

    # --- Opening and closing ---

    async def own(self, session: Session) -> Left | None:
        """Returns the record of a session; None without one, or if the worker is asked to stop first.

        Raises Damage; OSError.
        """
        context = self._context
        reading = in_thread(
            context.threads, "record", partial(own_record, context.settings.data_dir, session.date)
        )
        return await context.unless_stopping(reading)

    async def open(self, session: Session, rules: Rules, past: Reader | None) -> LiveSession:
        """Begins a session's record, or goes on after the lines that ``past`` reads. Closes the one that is open.

        Makes the clock go on from the record's end: time never goes back in a record. Raises Damage, OSError or Taken.
        """
        await self.close()
        context = self._context
        self.live = live = LiveSession(
            context.settings,
            session,
            Journal(
                record_path(context.settings.data_dir, session.date),
                context.opener,
                threads=context.threads,
                pid=context.pid,
            ),
            context.sender,
            context.inbox.put_now,
            time_is_known=self._is_time_known,
            rules=rules,
            pictures=context.pictures,
        )
        live.begin(context.clock.now(), past)
        context.clock.go_on_from(live.latest)
        return live

    def _is_time_known(self) -> bool:
        """Returns whether the clock was compared with the vendor's and agrees."""
        return self._context.clock.is_compared and self._clock_judge.doubt is None

    async def close(self) -> None:
        """Closes the open record, if there is one."""
        if self.live is not None:
            await self.live.end()
            self.live = None

    async def let_go(self) -> None:
        """Closes the record and packs finished ones, unless a SELL may still be acknowledged."""
        if not self._context.sender.awaits_acknowledgement:
            await self.close()
            await self._tidy(TIDY_REAL_S)

    async def _tidy(self, patience_s: float) -> None:
        """Packs finished records and removes the oldest, in a thread. Waits for it at most ``patience_s`` real seconds.

        Does nothing while stopping, or while a record is open, because an acknowledgement may still come for it.
        """
        context = self._context
        if context.stopping.is_set() or self.live is not None:
            return
        today = session_at(context.clock.now()).date
        action = partial(tidy, context.settings.data_dir, context.settings.keep_sessions, today)
        task = asyncio.create_task(in_thread(context.threads, "tidy", action))
        self._tidying.add(task)
        task.add_done_callback(self._tidying.discard)
        await context.unless_stopping(_at_most(patience_s, task))

    # --- Facts that come while no session is watched ---

    async def sleep_until(self, moment: int) -> None:
        """Handles the facts that come until a time (µs), or until the worker is asked to stop."""
        context = self._context
        while (left := (moment - context.clock.now()) / SECOND) > 0 and not context.stopping.is_set():
            fact = await context.inbox.get_within(context.clock.sleep(min(left, NAP_S)))
            if fact is not None and self.live is not None:
                self.live.handle(context.clock.now(), fact)

    def record_rest(self) -> None:
        """Records the outcomes of the last alerts, so that the next start does not send them again."""
        while self.live is not None and (event := self._context.inbox.next()) is not None:
            if isinstance(event, AlertOutcome):
                self.live.handle(self._context.clock.now(), event)

    # --- What earlier starts left ---

    async def settle_newest(self) -> None:
        """Brings what earlier starts left to its end: positions whose time stop passed unwatched, undelivered SELLs.

        Raises Damage or OSError if a record that may contain an open position cannot be read.
        """
        context = self._context
        today = session_at(context.clock.now()).date
        left = await context.unless_stopping(
            in_thread(context.threads, "records", partial(at_start, context.settings.data_dir, today))
        )
        if left is None:
            return
        self.resumable = left.own
        if left.own is not None or left.unsettled:
            context.advance(StartEvent.MAY_ASK)  # it may contain a position, and a SELL to send
        for record in left.unsettled:
            if record.header is not None and not context.stopping.is_set():
                await self._settle(record.path, record.header)
        # A record with an undelivered SELL stays unpacked: no start would look for it in a packed one.
        if not context.sender.pending:
            await self._tidy(0.0 if left.own is not None else TIDY_REAL_S)

    async def _settle(self, path: Path, header: Header) -> None:
        """Brings the record of an earlier session to its end, under its own rules. Raises Damage or OSError."""
        context, past = self._context, Reader(path)
        live = await self.open(header.session, rules_of(path, header), past)
        now = context.clock.now()
        live.resume(now, past)
        live.handle(context.clock.now(), Tick())
        live.sum_up(context.clock.now())
        await bookkeeper.enter(context, live.row())
        end = min(now + RECORD_OPEN_S * SECOND, session_at(now).open - CONNECT_EARLY_S * SECOND)
        while context.sender.pending and context.clock.now() < end and not context.stopping.is_set():
            await self.sleep_until(min(end, context.clock.now() + SECOND))
        self.record_rest()
        if not (context.sender.pending or context.sender.awaits_acknowledgement):
            await self.close()  # else it stays open for the outcomes to come, until a session begins

    # --- Which rules apply ---

    def rules_for(self, left: Left | None) -> Rules:
        """Returns the rules of a start: the settings' or, while a position is open, those under which it was opened.

        Raises ConfigError if it was opened under another SYMBOL, whose bars would not be watched; Damage for unusable rules.
        """
        rules = self._context.rules
        if left is None or left.header is None or left.open is None:
            return rules
        kept, opened = rules_of(left.path, left.header), left.open
        if kept.symbol != rules.symbol and self._context.clock.now() < opened.time_stop:
            raise ConfigError(
                [
                    f"SYMBOL: got {rules.symbol}, but the position #{opened.id} ({opened.contract}) was opened under "
                    f"{kept.symbol} and is open until {minute_text(opened.time_stop)} ET: set SYMBOL={kept.symbol} until it "
                    "is closed, or close it yourself and start again after that"
                ]
            )
        return rules if kept == rules else kept

    def say_kept(self, left: Left | None, rules: Rules) -> str:
        """Logs that a position keeps the rules of its entry. Returns the line for the phone; empty if it does not."""
        ours = self._context.rules
        if left is None or left.open is None or rules is ours:
            return ""
        opened, differ = left.open, changed(rules, ours)
        log.warning(
            "rules_kept",
            text=f"📏 Position #{opened.id} keeps the rules it was opened under ({rules.digest()}); yours "
            f"({ours.digest()}) apply once it is closed: {differ}",
            rules=rules.digest(),
            id=opened.id,
        )
        return f"It keeps the rules it was opened under; the new settings apply once it is closed: {differ}."


async def _at_most(seconds: float, task: asyncio.Task[None]) -> None:
    """Waits for a task at most ``seconds`` (real). The task goes on."""
    await asyncio.wait({task}, timeout=seconds)

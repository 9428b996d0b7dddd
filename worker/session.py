"""One session at work: its engine, its record, its lines in the log, and its alerts. It decides nothing.

Every fact goes through `LiveSession.handle`: first the engine, then the record, then alerts and log. `LiveSession.begin`
restores what an earlier start of the same session recorded, and `LiveSession.resume` delivers what that start did not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog

import alerts
from book.rows import DayRow
from config import Settings
from delivery.receipts import Remembered
from delivery.sender import Sender
from engine import Engine
from events import (
    SECOND,
    AlertKind,
    AlertOutcome,
    Bar,
    Chain,
    Closed,
    Covered,
    Decision,
    Event,
    FeedCause,
    FeedLost,
    Hold,
    HoldReason,
    Opened,
    Outcome,
    Quote,
    Session,
    Tick,
    Withdrawn,
)
from messages import notices
from messages.alert import Alert, repeated
from network import is_loopback
from record.journal import Journal
from record.lines import Entry
from record.reader import Damage, Reader, is_of
from record.upgrade import rules_of
from rules import Rules
from utils import span_text
from worker.album import Album
from worker.narrator import Narrator
from worker.notices import Notices
from worker.pictures import Pictures
from worker.summary import DaySummary
from worker.undelivered import Undelivered

log = structlog.get_logger("desk")

COUNTED = frozenset({Tick, AlertOutcome})
"""Facts that count in the day's summary, or settle an alert, even without a decision."""

PRICES = frozenset({Bar, Quote, Chain, Covered})
"""Frequent facts: logged and counted only if they caused a decision."""

RECORD_LOOK_S = 60
"""Seconds between two checks of the record: whether its name still leads to it, and whether it can be written again."""

NEWEST = 4_102_444_800 * SECOND
"""2100-01-01 in µs of UTC: no record has a later time."""

RECORD_END_REAL_S = 5.0
"""Real seconds that the end of a session waits for the disk; with 12 s for alerts a stop stays under 25 s."""


class LiveSession:
    """One session's engine with its record and its alerts.

    ``hold`` puts a fact of our own into the inbox. ``time_is_known`` returns whether the clock is known to be right.
    ``rules`` are those to decide by (None: the settings').
    """

    def __init__(
        self,
        settings: Settings,
        session: Session,
        journal: Journal,
        sender: Sender,
        hold: Callable[[Event], None],
        *,
        time_is_known: Callable[[], bool] = lambda: True,
        rules: Rules | None = None,
        pictures: Pictures | None = None,
    ) -> None:
        self.rules = self._rules = settings.rules if rules is None else rules
        """The rules that decide: the settings', or those under which the open position was opened."""
        self.engine = Engine(self._rules, session)
        self.summary = DaySummary(session, settings.following)
        self._pictures = pictures
        self._album = Album(
            self.engine,
            self.summary,
            pictures.request if pictures is not None and pictures.is_on else None,
            delay_s=settings.follow_delay_seconds,
            has_day=settings.daily_summary,
        )
        self._settings = settings
        self._journal = journal
        self._narrator = Narrator(self._rules, self.engine)
        self._sender = sender
        self._hold = hold
        self._undelivered = Undelivered()
        self.latest = 0
        """The time of the record's last fact, µs; 0 without one."""
        self._off_since: int | None = None
        self._looked_at: int | None = None
        self._syncing: set[asyncio.Future[bool]] = set()
        self._notices = Notices(arms=settings.daily_summary, time_is_known=time_is_known)
        self._receipts = Remembered()

    @property
    def is_record_off(self) -> bool:
        """Returns whether some decision is not (yet) in the record."""
        return self._journal.is_off

    # --- Start ---

    def begin(self, now: int, past: Reader | None) -> None:
        """Begins the record, or restores what ``past`` reads of an earlier start and goes on after it.

        Afterwards `latest` is the record's last time: the clock must go on from there. Raises Damage or OSError if the
        record cannot be read, Taken if another process writes it.
        """
        seen = self.engine.session.open if past is None else self._restore(past)
        if past is not None and past.torn:
            log.warning(
                "record_torn",
                text=f"✂️ The record's last {past.torn} bytes were an unfinished line, left by a crash: removed ({past.path.name})",
                bytes=past.torn,
            )
        self.summary.away(seen, now)
        self.latest = 0 if past is None else past.now
        now = max(now, self.latest)
        # Plain http is refused but for this machine, and no vendor is on it: who answers there plays the market.
        simulated = is_loopback(self._settings.polygon_rest_url)
        self.summary.is_simulated |= simulated
        self._journal.begin(self._rules, self.engine.session, now, past, simulated=simulated)
        self._update_record_hold(now)

    def _restore(self, past: Reader) -> int:
        """Restores the state from an earlier start's record. Skips facts of another symbol. Returns when it ends, µs.

        Raises Damage or OSError.
        """
        restore, seen, rules, is_own = self.engine.restore, self.engine.session.open, self._rules, True
        trades = self.summary.trades
        for number, line in enumerate(past, start=1):
            if line.now >= NEWEST or (isinstance(line, Entry) and _names_no_time(line)):
                raise Damage(past.path, number, "a time in it cannot be")
            if isinstance(line, Entry):
                try:
                    if is_own:
                        restore(line.now, line.event, line.decisions)
                    if line.decisions or type(line.event) in COUNTED:
                        self._restore_rare(line, rules, is_own=is_own)
                    elif trades.is_waiting and is_own and isinstance(line.event, Quote | Chain):
                        trades.record_quotes(line.now, line.event)
                except (ValueError, KeyError, ArithmeticError) as error:
                    reason = f"it does not follow from what is before ({error})"
                    raise Damage(past.path, number, reason) from error
            else:
                self.summary.away(seen, line.now)
                self.summary.is_simulated |= line.simulated
                is_own = is_of(line, self._rules.symbol)
                rules = self._rules if is_own else rules_of(past.path, line)
            seen = line.now
        try:
            self._undelivered.outstanding(self._settings.sell_priority)
        except (ValueError, ArithmeticError) as error:
            raise Damage(past.path, 1, f"an alert in it cannot be told ({error})") from error
        return seen

    def _restore_rare(self, line: Entry, rules: Rules, *, is_own: bool) -> None:
        """Restores what a fact that counts, or that caused a decision, means besides the engine's state."""
        if is_own:
            is_blind = self.engine.feed.is_blind
            self.summary.record(line.now, line.event, line.decisions, self._rules, is_blind=is_blind)
            self._album.record(line.now, line.event, line.decisions)
        self._undelivered.record(line, rules)
        self._notices.record(line.event)
        if isinstance(line.event, AlertOutcome):
            self._receipts.record(line.now, line.event, alerts.sell_title(rules))

    def resume(
        self, now: int, past: Reader, *, note: str = "", is_same_process: bool = False, tells: bool = True
    ) -> None:
        """Goes on from the restored state: with a new connection, and with alerts that were not delivered yet.

        ``note`` is added to the push about an open position, which is left out unless ``tells``. If ``is_same_process``,
        the sender still has the undelivered alerts.
        """
        if not past.number:
            return
        log.info(
            "record_resumed",
            text=f"📼 Record resumed: {past.number:,} facts, gap {span_text(now - past.now)}",
            facts=past.number,
        )
        self.summary.resumed_at = now
        self._album.resume()
        # The holds and the connection were the earlier process's.
        for reason in sorted(self.engine.holds):
            self.handle(now, Hold(reason=reason, on=False))
        self.handle(now, FeedLost(cause=FeedCause.NOT_CONNECTED))
        for alert in self._notices.watching_again(now, self.engine, since=past.now, note=note):
            if tells:
                self._sender.submit(alert)
        if is_same_process:
            return
        self._settle(now)
        for receipt in self._receipts.outstanding(now):
            self._sender.poll(receipt)

    def _settle(self, now: int) -> None:
        """Submits alerts that have no outcome, marked as repeats: an earlier attempt may have arrived."""
        for alert in self._undelivered.outstanding(self._settings.sell_priority):
            is_buy = alert.kind is AlertKind.BUY
            if now < (alert.pay_until if is_buy else alert.give_up_at):
                self._sender.submit(repeated(alert))
            elif is_buy:
                # Too old to act on, but it may have arrived: it counts as delivered, and the position stays.
                self.handle(now, _lost(alert, "older than its limit at the start"))
            else:
                self._sender.leave(alert)
                self.handle(now, _lost(alert, "its time was over at the start"))

    # --- Every fact comes in here ---

    def handle(self, now: int, event: Event) -> None:
        """Handles a fact: first the engine, then the record, then alerts and log. Never waits.

        The clock goes on from the record's end. If ``now`` (µs) was read before that, the record's last time is used.
        """
        now = self.latest = max(now, self.latest)
        before = self.engine.evaluation
        decisions = self.engine.handle(now, event)
        self._journal.append(now, event, decisions)
        self._update_record_hold(now)
        if decisions or isinstance(event, AlertOutcome):
            self._tell(now, event, decisions)  # first the alerts: the disk works while the rest is logged
        evaluation = self.engine.evaluation
        if evaluation is not None and evaluation is not before:
            self.summary.evaluation(self._rules, evaluation)
        is_price = type(event) in PRICES
        if is_price and not decisions:
            if self.summary.trades.is_waiting and isinstance(event, Quote | Chain):
                self.summary.trades.record_quotes(now, event)
            return
        self.summary.record(now, event, decisions, self._rules, is_blind=self.engine.feed.is_blind)
        self._album.record(now, event, decisions)
        self._narrator.fact(now, event)
        for decision in decisions:
            self._narrator.decision(now, decision, evaluation)
        if is_price:
            return
        for alert in self._notices.owed(now, event, self.engine):
            self._sender.submit(alert)
        if isinstance(event, Tick):
            self._look(now)

    def _tell(self, now: int, event: Event, decisions: Sequence[Decision]) -> None:
        """Submits the alerts. First begins to sync the record if a position changes or an alert has an outcome."""
        is_weighty = isinstance(event, AlertOutcome) or any(
            isinstance(decision, Opened | Closed | Withdrawn) for decision in decisions
        )
        written = self.sync() if is_weighty else None
        for decision in decisions:
            alert = alerts.alert_for(now, decision, self._rules, self._settings.sell_priority)
            if alert is not None:
                self._sender.submit(alert, written)

    def sync(self) -> asyncio.Future[bool]:
        """Begins to sync the record. The future's result is whether it is on the disk.

        Called once at the start, because the name of a new file takes longest, and no alert should wait for that.
        """
        syncing = self._journal.sync()
        self._syncing.add(syncing)
        syncing.add_done_callback(self._syncing.discard)
        return syncing

    def sum_up(self, now: int) -> None:
        """Sums up the day in the log and, if that is set and was not done yet, on the phone."""
        lines = self.summary.lines(self._rules, self.engine.evaluations)
        log.info("evening", text=f"🌙 {'. '.join(lines)}.")
        if self._settings.daily_summary and not self._notices.is_summed_up:
            date = self.engine.session.date
            alert = notices.evening(now, self._rules, date=date, summary=lines)
            if self._pictures is None:
                self._sender.submit(alert)
            else:
                self._pictures.tell_evening(alert, date)

    def row(self) -> DayRow:
        """Returns the session as a row of the book."""
        return self.summary.row(self.rules, self.engine.evaluations)

    # --- The record ---

    def _update_record_hold(self, now: int) -> None:
        """Holds entries while the record cannot be written, and releases them after that. Logs and pushes both."""
        is_off = self._journal.is_off
        if is_off is (self._off_since is not None):
            return
        position = None if self.engine.position is None else self.engine.position.opened.id
        if self._off_since is None:
            self._off_since = self._looked_at = now
            reason = self._journal.fault or "unknown"
            log.error(
                "record_off", text=f"🛑 The session's record cannot be written: {reason}", reason=reason
            )
            alert = notices.record_off(now, self._rules, since=now, reason=reason, position=position)
        else:
            log.info("record_on", text="📼 The session's record is being written again")
            alert = notices.record_on(now, self._rules, since=self._off_since, position=position)
            self._off_since = None
        self._hold(Hold(reason=HoldReason.RECORD_OFF, on=is_off))
        self._sender.submit(alert)

    def _look(self, now: int) -> None:
        """Requests the pictures that are due. Checks the record once a minute: whether its name still leads to it, and
        whether it can be written again.
        """
        self._album.look(now)
        if self._looked_at is None:
            self._looked_at = now
        if now - self._looked_at >= RECORD_LOOK_S * SECOND:
            self._looked_at = now
            self._journal.look()
        self._update_record_hold(now)

    async def end(self) -> None:
        """Syncs the record and closes it. Waits for the disk at most twice `RECORD_END_REAL_S`."""
        if self._journal.is_off:
            self._journal.retry()  # the last chance for the lines held back
        _, late = await asyncio.wait({*self._syncing, self.sync()}, timeout=RECORD_END_REAL_S)
        if late:
            log.error(
                "record_unsynced",
                text=f"🛑 The disk has not answered within {RECORD_END_REAL_S:g} s: the end of the record "
                f"({self._journal.path.name}) may be lost if the machine goes down",
            )
        closing = self._journal.close()
        if closing is not None and not late:
            await asyncio.wait({closing}, timeout=RECORD_END_REAL_S)


def _names_no_time(entry: Entry) -> bool:
    """Returns whether a fact or a decision names a time that cannot be, and that no clock has words for."""
    event = entry.event
    if isinstance(event, Bar):
        latest = event.start
    elif isinstance(event, Quote):
        latest = event.at
    else:
        latest = event.end if isinstance(event, Covered) else 0
    return latest >= NEWEST or any(
        max(each.pay_until, each.time_stop) >= NEWEST for each in entry.decisions if isinstance(each, Opened)
    )


def _lost(alert: Alert, detail: str) -> AlertOutcome:
    return AlertOutcome(kind=alert.kind, id=alert.id, outcome=Outcome.LOST, attempts=0, detail=detail)

"""One session at work: its engine, its record, its lines in the log, and the alerts that are owed. It decides nothing.

Every fact goes through `Desk.take`: the engine first, then the record, then whoever must be told. What an earlier
start of the same session has recorded is folded by `Desk.resume`, on the same path that a first start takes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import structlog

import alerts
import logger
from config import VERSION, Settings
from delivery.receipts import Remembered
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
    Declined,
    DeclineReason,
    Evaluation,
    Event,
    FeedAlarmed,
    FeedCause,
    FeedLost,
    FeedRecovered,
    Hold,
    HoldReason,
    MarkBack,
    MarkLost,
    Opened,
    Outcome,
    Quote,
    Session,
    Shortfall,
    Shutdown,
    Tick,
    Withdrawn,
    named_cause,
)
from record.journal import Journal
from record.lines import Entry
from record.past import rules_of
from record.reader import Damage, Reader, is_of
from rules import Rules
from signals import BUY_FOLLOWS_S, EPISODE_GAP_S, near_miss
from utils import clock_text, option_price, share_price, signed_percent, span_text

log = structlog.get_logger("desk")

REPORT_S = 60
"""Pause between two reports in the log, and between two lines about the same kind of gate."""

FIRST_REPORT_S = 10
"""When the first report is due: the feeds have been connected by then, or something is wrong."""

COUNTED = frozenset({Tick, AlertOutcome})
"""Facts that count in the day's summary, or settle an alert, whatever was decided."""

ARMED_WITHIN_S = 60
"""How long after the open, or the start, the push that says "armed" waits for everything to be well."""

CLOCK_SPACING_S = 3600
"""Pause between two pushes about the clock, so that one that flaps does not ring all day."""

PRICES = frozenset({Bar, Quote, Chain, Covered})
"""Facts of which nothing is noted but what was decided on them."""

NOTED_AFTER_REAL_S = 0.01
"""Real seconds after which the notes on a decision wait no longer for its push, which goes out first.

Whoever is killed in them has the decision in the record, and its lines not in the log.
"""

RECORD_LOOK_S = 60
"""Pause between two looks at the record: whether its name leads to it, and whether it can be written again."""

RECORD_END_REAL_S = 5.0
"""Real seconds that the end of a session waits for the disk; with 12 s for alerts a stop stays under 25 s."""


class Journalist:
    """Puts what happens into the log, in the words of the log. Gates and declines when they change, at most once a minute."""

    def __init__(self, rules: Rules, engine: Engine) -> None:
        self._rules = rules
        self._engine = engine
        self._gate: tuple[DeclineReason, HoldReason | None] | None = None
        self._gate_at: int | None = None
        self._reported_at: int | None = None
        self._doubts: dict[str, int] = {}
        self._doubted_at: int | None = None

    def fact(self, now: int, event: Event) -> None:
        """A fact has been handled."""
        match event:
            case Tick(away=away) if away:
                log.warning(
                    "was_away",
                    text=f"⏸️ Nothing was read for {span_text(away)}: this process was stopped, the machine slept or its "
                    "clock stepped. The feeds are given their time anew",
                    away_s=away // SECOND,
                )
            case Tick():
                self._report(now)
                self._gates(now)
                self._say_doubts(now)
            case Hold():
                self._hold(event)
            case _:
                pass

    def _hold(self, event: Hold) -> None:
        if event.on:
            more = f" ({event.detail})" if event.detail else ""
            log.warning(
                "entries_held",
                text=f"⏸️ Entries held: {event.reason}{more}",
                reason=event.reason,
                detail=event.detail,
            )
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
        age, price = engine.price_age(now), signals.price
        if feed.cause is not None:
            cause = named_cause(feed.cause, feed.symbol)
            old = (
                "" if age is None else f"; {self._rules.symbol} {share_price(price)} is {span_text(age)} old"
            )
            log.warning(
                "feed_blind",
                text=f"🙈 Data feed blind: {cause}, for {span_text(now - feed.blind_since)}{old}",
                cause=feed.cause,
                symbol=feed.symbol,
            )
        elif age is not None and age > engine.values_used:
            line = logger.feed_quiet_line(self._rules.symbol, price, age)
            log.warning("feed_quiet", text=line, price=price, age_s=age // SECOND)
        else:
            vwap, volume = signals.vwap, signals.volume
            line = logger.feed_active_line(self._rules.symbol, price, vwap, volume)
            log.info("feed_active", text=line, price=price, vwap=vwap, volume=volume)
        if engine.evaluation is not None and engine.is_fresh(now):
            line = logger.conditions_line(engine.evaluation, self._rules.benchmark)
            log.info("conditions", text=line, start=engine.evaluation.start, passes=engine.evaluation.passes)

    def _say_doubts(self, now: int) -> None:
        """Log a price that is kept apart, at most once a minute: nothing comes of it, so nothing else tells of it."""
        if self._doubted_at is not None and now - self._doubted_at < REPORT_S * SECOND:
            return
        for level in (self._engine.signals.level, self._engine.signals.benchmark_level):
            if level.newest_apart is None:
                continue
            bar, percent = level.newest_apart
            if self._doubts.get(bar.symbol) == level.kept_apart:
                continue
            self._doubts[bar.symbol] = level.kept_apart
            self._doubted_at = now
            log.warning(
                "price_doubted",
                text=logger.doubted_line(bar, percent, level.kept_apart),
                symbol=bar.symbol,
                price=bar.close,
                start=bar.start,
            )

    def _gates(self, now: int) -> None:
        evaluation = self._engine.evaluation if self._engine.is_fresh(now) else None
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

    def decision(self, now: int, decision: Decision, evaluation: Evaluation | None = None) -> None:
        """A decision has been made, after that evaluation (default: the engine's newest)."""
        evaluation = self._engine.evaluation if evaluation is None else evaluation
        match decision:
            case Opened():
                self._signal(evaluation)
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
                    self._signal(evaluation)
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

    def _signal(self, evaluation: Evaluation | None) -> None:
        if evaluation is not None:
            log.info("signal", text=logger.signal_line(evaluation), start=evaluation.start)

    def _sight(self, now: int, decision: FeedAlarmed | FeedRecovered | MarkLost | MarkBack) -> None:
        match decision:
            case FeedAlarmed():
                self._alarmed(decision, span_text(now - decision.since))
            case FeedRecovered():
                span, symbol = span_text(decision.gap_end - decision.gap_start), decision.symbol
                if symbol and symbol == self._rules.benchmark:
                    log.info("benchmark_back", text=f"👁️ {symbol} IS BACK: gap {span}", symbol=symbol)
                else:
                    log.info(
                        "feed_recovered",
                        text=f"👁️ FEED RECOVERED: gap {span}",
                        cause=decision.cause,
                        symbol=symbol,
                    )
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

    def _alarmed(self, alarm: FeedAlarmed, span: str) -> None:
        cause = named_cause(alarm.cause, alarm.symbol)
        if alarm.symbol and alarm.symbol == self._rules.benchmark:
            log.warning(
                "benchmark_missing",
                text=f"🙈 BENCHMARK MISSING: {cause}, no bar for {span}: no entries without it",
                cause=alarm.cause,
                symbol=alarm.symbol,
            )
        else:
            log.warning(
                "feed_alarmed",
                text=f"🙈 FEED BLIND: {cause}, no bar for {span}",
                cause=alarm.cause,
                symbol=alarm.symbol,
            )


@dataclass
class _Miss:
    """Adjacent seconds at which the same condition alone failed: the last one, and the nearest with its distance."""

    until: int
    start: int
    missed: Shortfall


class Tally:
    """What the evening's message says of a session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.signals = 0
        self.entries = 0
        self.withdrawn = 0
        self.seen_s = 0
        self.blind_s = 0
        self.away_us = 0
        """How long the program was not running in the session, µs."""
        self.trades: dict[str, str] = {}
        self.resumed_at: int | None = None
        """When the program last started again, µs: near misses of before are not known."""
        self._nearest: _Miss | None = None
        self._recent: deque[_Miss] = deque()
        """Near misses that a BUY may still follow, the oldest first."""
        self._goes_on = False
        """Whether the last evaluation belongs to the last of them."""
        self._signal_at: int | None = None
        self._followed = 0
        """Near misses that a BUY followed: those are none."""

    def away(self, start: int, end: int) -> None:
        """The program was not running from ``start`` to ``end`` (µs)."""
        self.away_us += max(0, min(end, self._session.close) - max(start, self._session.open))

    def tick(self, now: int, is_blind: bool) -> None:
        """A second has passed."""
        if self._session.open <= now < self._session.close:
            self.blind_s += is_blind
            self.seen_s += not is_blind

    def evaluation(self, rules: Rules, evaluation: Evaluation) -> None:
        """A second has been evaluated."""
        start = evaluation.start
        self._settle(start - BUY_FOLLOWS_S * SECOND)
        if evaluation.holds and evaluation.gate is None:
            self._signal_at = start
        missed = near_miss(rules, evaluation)
        last = self._recent[-1] if self._recent and self._goes_on else None
        self._goes_on = missed is not None
        if missed is None:
            return
        if (
            last is None
            or last.missed.condition is not missed.condition
            or start - last.until > (EPISODE_GAP_S + 1) * SECOND
        ):
            self._recent.append(_Miss(start, start, missed))
            return
        last.until = start
        if missed.ratio < last.missed.ratio:
            last.start, last.missed = start, missed

    def _settle(self, until: int) -> None:
        """No BUY has followed the near misses that ended before ``until`` (µs)."""
        while self._recent and self._recent[0].until < until:
            self._nearest = _nearer(self._nearest, self._recent.popleft())

    def _bought(self) -> None:
        """A BUY follows the near misses of the minute before its signal."""
        if self._signal_at is None:
            return  # decided before a restart, as the near misses were
        self._settle(self._signal_at - BUY_FOLLOWS_S * SECOND)
        self._followed += len(self._recent)
        self._recent.clear()

    def decision(self, decision: Decision, reason: str) -> None:
        """A decision has been made; ``reason`` is the exit's in words."""
        match decision:
            case Opened():
                self.signals += 1
                self.entries += 1
                self._bought()
            case Declined():
                self.signals += 1
            case Withdrawn():
                self.withdrawn += 1
                self.trades.pop(decision.id, None)
            case Closed(mark=mark):
                result = None if mark is None else (mark - decision.entry) / decision.entry * 100
                self.trades[decision.id] = f"{decision.contract}: {signed_percent(result)}, {reason}"
            case _:
                pass

    def lines(self, rules: Rules, evaluations: int) -> list[str]:
        """The summary, a line each: what was seen, what came of it, what nearly did, each trade."""
        withdrawn = f" ({self.withdrawn} withdrawn)" if self.withdrawn else ""
        away = f", not running for {span_text(self.away_us)}" if self.away_us >= SECOND else ""
        return [
            f"Seen for {span_text(self.seen_s * SECOND)} of {span_text(self._session.close - self._session.open)}, "
            f"blind for {span_text(self.blind_s * SECOND)}{away}",
            f"{evaluations:,} evaluation{_s(evaluations)}, {self.signals} signal{_s(self.signals)}, "
            f"{self.entries} {'entry' if self.entries == 1 else 'entries'}{withdrawn}",
            self._nearest_line(rules),
            *self.trades.values(),
        ]

    def _nearest_line(self, rules: Rules) -> str:
        if self.resumed_at is not None and self.resumed_at >= self._session.close:
            # Whatever was near was before: none is left to be seen after the close.
            return f"Nearest miss: see python diagnose.py why {self._session.date}"
        since = "" if self.resumed_at is None else f" since the restart at {clock_text(self.resumed_at)}"
        found = reduce(_nearer, self._recent, self._nearest)
        count = self._followed
        followed = f" ({count} before a BUY {'is' if count == 1 else 'are'} left out)" if count else ""
        if found is None:
            return f"No near miss{since}: at no second did one condition alone fail{followed}"
        return f"Nearest miss{since}: {clock_text(found.start)}, {logger.miss_text(found.missed, rules.benchmark)}{followed}"


def _nearer(one: _Miss | None, other: _Miss) -> _Miss:
    """The nearer of two misses, the earlier of two equal ones."""
    return other if one is None or other.missed.ratio < one.missed.ratio else one


def _s(count: int) -> str:
    """The end of a word that is counted."""
    return "" if count == 1 else "s"


def readiness(
    now: int, engine: Engine, details: Mapping[HoldReason, str] | None = None
) -> tuple[list[str], list[str]]:
    """What an entry needs: what of it is well, and what is not, in words. ``details`` has more on what holds entries."""
    rules, feed = engine.rules, engine.feed
    well: list[str] = []
    lacking: list[str] = []
    silent = [symbol for symbol in rules.symbols if (feed.newest(symbol) or 0) < engine.session.open]
    old = [
        f"{symbol} for {span_text(age)}"
        for symbol in rules.symbols
        if (age := now - (feed.newest(symbol) or 0) - SECOND) > rules.symbol_silence_seconds * SECOND
    ]
    if feed.cause is not None:
        lacking.append(f"feed blind ({named_cause(feed.cause, feed.symbol)})")
    elif silent:
        lacking.append(f"no bar of {' and '.join(silent)} yet")
    elif old:
        lacking.append(f"no bar of {' and of '.join(old)}")
    else:
        late = "" if feed.lag is None else f", {feed.lag / SECOND:.1f} s late"
        well.append(f"bars of {' and '.join(rules.symbols)} arrive{late}")
    calls = engine.live_calls(now)
    (lacking if (fault := _chain_fault(now, engine)) else well).append(
        fault or f"{calls} call{_s(calls)} with real-time quotes"
    )
    if engine.holds:
        more = details or {}
        named = [
            f"{reason}: {more[reason]}" if more.get(reason) else reason for reason in sorted(engine.holds)
        ]
        lacking.append(f"entries held ({', '.join(named)})")
    else:
        well.append("the record is written, nothing holds entries")
    return well, lacking


def _chain_fault(now: int, engine: Engine) -> str:
    """Why no entry can be priced from the chain as it stands; empty when one can.

    The rows' own stamps decide, not their arrival: an answer that has just come may hold yesterday's quotes.
    """
    if engine.chain_at is None:
        return "no option chain yet"
    if now - engine.chain_at > engine.rules.chain_skew_seconds * SECOND:
        return "option chain too old"
    stamps = [row.quoted_at for row in engine.chain if row.real_time and row.quoted_at > 0]
    if not stamps:
        return f"no real-time quote in {len(engine.chain)} calls"
    if not engine.live_calls(now):
        return f"option quotes do not move: the newest is {span_text(now - max(stamps))} old"
    return ""


class Duties:
    """The pushes that are owed to a fact and not to a decision.

    ``arms``: the session's beginning is told. ``time_is_known`` says whether the clock is known to agree with the vendor's.
    """

    def __init__(self, *, arms: bool, time_is_known: Callable[[], bool] = lambda: True) -> None:
        self._arms = arms
        self._time_is_known = time_is_known
        self._arms_by: int | None = None
        self._is_armed_told = False
        self._is_cap_told = False
        self._details: dict[HoldReason, str] = {}
        """What more is known of the holds that have begun."""
        self._clock_told_at: int | None = None
        self.is_summed_up = False
        """Whether the evening's message has been told."""

    def learn(self, event: Event) -> None:
        """A fact that was handled before a restart."""
        if isinstance(event, AlertOutcome):
            self._is_armed_told = self._is_armed_told or event.kind is AlertKind.ARMED
            self.is_summed_up = self.is_summed_up or event.kind is AlertKind.EVENING

    def watching_again(
        self, now: int, engine: Engine, *, since: int, note: str = ""
    ) -> Iterator[alerts.Alert]:
        """The program has started again; nothing is known from ``since`` (µs) until now."""
        self._arms_by = None
        if engine.position is not None:
            opened = engine.position.opened
            yield alerts.watching_again(
                now,
                engine.rules,
                position=opened.id,
                contract=opened.contract,
                since=since,
                time_stop=opened.time_stop,
                note=note,
            )

    def owed(self, now: int, event: Event, engine: Engine) -> Iterator[alerts.Alert]:
        """What is owed to a fact that has been handled."""
        rules, session = engine.rules, engine.session
        held = None if engine.position is None else engine.position.opened
        position = None if held is None else held.id
        self.learn(event)
        match event:
            case Tick():
                yield from self._armed(now, engine)
            case Hold(reason=HoldReason.CLOCK_DOUBT, on=True, detail=detail) if detail:
                self._details[event.reason] = f"{detail}; see that NTP sets it"
                if self._clock_told_at is None or now - self._clock_told_at >= CLOCK_SPACING_S * SECOND:
                    self._clock_told_at = now
                    yield alerts.clock_doubt(
                        now, rules, since=now, detail=detail, session=session, position=position
                    )
            case Hold(reason=HoldReason.MARKET_CLOSED, on=True):
                yield alerts.market_closed(now, rules, session=session, position=position)
            case AlertOutcome(kind=AlertKind.BUY, outcome=Outcome.ACCEPTED | Outcome.LOST):
                # With a BUY that counts, the day's entries may be used up.
                if 0 < rules.max_entries_per_day <= engine.book.entries and not self._is_cap_told:
                    self._is_cap_told = True
                    yield alerts.cap_reached(now, rules, entries=engine.book.entries, position=position)
            case Shutdown(close_position=False) if held is not None:
                yield alerts.unwatched(
                    now,
                    rules,
                    position=held.id,
                    contract=held.contract,
                    stop=held.stop,
                    time_stop=held.time_stop,
                )
            case _:
                pass

    def _armed(self, now: int, engine: Engine) -> Iterator[alerts.Alert]:
        """Once a session, from the open on: as soon as all is well, or after a while with what is not."""
        session = engine.session
        if not self._arms or self._is_armed_told or not session.open <= now < session.close:
            return
        if self._arms_by is None:
            self._arms_by = now + ARMED_WITHIN_S * SECOND
        well, lacking = readiness(now, engine, self._details)
        if not self._time_is_known() and HoldReason.CLOCK_DOUBT not in engine.holds:
            lacking.append("this machine's clock is not yet compared with the vendor's")
        if not lacking or now >= self._arms_by:
            self._is_armed_told = True
            yield alerts.armed(
                now, engine.rules, version=VERSION, session=session, well=well, lacking=lacking
            )


class Owed:
    """The alerts for a position that a record holds without an outcome."""

    def __init__(self) -> None:
        self._open: dict[tuple[AlertKind, str], tuple[int, Opened | Closed, Rules]] = {}

    def learn(self, entry: Entry, rules: Rules) -> None:
        """Take the next line of the record in, and the rules under which it was decided."""
        if isinstance(entry.event, AlertOutcome) and not entry.event.channel:
            self._open.pop((entry.event.kind, entry.event.id), None)
        for decision in entry.decisions:
            match decision:
                case Opened():
                    self._open[AlertKind.BUY, decision.id] = entry.now, decision, rules
                case Closed():
                    self._open[AlertKind.SELL, decision.id] = entry.now, decision, rules
                case Withdrawn():
                    self._open.pop((AlertKind.SELL, decision.id), None)
                case _:
                    pass

    def outstanding(self, sell_priority: int) -> list[alerts.Alert]:
        """The alerts, the oldest first."""
        made = (
            alerts.alert_for(now, decision, rules, sell_priority)
            for now, decision, rules in self._open.values()
        )
        return [alert for alert in made if alert is not None]


class Desk:
    """One session's engine with its record and its alerts. ``hold`` puts a fact of our own into the inbox."""

    def __init__(
        self,
        settings: Settings,
        session: Session,
        journal: Journal,
        sender: alerts.Sender,
        hold: Callable[[Event], None],
        *,
        time_is_known: Callable[[], bool] = lambda: True,
        rules: Rules | None = None,
    ) -> None:
        self.rules = self._rules = settings.rules if rules is None else rules
        """What decides: the settings' rules, or those under which the open position began."""
        self.engine = Engine(self._rules, session)
        self.tally = Tally(session)
        self._settings = settings
        self._journal = journal
        self._journalist = Journalist(self._rules, self.engine)
        self._sender = sender
        self._hold = hold
        self._owed = Owed()
        self._latest = 0
        self._off_since: int | None = None
        self._looked_at: int | None = None
        self._syncing: set[asyncio.Future[bool]] = set()
        self._notes: deque[tuple[int, Event, Sequence[Decision], Evaluation | None]] = deque()
        """What has been decided and is not yet counted and logged."""
        self._duties = Duties(arms=settings.daily_summary, time_is_known=time_is_known)
        self._receipts = Remembered()

    @property
    def is_record_off(self) -> bool:
        """Whether what was decided is not (yet) in the record."""
        return self._journal.is_off

    # --- Start ---

    def begin(self, now: int, past: Reader | None) -> None:
        """Begin the record; of one that an earlier start has left, fold what it holds and go on behind it.

        Raises Damage or OSError when that cannot be read, Taken when another process writes it. `latest` is then the
        record's last time: the clock must go on from there.
        """
        seen = self.engine.session.open if past is None else self._fold(past)
        if past is not None and past.torn:
            log.warning(
                "record_torn",
                text=f"✂️ The record's last {past.torn} bytes were torn off by a crash: cut ({past.path.name})",
                bytes=past.torn,
            )
        self.tally.away(seen, now)
        self._latest = 0 if past is None else past.now
        now = max(now, self._latest)
        self._journal.begin(self._rules, self.engine.session, now, past)
        self._judge_record(now)

    def _fold(self, past: Reader) -> int:
        """Learn what an earlier start has recorded, all but facts of another symbol. Returns when that ends, µs.

        Raises Damage or OSError.
        """
        restore, seen, rules, is_own = self.engine.restore, self.engine.session.open, self._rules, True
        for number, line in enumerate(past, start=1):
            if isinstance(line, Entry):
                if is_own:
                    try:
                        restore(line.now, line.event, line.decisions)
                    except (ValueError, KeyError, ArithmeticError) as error:
                        raise Damage(
                            past.path, number, f"it does not follow from what is before ({error})"
                        ) from error
                if line.decisions or type(line.event) in COUNTED:
                    if is_own:
                        self._count(line.now, line.event, line.decisions)
                    self._owed.learn(line, rules)
                    self._duties.learn(line.event)
                    if isinstance(line.event, AlertOutcome):
                        self._receipts.learn(line.now, line.event, alerts.sell_title(rules))
            else:
                self.tally.away(seen, line.now)
                is_own = is_of(line, self._rules.symbol)
                rules = self._rules if is_own else rules_of(past.path, line)
            seen = line.now
        return seen

    def resume(self, now: int, past: Reader, *, note: str = "", is_same_process: bool = False) -> None:
        """Go on from what was folded: the connection is another, and what was still owed is told now.

        ``note`` is said with the position. In the same process the sender still has what is owed.
        """
        if not past.number:
            return
        log.info(
            "record_resumed",
            text=f"📼 Record resumed: {past.number:,} facts, gap {span_text(now - past.now)}",
            facts=past.number,
        )
        self.tally.resumed_at = now
        # What held entries, and the connection, were the earlier process's.
        for reason in sorted(self.engine.holds):
            self.take(now, Hold(reason=reason, on=False))
        self.take(now, FeedLost(cause=FeedCause.NOT_CONNECTED))
        for alert in self._duties.watching_again(now, self.engine, since=past.now, note=note):
            self._sender.submit(alert)
        if is_same_process:
            return
        self._settle(now)
        for receipt in self._receipts.outstanding(now):
            self._sender.ask_for(receipt)

    def _settle(self, now: int) -> None:
        """Tell what was decided and not told. Whether an attempt had arrived is not known, so it is marked."""
        for alert in self._owed.outstanding(self._settings.sell_priority):
            is_buy = alert.kind is AlertKind.BUY
            if now < (alert.pay_until if is_buy else alert.give_up_at):
                self._sender.submit(alerts.repeated(alert))
            elif is_buy:
                # Too old to act on, and it may have arrived: it counts as told, and the position stays.
                self.take(now, _lost(alert, "older than its limit at the start"))
            else:
                self._sender.leave(alert)
                self.take(now, _lost(alert, "its time was over at the start"))

    @property
    def latest(self) -> int:
        """The time of the record's last fact, µs; 0 without one."""
        return self._latest

    # --- The one way in ---

    def take(self, now: int, event: Event) -> None:
        """Take a fact: the engine first, then the record, then whoever must be told. Never waits.

        The clock goes on from the record's end, so ``now`` lies behind it. One that was read before that is the record's.
        """
        now = self._latest = max(now, self._latest)
        is_price = type(event) in PRICES
        if not is_price:
            self._note_down()
        before = self.engine.evaluation
        decisions = self.engine.handle(now, event)
        self._journal.append(now, event, decisions)
        self._judge_record(now)
        # First what somebody waits for.
        is_pushed = bool(decisions or isinstance(event, AlertOutcome)) and self._tell(now, event, decisions)
        evaluation = self.engine.evaluation
        if evaluation is not None and evaluation is not before:
            self.tally.evaluation(self._rules, evaluation)
        if is_price and not decisions:
            return
        self._notes.append((now, event, decisions, evaluation))
        if is_price and is_pushed:
            asyncio.get_running_loop().call_later(NOTED_AFTER_REAL_S, self._note_down)
            return
        self._note_down()
        for alert in self._duties.owed(now, event, self.engine):
            self._sender.submit(alert)
        if isinstance(event, Tick):
            self._look(now)

    def _tell(self, now: int, event: Event, decisions: Sequence[Decision]) -> bool:
        """Put what weighs on the disk, and hand the alerts over: they go out as soon as it is there. Returns whether any."""
        is_weighty = isinstance(event, AlertOutcome) or any(
            isinstance(decision, Opened | Closed | Withdrawn) for decision in decisions
        )
        written = self.sync() if is_weighty else None
        is_pushed = False
        for decision in decisions:
            alert = alerts.alert_for(now, decision, self._rules, self._settings.sell_priority)
            if alert is not None:
                is_pushed = True
                self._sender.submit(alert, written, self._note_down)
        return is_pushed

    def _note_down(self) -> None:
        """Count and log what has been decided: a push does not wait for it, but its answer is logged behind it."""
        while self._notes:
            now, event, decisions, evaluation = self._notes.popleft()
            self._count(now, event, decisions)
            self._journalist.fact(now, event)
            for decision in decisions:
                self._journalist.decision(now, decision, evaluation)

    def sync(self) -> asyncio.Future[bool]:
        """Have the record put on the disk, beside everything else. The name of a new file takes longest: not at an alert."""
        syncing = self._journal.sync()
        self._syncing.add(syncing)
        syncing.add_done_callback(self._syncing.discard)
        return syncing

    def _count(self, now: int, event: Event, decisions: Sequence[Decision]) -> None:
        if isinstance(event, Tick) and event.away:
            self.tally.away(now - event.away, now)
        elif isinstance(event, Tick):
            self.tally.tick(now, self.engine.feed.is_blind)
        for decision in decisions:
            reason = alerts.reason_text(decision, self._rules) if isinstance(decision, Closed) else ""
            self.tally.decision(decision, reason)

    def sum_up(self, now: int) -> None:
        """The day in short, to the log and, when it is wanted and was not yet told, to the phone."""
        lines = self.summary
        log.info("evening", text=f"🌙 {'. '.join(lines)}.")
        if self._settings.daily_summary and not self._duties.is_summed_up:
            date = self.engine.session.date
            self._sender.submit(alerts.evening(now, self._rules, date=date, summary=lines))

    @property
    def summary(self) -> list[str]:
        """The session in short, a line each."""
        self._note_down()
        return self.tally.lines(self._rules, self.engine.evaluations)

    # --- The record ---

    def _judge_record(self, now: int) -> None:
        """Hold entries when the record cannot be written, and let them go when it can; say both."""
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
            alert = alerts.record_off(now, self._rules, since=now, reason=reason, position=position)
        else:
            log.info("record_on", text="📼 The session's record is written again")
            alert = alerts.record_on(now, self._rules, since=self._off_since, position=position)
            self._off_since = None
        self._hold(Hold(reason=HoldReason.RECORD_OFF, on=is_off))
        self._sender.submit(alert)

    def _look(self, now: int) -> None:
        """Once a minute: whether the record's name still leads to it; one that cannot be written is tried again."""
        if self._looked_at is None:
            self._looked_at = now
        if now - self._looked_at >= RECORD_LOOK_S * SECOND:
            self._looked_at = now
            self._journal.look()
        self._judge_record(now)

    async def end(self) -> None:
        """Put the record on the disk and close it. A disk that does not answer is not waited for without end."""
        self._note_down()
        if self._journal.is_off:
            self._journal.retry()  # the last chance of what was held back
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


def _lost(alert: alerts.Alert, detail: str) -> AlertOutcome:
    return AlertOutcome(kind=alert.kind, id=alert.id, outcome=Outcome.LOST, attempts=0, detail=detail)

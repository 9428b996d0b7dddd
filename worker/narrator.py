"""Writes a session's lines to the log. It decides nothing."""

from __future__ import annotations

from typing import Protocol

import structlog

import alerts
from engine import Engine
from events import (
    SECOND,
    Closed,
    Decision,
    Declined,
    DeclineReason,
    Evaluation,
    Event,
    FeedAlarmed,
    FeedRecovered,
    Hold,
    HoldReason,
    MarkBack,
    MarkLost,
    Opened,
    Tick,
    Withdrawn,
    named_cause,
)
from rules import Rules
from utils import option_price, share_price, span_text
from wording import (
    conditions_line,
    doubted_line,
    entry_line,
    exit_line,
    feed_active_line,
    feed_quiet_line,
    gate_line,
    selection_line,
    signal_line,
)


class Log(Protocol):
    """Where the lines go: a logger of structlog, or whoever wants the same lines elsewhere."""

    def info(self, event: str, *, text: str, **fields: object) -> object:
        """Takes a line by its name, its text, and its values."""

    def warning(self, event: str, *, text: str, **fields: object) -> object:
        """Takes a line about which something may have to be done."""


log: Log = structlog.get_logger("desk")

REPORT_S = 60
"""Seconds between two reports in the log, and between two lines about gates."""

FIRST_REPORT_S = 10
"""Seconds until the first report: by then the feeds are connected, or something is wrong."""


class Narrator:
    """Logs what happens in a session. Logs gates and declines only when they change, and at most once a minute."""

    def __init__(self, rules: Rules, engine: Engine, log: Log = log) -> None:
        self._rules = rules
        self._log = log
        self._engine = engine
        self._gate: tuple[DeclineReason, HoldReason | None] | None = None
        self._gate_at: int | None = None
        self._reported_at: int | None = None
        self._doubts: dict[str, int] = {}
        self._doubted_at: int | None = None
        self._first_at: int | None = None
        """When the first fact since the start was handled, µs."""

    def fact(self, now: int, event: Event) -> None:
        """Logs a fact that was handled at ``now`` (µs), and on a tick what is due."""
        self._first_at = now if self._first_at is None else self._first_at
        match event:
            case Tick(away=away) if away:
                self._log.warning(
                    "was_away",
                    text=f"⏸️ Nothing was read for {span_text(away)}: the process was stopped, the machine slept, or its "
                    "clock jumped. The feeds' time limits start again",
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
            self._log.warning(
                "entries_held",
                text=f"⏸️ Entries held: {event.reason}{more}",
                reason=event.reason,
                detail=event.detail,
            )
        else:
            self._log.info(
                "entries_released", text=f"▶️ Entries no longer held: {event.reason}", reason=event.reason
            )

    def _report(self, now: int) -> None:
        """Logs the two lines of every minute of the session, if they are due."""
        session, engine = self._engine.session, self._engine
        if not session.open <= now < session.close:
            return
        if self._reported_at is None:
            self._reported_at = now - (REPORT_S - FIRST_REPORT_S) * SECOND
        if now - self._reported_at < REPORT_S * SECOND:
            return
        self._reported_at = now
        feed, signals = engine.feed, engine.signals
        age, price = engine.signals.price_age(now), signals.price
        if feed.cause is not None:
            cause = named_cause(feed.cause, feed.symbol)
            old = (
                "" if age is None else f"; {self._rules.symbol} {share_price(price)} is {span_text(age)} old"
            )
            # A spell that began before a restart counts from the start: nobody looked in between.
            since = max(feed.blind_since, self._first_at or 0)
            self._log.warning(
                "feed_blind",
                text=f"🙈 Data feed blind: {cause}, for {span_text(now - since)}{old}",
                cause=feed.cause,
                symbol=feed.symbol,
            )
        elif age is not None and age > engine.values_used:
            line = feed_quiet_line(self._rules.symbol, price, age)
            self._log.warning("feed_quiet", text=line, price=price, age_s=age // SECOND)
        else:
            vwap, volume = signals.vwap, signals.volume
            line = feed_active_line(self._rules.symbol, price, vwap, volume)
            self._log.info("feed_active", text=line, price=price, vwap=vwap, volume=volume)
        if engine.evaluation is not None and engine.is_fresh(now):
            line = conditions_line(engine.evaluation, self._rules.benchmark)
            self._log.info(
                "conditions", text=line, start=engine.evaluation.start, passes=engine.evaluation.passes
            )

    def _say_doubts(self, now: int) -> None:
        """Logs a doubted price, at most once a minute. It has no other effect, so nothing else would show it."""
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
            self._log.warning(
                "price_doubted",
                text=doubted_line(bar, percent, level.kept_apart),
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
        """Logs the closed gate if it has changed and the last such line is a minute old. Returns whether it did."""
        spacing = REPORT_S * SECOND
        if (reason, hold) == self._gate or (self._gate_at is not None and now - self._gate_at < spacing):
            return False
        self._gate, self._gate_at = (reason, hold), now
        self._log.info("gate_closed", text=gate_line(reason, hold), reason=reason, hold=hold)
        return True

    def decision(self, now: int, decision: Decision, evaluation: Evaluation | None = None) -> None:
        """Logs a decision made at ``now`` (µs) on ``evaluation`` (None: the engine's newest)."""
        evaluation = self._engine.evaluation if evaluation is None else evaluation
        match decision:
            case Opened():
                self._signal(evaluation)
                self._opened(decision)
            case Declined():
                if self._say_gate(now, decision.reason, decision.hold) and decision.considered:
                    self._signal(evaluation)
                    self._log.info("contract_declined", text=selection_line(decision), reason=decision.reason)
            case Closed():
                reason = alerts.reason_text(decision, self._rules)
                self._log.info(
                    "exit",
                    text=exit_line(decision, reason),
                    contract=decision.contract,
                    id=decision.id,
                    reason=decision.reason,
                )
            case Withdrawn():
                self._log.warning(
                    "entry_withdrawn",
                    text=f"↩️ Entry withdrawn: {decision.contract} #{decision.id}, nobody was told ({decision.detail})",
                    contract=decision.contract,
                    id=decision.id,
                )
            case FeedAlarmed() | FeedRecovered() | MarkLost() | MarkBack():
                self._sight(now, decision)

    def _signal(self, evaluation: Evaluation | None) -> None:
        if evaluation is not None:
            self._log.info("signal", text=signal_line(evaluation), start=evaluation.start)

    def _opened(self, opened: Opened) -> None:
        self._log.info(
            "contract_selected", text=selection_line(opened), contract=opened.contract, id=opened.id
        )
        self._log.info(
            "entry",
            text=entry_line(opened),
            contract=opened.contract,
            id=opened.id,
            entry=opened.entry,
        )

    def _sight(self, now: int, decision: FeedAlarmed | FeedRecovered | MarkLost | MarkBack) -> None:
        match decision:
            case FeedAlarmed():
                self._alarmed(decision, span_text(now - decision.since))
            case FeedRecovered():
                span, symbol = span_text(decision.gap_end - decision.gap_start), decision.symbol
                if symbol and symbol == self._rules.benchmark:
                    self._log.info("benchmark_back", text=f"👁️ {symbol} IS BACK: gap {span}", symbol=symbol)
                else:
                    self._log.info(
                        "feed_recovered",
                        text=f"👁️ FEED RECOVERED: gap {span}",
                        cause=decision.cause,
                        symbol=symbol,
                    )
            case MarkLost():
                span = span_text(now - decision.since)
                self._log.warning(
                    "mark_lost",
                    text=f"❓ MARK LOST: {decision.contract}, no usable price for {span}",
                    id=decision.id,
                )
            case MarkBack():
                mark = option_price(decision.mark)
                self._log.info("mark_back", text=f"❗ MARK BACK: {decision.contract} {mark}", id=decision.id)

    def _alarmed(self, alarm: FeedAlarmed, span: str) -> None:
        cause = named_cause(alarm.cause, alarm.symbol)
        if alarm.symbol and alarm.symbol == self._rules.benchmark:
            self._log.warning(
                "benchmark_missing",
                text=f"🙈 BENCHMARK MISSING: {cause}, no bar for {span}: no entries without it",
                cause=alarm.cause,
                symbol=alarm.symbol,
            )
        else:
            self._log.warning(
                "feed_alarmed",
                text=f"🙈 FEED BLIND: {cause}, no bar for {span}",
                cause=alarm.cause,
                symbol=alarm.symbol,
            )
